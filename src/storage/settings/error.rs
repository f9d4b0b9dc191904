//! What can be wrong with the settings of storage. No error shows a value.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

#[derive(Debug, Clone, Error)]
pub enum SettingsError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: Arc<io::Error> },
    #[error(
        "`{}` is encrypted, which scitq cannot read: decrypt it, or copy what is needed to storage.toml",
        path.display()
    )]
    Encrypted { path: PathBuf },
    #[error("`{}`, line {number}, cannot be understood", path.display())]
    Line { path: PathBuf, number: usize },
    #[error("`{name}` in `{}` is no table: a remote is `[{name}]` with its keys below", path.display())]
    NoTable { path: PathBuf, name: String },
    #[error("`{key}` of `[{section}]` in `{}` is neither text nor a number nor true or false", path.display())]
    Value { path: PathBuf, section: String, key: String },
    #[error("`{key}` of `[{section}]` in `{}` is no obscured password: `rclone config` writes one", path.display())]
    Password { path: PathBuf, section: String, key: String },
    #[error("{place} has no `{key}`, which storage of the type `{kind}` needs")]
    Missing { place: String, kind: String, key: &'static str },
    #[error("{place} has no `type`")]
    NoType { place: String },
    #[error("{place} has the key `{key}`, which scitq does not know for the type `{kind}`")]
    UnknownKey { place: String, kind: String, key: String },
    #[error("{place} has a `{key}` that cannot be used")]
    Unusable { place: String, key: &'static str },
    #[error("{place} has a `{key}` that cannot be written to an rclone.conf")]
    UnusableValue { place: String, key: String },
    #[error("{place} leads back to itself")]
    Circle { place: String },
    #[error(
        "{place} has the type `{kind}`, which needs `rclone` on this machine, and there is none"
    )]
    NeedsRclone { place: String, kind: String },
}
