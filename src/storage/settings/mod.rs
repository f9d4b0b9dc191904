//! The storage that a site has: its own `storage.toml`, and an `rclone.conf`
//! that is read as it is.

mod error;
mod files;
pub(super) mod obscure;
mod print;
mod rclone_conf;
mod section;
mod storage_toml;

pub use error::SettingsError;
pub use files::{SettingsFiles, StorageSettings, check_storage_toml};
pub use print::{Secrets, as_rclone_conf};
pub use section::{Origin, Section};
