//! Actions on batches.

use super::navigate;
use super::tasks::{ask, known_batches};
use crate::api::batch::{BatchView, DeleteBatch, DeleteRunning, WithTasks};
use crate::api::task::Dependents;
use crate::domain::BatchName;
use crate::domain::filter::quoted;
use crate::domain::task::TaskState;
use crate::tui::effect::{BatchVerb, Change, Effect};
use crate::tui::keymap::Command;
use crate::tui::state::{Popup, Prompt, PromptKind, Question, Source, State};
use crate::tui::text::counted;

pub(super) fn run(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    use Command as C;
    let batches: Vec<BatchView> = state.batches.list.targets().into_iter().cloned().collect();
    let Some(first) = batches.first() else { return };
    let names: Vec<BatchName> = batches.iter().map(|batch| batch.name.clone()).collect();
    let name = name_of(&batches);
    let running: u64 = batches.iter().map(active).sum();
    let under_way = format!("{} under way", counted(running, "task"));
    match command {
        C::Open => {
            let filter = quoted(&format!("batch:{}", first.name));
            navigate::open_tasks(state, &filter);
        }
        C::Pause => {
            let verb = BatchVerb::Pause(WithTasks { tasks: false });
            at_once(state, "Pause", names, verb, effects);
        }
        C::PauseWithTasks => {
            let verb = BatchVerb::Pause(WithTasks { tasks: true });
            let text = format!("Pause {name} and suspend {under_way}?");
            ask(state, Question::new(text, Change::Batches(names, verb)));
        }
        C::Resume => {
            let verb = BatchVerb::Go(WithTasks { tasks: false });
            at_once(state, "Let go", names, verb, effects);
        }
        C::ResumeWithTasks => {
            let verb = BatchVerb::Go(WithTasks { tasks: true });
            at_once(state, "Let go with their tasks", names, verb, effects);
        }
        C::Stop => {
            let text = format!("Stop {under_way} in {name}? SIGTERM is sent.");
            let question = Question::new(text, Change::Batches(names, BatchVerb::Stop));
            ask(state, question.line("The batch is paused as well: its workers take nothing new."));
        }
        C::Kill => {
            let text = format!("Kill {under_way} in {name}? SIGKILL is sent.");
            let question = Question::new(text, Change::Batches(names, BatchVerb::Kill));
            ask(state, question.line("The batch is paused as well: its workers take nothing new."));
        }
        C::RetryFailed => {
            let failed: u64 = batches.iter().map(|batch| count(batch, TaskState::Failed)).sum();
            let text = format!("Run {} of {name} again?", counted(failed, "failed task"));
            ask(state, Question::new(text, Change::Batches(names, BatchVerb::Retry)));
        }
        C::Delete => delete(state, &batches),
        C::MoveWorkersIn => {
            let known = workers_elsewhere(state, &first.name);
            state.feeds.mark(Source::Workers);
            let title = format!("Workers for {} (names, with spaces between)", first.name);
            let prompt = Prompt::new(PromptKind::WorkersInto(first.name.clone()), title, "");
            state.popup = Some(Popup::Prompt(prompt.with_known(known)));
        }
        C::MoveWorkersOut => {
            let title = format!("Batch for all workers of {} (empty: the default one)", first.name);
            let prompt = Prompt::new(PromptKind::WorkersOutOf(first.name.clone()), title, "");
            let known = known_batches(state);
            state.feeds.mark(Source::Workers);
            state.popup = Some(Popup::Prompt(prompt.with_known(known)));
        }
        _ => {}
    }
}

/// Names of the workers of other batches.
pub(super) fn workers_elsewhere(state: &State, batch: &BatchName) -> Vec<String> {
    let workers = state.workers.list.all.iter().flatten();
    let elsewhere = workers.filter(|worker| worker.batch != *batch);
    elsewhere.map(|worker| worker.name.clone()).collect()
}

fn name_of(batches: &[BatchView]) -> String {
    match batches {
        [batch] => format!("`{}`", batch.name),
        many => format!("{} batches", many.len()),
    }
}

/// Does it to one batch, asks for several.
fn at_once(
    state: &mut State,
    text: &str,
    names: Vec<BatchName>,
    verb: BatchVerb,
    effects: &mut Vec<Effect>,
) {
    let many = names.len();
    let change = Change::Batches(names, verb);
    if many == 1 {
        effects.push(Effect::Change(change));
    } else {
        ask(state, Question::new(format!("{text}: {many} batches?"), change));
    }
}

fn delete(state: &mut State, batches: &[BatchView]) {
    let names: Vec<BatchName> = batches.iter().map(|batch| batch.name.clone()).collect();
    let tasks: u64 = batches.iter().map(|batch| batch.tasks.values().sum::<u64>()).sum();
    let running: u64 = batches.iter().map(active).sum();
    let word = match batches {
        [batch] => batch.name.to_string(),
        many => many.len().to_string(),
    };
    let change = |running| {
        let delete = DeleteBatch { dependents: Dependents::Refuse, running };
        Change::Batches(names.clone(), BatchVerb::Delete(delete))
    };
    let mut question = Question::new(
        format!("Delete {} with {}?", name_of(batches), counted(tasks, "task")),
        change(DeleteRunning::Keep),
    );
    if running > 0 {
        question =
            question.line(format!("{running} under way are not ended; they go when they end."));
    }
    let mut question = question.word(word);
    if running > 0 {
        question = question.other('\t', "kill what runs first", change(DeleteRunning::Kill));
    }
    ask(state, question);
}

fn count(batch: &BatchView, state: TaskState) -> u64 {
    batch.tasks.get(&state).copied().unwrap_or(0)
}

/// Tasks that a worker has.
fn active(batch: &BatchView) -> u64 {
    [TaskState::Accepted, TaskState::Running, TaskState::Paused]
        .into_iter()
        .map(|state| count(batch, state))
        .sum()
}
