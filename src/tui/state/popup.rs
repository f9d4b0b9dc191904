//! What lies over a screen and takes the keys: questions, prompts, menus, help,
//! the editor, the recruiting form, charts.

use ratatui_textarea::TextArea;

use super::hiring::JobLogView;
use super::recruit::RecruitForm;
use crate::api::task::TaskSort;
use crate::domain::signal::Signal;
use crate::domain::{BatchName, TaskId, WorkerId};
use crate::tui::effect::{Change, Samples, Target};

#[derive(Debug, Clone)]
pub enum Popup {
    Question(Question),
    Prompt(Prompt),
    Menu(Menu),
    /// All keys that count here, narrowed down by typing.
    Help {
        filter: LineEdit,
        offset: usize,
    },
    History {
        offset: usize,
    },
    Editor(Box<Editor>),
    Recruit(RecruitForm),
    JobLog(JobLogView),
    Charts {
        worker: WorkerId,
        name: String,
        samples: Option<Samples>,
        error: Option<String>,
    },
}

/// Asks before something is destroyed or interrupted. The default is no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub text: Vec<String>,
    /// What a yes does.
    pub change: Change,
    /// What has to be typed for a yes; none: `y` does.
    pub word: Option<String>,
    pub typed: LineEdit,
    /// A second way to say yes: a key, its label, and what that does.
    pub other: Option<(char, String, Change)>,
}

/// Asks for a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    pub kind: PromptKind,
    pub title: String,
    pub line: LineEdit,
    /// What it may be completed to.
    pub known: Vec<String>,
    /// The one of the matching known words that is chosen.
    pub chosen: Option<usize>,
    pub error: Option<String>,
}

/// What becomes of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptKind {
    /// With the filter that was there before.
    Filter(String),
    Command,
    Search,
    WorkerBatch(Vec<WorkerId>),
    Concurrency(Vec<WorkerId>),
    Prefetch(Vec<WorkerId>),
    MoveTasks(Target),
    Download(Vec<TaskId>),
    /// Workers that are given to this batch, by their names.
    WorkersInto(BatchName),
    /// Where all workers of this batch go.
    WorkersOutOf(BatchName),
}

/// A line that is edited, with the place of the cursor in letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEdit {
    text: String,
    cursor: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    pub title: String,
    pub items: Vec<(String, MenuChoice)>,
    pub chosen: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MenuChoice {
    Signal(Target, Signal),
    SortTasks(TaskSort),
    /// By the number of a column.
    SortList(usize),
}

/// The specification of a task as text.
#[derive(Debug, Clone)]
pub struct Editor {
    pub task: TaskId,
    pub revision: u32,
    pub is_running: bool,
    pub area: TextArea<'static>,
    pub error: Option<String>,
    /// The text as it was, to ask before changes are thrown away.
    pub original: String,
    /// Esc was pressed once on a changed text.
    pub is_leaving: bool,
}

impl LineEdit {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), cursor: text.chars().count() }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor, and from the cursor on.
    #[must_use]
    pub fn halves(&self) -> (&str, &str) {
        self.text.split_at(self.byte(self.cursor))
    }

    pub fn insert(&mut self, text: &str) {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        self.text.insert_str(self.byte(self.cursor), &text);
        self.cursor += text.chars().count();
    }

    pub fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.text.remove(self.byte(self.cursor));
        }
    }

    pub fn delete(&mut self) {
        let at = self.byte(self.cursor);
        if at < self.text.len() {
            self.text.remove(at);
        }
    }

    pub fn left(&mut self) {
        self.cursor = self.cursor.saturating_sub(1);
    }

    pub fn right(&mut self) {
        self.cursor = (self.cursor + 1).min(self.text.chars().count());
    }

    pub fn home(&mut self) {
        self.cursor = 0;
    }

    pub fn end(&mut self) {
        self.cursor = self.text.chars().count();
    }

    /// Deletes all before the cursor.
    pub fn clear_before(&mut self) {
        self.text = self.halves().1.to_owned();
        self.cursor = 0;
    }

    /// Deletes the word before the cursor.
    pub fn delete_word(&mut self) {
        let (before, after) = self.halves();
        let kept = before.trim_end();
        let kept = kept.rfind(char::is_whitespace).map_or("", |at| kept.get(..=at).unwrap_or(""));
        let (kept, after) = (kept.to_owned(), after.to_owned());
        self.cursor = kept.chars().count();
        self.text = kept + &after;
    }

    fn byte(&self, letter: usize) -> usize {
        self.text.char_indices().nth(letter).map_or(self.text.len(), |(at, _)| at)
    }
}

impl Prompt {
    #[must_use]
    pub fn new(kind: PromptKind, title: impl Into<String>, text: &str) -> Self {
        Self {
            kind,
            title: title.into(),
            line: LineEdit::new(text),
            known: Vec::new(),
            chosen: None,
            error: None,
        }
    }

    #[must_use]
    pub fn with_known(mut self, known: Vec<String>) -> Self {
        self.known = known;
        self
    }
}

impl Question {
    #[must_use]
    pub fn new(text: impl Into<String>, change: Change) -> Self {
        Self {
            text: vec![text.into()],
            change,
            word: None,
            typed: LineEdit::default(),
            other: None,
        }
    }

    #[must_use]
    pub fn line(mut self, text: impl Into<String>) -> Self {
        self.text.push(text.into());
        self
    }

    #[must_use]
    pub fn word(mut self, word: impl Into<String>) -> Self {
        self.word = Some(word.into());
        self
    }

    #[must_use]
    pub fn other(mut self, key: char, label: impl Into<String>, change: Change) -> Self {
        self.other = Some((key, label.into(), change));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_by_letters_and_not_by_bytes() {
        let mut line = LineEdit::new("aé日");
        line.left();
        line.insert("x\n");
        assert_eq!(line.halves(), ("aéx", "日"));
        line.backspace();
        line.backspace();
        assert_eq!(line.text(), "a日");
        line.delete();
        line.delete();
        assert_eq!(line.text(), "a");
        line.insert("b cd");
        line.delete_word();
        assert_eq!(line.text(), "ab ");
        line.home();
        line.right();
        line.clear_before();
        assert_eq!(line.text(), "b ");
    }
}
