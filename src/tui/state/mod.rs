//! All that the terminal UI knows: one value, which `update` changes and
//! `view` draws. Nothing in here does anything.

mod feed;
mod flavor;
mod hiring;
mod list;
mod log;
mod merged;
mod model;
mod popup;
mod recruit;
mod spot;
mod tasks;
mod toast;
mod walk;

pub use feed::{Feed, Feeds, Source};
pub use flavor::{candidates, matching};
pub use hiring::JobLogView;
pub use list::{Cursor, Item, List};
pub use log::{CHUNK, LogLine, LogScreen, Pane, Piece, Shown};
pub use merged::Merged;
pub use model::{
    Access, BatchScreen, Connection, DetailScreen, Files, Marker, OutputFiles, Place, Screen,
    Setup, State, Stream, WorkerScreen,
};
pub use popup::{Editor, LineEdit, Menu, MenuChoice, Popup, Prompt, PromptKind, Question};
pub use recruit::{FIELDS, RecruitForm};
pub use spot::Spot;
pub use tasks::{Marks, Tails, TaskScreen};
pub use toast::{Toast, ToastKind, Toasts};
pub use walk::{Direction, PAGE, Page, Walk};
