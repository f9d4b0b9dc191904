//! The command line at `:`: jumps, and every action by its name.

use strum::IntoEnumIterator;

use super::{available, commands, navigate};
use crate::domain::TaskId;
use crate::domain::filter::{Filter, quoted};
use crate::tui::effect::Effect;
use crate::tui::keymap::Command;
use crate::tui::state::{Popup, Prompt, PromptKind, Screen, State};

/// Words that are no action of the keymap.
const WORDS: [&str; 13] = [
    "task",
    "tasks",
    "workers",
    "worker",
    "batches",
    "batch",
    "jobs",
    "recruiters",
    "overview",
    "filter",
    "sort",
    "q",
    "theme",
];

pub(super) fn ask(state: &mut State) {
    let mut known: Vec<String> = WORDS.iter().map(ToString::to_string).collect();
    let actions = Command::iter().filter(|command| available::is_available(*command, state));
    known.extend(actions.map(|command| <&'static str>::from(command).to_owned()));
    known.extend(state.past_commands.iter().cloned());
    known.sort();
    known.dedup();
    let prompt = Prompt::new(PromptKind::Command, ":", "").with_known(known);
    state.popup = Some(Popup::Prompt(prompt));
}

pub(super) fn run(state: &mut State, text: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    let jump = |state: &mut State, screen| -> Result<(), String> {
        navigate::show(state, screen);
        let filter = Filter::parse(rest).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            commands::set_filter(state, filter);
        }
        Ok(())
    };
    match word {
        "" => {}
        "q" | "quit" => effects.push(Effect::Quit),
        "task" | "t" => {
            let id: TaskId = rest.parse().map_err(|_| format!("`{rest}` is no task's number"))?;
            navigate::open_task(state, id);
        }
        "tasks" => jump(state, Screen::Tasks)?,
        "workers" => jump(state, Screen::Workers)?,
        "batches" => jump(state, Screen::Batches)?,
        "jobs" => jump(state, Screen::Jobs)?,
        "recruiters" => jump(state, Screen::Recruiters)?,
        "overview" => jump(state, Screen::Overview)?,
        "worker" | "batch" if !rest.is_empty() => {
            navigate::open_tasks(state, &quoted(&format!("{word}:{rest}")));
        }
        "filter" => {
            let filter = Filter::parse(rest).map_err(|error| error.to_string())?;
            commands::set_filter(state, filter);
        }
        "sort" => sort(state, rest)?,
        "theme" => {
            state.theme.name = match rest {
                "dark" => crate::tui::theme::ThemeName::Dark,
                "light" => crate::tui::theme::ThemeName::Light,
                "mono" => crate::tui::theme::ThemeName::Mono,
                _ => return Err(format!("`{rest}` is no theme: dark, light, mono")),
            };
        }
        number if number.parse::<TaskId>().is_ok() && rest.is_empty() => {
            navigate::open_task(state, number.parse().map_err(|_| "no task".to_owned())?);
        }
        word => {
            let command: Command = word.parse().map_err(|_| format!("`{word}` is no command"))?;
            if !available::is_available(command, state) {
                return Err(format!("`{word}` does not apply here"));
            }
            commands::run(state, command, effects);
        }
    }
    if !rest.is_empty() {
        state.past_commands.insert(text.to_owned());
    }
    Ok(())
}

fn sort(state: &mut State, text: &str) -> Result<(), String> {
    let (word, is_reversed) = match text.strip_prefix('-') {
        Some(word) => (word, true),
        None => (text, false),
    };
    match state.screen {
        Screen::Tasks => {
            let sort = word.parse().map_err(|_| {
                let known: Vec<String> =
                    crate::api::task::TaskSort::iter().map(|sort| sort.to_string()).collect();
                format!("`{word}` is no column: {}", known.join(", "))
            })?;
            state.tasks.set_sort(sort, is_reversed);
        }
        Screen::Workers | Screen::Batches => {
            let names: Vec<&str> = if state.screen == Screen::Workers {
                crate::tui::view::workers::COLUMNS.iter().map(|(name, _)| *name).collect()
            } else {
                crate::tui::view::batches::COLUMNS.iter().map(|(name, _)| *name).collect()
            };
            let column = names.iter().position(|name| *name == word);
            let column =
                column.ok_or_else(|| format!("`{word}` is no column: {}", names.join(", ")))?;
            commands::sort_list(state, column);
        }
        _ => return Err("there is nothing to sort here".to_owned()),
    }
    Ok(())
}
