//! Data and its addresses. This version serves local files (`file://`) only.
//!
//! - [`check_input`], [`check_resource`] and [`check_output`] say whether an
//!   address can be served. They are pure.
//! - [`list`] says what an address names, [`fetch`] brings it here, [`send`]
//!   takes a folder's contents there.
//!
//! An address is taken as it is written; nothing in it is decoded. A final
//! slash means a folder: its contents, below which all structure is kept. Any
//! part of an input's path may be a pattern, with `* ? []` and `**` as a shell
//! has them; a path that exists as it is written wins over it. A file that is
//! named or matched arrives under its base name; below a `**` it keeps the
//! folders that the `**` stands for.
//!
//! Kept are content, names (any bytes), the dates of files, executable bits,
//! empty files and empty folders. Links are not kept: those of an input are
//! followed, and one that leads nowhere or in a circle is an error; those of
//! outputs are followed too, but for links to folders within a folder that a
//! link led to. What cannot be copied is noted.

mod address;
mod copy;
mod error;
mod glob;
mod listing;
mod local;
#[cfg(test)]
mod tests;
mod transfer;

pub use address::{check_input, check_output, check_resource};
pub use error::StorageError;
pub(crate) use listing::hexadecimal;
pub use listing::{Entry, EntryKind, FileFacts, Listing, Note};
pub use transfer::{Moved, Placement, Progress, Transfer, fetch, list, list_directory, send};
