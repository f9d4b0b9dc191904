//! Reads `storage.toml`: a table for each remote, with the keys that
//! `rclone.conf` has and passwords as they are typed.

use std::path::Path;

use toml::Value;

use super::SettingsError;
use super::section::{Origin, Section};

/// The sections of a file. Errors do not show its text.
pub(super) fn parse_storage_toml(
    path: &Path,
    origin: &Origin,
    text: &str,
) -> Result<Vec<Section>, SettingsError> {
    let table: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        // The message of the library is one line; its picture of the place is not used.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        SettingsError::Line { path: path.to_owned(), number: line }
    })?;
    table.into_iter().map(|(name, value)| read_section(path, origin, name, value)).collect()
}

fn read_section(
    path: &Path,
    origin: &Origin,
    name: String,
    value: Value,
) -> Result<Section, SettingsError> {
    let Value::Table(keys) = value else {
        return Err(SettingsError::NoTable { path: path.to_owned(), name });
    };
    let (kind, values) = (String::new(), std::collections::BTreeMap::new());
    let mut section = Section { name, kind, origin: origin.clone(), values };
    for (key, value) in keys {
        let value = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            _ => {
                let (path, section) = (path.to_owned(), section.name);
                return Err(SettingsError::Value { path, section, key });
            }
        };
        if key == "type" {
            section.kind = value;
        } else {
            section.values.insert(key, value);
        }
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Section>, SettingsError> {
        let path = Path::new("/etc/scitq/storage.toml");
        parse_storage_toml(path, &Origin::Toml(path.to_owned()), text)
    }

    #[test]
    fn tables_are_sections() {
        let text = "[lab]\ntype = \"sftp\"\nhost = \"lab\"\nport = 2222\npass = \"pw\"\n";
        let sections = parse(text).unwrap();
        assert_eq!(sections[0].kind, "sftp");
        assert_eq!(sections[0].get("port"), Some("2222"));
        assert_eq!(sections[0].password("pass").unwrap().as_deref(), Some("pw"));
    }

    #[test]
    fn errors_name_the_place_and_not_the_text() {
        for (text, expected) in [
            ("[lab]\ntype = \"ftp\"\npass = sesame\n", "line 3"),
            ("pass = \"sesame\"\n", "`pass`"),
            ("[lab]\npass = [\"sesame\"]\n", "`pass` of `[lab]`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in "(\\[[a-z]{0,3}\\]?\n)?(type|[a-z_]{0,8}) ?=? ?[\"'{]?.{0,20}\n?.*"
        ) {
            if let Err(error) = parse(&text) {
                proptest::prop_assert!(error.to_string().contains("storage.toml"), "{error}");
            }
        }
    }
}
