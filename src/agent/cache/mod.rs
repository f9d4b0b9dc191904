//! Resources: fetched once per worker however many tasks want them, kept
//! across restarts, shown to each task read-only.
//!
//! An entry is known by its address and by what the address named when it was
//! fetched (names, sizes, dates), so a resource that changed is another
//! entry, and tasks that have the old one keep it. `<workdir>/resources/`
//! holds a folder for each:
//!
//! - `<key>/files/`: the data, no file of which anybody may write to;
//! - `<key>/entry.json`: what it is. Its own date tells when it was last used;
//! - `.partial-<key>/`: an entry that is not whole; in `raw/` what was fetched,
//!   where it is to be unpacked. It becomes whole by being
//!   renamed, so a kill at any moment leaves either, and the next attempt
//!   takes up what is there;
//! - `.evicted-<key>/`: on its way out.
//!
//! Tasks get hard links. They cost no space and share one copy in the page
//! cache, which matters when eight tasks map the same 50 GB index; copies that
//! share their blocks (reflinks) would not. As root a command can still write
//! to such a file: an entry whose files are no longer what was fetched is
//! fetched again.

mod flight;
mod lease;
mod resources;
mod store;
#[cfg(test)]
mod tests;

pub use lease::Lease;
pub use resources::{Evicted, ResourceCache};
pub use store::CacheError;
