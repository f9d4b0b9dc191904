//! What the command line's tests share.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use strum::IntoEnumIterator;

use super::output::Output;
use super::session::Session;
use crate::api::batch::{BatchView, Slots};
use crate::api::client::Patience;
use crate::api::client::testing::Script;
use crate::api::task::TaskView;
use crate::api::worker::WorkerView;
use crate::domain::batch::BatchPause;
use crate::domain::task::TaskState;
use crate::domain::worker::{Machine, SeenState, WantedState, WorkerState};
use crate::domain::{TaskId, Timestamp, WorkerId};

/// A task that has just been queued.
pub fn task(id: u64) -> TaskView {
    TaskView {
        id: TaskId(id),
        name: None,
        batch: "Default".parse().unwrap(),
        state: TaskState::Pending,
        phase: None,
        command: "true".into(),
        execution: None,
        attempts: 0,
        worker: None,
        worker_name: None,
        created_at: Timestamp(0),
        state_since: Timestamp(0),
        started_at: None,
        finished_at: None,
        exit_code: None,
        signal: None,
        failure: None,
        failure_reason: None,
        hold: crate::domain::task::Hold::No,
        priority: 0,
        tags: BTreeMap::new(),
        revision: 0,
        created_by: "test".into(),
    }
}

/// A batch with nothing in it.
pub fn batch(name: &str) -> BatchView {
    BatchView {
        name: name.parse().unwrap(),
        pause: BatchPause::No,
        tasks: TaskState::iter().map(|state| (state, 0)).collect(),
        workers: BTreeMap::new(),
        slots: Slots::default(),
        runtime: None,
        throughput: 0.0,
        remaining_seconds: None,
        cost_per_hour: BTreeMap::new(),
        spent: BTreeMap::new(),
    }
}

/// A worker that waits for work.
pub fn worker(id: u64) -> WorkerView {
    WorkerView {
        id: WorkerId(id),
        name: format!("worker-{id}"),
        batch: "Default".parse().unwrap(),
        state: WorkerState::Running,
        wanted: WantedState::Running,
        seen: SeenState::Online,
        concurrency: 2,
        prefetch: 0,
        machine: Machine::default(),
        version: "2".into(),
        failure: None,
        slots: Slots { taken: 0, total: 2 },
        lost_after_seconds: Some(600),
        orphans: Vec::new(),
        assigned: 0,
        accepted: 0,
        running: 0,
        succeeded: 0,
        failed: 0,
        registered_at: Timestamp(0),
        last_contact: None,
        stats: None,
        created_by: "test".into(),
        hire: None,
    }
}

/// Keeps what was written to standard output.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A session with a scripted server, and what it prints.
pub fn session(server: &Script) -> (Session, Kept) {
    let kept = Kept::default();
    (session_printing(server, Output::into_sink(kept.clone())), kept)
}

/// A session with a scripted server that prints there.
pub fn session_printing(server: &Script, output: Output) -> Session {
    Session::of(server.client(Patience::default()), output)
}
