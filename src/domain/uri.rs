//! The grammar of data addresses: `proto[@option]://path[|action…]`.
//!
//! Only the grammar: who can serve which protocol is known in `storage`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A parsed data address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uri {
    /// Lower-case letters, digits, `+`, `-`, `_`.
    pub protocol: String,
    pub options: Vec<String>,
    /// All after `://` and before the first `|`, not decoded.
    pub path: String,
    /// What is done with the data once it has arrived, in order.
    pub actions: Vec<String>,
}

/// Why a text is no data address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UriError {
    #[error("`{uri}` is no URI: it has no `://` (a local file is `file:///absolute/path`)")]
    NoProtocol { uri: String },
    #[error(
        "`{uri}` has the protocol `{protocol}`, which is no name of letters, digits, `+`, `-` and `_`"
    )]
    BadProtocol { uri: String, protocol: String },
    #[error("`{uri}` has no path after `://`")]
    NoPath { uri: String },
    #[error("`{uri}` has an empty option or action")]
    EmptyPart { uri: String },
}

impl Uri {
    /// Whether it names a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.path.ends_with('/')
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri = || text.to_owned();
        let (head, rest) =
            text.split_once("://").ok_or_else(|| UriError::NoProtocol { uri: uri() })?;
        let mut options = head.split('@').map(str::to_owned);
        let protocol = options.next().unwrap_or_default();
        let options: Vec<String> = options.collect();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_');
        if protocol.is_empty() || !protocol.chars().all(is_name) {
            return Err(UriError::BadProtocol { uri: uri(), protocol });
        }
        let mut parts = rest.split('|').map(str::to_owned);
        let path = parts.next().unwrap_or_default();
        let actions: Vec<String> = parts.collect();
        if path.is_empty() {
            return Err(UriError::NoPath { uri: uri() });
        }
        if options.iter().chain(&actions).any(String::is_empty) {
            return Err(UriError::EmptyPart { uri: uri() });
        }
        Ok(Self { protocol, options, path, actions })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        for option in &self.options {
            write!(f, "@{option}")?;
        }
        write!(f, "://{}", self.path)?;
        for action in &self.actions {
            write!(f, "|{action}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_it_was_before_it_was_parsed() {
        for text in [
            "file:///a/b c.txt",
            "file:///dir/",
            "s3://bucket/x.tar.gz|untar|mv:sub",
            "run+fastq@sra://ERR1",
        ] {
            assert_eq!(text.parse::<Uri>().unwrap().to_string(), text);
        }
        assert!("file:///dir/".parse::<Uri>().unwrap().is_folder());
    }

    #[test]
    fn what_is_no_address_says_why() {
        assert!(matches!("/a/b".parse::<Uri>(), Err(UriError::NoProtocol { .. })));
        assert!(matches!("fi le:///a".parse::<Uri>(), Err(UriError::BadProtocol { .. })));
        assert!(matches!("file://".parse::<Uri>(), Err(UriError::NoPath { .. })));
        assert!(matches!("file:///a|".parse::<Uri>(), Err(UriError::EmptyPart { .. })));
    }
}
