//! Data and its addresses.
//!
//! - [`check_input`], [`check_resource`] and [`check_output`] say whether an
//!   address can be served. They are pure.
//! - [`list`] says what an address names, [`fetch`] brings it here, [`act`] does
//!   with it what the address says, [`send`] takes a folder's contents there,
//!   [`delete`] removes what is there.
//!
//! An address is `file:///path`, `s3://bucket/key`, `azure://container/name`,
//! `ftp://host/path`, `sftp://host/path`, `webdav://host/path`, a URL, or
//! `name://path` of a remote that the site has set up: see [`settings`]; or
//! `run+fastq://ACCESSION`, the reads of a sequencing run. It is
//! taken as it is written; nothing in it is decoded, but for URLs. A final
//! slash means a folder: its contents, below which all structure is kept. Any
//! part of an input's path may be a pattern, with `* ? []` and `**` as a shell
//! has them; a path that exists as it is written wins over it. A file that is
//! named or matched arrives under its base name; below a `**` it keeps the
//! folders that the `**` stands for.
//!
//! Kept are content, names, empty files and empty folders, and between folders
//! of this machine also the dates of files and executable bits. Links are not
//! kept: those of an input are followed, and one that leads nowhere or in a
//! circle is an error; those of outputs are followed too, but for links to
//! folders within a folder that a link led to. What cannot be copied is noted.

mod actions;
mod address;
mod copy;
mod error;
mod glob;
mod limit;
mod listing;
mod local;
mod pour;
mod remote;
mod scratch;
pub mod settings;
#[cfg(test)]
mod tests;
mod transfer;

pub use actions::{act, has_actions};
pub use address::{check_input, check_output, check_resource};
pub use copy::is_unfinished;
pub use error::StorageError;
pub use limit::RateLimit;
pub(crate) use listing::hexadecimal;
pub use listing::{Entry, EntryKind, FileFacts, Listing, Note, RemoteFacts};
pub use pour::pour;
pub use remote::{Patience, RemoteErrorKind, Remotes};
pub use scratch::Scratch;
pub use transfer::{
    Moved, Placement, Progress, Transfer, delete, fetch, list, list_directory, list_outputs, send,
    send_listing,
};
