//! What happens to old workers because time passes: silent ones lose their
//! session, and limits on times are kept for them, since they rely on the server.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::api::link::ReportEvent;
use crate::domain::execution::{ExecutionState, FailureClass, Outcome, OutputSizes};
use crate::domain::{ExecutionId, Monotonic, TaskId};

use super::super::engine::command::Command;
use super::super::http::App;
use super::session::{self, Live, Session};
use super::{V1, batches};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of an execution that has not ended.
#[derive(Debug)]
struct Watched {
    download: Option<Duration>,
    run: Option<Duration>,
    in_state: ExecutionState,
    /// How long it has been in that state without being held back.
    spent: Duration,
    looked: Monotonic,
}

/// Looks after old workers until the server stops.
pub async fn keep_watch(app: Arc<App>) {
    let Some(v1) = &app.v1 else { return };
    let mut watched: FxHashMap<ExecutionId, Watched> = FxHashMap::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = app.stop_asked() => return,
        }
        end_silent(&app, v1).await;
        let sessions = v1.sessions.all();
        if sessions.is_empty() {
            watched.clear();
            continue;
        }
        keep_limits(&app, &sessions, &mut watched).await;
    }
}

async fn end_silent(app: &App, v1: &V1) {
    let now = app.clock.now().monotonic;
    for session in v1.sessions.all() {
        if session.silent_for(now) > app.policy.offline_after {
            v1.sessions.end(session.worker, session.link);
            let (worker, link) = (session.worker, session.link);
            // During an outage all links are cut anyway.
            let _ = app
                .engine
                .apply(&"server".into(), Command::Disconnect { worker, link }, None)
                .await;
            tracing::info!(%worker, "a worker of scitq 1 is silent");
        }
    }
}

async fn keep_limits(
    app: &Arc<App>,
    sessions: &[Arc<Session>],
    watched: &mut FxHashMap<ExecutionId, Watched>,
) {
    let workers: Vec<_> = sessions.iter().map(|session| session.worker).collect();
    let found = app
        .engine
        .query(move |state| {
            let workers = workers.iter().filter_map(|id| state.workers.get(id));
            let executions = workers.flat_map(|worker| worker.executions.iter().copied());
            executions
                .filter_map(|id| Some((id, session::live_in(state, id)?)))
                .collect::<Vec<(ExecutionId, Live)>>()
        })
        .await;
    let Ok(found) = found else { return };
    watched.retain(|id, _| found.iter().any(|(live, _)| live == id));
    let now = app.clock.now().monotonic;
    for (id, live) in found {
        let Some(entry) = look(app, watched, (id, live), now).await else { continue };
        let limit = match entry.in_state {
            ExecutionState::Accepted => entry.download,
            ExecutionState::Running => entry.run,
            _ => None,
        };
        if limit.is_some_and(|limit| entry.spent > limit)
            && let Some(session) = sessions.iter().find(|session| session.worker == live.worker)
        {
            end(app, session, (id, live)).await;
        }
    }
}

/// Counts the time that has passed for an execution.
async fn look<'a>(
    app: &App,
    watched: &'a mut FxHashMap<ExecutionId, Watched>,
    (id, live): (ExecutionId, Live),
    now: Monotonic,
) -> Option<&'a Watched> {
    if let std::collections::hash_map::Entry::Vacant(e) = watched.entry(id) {
        let (download, run) = limits(app, live.task).await?;
        let looked = now;
        e.insert(Watched { download, run, in_state: live.state, spent: Duration::ZERO, looked });
    }
    let entry = watched.get_mut(&id)?;
    if entry.in_state == live.state {
        if !live.suspended {
            entry.spent += now.since(entry.looked);
        }
    } else {
        entry.in_state = live.state;
        entry.spent = Duration::ZERO;
    }
    entry.looked = now;
    Some(entry)
}

async fn limits(app: &App, task: TaskId) -> Option<(Option<Duration>, Option<Duration>)> {
    let found = app.store.readers.find_task(task).await.ok()??;
    let seconds = |limit: Option<u32>| limit.map(|limit| Duration::from_secs(limit.into()));
    Some((seconds(found.spec.download_timeout), seconds(found.spec.run_timeout)))
}

/// Ends an execution that has passed its limit: by a signal if its command runs.
async fn end(app: &Arc<App>, session: &Session, (id, live): (ExecutionId, Live)) {
    if live.state == ExecutionState::Running {
        if session.note_timeout(id) {
            session.post(Some(id), batches::KILL, app.clock.now().monotonic);
        }
        return;
    }
    let reason = "its data were not fetched within the time limit";
    let event = ReportEvent::Finished {
        outcome: Outcome::without_run(FailureClass::Timeout, reason),
        output: OutputSizes::default(),
        ended_at: None,
        cached: None,
    };
    // During an outage the next look tries again.
    let _ = session::report(app, &"server".into(), (id, live), event).await;
}
