//! Actions on jobs, and the form that makes some.

use crossterm::event::{KeyCode, KeyEvent};

use super::popups::leaves;
use super::tasks::ask;
use crate::api::hiring::{DeployWorkers, JobView};
use crate::domain::JobId;
use crate::domain::job::JobState;
use crate::tui::effect::{Change, Effect};
use crate::tui::keymap::Command;
use crate::tui::state::{JobLogView, Popup, Question, RecruitForm, Source, State, ToastKind};
use crate::tui::text::counted;

/// Hiring more workers than this asks for their number.
const MANY: u32 = 10;

pub(super) fn run(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    let jobs: Vec<JobView> = state.jobs.targets().into_iter().cloned().collect();
    let Some(first) = jobs.first() else { return };
    let of = |wanted: fn(&JobView) -> bool| -> Vec<JobId> {
        jobs.iter().filter(|job| wanted(job)).map(|job| job.id).collect()
    };
    match command {
        Command::Open | Command::Output => {
            state.popup = Some(Popup::JobLog(JobLogView::new(first)));
            state.feeds.mark(Source::JobLog);
        }
        Command::RetryJob => {
            let failed = of(|job| job.state == JobState::Failed);
            if failed.is_empty() {
                state.toasts.tell(ToastKind::Note, "only a failed job is retried", state.now);
            } else {
                effects.push(Effect::Change(Change::RetryJobs(failed)));
            }
        }
        Command::Cancel => {
            let live = of(|job| !job.state.is_final());
            if live.is_empty() {
                state.toasts.tell(ToastKind::Note, "that job has ended", state.now);
            } else {
                let text = format!("Cancel {}?", counted(live.len() as u64, "job"));
                let question = Question::new(text, Change::CancelJobs(live));
                ask(state, question.line("What is being made is taken away again."));
            }
        }
        Command::Delete => delete(state, &jobs),
        _ => {}
    }
}

/// Forgets what has ended; says how much of what.
fn delete(state: &mut State, jobs: &[JobView]) {
    let count = |wanted| jobs.iter().filter(|job| job.state == wanted).count() as u64;
    let ended: Vec<JobId> =
        jobs.iter().filter(|job| job.state.is_final()).map(|job| job.id).collect();
    if ended.is_empty() {
        state.toasts.tell(ToastKind::Note, "a job is forgotten once it has ended", state.now);
        return;
    }
    let text = format!(
        "Forget {} ({} succeeded, {} failed)?",
        counted(ended.len() as u64, "job"),
        count(JobState::Succeeded),
        count(JobState::Failed)
    );
    ask(state, Question::new(text, Change::DeleteJobs(ended)));
}

/// Hires what a form says that makes sense.
pub(super) fn recruit(state: &mut State, form: &RecruitForm, effects: &mut Vec<Effect>) {
    let number = |name: &str| form.value(name).parse().unwrap_or(1);
    let named = |name: &str| match form.value(name) {
        "" | "auto" => None,
        text => Some(text.to_owned()),
    };
    let deploy = DeployWorkers {
        flavor: form.value("flavor").to_owned(),
        provider: named("provider"),
        region: named("region"),
        batch: form.value("batch").parse().unwrap_or_default(),
        concurrency: number("concurrency"),
        prefetch: form.value("prefetch").parse().unwrap_or(0),
        number: number("number"),
    };
    let count = deploy.number;
    let change = Change::Deploy(deploy);
    if count > MANY {
        let text = format!("Hire {count} workers?");
        ask(state, Question::new(text, change).word(count.to_string()));
    } else {
        effects.push(Effect::Change(change));
    }
}

/// Keys over a job's log.
pub(super) fn on_log_key(state: &mut State, mut log: JobLogView, event: KeyEvent) {
    if leaves(event) {
        return;
    }
    let last = log.text.lines().count();
    let now = log.first.unwrap_or(last);
    log.first = match event.code {
        KeyCode::Up | KeyCode::Char('k') => Some(now.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => Some(now + 1).filter(|first| *first < last),
        KeyCode::PageUp => Some(now.saturating_sub(10)),
        KeyCode::PageDown => Some(now + 10).filter(|first| *first < last),
        KeyCode::Home | KeyCode::Char('g') => Some(0),
        KeyCode::End | KeyCode::Char('G' | 'f') => None,
        _ => log.first,
    };
    state.popup = Some(Popup::JobLog(log));
}
