//! What a remote has.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::listing::{EntryKind, FileFacts, RemoteFacts};

/// One file or folder of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Item {
    /// From the top of the remote, without slashes at its end.
    pub path: String,
    pub kind: ItemKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) enum ItemKind {
    Folder,
    File(RemoteFile),
}

/// What a remote tells of a file, as far as it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::storage) struct RemoteFile {
    pub bytes: Option<u64>,
    pub modified: Option<SystemTime>,
    /// Changes with the content: an ETag, a version.
    pub tag: Option<String>,
    /// MD5 sum of the content.
    pub md5: Option<[u8; 16]>,
}

/// How deep a folder is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Depth {
    One,
    All,
}

impl Item {
    pub(in crate::storage) fn folder(path: &str) -> Self {
        Self { path: path.trim_end_matches('/').to_owned(), kind: ItemKind::Folder }
    }

    pub(in crate::storage) fn file(path: &str, file: RemoteFile) -> Self {
        Self { path: path.to_owned(), kind: ItemKind::File(file) }
    }

    /// The last part of its path.
    pub(in crate::storage) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(in crate::storage) const fn is_folder(&self) -> bool {
        matches!(self.kind, ItemKind::Folder)
    }
}

impl RemoteFile {
    /// The same in the words of a listing. A date that the remote does not
    /// tell is 1970, so that it is the same every time.
    pub(in crate::storage) fn facts(&self) -> (EntryKind, RemoteFacts) {
        let facts = FileFacts {
            bytes: self.bytes.unwrap_or(0),
            modified: self.modified.unwrap_or(UNIX_EPOCH),
            mode: 0o644,
        };
        let remote = RemoteFacts {
            has_size: self.bytes.is_some(),
            tag: self.tag.as_deref().map(Arc::from),
            md5: self.md5,
        };
        (EntryKind::File(facts), remote)
    }
}

/// An MD5 sum from its hexadecimal digits.
pub(in crate::storage) fn md5_of_digits(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    let mut sum = [0; 16];
    for (byte, pair) in sum.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(sum)
}

/// An MD5 sum from base64, as HTTP has it.
pub(in crate::storage) fn md5_of_base64(text: &str) -> Option<[u8; 16]> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    bytes.try_into().ok()
}

/// The path with what a URL cannot have in it encoded; slashes stay.
pub(in crate::storage) fn percent_encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The text with `%41` and the like decoded; as it is where that is no text.
pub(in crate::storage) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_being_encoded() {
        for name in ["a b", "ü\n'\"", "100%25", "x/y", "a+b?c#d"] {
            let encoded = percent_encode(name);
            assert!(encoded.is_ascii() && !encoded.contains([' ', '?', '#']), "{encoded}");
            assert_eq!(percent_decode(&encoded), name);
        }
        assert_eq!(percent_decode("50%"), "50%");
        assert_eq!(percent_decode("%ff"), "%ff");
    }

    #[test]
    fn sums_are_read_in_both_spellings() {
        let sum = md5_of_digits("d41d8cd98f00b204e9800998ecf8427e").unwrap();
        assert_eq!(md5_of_base64("1B2M2Y8AsgTpgAmY7PhCfg=="), Some(sum));
        for text in ["", "d41d8cd98f00b204e9800998ecf8427e-2", "zz1d8cd98f00b204e9800998ecf8427e"] {
            assert_eq!(md5_of_digits(text), None);
        }
    }
}
