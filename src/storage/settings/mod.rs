//! The storage that a site has: its own `storage.toml`, and an `rclone.conf`
//! that is read as it is.

mod error;
mod files;
pub(super) mod obscure;
mod rclone_conf;
mod section;
mod storage_toml;

pub use error::SettingsError;
pub use files::{SettingsFiles, StorageSettings};
pub use section::{Origin, Section};
