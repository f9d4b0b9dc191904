//! One remote of a site: a kind, and what it takes to reach it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::SettingsError;

/// Values with these words in their keys are never shown.
const SECRET_WORDS: [&str; 8] =
    ["pass", "secret", "key", "token", "sas", "credential", "connection_string", "headers"];

/// A section of `storage.toml` or `rclone.conf`.
#[derive(Clone, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    /// What kind of storage: `s3`, `sftp` and so on.
    pub kind: String,
    pub origin: Origin,
    pub(super) values: BTreeMap<String, String>,
}

/// Where a section was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No file: the address itself says all.
    Address,
    Toml(PathBuf),
    Rclone(PathBuf),
    /// The server told it.
    Server,
}

impl Section {
    /// A section that follows from an address alone.
    pub(crate) fn of_address(name: &str, kind: &str, values: &[(&str, &str)]) -> Self {
        let values =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { name: name.to_owned(), kind: kind.to_owned(), origin: Origin::Address, values }
    }

    /// The value of a key; none where it is missing or empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a key says yes.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value, "true" | "1" | "yes" | "on"))
    }

    /// The password of a key, as it is typed: `rclone.conf` has it obscured.
    pub(crate) fn password(&self, key: &str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match &self.origin {
            Origin::Rclone(path) => {
                super::obscure::reveal(value).map(Some).ok_or_else(|| SettingsError::Password {
                    path: path.clone(),
                    section: self.name.clone(),
                    key: key.to_owned(),
                })
            }
            Origin::Address | Origin::Toml(_) | Origin::Server => Ok(Some(value.to_owned())),
        }
    }

    /// The first key that is not among these, nor one that all sections may have.
    pub(crate) fn unknown_key(&self, known: &[&str]) -> Option<&str> {
        let is_known = |key: &str| known.contains(&key) || key == "description";
        self.values
            .iter()
            .find(|(key, value)| !value.is_empty() && !is_known(key))
            .map(|(key, _)| key.as_str())
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// All that must not be seen in a log or an error.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> = Vec::new();
        for (key, value) in self.values().filter(|(key, _)| is_secret(key)) {
            secrets.push(value.to_owned());
            secrets.extend(self.password(key).ok().flatten());
        }
        secrets
    }

    /// Where the section is, for errors.
    pub(crate) fn place(&self) -> String {
        match &self.origin {
            Origin::Address => "the address".to_owned(),
            Origin::Server => format!("`[{}]` in the server's storage.toml", self.name),
            Origin::Toml(path) | Origin::Rclone(path) => {
                format!("`[{}]` in `{}`", self.name, path.display())
            }
        }
    }
}

impl fmt::Debug for Section {
    /// Without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, origin, values } = self;
        let mut shown = f.debug_struct("Section");
        shown.field("name", name).field("kind", kind).field("origin", origin);
        for (key, value) in values {
            shown.field(key, &if is_secret(key) { "***" } else { value.as_str() });
        }
        shown.finish()
    }
}

pub(super) fn is_secret(key: &str) -> bool {
    let is_path = key.ends_with("_file") || key == "key_use_agent" || key == "access_key_id";
    !is_path && SECRET_WORDS.iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let values = [
            ("host", "lab"),
            ("pass", "hunter2"),
            ("secret_access_key", "sesame"),
            ("key_file", "/keys/id"),
            ("sas_url", "u?sig=abc"),
        ];
        let section = Section::of_address("lab", "sftp", &values);
        let shown = format!("{section:?}");
        for secret in ["hunter2", "sesame", "abc"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("/keys/id"));
        let secrets = section.secrets();
        assert_eq!(secrets.len(), 6, "{secrets:?}");
    }

    #[test]
    fn keys_that_nobody_knows_are_found() {
        let values = [("host", "lab"), ("description", "x"), ("odd", "1"), ("empty", "")];
        let section = Section::of_address("lab", "ftp", &values);
        assert_eq!(section.unknown_key(&["host"]), Some("odd"));
        assert_eq!(section.unknown_key(&["host", "odd"]), None);
    }
}
