//! What an address says by itself: which kind of storage, and where in it.

use std::path::PathBuf;

use crate::domain::uri::Uri;

use super::actions::parse_actions;
use super::error::StorageError;

/// Where an address leads, as far as it says so itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// An absolute path on this machine, as it was written: with its
    /// wildcards and without a final slash.
    Local(PathBuf),
    Remote(RemoteAddress),
}

/// An address of other storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteAddress {
    pub protocol: Protocol,
    /// All after `://`, with its final slash.
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    S3(Signing),
    Azure,
    Ftp(Authority),
    Sftp(Authority),
    Http,
    Https,
    Webdav(Security),
    Run(RunAddress),
    /// A remote of the site's settings.
    Named(String),
}

/// The files of a sequencing run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunAddress {
    pub accession: String,
    pub files: RunFiles,
    /// The ways that the address names, in its order; all where it names none.
    pub ways: Vec<Way>,
    pub read_1_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunFiles {
    /// Reads as the archive has made them.
    Fastq,
    /// What was handed in.
    Submitted,
}

/// How the files of a run are had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Way {
    Https,
    Ftp,
    /// From the other archive, by its own tools.
    Sra,
}

/// Whether requests to S3 say who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signing {
    Signed,
    Anonymous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Tls,
    Plain,
}

/// `user@host:port`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
}

/// Checks the address of an input: a file, a folder, or a pattern of either.
/// Pure, so that a server can refuse a task that no agent could serve. Whether
/// a remote has been set up under this name, only an agent knows.
pub fn check_input(uri: &Uri) -> Result<(), StorageError> {
    locate(uri)?;
    parse_actions(uri).map(|_| ())
}

/// Checks the address of a resource: what an input can be, a resource can be.
pub fn check_resource(uri: &Uri) -> Result<(), StorageError> {
    check_input(uri)
}

/// Checks the address of the outputs: a folder, with a final slash or without,
/// in which wildcards mean themselves.
pub fn check_output(uri: &Uri) -> Result<(), StorageError> {
    let location = locate(uri)?;
    if let Some(action) = uri.actions.first() {
        return Err(StorageError::OutputAction { uri: shown(uri), action: action.clone() });
    }
    match location {
        Location::Remote(RemoteAddress {
            protocol: Protocol::Http | Protocol::Https | Protocol::Run(_),
            ..
        }) => Err(StorageError::ReadOnly { uri: shown(uri), protocol: uri.protocol.clone() }),
        _ => Ok(()),
    }
}

pub(super) fn locate(uri: &Uri) -> Result<Location, StorageError> {
    if uri.path.contains('\0') {
        return Err(StorageError::Nul { uri: shown(uri) });
    }
    if uri.protocol == "file" {
        refuse_options(uri, &[])?;
        return locate_local(uri);
    }
    let protocol = match uri.protocol.as_str() {
        "s3" => {
            refuse_options(uri, &["anonymous"])?;
            Protocol::S3(if uri.options.is_empty() { Signing::Signed } else { Signing::Anonymous })
        }
        "webdav" => {
            refuse_options(uri, &["http"])?;
            authority(uri)?;
            let is_plain = !uri.options.is_empty();
            Protocol::Webdav(if is_plain { Security::Plain } else { Security::Tls })
        }
        "run+fastq" => Protocol::Run(run_address(uri, RunFiles::Fastq)?),
        "run+submitted" => Protocol::Run(run_address(uri, RunFiles::Submitted)?),
        name => {
            refuse_options(uri, &[])?;
            match name {
                "azure" | "azblob" => Protocol::Azure,
                "ftp" => Protocol::Ftp(authority(uri)?),
                "sftp" => Protocol::Sftp(authority(uri)?),
                "http" => authority(uri).map(|_| Protocol::Http)?,
                "https" => authority(uri).map(|_| Protocol::Https)?,
                name => Protocol::Named(name.to_owned()),
            }
        }
    };
    if matches!(protocol, Protocol::S3(_) | Protocol::Azure) && uri.path.starts_with('/') {
        return Err(StorageError::NoBucket { uri: shown(uri) });
    }
    Ok(Location::Remote(RemoteAddress { protocol, path: uri.path.clone() }))
}

/// The address as it may be shown: without a password that should not be in it.
pub(super) fn shown(uri: &Uri) -> String {
    let Some(secret) = password_in(uri) else { return uri.to_string() };
    let path = uri.path.replacen(&format!(":{secret}@"), ":***@", 1);
    Uri { path, ..uri.clone() }.to_string()
}

/// What stands between `:` and `@` before the first slash.
fn password_in(uri: &Uri) -> Option<&str> {
    if !matches!(uri.protocol.as_str(), "ftp" | "sftp" | "http" | "https" | "webdav") {
        return None;
    }
    let authority = uri.path.split('/').next()?;
    let (login, _) = authority.rsplit_once('@')?;
    login.split_once(':').map(|(_, password)| password)
}

fn locate_local(uri: &Uri) -> Result<Location, StorageError> {
    // What stands before the first slash would be a host or a relative path.
    if !uri.path.starts_with('/') {
        return Err(StorageError::NotAbsolute { uri: shown(uri) });
    }
    let path = match uri.path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    Ok(Location::Local(PathBuf::from(path)))
}

fn run_address(uri: &Uri, files: RunFiles) -> Result<RunAddress, StorageError> {
    let known: &[&str] = match files {
        RunFiles::Fastq => &["https", "ftp", "sra", READ_1],
        RunFiles::Submitted => &["https", "ftp", READ_1],
    };
    refuse_options(uri, known)?;
    let accession = uri.path.as_str();
    let digits = ["ERR", "SRR", "DRR"].iter().find_map(|prefix| accession.strip_prefix(prefix));
    let is_run = digits.is_some_and(|digits| {
        !digits.is_empty() && digits.len() < 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !is_run {
        return Err(StorageError::Accession { uri: shown(uri) });
    }
    let ways = uri.options.iter().filter_map(|option| option.parse().ok()).collect();
    let read_1_only = uri.options.iter().any(|option| option == READ_1);
    Ok(RunAddress { accession: accession.to_owned(), files, ways, read_1_only })
}

/// The option that leaves out all but the first reads of pairs.
const READ_1: &str = "filter_r1";

fn refuse_options(uri: &Uri, known: &[&str]) -> Result<(), StorageError> {
    let unknown = uri.options.iter().find(|option| !known.contains(&option.as_str()));
    unknown.map_or(Ok(()), |option| {
        Err(StorageError::ProtocolOption { uri: shown(uri), option: option.clone() })
    })
}

fn authority(uri: &Uri) -> Result<Authority, StorageError> {
    if password_in(uri).is_some() {
        return Err(StorageError::Password { uri: shown(uri) });
    }
    let text = uri.path.split('/').next().unwrap_or_default();
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), rest),
        None => (None, text),
    };
    let bad = || StorageError::NoHost { uri: shown(uri) };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.contains(']') => {
            (host, Some(port.parse::<u16>().map_err(|_| bad())?))
        }
        _ => (rest, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    // A host that begins with `-` would be an option of `ssh`.
    if host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace) {
        return Err(bad());
    }
    Ok(Authority { user, host, port })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn files_folders_and_patterns_are_served() {
        for text in [
            "file:///a/b c%20'\"\n.txt",
            "file:///dir/",
            "file:///",
            "file:///a/*[!x]?/**",
            "file:///[1",
            "s3://bucket/key",
            "s3@anonymous://bucket/dir/",
            "azure://container/x*",
            "azblob://container/",
            "ftp://lab/x",
            "sftp://joe@lab:2222/x/",
            "webdav@http://localhost:8080/x/",
            "lab://x/y",
            "Our-Store_2:///x",
        ] {
            check_input(&uri(text)).unwrap();
            check_resource(&uri(text)).unwrap();
            check_output(&uri(text)).unwrap();
        }
        for text in [
            "https://localhost/x.tar.gz?a=b|untar|mv:sub",
            "run+fastq@ftp@sra@filter_r1://SRR000001|gunzip",
            "run+submitted://ERR1",
        ] {
            check_input(&uri(text)).unwrap();
            check_output(&uri(text)).unwrap_err();
        }
    }

    #[test]
    fn nothing_is_decoded() {
        let located = locate(&uri("file:///a%20b?c#d/")).unwrap();
        assert_eq!(located, Location::Local(Path::new("/a%20b?c#d").to_owned()));
    }

    #[test]
    fn what_is_not_served_names_the_address_and_why() {
        for (text, reason) in [
            ("file@fast:///a", "option `@fast`"),
            ("s3@fast://bucket/a", "option `@fast`"),
            ("s3:///a", "no bucket"),
            ("azure:///a", "no bucket"),
            ("ftp:///a", "no host"),
            ("sftp://-oProxyCommand=x/a", "no host"),
            ("http://localhost:port/a", "no host"),
            ("file:///a|compress", "`|compress`"),
            ("run+fastq://ERX1", "no sequencing run"),
            ("run+fastq://ERR1/x", "no sequencing run"),
            ("run+fastq@aspera://ERR1", "option `@aspera`"),
            ("run+submitted@sra://ERR1", "option `@sra`"),
        ] {
            let message = check_input(&uri(text)).unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")), "{message}");
            assert!(message.contains(reason), "{message}");
        }
    }

    #[test]
    fn outputs_have_no_actions_and_do_not_go_over_http() {
        for (text, reason) in
            [("file:///a|untar", "outputs"), ("https://localhost/a/", "nothing can be written")]
        {
            let message = check_output(&uri(text)).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_shown() {
        for text in ["ftp://joe:sesame@lab/x", "sftp://joe:ses@me@lab/x"] {
            let message = check_input(&uri(text)).unwrap_err().to_string();
            assert!(!message.contains("sesame") && !message.contains("ses@me"), "{message}");
            assert!(message.contains("://joe:***@lab/x"), "{message}");
        }
        check_input(&uri("https://localhost/a:b@c")).unwrap();
    }

    #[test]
    fn paths_must_be_absolute() {
        for text in ["file://host/a", "file://a", "file://./a"] {
            let error = check_input(&uri(text)).unwrap_err();
            assert!(matches!(error, StorageError::NotAbsolute { .. }), "{error}");
        }
        let error = check_input(&uri("file:///a\0b")).unwrap_err();
        assert!(matches!(error, StorageError::Nul { .. }), "{error}");
    }

    #[test]
    fn hosts_have_users_and_ports() {
        let of = |text: &str| authority(&uri(text)).unwrap();
        let expected =
            Authority { user: Some("joe".to_owned()), host: "lab".to_owned(), port: Some(22) };
        assert_eq!(of("sftp://joe@lab:22/x"), expected);
        assert_eq!(of("ftp://[::1]/x").host, "::1");
        assert_eq!(of("ftp://[::1]:21/x").port, Some(21));
    }
}
