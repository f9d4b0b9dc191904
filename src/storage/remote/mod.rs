//! Storage that is not a folder of this machine.
//!
//! | file | what it speaks |
//! |---|---|
//! | `object` | S3 and Azure blobs, by `opendal` |
//! | `http`, `webdav` | web servers |
//! | `ftp`, `sftp` | file servers |
//! | `run` | sequencing runs by their accessions |
//! | `rclone` | everything else, by an installed `rclone` |
//!
//! [`open`] finds out what an address leads to, [`walk`] lists it, [`fetch`]
//! and [`send`] copy, several files at a time.

mod backend;
mod build;
mod error;
mod fetch;
mod ftp;
mod http;
mod item;
mod net;
mod object;
mod open;
mod pour;
mod rclone;
mod receive;
mod retry;
mod run;
mod send;
mod sftp;
mod source;
mod walk;
mod webdav;

pub use error::{RemoteError, RemoteErrorKind};
pub(super) use fetch::fetch_remote;
pub(super) use open::Opened;
pub use open::Remotes;
pub(super) use pour::pour_remote;
pub use retry::Patience;
pub(super) use run::list_run;
pub(super) use send::send_remote;
pub(super) use walk::{delete_remote, list_remote};
