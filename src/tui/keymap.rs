//! The one table of keys: dispatch, key bar and help all read it, so none of
//! them can say what the others do not do.

use std::collections::BTreeMap;
use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use strum::{EnumIter, EnumString, IntoStaticStr};
use thiserror::Error;

/// What a key asks for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Command {
    Quit,
    Help,
    History,
    CommandLine,
    Suspend,
    Reload,
    ShowWorkers,
    ShowTasks,
    ShowBatches,
    ShowJobs,
    ShowRecruiters,
    ShowOverview,
    Back,
    Open,
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Left,
    Right,
    Filter,
    Sort,
    Reverse,
    Mark,
    Range,
    MarkAll,
    NextTab,
    PreviousTab,
    Relaunch,
    Edit,
    EditOutside,
    Pause,
    PauseWithTasks,
    Resume,
    ResumeWithTasks,
    Stop,
    Kill,
    Signal,
    Cancel,
    Move,
    Download,
    Delete,
    Output,
    MoreConcurrency,
    LessConcurrency,
    SetConcurrency,
    MorePrefetch,
    LessPrefetch,
    SetPrefetch,
    EditBatch,
    Clean,
    DropCache,
    Restart,
    OpenTasks,
    Charts,
    Shell,
    Retries,
    Recruit,
    RetryFailed,
    MoveWorkersIn,
    MoveWorkersOut,
    RetryJob,
    Follow,
    Wrap,
    Search,
    NextHit,
    PreviousHit,
    Save,
    Pager,
    Streams,
    Times,
}

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Scope {
    Everywhere,
    /// On all lists.
    Lists,
    Workers,
    Tasks,
    Batches,
    Jobs,
    Recruiters,
    Detail,
    Log,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    pub command: Command,
    pub scopes: &'static [Scope],
    /// The keys unless the configuration names others, separated by spaces.
    pub keys: &'static str,
    /// One word for the key bar; empty: not shown there.
    pub label: &'static str,
    /// What it does, for the help.
    pub help: &'static str,
}

/// A key as it is compared: a capital letter is the letter and not Shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// The table with the keys of the configuration.
#[derive(Debug, Clone)]
pub struct Keymap {
    entries: Vec<(&'static Binding, Vec<Key>)>,
}

/// What is wrong with keys of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeymapError {
    #[error("`{name}` is no action")]
    UnknownCommand { name: String },
    #[error("`{text}` is no key")]
    UnknownKey { text: String },
    #[error("the key `{key}` stands for both `{first}` and `{second}`")]
    Clash { key: String, first: &'static str, second: &'static str },
}

use Command as C;
use Scope as S;

const fn all(
    command: Command,
    keys: &'static str,
    label: &'static str,
    help: &'static str,
) -> Binding {
    Binding { command, scopes: &[S::Everywhere], keys, label, help }
}

const fn at(
    scopes: &'static [Scope],
    command: Command,
    keys: &'static str,
    label: &'static str,
    help: &'static str,
) -> Binding {
    Binding { command, scopes, keys, label, help }
}

const TASK: &[Scope] = &[S::Tasks, S::Detail];
const WORKER: &[Scope] = &[S::Workers];
const BATCH: &[Scope] = &[S::Batches];
const LIST: &[Scope] = &[S::Lists];
const LOG: &[Scope] = &[S::Log];

/// All bindings; the first ones of a scope are the first in the key bar.
pub const TABLE: &[Binding] = &[
    at(&[S::Lists, S::Detail], C::Open, "enter", "open", "Open what is under the cursor"),
    at(TASK, C::Relaunch, "r", "relaunch", "Run again; what is under way is ended first"),
    at(TASK, C::Edit, "e", "edit", "Edit the whole specification here"),
    at(TASK, C::Output, "o", "output", "Show what the command wrote, live"),
    at(TASK, C::Pause, "p", "pause", "Suspend, or hold back what does not run yet"),
    at(TASK, C::Resume, "u", "resume", "Let a paused task go on"),
    at(TASK, C::Stop, "t", "stop", "Stop the command: SIGTERM to all its processes"),
    at(TASK, C::Kill, "K", "kill", "Kill the command: SIGKILL to all its processes"),
    at(TASK, C::Cancel, "c", "cancel", "End a task that has not ended, whatever its state"),
    at(TASK, C::Delete, "D del", "delete", "Delete the task with its output"),
    at(TASK, C::Download, "d", "download", "Save the complete outputs as files"),
    at(TASK, C::Move, "m", "move", "Move to another batch"),
    at(TASK, C::Signal, "!", "signal", "Send any other signal"),
    at(TASK, C::EditOutside, "E", "", "Edit the specification in $EDITOR"),
    at(WORKER, C::EditBatch, "b", "batch", "Give the worker to another batch"),
    at(WORKER, C::MoreConcurrency, "+", "", "One more command at once"),
    at(WORKER, C::LessConcurrency, "-", "", "One command less at once; none is ended for it"),
    at(WORKER, C::SetConcurrency, "C", "concurrency", "Type how many commands run at once"),
    at(WORKER, C::MorePrefetch, ">", "", "Fetch the data of one more task ahead"),
    at(WORKER, C::LessPrefetch, "<", "", "Fetch one task less ahead; it goes back"),
    at(WORKER, C::SetPrefetch, "F", "prefetch", "Type how many tasks are fetched ahead"),
    at(WORKER, C::Pause, "p", "pause", "Take no new tasks"),
    at(WORKER, C::Resume, "u", "resume", "Take tasks again"),
    at(WORKER, C::OpenTasks, "t", "tasks", "Show its tasks"),
    at(WORKER, C::Charts, "i", "charts", "Show its processor, memory, disk and network"),
    at(WORKER, C::Delete, "D del", "destroy", "Destroy the worker; its tasks go to others"),
    at(WORKER, C::Retries, "A", "", "Count all executions, or the latest of each task only"),
    at(WORKER, C::Recruit, "n", "recruit", "Recruit workers"),
    at(WORKER, C::Clean, "x", "clean", "Delete kept folders of tasks that have ended"),
    at(WORKER, C::DropCache, "X", "", "Delete resources that no task uses"),
    at(WORKER, C::Restart, "R", "restart", "Replace the agent's process; commands run on"),
    at(WORKER, C::Shell, "!", "ssh", "Open a shell on the machine"),
    at(BATCH, C::Pause, "p", "pause", "Start nothing new; what runs goes on"),
    at(BATCH, C::PauseWithTasks, "P", "pause all", "Start nothing new and suspend what runs"),
    at(BATCH, C::Resume, "u", "go", "Start tasks again"),
    at(BATCH, C::ResumeWithTasks, "U", "go all", "Start tasks again and let suspended ones go on"),
    at(BATCH, C::Stop, "t", "stop", "Pause, and stop all its commands"),
    at(BATCH, C::Kill, "K", "kill", "Pause, and kill all its commands"),
    at(BATCH, C::RetryFailed, "r", "retry", "Run all failed tasks again"),
    at(BATCH, C::Delete, "D del", "delete", "Delete the batch with its tasks"),
    at(BATCH, C::MoveWorkersIn, "w", "workers", "Give it workers of other batches"),
    at(BATCH, C::MoveWorkersOut, "W", "", "Give its workers to another batch"),
    at(&[S::Jobs], C::RetryJob, "r", "retry", "Try a failed job again"),
    at(&[S::Jobs], C::Cancel, "c", "cancel", "Cancel a job that runs"),
    at(&[S::Jobs], C::Delete, "D del", "delete", "Delete jobs that have ended"),
    at(&[S::Jobs, S::Recruiters], C::Recruit, "n", "recruit", "Recruit workers"),
    at(LOG, C::Follow, "f", "follow", "Follow the end; scrolling up stops it"),
    at(LOG, C::Streams, "tab", "streams", "Show both, one, or both as one"),
    at(LOG, C::Times, "T", "times", "Show when each line came"),
    at(LOG, C::Search, "/", "search", "Search; the whole stream is looked through"),
    at(LOG, C::NextHit, "n", "next", "Next hit"),
    at(LOG, C::PreviousHit, "N", "previous", "Previous hit"),
    at(LOG, C::Wrap, "w", "wrap", "Break long lines, or cut them"),
    at(LOG, C::Save, "s d", "save", "Save the complete outputs as files"),
    at(LOG, C::Pager, "P", "pager", "Open in $PAGER"),
    at(LIST, C::Filter, "/", "filter", "text, /regex/, !not, state: batch: worker: name: tag:"),
    at(LIST, C::Sort, "s", "sort", "Choose the column to sort by"),
    at(LIST, C::Reverse, "S", "", "Turn the order around"),
    at(LIST, C::Mark, "space", "mark", "Mark or unmark the row"),
    at(LIST, C::Range, "v", "", "Mark from here to where you press it again"),
    at(LIST, C::MarkAll, "a", "", "Mark all that the filter matches; again: none"),
    at(&[S::Tasks], C::NextTab, "tab ]", "", "Next state"),
    at(&[S::Tasks], C::PreviousTab, "backtab [", "", "Previous state"),
    all(C::Help, "? f1", "help", "Show all keys"),
    all(C::CommandLine, ":", "command", "Type a command, such as :task 42"),
    all(C::ShowWorkers, "1", "", "Workers"),
    all(C::ShowTasks, "2", "", "Tasks"),
    all(C::ShowBatches, "3", "", "Batches"),
    all(C::ShowJobs, "4", "", "Jobs"),
    all(C::ShowRecruiters, "5", "", "Recruiters"),
    all(C::ShowOverview, "6", "", "Overview"),
    all(C::Back, "esc", "back", "Go back; drop marks and filter first"),
    all(C::Up, "up k", "", "Up"),
    all(C::Down, "down j", "", "Down"),
    all(C::PageUp, "pageup ctrl-b", "", "One page up"),
    all(C::PageDown, "pagedown ctrl-f", "", "One page down"),
    all(C::Top, "g home", "", "To the beginning"),
    all(C::Bottom, "G end", "", "To the end"),
    all(C::Left, "left h", "", "Columns or text to the left"),
    all(C::Right, "right l", "", "Columns or text to the right"),
    all(C::History, "@", "", "What was told lately"),
    all(C::Reload, "ctrl-r ctrl-l", "", "Read and draw everything again"),
    all(C::Suspend, "ctrl-z", "", "Back to the shell; fg returns"),
    all(C::Quit, "q ctrl-c", "quit", "Quit"),
];

impl Keymap {
    /// The table with these keys in place of its own: action → keys.
    ///
    /// # Errors
    /// An action or key is unknown, or one key would stand for two actions.
    pub fn new(overrides: &BTreeMap<String, String>) -> Result<Self, KeymapError> {
        for name in overrides.keys() {
            if name.parse::<Command>().is_err() {
                return Err(KeymapError::UnknownCommand { name: name.clone() });
            }
        }
        let mut entries = Vec::new();
        for binding in TABLE {
            let name: &'static str = binding.command.into();
            let keys = overrides.get(name).map_or(binding.keys, String::as_str);
            let keys = keys.split_whitespace().map(Key::parse).collect::<Result<Vec<_>, _>>()?;
            entries.push((binding, keys));
        }
        let keymap = Self { entries };
        keymap.check()?;
        Ok(keymap)
    }

    /// The action of a key, the narrowest scope first.
    #[must_use]
    pub fn find(&self, scopes: &[Scope], key: Key) -> Option<Command> {
        scopes.iter().find_map(|scope| {
            let fits = |(binding, keys): &&(&Binding, Vec<Key>)| {
                binding.scopes.contains(scope) && keys.contains(&key)
            };
            self.entries.iter().find(fits).map(|(binding, _)| binding.command)
        })
    }

    /// The bindings of these scopes with their keys, in the table's order.
    pub fn bindings<'a>(
        &'a self,
        scopes: &'a [Scope],
    ) -> impl Iterator<Item = (&'static Binding, &'a [Key])> {
        self.entries.iter().filter_map(move |(binding, keys)| {
            let counts = binding.scopes.iter().any(|scope| scopes.contains(scope));
            (counts && !keys.is_empty()).then_some((*binding, keys.as_slice()))
        })
    }

    /// No key may stand for two actions where both count.
    fn check(&self) -> Result<(), KeymapError> {
        for (position, (first, keys)) in self.entries.iter().enumerate() {
            for (second, others) in self.entries.iter().skip(position + 1) {
                if !first.scopes.iter().any(|a| second.scopes.iter().any(|b| meet(*a, *b))) {
                    continue;
                }
                if let Some(key) = keys.iter().find(|key| others.contains(key)) {
                    return Err(KeymapError::Clash {
                        key: key.to_string(),
                        first: first.command.into(),
                        second: second.command.into(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether two scopes count at the same time.
fn meet(a: Scope, b: Scope) -> bool {
    let is_list =
        |scope| matches!(scope, S::Workers | S::Tasks | S::Batches | S::Jobs | S::Recruiters);
    a == b
        || a == S::Everywhere
        || b == S::Everywhere
        || (a == S::Lists && is_list(b))
        || (b == S::Lists && is_list(a))
}

impl Key {
    #[must_use]
    pub fn of(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
        let code = match event.code {
            KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => {
                KeyCode::Char(c.to_ascii_lowercase())
            }
            code => code,
        };
        if code == KeyCode::BackTab {
            modifiers = KeyModifiers::NONE;
        }
        Self { code, modifiers }
    }

    /// The key as the terminal tells it.
    #[cfg(test)]
    pub fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, self.modifiers)
    }

    /// A key as it is written in the configuration: `x`, `ctrl-r`, `pageup`.
    ///
    /// # Errors
    /// The text names none.
    pub fn parse(text: &str) -> Result<Self, KeymapError> {
        let unknown = || KeymapError::UnknownKey { text: text.to_owned() };
        let (modifiers, name) = match (text.strip_prefix("ctrl-"), text.strip_prefix("alt-")) {
            (Some(name), _) => (KeyModifiers::CONTROL, name),
            (_, Some(name)) => (KeyModifiers::ALT, name),
            _ => (KeyModifiers::NONE, text),
        };
        let mut letters = name.chars();
        let code = match (letters.next(), letters.next()) {
            (Some(c), None) => KeyCode::Char(c),
            _ => match NAMED.iter().find(|(known, _)| *known == name) {
                Some((_, code)) => *code,
                None => name
                    .strip_prefix('f')
                    .and_then(|number| number.parse().ok())
                    .filter(|number| (1..=12).contains(number))
                    .map(KeyCode::F)
                    .ok_or_else(unknown)?,
            },
        };
        Ok(Self { code, modifiers })
    }
}

const NAMED: [(&str, KeyCode); 15] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("space", KeyCode::Char(' ')),
    ("del", KeyCode::Delete),
    ("backspace", KeyCode::Backspace),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
];

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            f.write_str("ctrl-")?;
        }
        if self.modifiers.contains(KeyModifiers::ALT) {
            f.write_str("alt-")?;
        }
        match (NAMED.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, KeyCode::Char(c)) => write!(f, "{c}"),
            (None, KeyCode::F(number)) => write!(f, "f{number}"),
            (None, code) => write!(f, "{}", format!("{code:?}").to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn each_action_has_keys_help_and_a_place_where_it_counts() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        for command in Command::iter() {
            let bindings: Vec<_> =
                keymap.entries.iter().filter(|(binding, _)| binding.command == command).collect();
            assert!(!bindings.is_empty(), "{command:?} is not in the table");
            for (binding, keys) in bindings {
                assert!(!keys.is_empty() && !binding.help.is_empty(), "{command:?}");
                for scope in binding.scopes {
                    for key in keys {
                        let scopes = [*scope, Scope::Lists, Scope::Everywhere];
                        assert_eq!(keymap.find(&scopes, *key), Some(command), "{key} in {scope:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_configuration_can_name_other_keys_unless_they_clash() {
        let overrides = |command: &str, keys: &str| {
            Keymap::new(&BTreeMap::from([(command.to_owned(), keys.to_owned())]))
        };
        let keymap = overrides("relaunch", "ctrl-x f5").unwrap();
        assert_eq!(
            keymap.find(&[Scope::Tasks], Key::parse("ctrl-x").unwrap()),
            Some(Command::Relaunch)
        );
        assert_eq!(keymap.find(&[Scope::Tasks], Key::parse("r").unwrap()), None);
        let told = |result: Result<Keymap, KeymapError>| result.unwrap_err().to_string();
        assert_eq!(
            told(overrides("relaunch", "e")),
            "the key `e` stands for both `relaunch` and `edit`"
        );
        assert_eq!(told(overrides("relunch", "e")), "`relunch` is no action");
        assert_eq!(told(overrides("relaunch", "hyper-x")), "`hyper-x` is no key");
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        for text in ["x", "X", "ctrl-r", "alt-x", "enter", "space", "f5", "backtab", "end"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
    }
}
