//! The process that makes a container, stays with it, and removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder,
    LogsOptionsBuilder,
};
use futures_util::{Stream, StreamExt};
use thiserror::Error as ThisError;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};

use super::body::lacking;
use super::engine::{Brand, Engine, told};
use super::give_back::give_back;
use super::order::{ContainerOrder, End, Report};
use super::sink::Sink;
use super::usage::Meter;
use super::words::{Word, listen};
use crate::agent::telemetry::OomCounter;

/// How long an engine may be away before its container is given up for lost.
const ENGINE_PATIENCE: Duration = Duration::from_mins(2);
const ENGINE_PAUSE: Duration = Duration::from_millis(200);

/// How long the last output of a container that has ended may take to come.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

/// An engine that restores its containers has heard nothing of one that ended
/// before it was there again.
const UNHEARD: &str = "the container ended while its engine was restarted: what it wrote \
    meanwhile may be missing";

/// Exit code of a command that was killed.
const KILLED: i32 = 137;
/// How long the engine may take to learn that a killed container was out of memory.
const LATE_REASON: Duration = Duration::from_millis(500);
const REASON_PAUSE: Duration = Duration::from_millis(50);

/// Exit code of `docker run` where the container could not be started.
const NOT_STARTED: i32 = 125;
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

#[derive(Debug, ThisError)]
pub enum WatchError {
    #[error("cannot read the order `{}`", path.display())]
    Order { path: PathBuf, source: io::Error },
    #[error("cannot understand the order `{}`", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("cannot use the output or the signals of this process")]
    Process(#[source] io::Error),
    #[error("cannot write `{}`", path.display())]
    Report { path: PathBuf, source: io::Error },
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

struct Watcher {
    order: ContainerOrder,
    engine: Engine,
    words: UnboundedReceiver<Word>,
    /// It was told to kill the container.
    killing: bool,
    /// The container may use only so much memory.
    is_limited: bool,
    oom: OomCounter,
    sink: Sink,
}

/// How the watching of a container that ran ended.
enum Followed {
    Exited,
    /// The engine hung up.
    Broken,
    /// Its output cannot be written.
    Unwritable(io::Error),
}

/// Runs the container of an order, and gives its exit code.
///
/// # Errors
/// Nothing was run, or what became of it cannot be written down.
pub async fn watch(path: &Path) -> Result<u8, WatchError> {
    let words = listen().map_err(WatchError::Process)?;
    let text =
        fs::read(path).map_err(|source| WatchError::Order { path: path.to_owned(), source })?;
    let order: ContainerOrder = serde_json::from_slice(&text)
        .map_err(|source| WatchError::Json { path: path.to_owned(), source })?;
    let file = order.report.clone();
    let mut sink = Sink::new().map_err(WatchError::Process)?;
    let report = match Engine::connect(&order.engine).await {
        Ok(engine) => {
            let oom = OomCounter::start();
            let (killing, is_limited) = (false, false);
            Watcher { order, engine, words, killing, is_limited, oom, sink }.run().await
        }
        Err(error) => {
            let reason = error.to_string();
            sink.say(&reason);
            let end = End::Refused { exit_code: None, reason };
            Report { end, usage: None, removed: true }
        }
    };
    let written = serde_json::to_vec(&report).map_err(io::Error::from);
    written
        .and_then(|bytes| fs::write(&file, bytes))
        .map_err(|source| WatchError::Report { path: file, source })?;
    let code = match report.end {
        End::Exited { code } | End::OutOfMemory { code } => code,
        End::Lost { .. } => NOT_STARTED,
        End::Refused { exit_code, .. } => exit_code.unwrap_or(NOT_STARTED),
    };
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

impl Watcher {
    async fn run(mut self) -> Report {
        let (end, usage) = match self.start().await {
            Ok(output) => {
                let meter = Meter::start(&self.engine, &self.order.name);
                (self.stay(output).await, meter.usage())
            }
            Err(refusal) => (refusal, None),
        };
        if let End::Refused { reason, .. } = &end {
            self.sink.say(reason);
        }
        if let Err(problem) = give_back(&self.engine, &self.order).await {
            self.sink.say(&problem);
        }
        let removed = self.engine.remove(&self.order.name).await.is_ok();
        Report { end, usage, removed }
    }

    /// Makes the container, attaches to it, and starts it.
    async fn start(&mut self) -> Result<Output, End> {
        let body = self
            .order
            .body(self.engine.brand())
            .map_err(|error| refused(Some(NOT_STARTED), error.to_string()))?;
        if let Some(reason) = lacking(&body, self.engine.brand()) {
            return Err(refused(Some(NOT_STARTED), reason.to_owned()));
        }
        self.is_limited = body.host_config.as_ref().is_some_and(|host| host.memory.is_some());
        let docker = self.engine.docker();
        let name = self.order.name.as_str();
        let create = async || {
            let options = CreateContainerOptionsBuilder::default().name(name).build();
            docker.create_container(Some(options), body.clone()).await
        };
        let mut created = create().await;
        if let Err(Error::DockerResponseServerError { status_code: 409, .. }) = created {
            // Left by a watcher that was killed before it could start it.
            drop(self.engine.remove(name).await);
            created = create().await;
        }
        created.map_err(|error| refusal(&error))?;
        let reads = self.order.stdin.is_some();
        let options = AttachContainerOptionsBuilder::default();
        let options = options.stream(true).stdout(true).stderr(true).stdin(reads).build();
        let attached = docker.attach_container(name, Some(options)).await;
        let attached = attached.map_err(|error| refusal(&error))?;
        docker.start_container(name, None).await.map_err(|error| refusal(&error))?;
        if let Some(stdin) = self.order.stdin.clone() {
            let mut input = attached.input;
            tokio::spawn(async move {
                // A container that does not read its input may have ended.
                if let Ok(bytes) = tokio::fs::read(stdin).await {
                    drop(input.write_all(&bytes).await);
                }
                drop(input.shutdown().await);
            });
        }
        Ok(attached.output)
    }

    /// Stays with the container until it has ended.
    async fn stay(&mut self, mut output: Output) -> End {
        let mut is_again = false;
        loop {
            match self.follow(&mut output).await {
                Followed::Exited => {
                    if is_again {
                        self.read_again().await;
                    }
                    if let Some(end) = self.how_it_ended().await {
                        return end;
                    }
                }
                Followed::Broken => {}
                Followed::Unwritable(error) => {
                    return End::Lost { reason: format!("its output cannot be written: {error}") };
                }
            }
            match self.find_again().await {
                Ok(again) => (output, is_again) = (again, true),
                Err(end) => return end,
            }
        }
    }

    /// Reads all that the engine has kept of the output, once it has ended: an
    /// engine that has just come back may end the stream before.
    async fn read_again(&mut self) {
        self.sink.begin_again();
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut output = self.engine.docker().logs(&self.order.name, Some(options));
        while let Some(Ok(piece)) = output.next().await {
            if let Err(error) = self.sink.write(piece) {
                tracing::warn!(%error, "cannot write the rest of a container's output");
                return;
            }
        }
    }

    async fn follow(&mut self, output: &mut Output) -> Followed {
        let docker = self.engine.docker().clone().with_timeout(Duration::from_hours(24 * 365));
        let mut waiting = std::pin::pin!(docker.wait_container(&self.order.name, None));
        let (mut is_open, mut has_exited) = (true, false);
        while is_open || !has_exited {
            tokio::select! {
                biased;
                Some(word) = self.words.recv() => self.obey(word).await,
                item = output.next(), if is_open => match item {
                    Some(Ok(piece)) => {
                        if let Err(error) = self.sink.write(piece) {
                            return Followed::Unwritable(error);
                        }
                    }
                    Some(Err(_)) | None => is_open = false,
                },
                item = waiting.next(), if !has_exited => match item {
                    Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => has_exited = true,
                    Some(Err(_)) | None => return Followed::Broken,
                },
                () = sleep(LAST_OUTPUT), if has_exited => is_open = false,
            }
        }
        Followed::Exited
    }

    /// None when the engine does not answer any more: it may have ended the
    /// container itself. That memory was the reason of a kill the engine learns on
    /// a way of its own, which can be the longer one.
    async fn how_it_ended(&mut self) -> Option<End> {
        let deadline = Instant::now() + LATE_REASON;
        loop {
            let found = self.engine.docker().inspect_container(&self.order.name, None).await;
            let state = found.ok()?.state?;
            let code = i32::try_from(state.exit_code.unwrap_or_default()).unwrap_or(i32::MAX);
            if code != 0 && (state.oom_killed == Some(true) || self.seems_out_of_memory(code)) {
                return Some(End::OutOfMemory { code });
            }
            if code != KILLED || Instant::now() > deadline {
                return Some(End::Exited { code });
            }
            sleep(REASON_PAUSE).await;
        }
    }

    /// Podman does not always notice. A container with a limit that was killed by
    /// none of us, while the kernel has killed for want of memory, was meant.
    fn seems_out_of_memory(&mut self, code: i32) -> bool {
        let is_candidate = self.engine.brand() == Brand::Podman
            && code == KILLED
            && self.is_limited
            && !self.killing;
        is_candidate && self.oom.has_moved()
    }

    /// The rest of the output of a container whose engine was away. An engine
    /// that comes back has ended its containers, unless it can restore them.
    async fn find_again(&mut self) -> Result<Output, End> {
        let lost = |reason: &str| Err(End::Lost { reason: reason.to_owned() });
        let deadline = Instant::now() + ENGINE_PATIENCE;
        let state = loop {
            if let Ok(engine) = Engine::connect(&self.order.engine).await {
                self.engine = engine;
                match self.engine.docker().inspect_container(&self.order.name, None).await {
                    Ok(found) => break found.state.unwrap_or_default(),
                    Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                        return lost(
                            "the container engine was restarted, and the container is gone",
                        );
                    }
                    Err(_) => {}
                }
            }
            if Instant::now() > deadline {
                return lost("the container engine is gone");
            }
            sleep(ENGINE_PAUSE).await;
        };
        // Podman's containers have never been its service's.
        let restores = self.engine.brand() == Brand::Podman
            || self.engine.facts().await.unwrap_or_default().restores;
        if state.running != Some(true) && !restores {
            return lost("the container engine was stopped, and the container with it");
        }
        if state.running != Some(true) && self.engine.brand() == Brand::Docker {
            self.sink.say(UNHEARD);
        }
        if self.killing {
            self.obey(Word::Kill).await;
        }
        self.sink.begin_again();
        let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
        Ok(Box::pin(self.engine.docker().clone().logs(&self.order.name, Some(options))))
    }

    /// Does what a signal means. What the engine refuses cannot be helped: the
    /// container has ended, or is in that state already.
    async fn obey(&mut self, word: Word) {
        let name = self.order.name.as_str();
        let docker = self.engine.docker();
        let kill = async |signal: &str| {
            let options = KillContainerOptionsBuilder::default().signal(signal).build();
            docker.kill_container(name, Some(options)).await
        };
        let outcome = match word {
            Word::Stop => {
                let found = docker.inspect_container(name, None).await.ok();
                let signal = found.and_then(|found| found.config?.stop_signal);
                kill(signal.as_deref().unwrap_or("SIGTERM")).await
            }
            Word::Kill => {
                self.killing = true;
                kill("SIGKILL").await
            }
            Word::Pause => docker.pause_container(name).await,
            Word::Resume => docker.unpause_container(name).await,
            Word::Signal(signal) => kill(signal).await,
        };
        if let Err(error) = outcome {
            tracing::debug!(?word, error = %told(&error), "the engine does not obey");
        }
    }
}

/// What an engine means that makes or starts no container. What only a person
/// can mend counts as the command's own failure, as with `docker run`.
fn refusal(error: &Error) -> End {
    let reason = told(error);
    let has = |text: &str| reason.contains(text);
    let code = match error {
        Error::DockerResponseServerError { .. } => {
            if has("executable file not found") || has("no such file or directory") {
                Some(NOT_FOUND)
            } else if has("permission denied") {
                Some(NOT_EXECUTABLE)
            } else {
                Some(NOT_STARTED)
            }
        }
        _ => None,
    };
    let is_gpu = has("could not select device driver") && has("gpu");
    let hint = if is_gpu { "this worker has no GPUs for containers: " } else { "" };
    refused(code, format!("{hint}{reason}"))
}

const fn refused(exit_code: Option<i32>, reason: String) -> End {
    End::Refused { exit_code, reason }
}
