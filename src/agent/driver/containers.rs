//! The agent's part in containers: the images ahead of them, and what their
//! watchers leave.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::agent::fsm::{CommandEnd, Culprit, Exit, NotStarted, TransferFailure};
use crate::agent::runner::Job;
use crate::agent::runner::docker::order::{self, End};
use crate::agent::runner::docker::pull::{Fetched, PullProgress};
use crate::agent::runner::docker::{Address, Engine, EngineError};
use crate::agent::supervisor::{KnownExecution, SpawnRequest};
use crate::agent::waits::Waits;
use crate::agent::workdir::TaskDirs;
use crate::clock::SystemClock;
use crate::domain::task::TaskSpec;
use crate::domain::{Clock, ExecutionId, StoreId, Timestamp};

use super::images::Images;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// How often the removal of what is left is tried while the engine is away:
/// for some days.
const TRIES: usize = 1_000;

/// The executions whose commands watch containers.
#[derive(Debug)]
pub struct Containers {
    workdir: PathBuf,
    watched: BTreeSet<ExecutionId>,
}

/// Where those who want to know see how far the image of a task is.
#[derive(Debug, Clone, Default)]
pub struct PullBoard(Arc<Mutex<Option<PullProgress>>>);

impl PullBoard {
    fn note(&self, progress: &PullProgress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
    }

    /// In words; none while nothing is fetched.
    pub fn describe(&self) -> Option<String> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().map(|progress| format!("image: {progress}"))
    }
}

impl Containers {
    pub const fn new(workdir: PathBuf) -> Self {
        Self { workdir, watched: BTreeSet::new() }
    }

    pub fn has(&self, execution: ExecutionId) -> bool {
        self.watched.contains(&execution)
    }

    pub fn forget(&mut self, execution: ExecutionId) {
        self.watched.remove(&execution);
    }

    /// The order that starts the watcher of a container.
    pub fn spawn_request(
        &mut self,
        job: &Job<'_>,
        store: &StoreId,
        program: &Path,
    ) -> Result<SpawnRequest, NotStarted> {
        let internal = |reason: String| NotStarted { exit_code: None, reason };
        let engine = Address::find().ok_or_else(|| internal(EngineError::None.to_string()))?;
        let (request, order) = order::spawn_request(job, store, &engine, program)
            .map_err(|error| NotStarted { exit_code: Some(127), reason: error.to_string() })?;
        order::write_order(job.dirs, &order)
            .map_err(|error| internal(format!("cannot write the order of a container: {error}")))?;
        self.watched.insert(job.execution);
        Ok(request)
    }

    /// The supervisor has said what it knows: whatever containers are there
    /// besides have lost their watchers, and go.
    pub fn on_known(&mut self, known: &[KnownExecution]) {
        for execution in known.iter().map(KnownExecution::execution) {
            if order::order_file(&self.dirs(execution)).exists() {
                self.watched.insert(execution);
            }
        }
        let running = known.iter().filter(|known| matches!(known, KnownExecution::Running { .. }));
        self.sweep(running.map(KnownExecution::execution).collect());
    }

    /// How a container ended, from what its watcher left.
    pub fn end(&self, execution: ExecutionId, watcher: CommandEnd) -> CommandEnd {
        let report = order::read_report(&self.dirs(execution));
        if report.as_ref().is_none_or(|report| !report.removed)
            && let Some(order) = order::read_order(&self.dirs(execution))
        {
            tokio::spawn(async move { remove(&order.engine, &order.name).await });
        }
        // What the watcher used says nothing of the container.
        let usage = report.as_ref().and_then(|report| report.usage);
        let exit = match report.map(|report| report.end) {
            Some(End::Exited { code }) => Exit::Code(code),
            Some(End::OutOfMemory { code }) => Exit::OutOfMemory { code: Some(code), signal: None },
            Some(End::Lost { reason }) => Exit::Lost { reason },
            Some(End::Refused { exit_code, reason }) => Exit::Refused { exit_code, reason },
            None => match watcher.exit {
                Exit::Lost { reason } => Exit::Lost { reason },
                _ => Exit::Lost { reason: "what watched the container was ended".to_owned() },
            },
        };
        CommandEnd { exit, usage, ..watcher }
    }

    /// Removes containers of this workdir that are not watched.
    fn sweep(&self, watched: BTreeSet<ExecutionId>) {
        let (workdir, before) = (self.workdir.clone(), SystemClock.now().wall);
        tokio::spawn(async move { sweep(&workdir, &watched, before).await });
    }

    fn dirs(&self, execution: ExecutionId) -> TaskDirs {
        TaskDirs::new(&self.workdir, execution)
    }
}

/// Has the engine fetch the image of a task, if it has one. What has to be
/// fetched is told in the task's own stderr, as engines do.
pub async fn fetch_image(
    spec: &TaskSpec,
    dirs: &TaskDirs,
    images: &Images,
    board: &PullBoard,
) -> Result<(), TransferFailure> {
    let Some(image) = &spec.container else { return Ok(()) };
    let fetch = async {
        let address = Address::find().ok_or(EngineError::None)?;
        let engine = Engine::connect(&address).await?;
        let begun = SystemClock.now().monotonic;
        let is_told = AtomicBool::new(false);
        let tell = |progress: &PullProgress| {
            if !is_told.swap(true, Ordering::Relaxed) {
                say(dirs, &format!("fetching the image {image}"));
            }
            board.note(progress);
        };
        match engine.fetch(image, spec.pull.unwrap_or_default(), &tell).await? {
            Fetched::WasThere => images.on_found(image),
            Fetched::Pulled(progress) => {
                let seconds = SystemClock.now().monotonic.since(begun).as_secs_f64();
                say(dirs, &format!("fetched it in {seconds:.1} s: {progress}"));
                images.on_pulled(image);
            }
        }
        Ok(())
    };
    fetch.await.map_err(|error: EngineError| {
        let culprit = match error {
            EngineError::Silent { .. } => Culprit::Worker,
            // The server chooses such a worker where no other has an engine.
            EngineError::None
            | EngineError::NoImage { .. }
            | EngineError::Pull { .. }
            | EngineError::Login { .. } => Culprit::Data,
        };
        let reason = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        TransferFailure { reason, transient: false, culprit }
    })
}

fn say(dirs: &TaskDirs, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(dirs.stderr());
    let said = file.and_then(|mut file| file.write_all(format!("scitq: {text}\n").as_bytes()));
    if let Err(error) = said {
        tracing::debug!(%error, "cannot tell in a task's stderr of its image");
    }
}

/// What people are told of the engine of this worker; none where there is none.
pub async fn describe_engine() -> Option<String> {
    let address = Address::find()?;
    match Engine::connect(&address).await {
        Ok(engine) => Some(engine.describe().await),
        Err(error) => {
            tracing::warn!(%error, "tasks with containers cannot run here");
            None
        }
    }
}

/// Removes a container that its watcher has left.
async fn remove(address: &Address, name: &str) {
    let mut waits = Waits::new(FIRST_WAIT, LONGEST_WAIT);
    for _ in 0..TRIES {
        if let Ok(engine) = Engine::connect(address).await
            && engine.remove(name).await.is_ok()
        {
            return;
        }
        sleep(waits.next_wait()).await;
    }
}

async fn sweep(workdir: &Path, watched: &BTreeSet<ExecutionId>, before: Timestamp) {
    let Some(address) = Address::find() else { return };
    let mut waits = Waits::new(FIRST_WAIT, LONGEST_WAIT);
    for _ in 0..TRIES {
        if let Ok(engine) = Engine::connect(&address).await
            && engine.sweep(workdir, watched, before).await.is_ok()
        {
            return;
        }
        sleep(waits.next_wait()).await;
    }
}
