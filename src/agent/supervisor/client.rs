//! The agent's side of the supervisor.
//!
//! Requests are written by whoever makes them, without a detour over a task;
//! one task reads. A request that the socket has no room for waits for that
//! task.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::connection::LineBuffer;
use super::launch::{Launch, launch};
use super::paths::{self, SocketPath};
use super::protocol::{
    EndRecord, FromSupervisor, KnownExecution, OLDEST_PROTOCOL, PROTOCOL, SignalRefusal,
    SpawnRefusal, SpawnRequest, ToSupervisor, push_line,
};
use crate::domain::{ExecutionId, Timestamp};

/// How long it may take to reach a supervisor, its start included: one that
/// follows a dead one first waits for the commands of that to die.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts while another supervisor comes or goes.
const PAUSE: Duration = Duration::from_millis(20);

/// Room for one read, in bytes.
const READ_SIZE: usize = 16 << 10;

/// A connection to the supervisor. When it is dropped without
/// [`Self::goodbye`], the supervisor waits some seconds for another agent even
/// if there are no commands.
#[derive(Debug)]
pub struct SupervisorClient {
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

/// A command that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawned {
    pub pid: u32,
    pub started_at: Timestamp,
}

/// What the supervisor tells by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisorEvent {
    /// A command has ended. Told after [`SupervisorClient::spawn`] has given
    /// its result, and again to every new connection until it is forgotten.
    Ended(EndRecord),
    /// The supervisor is gone, or another agent took over. The last event:
    /// [`connect_or_start`] tells what became of the commands.
    Gone,
}

/// Why the supervisor cannot be used.
#[derive(Debug, Error)]
pub enum SupervisorClientError {
    #[error("cannot connect to the supervisor of `{}`", workdir.display())]
    Connect { workdir: PathBuf, source: io::Error },
    #[error("cannot start the supervisor `{}`", program.display())]
    Launch { program: PathBuf, source: io::Error },
    #[error("the supervisor does not come up ({}); see `{}`", described(*status), log.display())]
    NotReady { status: Option<ExitStatus>, log: PathBuf },
    #[error(
        "the supervisor speaks protocols {oldest} to {protocol}, this agent {OLDEST_PROTOCOL} to {PROTOCOL}"
    )]
    Protocol { protocol: u32, oldest: u32 },
}

/// Why a command was not started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpawnError {
    #[error(transparent)]
    Refused(#[from] SpawnRefusal),
    /// Whether it was started shows at the next connection.
    #[error("the supervisor is gone")]
    Gone,
}

/// Why a signal was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignalError {
    #[error(transparent)]
    Refused(#[from] SignalRefusal),
    #[error("the supervisor is gone")]
    Gone,
}

#[derive(Debug)]
struct Shared {
    stream: OwnedWriteHalf,
    outgoing: Mutex<Vec<u8>>,
    /// There is something in `outgoing` for which the socket had no room.
    blocked: Notify,
    waiting: Mutex<Waiting>,
    events: mpsc::UnboundedSender<SupervisorEvent>,
}

/// Who waits for what.
#[derive(Debug, Default)]
struct Waiting {
    last_number: u64,
    spawns: FxHashMap<u64, (ExecutionId, oneshot::Sender<Result<Spawned, SpawnRefusal>>)>,
    signals: FxHashMap<u64, oneshot::Sender<Option<SignalRefusal>>>,
    lists: FxHashMap<u64, oneshot::Sender<Vec<KnownExecution>>>,
    /// Executions whose start is known here, and not yet to whoever asked for
    /// it; with the end, if that has come as well.
    unclaimed: FxHashMap<ExecutionId, Option<EndRecord>>,
    gone: bool,
}

/// Gives up the place among the unclaimed, and tells the end that waited there.
struct Claim<'a> {
    shared: &'a Shared,
    execution: ExecutionId,
}

type Connected = (SupervisorClient, Vec<KnownExecution>, mpsc::UnboundedReceiver<SupervisorEvent>);

/// Connects to the supervisor of `workdir`, and where there is none starts
/// `program supervise --workdir WORKDIR`. Gives everything that it knows of;
/// what happens from then on comes as events.
///
/// `program` should be read from `current_exe` when the agent starts: later it
/// may name a file that was replaced.
///
/// # Errors
/// See [`SupervisorClientError`].
pub async fn connect_or_start(
    workdir: &Path,
    program: &Path,
) -> Result<Connected, SupervisorClientError> {
    let failed = |source| SupervisorClientError::Connect { workdir: workdir.to_owned(), source };
    let not_ready = |status| SupervisorClientError::NotReady { status, log: paths::log(workdir) };
    let absolute = std::path::absolute(workdir).map_err(failed)?;
    let deadline = tokio::time::Instant::from_std(Instant::now() + PATIENCE);
    let attempts = async {
        loop {
            if let Some(stream) = connect(&absolute).await.map_err(failed)?
                && let Some(connected) = greet(stream, &absolute).await?
            {
                return Ok(connected);
            }
            let launched = launch(&absolute, program).await.map_err(|source| {
                SupervisorClientError::Launch { program: program.to_owned(), source }
            })?;
            match launched {
                Launch::Ready => {}
                // Another supervisor has just begun to come, or to go.
                Launch::Busy => tokio::time::sleep(PAUSE).await,
                Launch::Left(status) => return Err(not_ready(Some(status))),
            }
        }
    };
    match tokio::time::timeout_at(deadline, attempts).await {
        Ok(outcome) => outcome,
        Err(_) => Err(not_ready(None)),
    }
}

/// Connects, if somebody listens.
async fn connect(workdir: &Path) -> io::Result<Option<UnixStream>> {
    let absent = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    };
    let path = match SocketPath::of(workdir) {
        Ok(path) => path,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(path.as_path()).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Exchanges the first frames. None when the supervisor leaves at this moment.
async fn greet(
    stream: UnixStream,
    workdir: &Path,
) -> Result<Option<Connected>, SupervisorClientError> {
    let (mut read_half, write_half) = stream.into_split();
    let (events, events_receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        stream: write_half,
        outgoing: Mutex::new(Vec::new()),
        blocked: Notify::new(),
        waiting: Mutex::new(Waiting::default()),
        events,
    });
    shared.send(&ToSupervisor::Hello {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let mut lines = LineBuffer::default();
    let mut buffer = vec![0; READ_SIZE];
    let answer = loop {
        if let Some(line) = lines.next_line() {
            break serde_json::from_slice(line);
        }
        match read_half.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(length) => lines.push(buffer.get(..length).unwrap_or_default()),
        }
    };
    let invalid = |source| SupervisorClientError::Connect { workdir: workdir.to_owned(), source };
    match answer {
        Ok(FromSupervisor::Welcome { version, known, .. }) => {
            tracing::info!(version, executions = known.len(), "connected to the supervisor");
            let reader = Reader { shared: Arc::clone(&shared), stream: read_half, lines, buffer };
            let reader = tokio::spawn(reader.run());
            Ok(Some((SupervisorClient { shared, reader }, known, events_receiver)))
        }
        Ok(FromSupervisor::Refused { protocol, oldest }) => {
            Err(SupervisorClientError::Protocol { protocol, oldest })
        }
        Ok(_) => Err(invalid(io::Error::new(io::ErrorKind::InvalidData, "no welcome"))),
        Err(error) => Err(invalid(error.into())),
    }
}

impl SupervisorClient {
    /// Starts a command. Many may be under way at once.
    ///
    /// # Errors
    /// It was refused and nothing has run, or the supervisor is gone.
    pub async fn spawn(&self, request: SpawnRequest) -> Result<Spawned, SpawnError> {
        // Dropped last, also when nobody waits for the result any more.
        let _claim = Claim { shared: &self.shared, execution: request.execution };
        let (sender, receiver) = oneshot::channel();
        let entry = (request.execution, sender);
        let number =
            self.shared.wait_for(|waiting| &mut waiting.spawns, entry).ok_or(SpawnError::Gone)?;
        self.shared.send(&ToSupervisor::Spawn { number, request });
        match receiver.await {
            Ok(outcome) => outcome.map_err(SpawnError::Refused),
            Err(_) => Err(SpawnError::Gone),
        }
    }

    /// Sends a signal to the process group of a command. A stopped command
    /// takes note of most signals only when it is continued.
    ///
    /// # Errors
    /// It does not run, there is no such signal, or the supervisor is gone.
    pub async fn signal(&self, execution: ExecutionId, signal: i32) -> Result<(), SignalError> {
        let (sender, receiver) = oneshot::channel();
        let number = self
            .shared
            .wait_for(|waiting| &mut waiting.signals, sender)
            .ok_or(SignalError::Gone)?;
        self.shared.send(&ToSupervisor::Signal { number, execution, signal });
        match receiver.await {
            Ok(None) => Ok(()),
            Ok(Some(refusal)) => Err(SignalError::Refused(refusal)),
            Err(_) => Err(SignalError::Gone),
        }
    }

    /// Everything that the supervisor knows of; none when it is gone.
    pub async fn list(&self) -> Option<Vec<KnownExecution>> {
        let (sender, receiver) = oneshot::channel();
        let number = self.shared.wait_for(|waiting| &mut waiting.lists, sender)?;
        self.shared.send(&ToSupervisor::List { number });
        receiver.await.ok()
    }

    /// Lets the supervisor forget how an execution ended: it is safe elsewhere.
    /// After a crash of either side the end may be told once more all the same.
    pub fn forget(&self, execution: ExecutionId) {
        self.shared.send(&ToSupervisor::Forget { executions: vec![execution] });
    }

    /// Leaves for good: the supervisor goes on as long as there are commands
    /// and then leaves without waiting for another agent.
    pub async fn goodbye(self) {
        self.shared.send(&ToSupervisor::Goodbye {});
        let sent = tokio::time::timeout(Duration::from_secs(1), async {
            while !self.shared.flush() {
                if self.shared.stream.writable().await.is_err() {
                    return;
                }
            }
        });
        if sent.await.is_err() {
            tracing::warn!("the supervisor does not listen to a goodbye");
        }
    }
}

impl Drop for SupervisorClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(Some(end)) = self.shared.waiting().unclaimed.remove(&self.execution) {
            self.shared.tell(SupervisorEvent::Ended(end));
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, Vec<u8>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who waits for the reply to a new request and gives its number;
    /// none when there will be no reply.
    fn wait_for<T>(
        &self,
        kind: impl FnOnce(&mut Waiting) -> &mut FxHashMap<u64, T>,
        entry: T,
    ) -> Option<u64> {
        let mut waiting = self.waiting();
        if waiting.gone {
            return None;
        }
        waiting.last_number += 1;
        let number = waiting.last_number;
        kind(&mut waiting).insert(number, entry);
        Some(number)
    }

    fn send(&self, message: &ToSupervisor) {
        let mut outgoing = self.outgoing();
        let length = outgoing.len();
        if let Err(error) = push_line(&mut outgoing, message) {
            outgoing.truncate(length);
            tracing::error!(%error, "a request has no JSON form");
        }
        if length == 0 && !self.write(&mut outgoing) {
            self.blocked.notify_one();
        }
    }

    /// Whether everything is written.
    fn flush(&self) -> bool {
        self.write(&mut self.outgoing())
    }

    fn write(&self, outgoing: &mut Vec<u8>) -> bool {
        while !outgoing.is_empty() {
            match self.stream.try_write(outgoing) {
                Ok(written) => drop(outgoing.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The reader finds out, and tells those who wait.
                Err(_) => outgoing.clear(),
            }
        }
        true
    }

    fn tell(&self, event: SupervisorEvent) {
        // An agent that listens no more reads it at the next connection.
        drop(self.events.send(event));
    }

    fn on_message(&self, message: FromSupervisor) {
        let mut waiting = self.waiting();
        match message {
            FromSupervisor::Spawned { number, pid, started_at } => {
                if let Some((execution, sender)) = waiting.spawns.remove(&number) {
                    waiting.unclaimed.insert(execution, None);
                    if sender.send(Ok(Spawned { pid, started_at })).is_err() {
                        waiting.unclaimed.remove(&execution);
                    }
                }
            }
            FromSupervisor::NotSpawned { number, refusal } => {
                if let Some((_, sender)) = waiting.spawns.remove(&number) {
                    drop(sender.send(Err(refusal)));
                }
            }
            FromSupervisor::Signalled { number, refusal } => {
                if let Some(sender) = waiting.signals.remove(&number) {
                    drop(sender.send(refusal));
                }
            }
            FromSupervisor::Known { number, known } => {
                if let Some(sender) = waiting.lists.remove(&number) {
                    drop(sender.send(known));
                }
            }
            FromSupervisor::Ended(end) => match waiting.unclaimed.get_mut(&end.execution) {
                Some(place) => *place = Some(end),
                None => self.tell(SupervisorEvent::Ended(end)),
            },
            FromSupervisor::Replaced {} => tracing::warn!("another agent uses this work directory"),
            FromSupervisor::Welcome { .. } | FromSupervisor::Refused { .. } => {
                tracing::warn!("the supervisor greets in the middle of a talk");
            }
        }
    }

    /// Tells everybody who waits that nothing more will come. Ends that were
    /// not told yet are told by the next supervisor.
    fn on_gone(&self) {
        *self.waiting() = Waiting { gone: true, ..Waiting::default() };
        self.tell(SupervisorEvent::Gone);
    }
}

/// The task that reads.
struct Reader {
    shared: Arc<Shared>,
    stream: OwnedReadHalf,
    lines: LineBuffer,
    buffer: Vec<u8>,
}

impl Reader {
    async fn run(mut self) {
        if let Err(error) = self.talk().await {
            tracing::warn!(%error, "lost the supervisor");
        }
        self.shared.on_gone();
    }

    async fn talk(&mut self) -> io::Result<()> {
        let mut blocked = false;
        loop {
            while let Some(line) = self.lines.next_line() {
                self.shared.on_message(serde_json::from_slice(line)?);
            }
            tokio::select! {
                length = self.stream.read(&mut self.buffer) => match length? {
                    0 => return Ok(()),
                    length => self.lines.push(self.buffer.get(..length).unwrap_or_default()),
                },
                () = self.shared.blocked.notified(), if !blocked => blocked = true,
                writable = self.shared.stream.writable(), if blocked => {
                    writable?;
                    blocked = !self.shared.flush();
                }
            }
        }
    }
}

fn described(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "no answer in time".to_owned(), |status| status.to_string())
}
