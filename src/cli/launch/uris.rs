//! The URIs of options.

use std::path::{Path, absolute};

use crate::cli::error::CliError;
use crate::domain::uri::{Uri, UriError};

/// Splits a value into URIs. A blank separates two of them only where another
/// URI begins behind it, so that file names may have blanks.
pub fn split_uris(value: &str) -> Vec<String> {
    let mut uris: Vec<String> = Vec::new();
    for piece in value.trim().split_inclusive(char::is_whitespace) {
        let begins_uri = piece.split_once("://").is_some_and(|(head, _)| !head.contains('/'));
        match uris.last_mut() {
            Some(last) if !begins_uri => last.push_str(piece),
            _ => uris.push(piece.to_owned()),
        }
    }
    uris.into_iter().map(|uri| uri.trim_end().to_owned()).collect()
}

/// The text, if it is a URI that some worker could make sense of.
pub fn checked_uri(option: &str, text: String) -> Result<String, CliError> {
    let error = |message: String| CliError::usage(format!("{option}: {message}"));
    let uri: Uri = match text.parse() {
        Ok(uri) => uri,
        Err(UriError::NoProtocol { .. }) => {
            let hint = format!("a file on this machine is `{}`", local_uri(&text));
            return Err(error(format!("`{text}` is no URI, it has no `://`")).hint(hint));
        }
        Err(other) => return Err(error(other.to_string())),
    };
    if uri.protocol == "file" && !uri.path.starts_with('/') {
        let hint = format!("write `{}`", local_uri(&uri.path));
        return Err(error(format!("`{text}` is not absolute")).hint(hint));
    }
    Ok(text)
}

/// The URI of a path on this machine.
fn local_uri(text: &str) -> String {
    let path = absolute(Path::new(text)).unwrap_or_else(|_| Path::new("/").join(text));
    let is_folder = path.is_dir() && !text.ends_with('/');
    format!("file://{}{}", path.display(), if is_folder { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_separates_uris_only_where_another_begins() {
        assert_eq!(
            split_uris(" file:///a b.fq  s3://x/y|untar\tfile:///c/ "),
            ["file:///a b.fq", "s3://x/y|untar", "file:///c/"]
        );
        assert_eq!(split_uris("a.fq b.fq"), ["a.fq b.fq"]);
        assert_eq!(split_uris("file:///x/{} s3://{/.}/"), ["file:///x/{}", "s3://{/.}/"]);
    }

    #[test]
    fn a_path_is_no_uri_and_the_hint_says_what_is() {
        let error = checked_uri("--input", "/data/x.fq".into()).unwrap_err();
        assert_eq!(error.to_string(), "--input: `/data/x.fq` is no URI, it has no `://`");
        assert_eq!(error.hints(), ["a file on this machine is `file:///data/x.fq`"]);
        let error = checked_uri("--output", "file://tmp/out".into()).unwrap_err();
        assert_eq!(error.to_string(), "--output: `file://tmp/out` is not absolute");
    }
}
