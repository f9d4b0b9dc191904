//! Which addresses this version serves, and where they lead.

use std::path::PathBuf;

use crate::domain::uri::Uri;

use super::error::StorageError;

/// The one protocol that is served.
const LOCAL: &str = "file";

/// Where an address leads. Each further kind of storage becomes a variant,
/// and the compiler names the functions that must then know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// An absolute path on this machine, as it was written: with its
    /// wildcards and without a final slash.
    Local(PathBuf),
}

/// Checks the address of an input: a file, a folder, or a pattern of either.
/// Pure, so that a server can refuse a task that no agent could serve.
pub fn check_input(uri: &Uri) -> Result<(), StorageError> {
    locate(uri).map(|_| ())
}

/// Checks the address of a resource: what an input can be, a resource can be.
pub fn check_resource(uri: &Uri) -> Result<(), StorageError> {
    check_input(uri)
}

/// Checks the address of the outputs: a folder, with a final slash or without,
/// in which wildcards mean themselves.
pub fn check_output(uri: &Uri) -> Result<(), StorageError> {
    locate(uri).map(|_| ())
}

pub(super) fn locate(uri: &Uri) -> Result<Location, StorageError> {
    let text = || uri.to_string();
    if uri.protocol != LOCAL {
        return Err(StorageError::Protocol { uri: text() });
    }
    if let Some(option) = uri.options.first() {
        return Err(StorageError::ProtocolOption { uri: text(), option: option.clone() });
    }
    if let Some(action) = uri.actions.first() {
        return Err(StorageError::Action { uri: text(), action: action.clone() });
    }
    // What stands before the first slash would be a host or a relative path.
    if !uri.path.starts_with('/') {
        return Err(StorageError::NotAbsolute { uri: text() });
    }
    if uri.path.contains('\0') {
        return Err(StorageError::Nul { uri: text() });
    }
    let path = match uri.path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    Ok(Location::Local(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn local_files_folders_and_patterns_are_served() {
        for text in [
            "file:///a/b c%20'\"\n.txt",
            "file:///dir/",
            "file:///",
            "file:///a/*[!x]?/**",
            "file:///[1",
        ] {
            check_input(&uri(text)).unwrap();
            check_resource(&uri(text)).unwrap();
            check_output(&uri(text)).unwrap();
        }
    }

    #[test]
    fn nothing_is_decoded() {
        let Location::Local(path) = locate(&uri("file:///a%20b?c#d/")).unwrap();
        assert_eq!(path, Path::new("/a%20b?c#d"));
    }

    #[test]
    fn what_is_not_served_names_the_address_and_what_is() {
        for text in ["s3://bucket/key", "file@fast:///a", "file:///a.tar|untar", "FILE:///a"] {
            for check in [check_input, check_output, check_resource] {
                let message = check(&uri(text)).unwrap_err().to_string();
                assert!(message.contains(&format!("`{text}`")), "{message}");
                assert!(message.contains("this version serves `file://` only"), "{message}");
            }
        }
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
}
