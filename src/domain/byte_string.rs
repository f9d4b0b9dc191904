//! Bytes that are text most of the time: words of a command, standard input.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{PartialSchema, ToSchema, openapi};

/// Bytes: a word of an argument vector (no NUL in it), or standard input. On the
/// wire a JSON string, or `{"bytes": [..]}` where they are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteString(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire<'a> {
    Text(std::borrow::Cow<'a, str>),
    Bytes { bytes: Vec<u8> },
}

impl ByteString {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for ByteString {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for ByteString {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<OsString> for ByteString {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl fmt::Display for ByteString {
    /// Quoted for a shell where it must be; other bytes as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        match shlex::try_quote(&text) {
            Ok(quoted) => f.write_str(&quoted),
            Err(_) => write!(f, "{text:?}"),
        }
    }
}

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Wire::Bytes { bytes: self.0.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Wire::deserialize(deserializer)? {
            Wire::Text(text) => Self(text.into_owned().into_bytes()),
            Wire::Bytes { bytes } => Self(bytes),
        })
    }
}

impl PartialSchema for ByteString {
    fn schema() -> openapi::RefOr<openapi::schema::Schema> {
        let bytes = openapi::ObjectBuilder::new()
            .property("bytes", <Vec<u8> as PartialSchema>::schema())
            .required("bytes");
        openapi::OneOfBuilder::new().item(<String as PartialSchema>::schema()).item(bytes).into()
    }
}

impl ToSchema for ByteString {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_come_through() {
        let argument = ByteString::from(OsString::from_vec(vec![b'a', 0xff]));
        let wire = serde_json::to_string(&argument).unwrap();
        assert_eq!(wire, r#"{"bytes":[97,255]}"#);
        assert_eq!(serde_json::from_str::<ByteString>(&wire).unwrap(), argument);
    }

    #[test]
    fn words_are_shown_as_a_shell_takes_them() {
        assert_eq!(ByteString::from("it's").to_string(), r#""it's""#);
        assert_eq!(ByteString::from("").to_string(), "''");
        assert_eq!(ByteString::from("plain").to_string(), "plain");
    }
}
