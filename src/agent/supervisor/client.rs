//! The agent's side of the supervisor: finds or starts it, and asks it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::VERSION;
use super::connection::LineBuffer;
use super::launch::{Launch, launch};
use super::paths::{self, SocketPath};
use super::protocol::{
    EndRecord, FromSupervisor, KnownExecution, OLDEST_PROTOCOL, PROTOCOL, SignalRefusal,
    SpawnRefusal, SpawnRequest, ToSupervisor, WITH_STDIN,
};
use super::talk::{Claim, Reader, Talk};
use crate::domain::byte_string::ByteString;
use crate::domain::{ExecutionId, Timestamp};

/// How long it may take to reach a supervisor, its start included: one that
/// follows a dead one first waits for the commands of that to die.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts while another supervisor comes or goes.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a goodbye may wait for a supervisor that does not read.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Room for one read, in bytes.
const READ_SIZE: usize = 16 << 10;

/// A connection to the supervisor. When it is dropped without
/// [`Self::goodbye`], the supervisor waits some seconds for another agent even
/// if there are no commands.
#[derive(Debug)]
pub struct SupervisorClient {
    talk: Arc<Talk>,
    reader: JoinHandle<()>,
    /// The one that both sides speak.
    protocol: u32,
}

/// A command that was started. Its end is not told before this is dropped, so
/// that whoever asked can pass on the start first.
#[derive(Debug)]
pub struct Spawned {
    pub pid: u32,
    pub started_at: Timestamp,
    _claim: Claim,
}

/// What the supervisor tells by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum SupervisorEvent {
    /// A command has ended. Told once the [`Spawned`] of its start is dropped;
    /// a new connection gives it again until it is forgotten.
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

type Connected = (SupervisorClient, Vec<KnownExecution>, mpsc::UnboundedReceiver<SupervisorEvent>);

/// A connection, and the version of the supervisor.
struct Greeted {
    connected: Connected,
    version: String,
}

/// Connects to the supervisor of `workdir`, and where there is none starts
/// `program supervise --workdir WORKDIR`. Gives everything that it knows of;
/// what happens from then on comes as events. A supervisor of another version
/// that has no commands is asked to leave and makes room for a new one.
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
        let mut may_replace = true;
        loop {
            if let Some(stream) = connect(&absolute).await.map_err(failed)?
                && let Some(Greeted { connected, version }) = greet(stream, &absolute).await?
            {
                let is_idle = !connected.1.iter().any(KnownExecution::is_running);
                if version == VERSION || !is_idle || !may_replace {
                    tracing::info!(version, known = connected.1.len(), "found the supervisor");
                    return Ok(connected);
                }
                tracing::info!(version, "replacing the supervisor, which is of another version");
                connected.0.goodbye().await;
            }
            // The one that comes now may be of another version too, when the
            // program was replaced since this agent began.
            may_replace = false;
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
) -> Result<Option<Greeted>, SupervisorClientError> {
    let (mut read_half, write_half) = stream.into_split();
    let (events, events_receiver) = mpsc::unbounded_channel();
    let talk = Arc::new(Talk::new(write_half, events));
    talk.send(&ToSupervisor::Hello {
        protocol: PROTOCOL,
        oldest: OLDEST_PROTOCOL,
        version: VERSION.to_owned(),
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
        Ok(FromSupervisor::Welcome { protocol, version, known }) => {
            let reader = Reader { talk: Arc::clone(&talk), stream: read_half, lines, buffer };
            let reader = tokio::spawn(reader.run());
            let client = SupervisorClient { talk, reader, protocol };
            Ok(Some(Greeted { connected: (client, known, events_receiver), version }))
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
        let request = if self.protocol < WITH_STDIN { read_by_shell(request) } else { request };
        let Some((claim, reply)) = self.talk.start(request) else { return Err(SpawnError::Gone) };
        match reply.await {
            Ok(Ok((pid, started_at))) => Ok(Spawned { pid, started_at, _claim: claim }),
            Ok(Err(refusal)) => Err(SpawnError::Refused(refusal)),
            Err(_) => Err(SpawnError::Gone),
        }
    }

    /// Sends a signal to the process group of a command, at once: what is
    /// returned waits for the answer only. A stopped command takes note of most
    /// signals only when it is continued.
    ///
    /// # Errors
    /// It does not run, there is no such signal, or the supervisor is gone.
    pub fn signal(
        &self,
        execution: ExecutionId,
        signal: i32,
    ) -> impl Future<Output = Result<(), SignalError>> + use<> {
        let reply = self.talk.signal(execution, signal);
        async move {
            match reply.ok_or(SignalError::Gone)?.await {
                Ok(None) => Ok(()),
                Ok(Some(refusal)) => Err(SignalError::Refused(refusal)),
                Err(_) => Err(SignalError::Gone),
            }
        }
    }

    /// Everything that the supervisor knows of; none when it is gone.
    pub async fn list(&self) -> Option<Vec<KnownExecution>> {
        self.talk.list()?.await.ok()
    }

    /// Lets the supervisor forget how an execution ended: it is safe elsewhere.
    /// After a crash of either side the end may be told once more all the same.
    pub fn forget(&self, execution: ExecutionId) {
        self.talk.forget(execution);
    }

    /// Leaves for good: the supervisor goes on as long as there are commands
    /// and then leaves without waiting for another agent.
    pub async fn goodbye(self) {
        self.talk.send(&ToSupervisor::Goodbye {});
        if tokio::time::timeout(GOODBYE_WITHIN, self.talk.written()).await.is_err() {
            tracing::warn!("the supervisor does not listen to a goodbye");
        }
    }
}

impl Drop for SupervisorClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The same for a supervisor that gives every command an empty standard input:
/// a shell opens the file, and becomes the command.
fn read_by_shell(mut request: SpawnRequest) -> SpawnRequest {
    if let Some(stdin) = request.stdin.take() {
        let words = ["/bin/sh", "-c", "exec < \"$0\" && exec \"$@\""].map(ByteString::from);
        let file = ByteString::from(stdin.into_os_string());
        let own = std::mem::take(&mut request.arguments);
        request.arguments = words.into_iter().chain([file]).chain(own).collect();
    }
    request
}

fn described(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "no answer in time".to_owned(), |status| status.to_string())
}
