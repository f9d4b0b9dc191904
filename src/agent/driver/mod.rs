//! Does what the state machine wants: the loop that feeds it with events, and
//! the hands that carry out its effects.
//!
//! Nothing in here decides. What may take time runs elsewhere and answers with
//! an event: transfers in tasks, the disk in threads.

mod commands;
mod containers;
mod desk;
mod folders;
mod hands;
mod images;
mod inquiry;
mod notice;
mod output;
mod turn;

pub use commands::Commands;
pub use containers::describe_engine;
pub use desk::{Carrier, Desk, Next};
pub use folders::{FolderCare, Folders, HeldFolders, Maker};
pub use hands::{Hands, Identity};
pub use images::Images;
pub use inquiry::Inquiries;
pub use output::Output;
pub use turn::Driver;
