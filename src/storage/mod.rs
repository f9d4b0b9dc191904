//! Data and its addresses. This version serves local files (`file://`) only.
//!
//! - [`check_input`], [`check_resource`] and [`check_output`] say whether an
//!   address can be served. They are pure.
//! - [`list`] says what an address names, [`fetch`] brings it here, [`send`]
//!   takes a folder's contents there.
//!
//! An address is taken as it is written; nothing in it is decoded. A final
//! slash means a folder and its contents, below which all structure is kept.
//! A pattern (`* ? [] **`, see [`glob`]) may stand for any part of the path of
//! an input or a resource; a path that exists as it is written wins over it.

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
