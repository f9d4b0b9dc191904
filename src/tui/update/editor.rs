//! Editing a task's specification, here or in the user's own editor.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Modifier, Style};
use ratatui_textarea::TextArea;

use super::popups::cancels;
use crate::api::task::{EditEnded, EditRunning, TaskDetail};
use crate::domain::TaskId;
use crate::domain::task::{TaskSpec, TaskState};
use crate::tui::effect::{Change, Effect};
use crate::tui::state::{Editor, Popup, Question, State, ToastKind};

/// What is not in the text and could be.
const SETTINGS: &str = "name batch shell container container_options pull env input resource \
    output use_cache uid gid retry priority cpu memory download_timeout run_timeout \
    upload_timeout output_limit stdin tags after after_any after_batch";

/// Columns of the lines that name them.
const HINT: usize = 66;

/// Opens the editor on a specification that was read for it.
pub(super) fn open(
    state: &mut State,
    detail: &TaskDetail,
    is_outside: bool,
    effects: &mut Vec<Effect>,
) {
    let (task, revision) = (detail.task.id, detail.task.revision);
    let text = match text_of(&detail.spec) {
        Ok(text) => text,
        Err(reason) => {
            super::replies::fail(state, &reason);
            return;
        }
    };
    if is_outside {
        effects.push(Effect::EditOutside { task, revision, text });
        return;
    }
    let is_running = matches!(detail.task.state, TaskState::Running | TaskState::Paused)
        && detail.task.started_at.is_some();
    open_with(state, task, revision, is_running, &text);
}

fn open_with(state: &mut State, task: TaskId, revision: u32, is_running: bool, text: &str) {
    let mut area = TextArea::new(text.lines().map(str::to_owned).collect());
    area.set_cursor_line_style(Style::new());
    area.set_cursor_style(Style::new().add_modifier(Modifier::REVERSED));
    let original = area.lines().join("\n");
    let editor =
        Editor { task, revision, is_running, area, error: None, original, is_leaving: false };
    state.popup = Some(Popup::Editor(Box::new(editor)));
}

pub(super) fn refuse_many(state: &mut State) {
    let text = "one task at a time is edited: unmark the others";
    state.toasts.tell(ToastKind::Note, text, state.now);
}

pub(super) fn on_key(
    state: &mut State,
    mut editor: Box<Editor>,
    event: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Char('s') if control => {
            save(state, editor, EditEnded::Run, effects);
            return;
        }
        KeyCode::Char('o') if control => {
            save(state, editor, EditEnded::Keep, effects);
            return;
        }
        _ if cancels(event) => {
            let is_changed = editor.area.lines().join("\n") != editor.original;
            if !is_changed || editor.is_leaving {
                state.toasts.tell(ToastKind::Note, "nothing was changed", state.now);
                return;
            }
            editor.is_leaving = true;
            editor.error = Some("changed and not saved: esc again drops the changes".to_owned());
        }
        _ => {
            editor.is_leaving = false;
            editor.error = None;
            editor.area.input(event);
        }
    }
    state.popup = Some(Popup::Editor(editor));
}

fn save(state: &mut State, mut editor: Box<Editor>, ended: EditEnded, effects: &mut Vec<Effect>) {
    let text = editor.area.lines().join("\n");
    match spec_of(&text) {
        Ok(spec) => {
            let is_running = editor.is_running;
            submit(state, editor.task, editor.revision, &spec, ended, is_running, effects);
        }
        Err(reason) => {
            editor.error = Some(reason);
            state.popup = Some(Popup::Editor(editor));
        }
    }
}

fn submit(
    state: &mut State,
    task: TaskId,
    revision: u32,
    spec: &TaskSpec,
    ended: EditEnded,
    is_running: bool,
    effects: &mut Vec<Effect>,
) {
    let change =
        |running| Change::EditTask { task, revision, spec: Box::new(spec.clone()), running, ended };
    if is_running {
        let text = format!("End the command of task {task} and run it again as edited?");
        state.popup = Some(Popup::Question(Question::new(text, change(EditRunning::Restart))));
    } else {
        effects.push(Effect::Change(change(EditRunning::Refuse)));
    }
}

/// The user's editor has ended.
pub(super) fn on_edited_outside(
    state: &mut State,
    task: TaskId,
    revision: u32,
    text: Result<String, String>,
    effects: &mut Vec<Effect>,
) {
    match text {
        Err(reason) => super::replies::fail(state, &reason),
        Ok(text) => match spec_of(&text) {
            Ok(spec) => submit(state, task, revision, &spec, EditEnded::Run, false, effects),
            // Nothing that was typed is lost.
            Err(reason) => {
                open_with(state, task, revision, false, &text);
                if let Some(Popup::Editor(editor)) = &mut state.popup {
                    editor.error = Some(reason);
                }
            }
        },
    }
}

/// The specification as text, with a word on what else can be set.
fn text_of(spec: &TaskSpec) -> Result<String, String> {
    let body = toml::to_string_pretty(spec)
        .map_err(|error| format!("the specification cannot be shown as text: {error}"))?;
    let absent: Vec<&str> = SETTINGS
        .split_whitespace()
        .filter(|name| {
            let at_start = |line: &str| {
                line.starts_with(&format!("{name} =")) || line.starts_with(&format!("[{name}]"))
            };
            !body.lines().any(at_start)
        })
        .collect();
    let hint = if absent.is_empty() {
        String::new()
    } else {
        let text = format!("Can be set as well: {}", absent.join(", "));
        let lines = crate::tui::text::wrap(&text, HINT);
        lines.iter().fold("\n".to_owned(), |hint, line| format!("{hint}# {}\n", line.trim_start()))
    };
    Ok(format!("{body}{hint}"))
}

fn spec_of(text: &str) -> Result<TaskSpec, String> {
    let spec: TaskSpec = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text.get(..span.start).unwrap_or("").lines().count());
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        line.map_or_else(|| message.clone(), |line| format!("line {}: {message}", line.max(1)))
    })?;
    spec.check().map_err(|error| error.to_string())?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_survives_its_way_through_text() {
        let spec: TaskSpec = serde_json::from_str(
            r#"{"command":["sh","-c","echo 'a b'\necho c"],"name":"n","env":{"A":"1"},
                "input":["file:///x"],"retry":2,"tags":{"k":"v"},"after":[1,2],
                "stdin":{"bytes":[255,0]}}"#,
        )
        .unwrap();
        let text = text_of(&spec).unwrap();
        assert_eq!(spec_of(&text).unwrap(), spec, "{text}");
        assert!(text.contains("# Can be set as well: shell,"), "{text}");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = spec_of("command = \"true\"\nretry = \"x\"\n").unwrap_err();
        assert!(error.starts_with("line 2: invalid type"), "{error}");
        let error = spec_of("command = \"true\"\ncolour = 1\n").unwrap_err();
        assert!(error.contains("unknown field `colour`"), "{error}");
        assert_eq!(spec_of("command = \"\"").unwrap_err(), "the command is empty");
    }
}
