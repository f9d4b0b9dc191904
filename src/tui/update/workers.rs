//! Actions on workers.

use super::navigate;
use super::tasks::{ask, known_batches};
use crate::api::worker::{Clean, UpdateWorker, WorkerView};
use crate::domain::WorkerId;
use crate::domain::filter::quoted;
use crate::domain::worker::WantedState;
use crate::tui::effect::{Change, Effect};
use crate::tui::keymap::Command;
use crate::tui::state::{Popup, Prompt, PromptKind, Question, Source, State, ToastKind};

/// Destroying more workers than this asks for their number.
const MANY: usize = 10;

pub(super) fn run(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    use Command as C;
    let workers: Vec<WorkerView> = state.workers.list.targets().into_iter().cloned().collect();
    let Some(first) = workers.first() else { return };
    let ids: Vec<WorkerId> = workers.iter().map(|worker| worker.id).collect();
    let name = name_of(&workers);
    match command {
        C::Open | C::OpenTasks => {
            let filter = quoted(&format!("worker:{}", first.name));
            navigate::open_tasks(state, &filter);
        }
        C::EditBatch => {
            let prompt = Prompt::new(
                PromptKind::WorkerBatch(ids),
                format!("Batch of {name} (empty: the default one)"),
                first.batch.as_str(),
            );
            let known = known_batches(state);
            state.popup = Some(Popup::Prompt(prompt.with_known(known)));
        }
        C::MoreConcurrency | C::LessConcurrency | C::MorePrefetch | C::LessPrefetch => {
            step(state, command, &workers, effects);
        }
        C::SetConcurrency => {
            let title = format!("Commands at once on {name}");
            prompt(state, PromptKind::Concurrency(ids), title, first.concurrency);
        }
        C::SetPrefetch => {
            let title = format!("Tasks fetched ahead on {name}");
            prompt(state, PromptKind::Prefetch(ids), title, first.prefetch);
        }
        C::Pause => want(state, WantedState::Paused, "Pause", &workers, effects),
        C::Resume => want(state, WantedState::Running, "Resume", &workers, effects),
        C::Delete => destroy(state, &workers),
        C::Clean => {
            let text = format!("Delete the kept folders of ended tasks on {name}?");
            ask(state, Question::new(text, Change::CleanWorkers(ids, Clean::Tasks)));
        }
        C::DropCache => {
            let text = format!("Delete the resources that no task uses on {name}?");
            ask(state, Question::new(text, Change::CleanWorkers(ids, Clean::Resources)));
        }
        C::Restart => {
            let text = format!("Restart the agent of {name}? Its commands run on.");
            ask(state, Question::new(text, Change::RestartWorkers(ids)));
        }
        C::Charts => {
            state.popup = Some(Popup::Charts {
                worker: first.id,
                name: first.name.clone(),
                samples: None,
                error: None,
            });
            state.feeds.mark(Source::Samples);
        }
        C::Retries => {
            state.workers.latest = match state.workers.latest {
                None => Some(std::collections::BTreeMap::new()),
                Some(_) => None,
            };
            state.feeds.mark(Source::Latest);
        }
        C::Shell => effects.push(Effect::Shell { host: first.machine.hostname.clone() }),
        _ => {}
    }
}

fn name_of(workers: &[WorkerView]) -> String {
    match workers {
        [worker] => worker.name.clone(),
        many => format!("{} workers", many.len()),
    }
}

fn prompt(state: &mut State, kind: PromptKind, title: String, number: u32) {
    state.popup = Some(Popup::Prompt(Prompt::new(kind, title, &number.to_string())));
}

/// One more or one less, for each worker from where it is.
fn step(state: &mut State, command: Command, workers: &[WorkerView], effects: &mut Vec<Effect>) {
    if workers.len() > 1 {
        let text = "with several workers marked, type the number";
        state.toasts.tell(ToastKind::Note, text, state.now);
        return;
    }
    for worker in workers {
        let (concurrency, prefetch) = (worker.concurrency, worker.prefetch);
        let update = match command {
            Command::MoreConcurrency => {
                UpdateWorker { concurrency: Some(concurrency + 1), ..UpdateWorker::default() }
            }
            Command::LessConcurrency if concurrency > 0 => {
                UpdateWorker { concurrency: Some(concurrency - 1), ..UpdateWorker::default() }
            }
            Command::MorePrefetch => {
                UpdateWorker { prefetch: Some(prefetch + 1), ..UpdateWorker::default() }
            }
            Command::LessPrefetch if prefetch > 0 => {
                UpdateWorker { prefetch: Some(prefetch - 1), ..UpdateWorker::default() }
            }
            _ => continue,
        };
        // Pressed again before the server answers, it counts from here on.
        let wanted =
            (update.concurrency.unwrap_or(concurrency), update.prefetch.unwrap_or(prefetch));
        state.workers.wanted.insert(worker.id, wanted);
        state.workers.answered = None;
        for known in state.workers.list.all.iter_mut().flatten() {
            if known.id == worker.id {
                (known.concurrency, known.prefetch) = wanted;
            }
        }
        effects.push(Effect::Change(Change::UpdateWorkers(vec![worker.id], update)));
    }
}

fn want(
    state: &mut State,
    wanted: WantedState,
    verb: &str,
    workers: &[WorkerView],
    effects: &mut Vec<Effect>,
) {
    let ids = workers.iter().map(|worker| worker.id).collect();
    let update = UpdateWorker { wanted: Some(wanted), ..UpdateWorker::default() };
    let change = Change::UpdateWorkers(ids, update);
    if workers.len() == 1 {
        effects.push(Effect::Change(change));
    } else {
        ask(state, Question::new(format!("{verb} {}?", name_of(workers)), change));
    }
}

fn destroy(state: &mut State, workers: &[WorkerView]) {
    let ids = workers.iter().map(|worker| worker.id).collect();
    let mut question =
        Question::new(format!("Destroy {}?", name_of(workers)), Change::DeleteWorkers(ids));
    let busy: u32 = workers.iter().map(|w| w.assigned + w.accepted + w.running).sum();
    if busy > 0 {
        question = question.line(format!(
            "{} on it end; their tasks go to others.",
            crate::tui::text::counted(busy.into(), "execution")
        ));
    }
    let hired = workers.iter().filter(|worker| worker.hire.is_some()).count();
    if hired > 0 {
        let what = crate::tui::text::counted(hired as u64, "hired machine");
        question = question.line(format!("{what} destroyed as well: see the jobs."));
    }
    let returns = |worker: &WorkerView| {
        worker.hire.is_none() && worker.seen == crate::domain::worker::SeenState::Online
    };
    if workers.iter().any(returns) {
        question = question.line("A live agent registers again: stop it on its machine first.");
    }
    if workers.len() > MANY {
        question = question.word(workers.len().to_string());
    }
    ask(state, question);
}
