//! Keys of what lies over a screen.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::tasks::known_batches;
use super::{commands, completion, editor, jobs, prompt};
use crate::tui::effect::{Change, Effect};
use crate::tui::state::{
    LineEdit, Menu, MenuChoice, Popup, Question, RecruitForm, State, ToastKind, candidates,
};

pub(super) fn on_key(state: &mut State, event: KeyEvent, effects: &mut Vec<Effect>) {
    // Taken out, and put back by whoever wants to stay.
    let Some(popup) = state.popup.take() else { return };
    match popup {
        Popup::Question(question) => on_question(state, question, event, effects),
        Popup::Prompt(prompt) => prompt::on_key(state, prompt, event, effects),
        Popup::Menu(menu) => on_menu(state, menu, event),
        Popup::Help { filter, offset } => on_help(state, filter, offset, event),
        Popup::History { offset } => {
            if let Some(offset) = scrolled(offset, event) {
                state.popup = Some(Popup::History { offset });
            }
        }
        Popup::Editor(editor) => editor::on_key(state, editor, event, effects),
        Popup::Recruit(form) => on_recruit(state, form, event, effects),
        Popup::JobLog(log) => jobs::on_log_key(state, log, event),
        Popup::Charts { worker, name, samples, error } => {
            if !leaves(event) {
                state.popup = Some(Popup::Charts { worker, name, samples, error });
            }
        }
    }
}

/// Text from the clipboard goes where letters go.
pub(super) fn on_paste(state: &mut State, text: &str) {
    match &mut state.popup {
        Some(Popup::Prompt(prompt)) => prompt.line.insert(text),
        Some(Popup::Question(question)) => question.typed.insert(text),
        Some(Popup::Help { filter, .. }) => filter.insert(text),
        Some(Popup::Editor(editor)) => {
            editor.area.insert_str(text);
        }
        Some(Popup::Recruit(form)) => {
            let focus = form.focus;
            if let Some(field) = form.fields.get_mut(focus) {
                field.insert(text);
            }
        }
        _ => {}
    }
}

/// Letters and editing keys of one line. Whether the key was one of them.
pub(super) fn edit_line(line: &mut LineEdit, event: KeyEvent) -> bool {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Char('a') if control => line.home(),
        KeyCode::Char('e') if control => line.end(),
        KeyCode::Char('u') if control => line.clear_before(),
        KeyCode::Char('w') if control => line.delete_word(),
        KeyCode::Char(_) if control => return false,
        KeyCode::Char(c) => line.insert(c.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace => line.backspace(),
        KeyCode::Delete => line.delete(),
        KeyCode::Left => line.left(),
        KeyCode::Right => line.right(),
        KeyCode::Home => line.home(),
        KeyCode::End => line.end(),
        _ => return false,
    }
    true
}

/// Whether a key closes what lies on top.
pub(super) fn leaves(event: KeyEvent) -> bool {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Esc | KeyCode::Char('q') => true,
        KeyCode::Char('c') => control,
        _ => false,
    }
}

/// Esc, or Ctrl-C: for what takes letters.
pub(super) fn cancels(event: KeyEvent) -> bool {
    let is_interrupt =
        event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
    event.code == KeyCode::Esc || is_interrupt
}

fn on_question(
    state: &mut State,
    mut question: Question,
    event: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    let nothing = |state: &mut State| {
        state.toasts.tell(ToastKind::Note, "nothing was done", state.now);
    };
    if cancels(event) {
        nothing(state);
        return;
    }
    let Some(word) = question.word.clone() else {
        match (event.code, &question.other) {
            (KeyCode::Char('y' | 'Y'), _) => effects.push(Effect::Change(question.change)),
            (KeyCode::Char(c), Some((key, _, change))) if c == *key => {
                effects.push(Effect::Change(change.clone()));
            }
            (KeyCode::Char('n' | 'N' | 'q') | KeyCode::Enter, _) => nothing(state),
            _ => state.popup = Some(Popup::Question(question)),
        }
        return;
    };
    match (event.code, question.other.take()) {
        (KeyCode::Enter, _) if question.typed.text().trim() == word => {
            effects.push(Effect::Change(question.change));
            return;
        }
        (KeyCode::Enter, _) => {
            nothing(state);
            return;
        }
        // The other way is taken, and can be left again.
        (KeyCode::Tab, Some((key, label, change))) => {
            let before: Change = std::mem::replace(&mut question.change, change);
            let label = match label.strip_suffix(": yes") {
                Some(plain) => plain.to_owned(),
                None => format!("{label}: yes"),
            };
            question.other = Some((key, label, before));
        }
        (_, other) => {
            edit_line(&mut question.typed, event);
            question.other = other;
        }
    }
    state.popup = Some(Popup::Question(question));
}

fn on_menu(state: &mut State, mut menu: Menu, event: KeyEvent) {
    let last = menu.items.len().saturating_sub(1);
    match event.code {
        _ if leaves(event) => return,
        KeyCode::Up | KeyCode::Char('k') => menu.chosen = menu.chosen.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => menu.chosen = (menu.chosen + 1).min(last),
        KeyCode::Home | KeyCode::Char('g') => menu.chosen = 0,
        KeyCode::End | KeyCode::Char('G') => menu.chosen = last,
        KeyCode::Enter => {
            if let Some((label, choice)) = menu.items.get(menu.chosen).cloned() {
                choose(state, &menu.title, &label, choice);
            }
            return;
        }
        _ => {}
    }
    state.popup = Some(Popup::Menu(menu));
}

fn choose(state: &mut State, title: &str, label: &str, choice: MenuChoice) {
    match choice {
        MenuChoice::Signal(target, signal) => {
            let to = title.strip_prefix("Send to ").unwrap_or("it");
            let text = format!("Send {label} to {to}?");
            let question = Question::new(text, Change::Signal(signal, target));
            state.popup = Some(Popup::Question(question));
        }
        MenuChoice::SortTasks(sort) => {
            let is_reversed = state.tasks.sort == sort && !state.tasks.is_reversed;
            state.tasks.set_sort(sort, is_reversed);
        }
        MenuChoice::SortList(column) => commands::sort_list(state, column),
    }
}

fn on_help(state: &mut State, mut filter: LineEdit, mut offset: usize, event: KeyEvent) {
    if cancels(event) || event.code == KeyCode::Enter {
        return;
    }
    match event.code {
        KeyCode::Up => offset = offset.saturating_sub(1),
        KeyCode::Down => offset += 1,
        KeyCode::PageUp => offset = offset.saturating_sub(10),
        KeyCode::PageDown => offset += 10,
        _ => {
            edit_line(&mut filter, event);
            offset = 0;
        }
    }
    let most = crate::tui::view::help::lines(state, filter.text()).len();
    state.popup = Some(Popup::Help { filter, offset: offset.min(most.saturating_sub(1)) });
}

fn scrolled(offset: usize, event: KeyEvent) -> Option<usize> {
    match event.code {
        _ if leaves(event) => None,
        KeyCode::Up | KeyCode::Char('k') => Some(offset.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => Some(offset + 1),
        KeyCode::PageUp => Some(offset.saturating_sub(10)),
        KeyCode::PageDown => Some(offset + 10),
        KeyCode::Home | KeyCode::Char('g') => Some(0),
        _ => Some(offset),
    }
}

/// Takes the best of what the field may be; pressed again, the next one.
fn complete(state: &State, form: &mut RecruitForm) {
    let known = recruit_candidates(state, form);
    let Some(field) = form.fields.get_mut(form.focus) else { return };
    let now = known.iter().position(|word| word == field.text());
    let next = now.map_or(0, |now| (now + 1) % known.len());
    if let Some(word) = known.get(next) {
        *field = LineEdit::new(word);
        form.error = None;
    }
}

/// What the field may be completed to, best first. Of a word that is complete
/// already, all that would do in its place.
#[must_use]
pub fn recruit_candidates(state: &State, form: &RecruitForm) -> Vec<String> {
    let known = if form.focused() == "batch" {
        known_batches(state)
    } else {
        candidates(form, &state.flavors)
    };
    let typed = form.fields.get(form.focus).map_or("", LineEdit::text);
    if typed == "auto" || known.iter().any(|word| word == typed) {
        return known;
    }
    completion::matching(typed, &known)
}

fn on_recruit(
    state: &mut State,
    mut form: RecruitForm,
    event: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    let fields = form.fields.len();
    match event.code {
        _ if cancels(event) => {
            state.recruit = form.values();
            return;
        }
        KeyCode::Tab | KeyCode::Down => form.focus = (form.focus + 1) % fields,
        KeyCode::BackTab | KeyCode::Up => form.focus = (form.focus + fields - 1) % fields,
        KeyCode::Char('n') if event.modifiers.contains(KeyModifiers::CONTROL) => {
            complete(state, &mut form);
        }
        KeyCode::Enter => {
            state.recruit = form.values();
            match form.check() {
                Ok(()) => {
                    jobs::recruit(state, &form, effects);
                    return;
                }
                Err((field, reason)) => {
                    form.focus = field;
                    form.error = Some((field, reason));
                }
            }
        }
        _ => {
            if let Some(field) = form.fields.get_mut(form.focus) {
                edit_line(field, event);
            }
            form.error = None;
        }
    }
    state.popup = Some(Popup::Recruit(form));
}
