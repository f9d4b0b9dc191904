//! What is done with data once it has arrived: the parts of an address after
//! its path.
//!
//! | action | what it does |
//! |---|---|
//! | `gunzip` | unpacks each gzipped file: `a.gz` becomes `a` |
//! | `zstd` | the same with zstd: `a.zst` becomes `a` |
//! | `untar` | unpacks each tar archive where it lies, compressed or not |
//! | `unzip` | the same for zip |
//! | `mv:FOLDER` | puts all into a folder |
//! | `rename:NAME` | renames the one file, or the one folder, that there is |
//!
//! An action makes a new folder from the one before it, so that a kill leaves
//! what was fetched whole. What an action has no use for stays as it is, but an
//! action with nothing to do is an error. How a file is packed is told by its
//! first bytes, not by its name. No archive can write outside its folder.

mod pack;
mod parse;
mod place;
mod run;
#[cfg(test)]
mod tests;
mod untar;
mod unzip;

pub(super) use parse::parse_actions;
pub use run::{act, has_actions};
