//! Prompts: a line of text, completed from what is known, and what becomes of
//! it.

use crossterm::event::{KeyCode, KeyEvent};

use super::popups::{cancels, edit_line};
use super::{command_line, commands, completion, log, tasks};
use crate::api::worker::UpdateWorker;
use crate::domain::filter::Filter;
use crate::domain::{BatchName, WorkerId};
use crate::tui::effect::{Change, Effect};
use crate::tui::state::{LineEdit, Popup, Prompt, PromptKind, Question, State};

pub(super) fn on_key(
    state: &mut State,
    mut prompt: Prompt,
    event: KeyEvent,
    effects: &mut Vec<Effect>,
) {
    if cancels(event) {
        if let PromptKind::Filter(before) = &prompt.kind {
            commands::set_filter(state, Filter::parse(before).unwrap_or_default());
        }
        return;
    }
    match event.code {
        KeyCode::Enter => {
            let text = prompt.line.text().trim().to_owned();
            match submit(state, &prompt.kind, &text, effects) {
                Ok(()) => return,
                Err(reason) => prompt.error = Some(reason),
            }
        }
        KeyCode::Tab | KeyCode::Down => complete(&mut prompt, 1),
        KeyCode::BackTab | KeyCode::Up => complete(&mut prompt, -1),
        _ => {
            if edit_line(&mut prompt.line, event) {
                prompt.chosen = None;
                prompt.error = None;
            }
            if matches!(prompt.kind, PromptKind::Filter(_)) {
                preview(state, &mut prompt);
            }
        }
    }
    state.popup = Some(Popup::Prompt(prompt));
}

/// The known words that fit what was typed before completion began.
#[must_use]
pub fn candidates(prompt: &Prompt) -> Vec<String> {
    if prompt.chosen.is_some() {
        return prompt.known.clone();
    }
    completion::matching(last_word(prompt), &prompt.known)
}

/// Takes the next of the words that fit.
fn complete(prompt: &mut Prompt, step: isize) {
    if prompt.chosen.is_none() {
        prompt.known = candidates(prompt);
    }
    if prompt.known.is_empty() {
        return;
    }
    let count = prompt.known.len();
    let next = match prompt.chosen {
        None if step > 0 => 0,
        None => count - 1,
        Some(now) => (now + count).saturating_add_signed(step) % count,
    };
    let Some(word) = prompt.known.get(next) else { return };
    let before = prompt.line.text().len() - last_word(prompt).len();
    let kept = prompt.line.text().get(..before).unwrap_or_default();
    prompt.line = LineEdit::new(&format!("{kept}{word}"));
    prompt.chosen = Some(next);
}

/// Where several words make sense, the last one is completed.
fn last_word(prompt: &Prompt) -> &str {
    let text = prompt.line.text();
    match prompt.kind {
        PromptKind::WorkersInto(_) => text.rsplit(' ').next().unwrap_or_default(),
        _ => text,
    }
}

/// Filters while one types, where all rows are here.
fn preview(state: &mut State, prompt: &mut Prompt) {
    use crate::tui::state::Screen;
    match Filter::parse(prompt.line.text()) {
        Ok(filter)
            if matches!(
                state.screen,
                Screen::Workers | Screen::Batches | Screen::Jobs | Screen::Recruiters
            ) =>
        {
            commands::set_filter(state, filter);
        }
        Ok(_) => {}
        Err(error) => prompt.error = Some(error.to_string()),
    }
}

fn submit(
    state: &mut State,
    kind: &PromptKind,
    text: &str,
    effects: &mut Vec<Effect>,
) -> Result<(), String> {
    match kind {
        PromptKind::Filter(_) => {
            let filter = Filter::parse(text).map_err(|error| error.to_string())?;
            commands::set_filter(state, filter);
        }
        PromptKind::Command => command_line::run(state, text, effects)?,
        PromptKind::Search => log::begin_search(state, text, effects),
        PromptKind::WorkerBatch(ids) => update(effects, ids, moved_to(text)?),
        PromptKind::Concurrency(ids) => {
            let concurrency = Some(number(text)?);
            update(effects, ids, UpdateWorker { concurrency, ..UpdateWorker::default() });
        }
        PromptKind::Prefetch(ids) => {
            let prefetch = Some(number(text)?);
            update(effects, ids, UpdateWorker { prefetch, ..UpdateWorker::default() });
        }
        PromptKind::MoveTasks(target) => {
            let change = Change::MoveTasks(batch(text)?, target.clone());
            effects.push(Effect::Change(change));
        }
        PromptKind::Download(ids) => {
            let directory = if text.is_empty() { "." } else { text };
            effects.push(tasks::download_into(ids.clone(), directory));
        }
        PromptKind::WorkersInto(name) => {
            let ids = workers_by_name(state, text)?;
            let update = UpdateWorker { batch: Some(name.clone()), ..UpdateWorker::default() };
            effects.push(Effect::Change(Change::UpdateWorkers(ids, update)));
        }
        PromptKind::WorkersOutOf(name) => {
            let update = moved_to(text)?;
            let workers = state.workers.list.all.iter().flatten();
            let ids: Vec<WorkerId> =
                workers.filter(|worker| worker.batch == *name).map(|worker| worker.id).collect();
            if ids.is_empty() {
                return Err(format!("no worker is in `{name}`"));
            }
            let text = format!(
                "Give {} of `{name}` to another batch?",
                crate::tui::text::counted(ids.len() as u64, "worker")
            );
            let change = Change::UpdateWorkers(ids, update);
            state.popup = Some(Popup::Question(Question::new(text, change)));
        }
    }
    Ok(())
}

fn update(effects: &mut Vec<Effect>, ids: &[WorkerId], update: UpdateWorker) {
    effects.push(Effect::Change(Change::UpdateWorkers(ids.to_vec(), update)));
}

/// An empty name is the default batch.
fn batch(text: &str) -> Result<BatchName, String> {
    if text.is_empty() {
        return Ok(BatchName::default());
    }
    text.parse().map_err(|error: crate::domain::batch::BatchNameError| error.to_string())
}

fn moved_to(text: &str) -> Result<UpdateWorker, String> {
    Ok(UpdateWorker { batch: Some(batch(text)?), ..UpdateWorker::default() })
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn workers_by_name(state: &State, text: &str) -> Result<Vec<WorkerId>, String> {
    let known = state.workers.list.all.as_deref().unwrap_or_default();
    let find = |name: &str| {
        let found = known.iter().find(|worker| worker.name == name).map(|worker| worker.id);
        found.ok_or_else(|| format!("no worker is called `{name}`"))
    };
    let ids = text.split_whitespace().map(find).collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() { Err("name a worker".to_owned()) } else { Ok(ids) }
}
