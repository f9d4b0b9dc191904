//! Actions on tasks.

use std::path::PathBuf;

use strum::IntoEnumIterator;

use super::{editor, navigate};
use crate::api::task::{Dependents, TaskView};
use crate::domain::filter::Filter;
use crate::domain::signal::Signal;
use crate::domain::task::TaskState;
use crate::domain::{ExecutionId, TaskId};
use crate::tui::effect::{Change, Effect, Fetch, Target, TaskPageQuery, TaskVerb};
use crate::tui::keymap::Command;
use crate::tui::query::task_query;
use crate::tui::state::{
    LogScreen, Marks, Menu, MenuChoice, Popup, Prompt, PromptKind, Question, Screen, Source, State,
    ToastKind,
};

/// What an action is for.
struct Aim {
    target: Target,
    /// `task 7`, `12 tasks`
    name: String,
    /// The task itself where there is one only, and it was not marked.
    single: Option<TaskView>,
}

pub(super) fn run(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    use Command as C;
    let Some(aim) = aim(state) else { return };
    let single_id = aim.single.as_ref().map(|task| task.id);
    match command {
        C::Open if state.screen == Screen::Tasks => {
            if let Some(id) = state.tasks.current().map(|task| task.id) {
                navigate::open_task(state, id);
            }
        }
        C::Open | C::Output => open_output(state),
        C::Relaunch => relaunch(state, aim, effects),
        C::Edit | C::EditOutside => match single_id {
            Some(task) => {
                let is_outside = command == C::EditOutside;
                effects.push(Effect::Fetch(Fetch::Spec { task, is_outside }));
            }
            None => editor::refuse_many(state),
        },
        C::Pause => simple(state, TaskVerb::Pause, aim, effects),
        C::Resume => simple(state, TaskVerb::Resume, aim, effects),
        C::Stop => {
            let text =
                format!("Stop {}? Its processes get SIGTERM, and SIGKILL 10 s later.", aim.name);
            ask(state, Question::new(text, Change::Signal(Signal::Term, aim.target)));
        }
        C::Kill => {
            let text = format!("Kill {}? Its processes get SIGKILL at once.", aim.name);
            ask(state, Question::new(text, Change::Signal(Signal::Kill, aim.target)));
        }
        C::Cancel => {
            let text =
                format!("Cancel {}? What runs is stopped, and nothing is retried.", aim.name);
            ask(state, Question::new(text, Change::Tasks(TaskVerb::Cancel, aim.target)));
        }
        C::Delete => delete(state, aim),
        C::Signal => signal_menu(state, &aim),
        C::Move => {
            let known = known_batches(state);
            let title = format!("Move {} to batch", aim.name);
            let prompt = Prompt::new(PromptKind::MoveTasks(aim.target), title, "");
            state.popup = Some(Popup::Prompt(prompt.with_known(known)));
        }
        C::Download => download(state, &aim),
        _ => {}
    }
}

/// The marked tasks, or the one under the cursor, or the one that is open.
fn aim(state: &State) -> Option<Aim> {
    if state.screen == Screen::Task {
        let task = state.detail.detail.as_ref()?.task.clone();
        return Some(single(task));
    }
    match &state.tasks.marks {
        Marks::Some(ids) if ids.is_empty() => Some(single(state.tasks.current()?.clone())),
        Marks::Some(ids) => Some(Aim {
            name: count_name(Some(ids.len() as u64)),
            target: Target::Ids(ids.iter().copied().collect()),
            single: None,
        }),
        Marks::All => {
            let total = state.task_total();
            let query = TaskPageQuery(task_query(&state.tasks.filter));
            Some(Aim {
                name: count_name(total),
                target: Target::Found(Box::new(query), total),
                single: None,
            })
        }
    }
}

fn single(task: TaskView) -> Aim {
    Aim {
        name: format!("task {}", task.id),
        target: Target::Ids(vec![task.id]),
        single: Some(task),
    }
}

fn count_name(count: Option<u64>) -> String {
    match count {
        Some(1) => "the marked task".to_owned(),
        Some(count) => format!("{} tasks", crate::tui::text::count(count)),
        None => "all tasks that the filter matches".to_owned(),
    }
}

/// An action that needs a question only for many tasks.
fn simple(state: &mut State, verb: TaskVerb, aim: Aim, effects: &mut Vec<Effect>) {
    let change = Change::Tasks(verb, aim.target);
    if aim.single.is_some() {
        effects.push(Effect::Change(change));
    } else {
        let text = format!("{} {}?", capital(&verb.to_string()), aim.name);
        ask(state, Question::new(text, change));
    }
}

fn relaunch(state: &mut State, aim: Aim, effects: &mut Vec<Effect>) {
    let released =
        state.detail.detail.as_ref().filter(|detail| {
            state.screen == Screen::Task && detail.task.state == TaskState::Succeeded
        });
    let released: Vec<String> = released
        .map(|detail| detail.dependents.iter().map(|task| task.id.to_string()).collect())
        .unwrap_or_default();
    let is_quiet = aim.single.as_ref().is_some_and(|task| !task.state.may_be_active());
    if is_quiet && released.is_empty() {
        simple(state, TaskVerb::Relaunch, aim, effects);
        return;
    }
    let is_active = aim.single.as_ref().is_none_or(|task| task.state.may_be_active());
    let mut question = Question::new(
        format!("Run {} again?", aim.name),
        Change::Tasks(TaskVerb::Relaunch, aim.target),
    );
    if is_active {
        question = question.line("What is under way is ended first.");
    }
    if !released.is_empty() {
        let named: Vec<String> = released.iter().take(10).cloned().collect();
        question = question
            .line(format!("Tasks that waited for it do not wait again: {}", named.join(", ")));
    }
    ask(state, question);
}

fn delete(state: &mut State, aim: Aim) {
    let mut question = Question::new(
        format!("Delete {} with executions and output?", aim.name),
        Change::DeleteTasks(Dependents::Refuse, aim.target.clone()),
    );
    if aim.single.as_ref().is_none_or(|task| task.state.may_be_active()) {
        question = question.line("What runs is not ended; it goes when it has ended.");
    }
    let cascade = Change::DeleteTasks(Dependents::Cascade, aim.target);
    ask(state, question.other('w', "with all that wait for it", cascade));
}

fn signal_menu(state: &mut State, aim: &Aim) {
    let items = Signal::iter()
        .map(|signal| (format!("SIG{signal}"), MenuChoice::Signal(aim.target.clone(), signal)))
        .collect();
    let title = format!("Send to {}", aim.name);
    state.popup = Some(Popup::Menu(Menu { title, items, chosen: 0 }));
}

fn download(state: &mut State, aim: &Aim) {
    let Target::Ids(ids) = &aim.target else {
        let text = "mark single tasks to download their outputs";
        state.toasts.tell(ToastKind::Note, text, state.now);
        return;
    };
    let title = format!("Save stdout and stderr of {} in folder", aim.name);
    let prompt = Prompt::new(PromptKind::Download(ids.clone()), title, ".");
    state.popup = Some(Popup::Prompt(prompt));
}

/// The folder that was typed.
pub(super) fn download_into(tasks: Vec<TaskId>, directory: &str) -> Effect {
    Effect::Download { tasks, directory: PathBuf::from(directory) }
}

/// Shows what the chosen execution wrote.
fn open_output(state: &mut State) {
    let found: Option<(TaskId, ExecutionId, String)> = if state.screen == Screen::Task {
        state.detail.detail.as_ref().and_then(|detail| {
            let execution = detail.executions.get(state.detail.execution)?;
            let title = format!("attempt {} on {}", execution.attempt, execution.worker_name);
            Some((detail.task.id, execution.id, title))
        })
    } else {
        state.tasks.current().and_then(|task| {
            let title = task.worker_name.clone().unwrap_or_default();
            Some((task.id, task.execution?, title))
        })
    };
    if let Some((task, execution, title)) = found {
        state.log = Some(LogScreen::new(task, execution, title));
        navigate::drill(state, Screen::Output);
    } else {
        let text = "nothing was written: no worker has had it yet";
        state.toasts.tell(ToastKind::Note, text, state.now);
    }
}

pub(super) fn set_filter(state: &mut State, filter: Filter) {
    state.tasks.set_filter(filter);
    state.feeds.mark(Source::Tasks);
    state.feeds.mark(Source::Counts);
    let height = state.list_height();
    state.tasks.settle(height);
}

/// The tab to the right or left: all, then each state.
pub(super) fn turn_tab(state: &mut State, step: isize) {
    let tabs = tabs();
    let now = tab(state).unwrap_or(0);
    let next = (now + tabs.len()).saturating_add_signed(step) % tabs.len();
    choose_tab(state, next);
}

pub(super) fn choose_tab(state: &mut State, number: usize) {
    if let Some(tab) = tabs().get(number) {
        let filter = state.tasks.filter.with_state(*tab);
        set_filter(state, filter);
    }
}

/// All tabs in their order.
#[must_use]
pub fn tabs() -> Vec<Option<TaskState>> {
    std::iter::once(None).chain(TaskState::iter().map(Some)).collect()
}

/// The tab that is shown, if the filter is that of one.
#[must_use]
pub fn tab(state: &State) -> Option<usize> {
    let states = state.tasks.filter.states();
    match states.as_slice() {
        [one] => tabs().iter().position(|tab| *tab == Some(*one)),
        all if all.len() == TaskState::iter().count() => Some(0),
        _ => None,
    }
}

pub(super) fn ask(state: &mut State, question: Question) {
    state.popup = Some(Popup::Question(question));
}

/// All batches that are known here.
pub(super) fn known_batches(state: &State) -> Vec<String> {
    let batches = state.batches.list.all.iter().flatten().map(|batch| batch.name.to_string());
    let workers = state.workers.list.all.iter().flatten().map(|worker| worker.batch.to_string());
    let names: std::collections::BTreeSet<String> = batches.chain(workers).collect();
    names.into_iter().collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
