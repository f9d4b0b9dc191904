//! The agent's link: one WebSocket at `/api/v2/agent/link`.
//!
//! The agent dials out, says [`Up::Hello`] with everything it holds, and the
//! server answers [`Down::Welcome`] with a verdict on each: the two sides agree
//! on the state of the world instead of replaying what they said before. From
//! then on orders go down the moment they exist and reports come up in
//! numbered batches. The server acknowledges a batch when it is on disk; the
//! agent keeps what is not acknowledged and reports it again after the next
//! hello. Every report may therefore come twice, and means the same both times.
//!
//! JSON in text frames; output bytes in binary frames ([`OutputChunk`]).
//! Heartbeats: every [`HEARTBEAT_SECONDS`].

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::execution::{Outcome, OutputSizes, Phase, Stream, Suspension, TransferProgress};
use crate::domain::signal::Signal;
use crate::domain::worker::{Machine, WantedState, WorkerSettings, WorkerStats};
use crate::domain::{Epoch, ExecutionId, StoreId, TaskId, Timestamp, WorkerId};

use super::cache::{CacheEntry, CacheHit, CacheKey};
use super::worker::{Clean, Orphan};

/// Version of this protocol. The server speaks this one and the one before.
pub const PROTOCOL: u32 = 1;

/// Seconds between two heartbeats.
pub const HEARTBEAT_SECONDS: u64 = 5;

/// Most bytes of output in one binary frame.
pub const MAX_CHUNK: usize = 256 << 10;

/// From the agent to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    Hello(Box<Hello>),
    Heartbeat(Box<Heartbeat>),
    /// The provider takes the machine away soon. What the worker holds goes to
    /// others at once. Said again after each welcome.
    Evicted {
        /// In words for people.
        reason: String,
    },
    /// Acknowledged by [`Down::Ack`] with the same number once all is on disk.
    Reports {
        number: u64,
        reports: Vec<Report>,
    },
    /// Answered by [`Down::Cached`] for the same execution.
    FindCached {
        execution: ExecutionId,
        key: CacheKey,
    },
}

/// The first frame from the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    pub name: String,
    pub machine: Machine,
    /// Drawn when the agent process started: tells a second live agent of the
    /// same worker from the same agent that dials again.
    pub instance: String,
    /// Names this boot of the machine.
    pub boot_id: String,
    /// Used when the server does not know the worker; otherwise the server's count.
    pub settings: WorkerSettings,
    /// The store and epoch from which the held executions came.
    #[serde(default)]
    pub store: Option<(StoreId, Epoch)>,
    /// All executions that the agent knows of and whose end is not acknowledged.
    pub held: Vec<Held>,
    /// As in [`Heartbeat::draining`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// As in [`Heartbeat::lease_seconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u64>,
    /// As in [`Heartbeat::orphans`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
}

/// One execution that the agent holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub execution: ExecutionId,
    pub task: TaskId,
    /// As in [`Report::revision`].
    #[serde(default, skip_serializing_if = "is_first")]
    pub revision: u32,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// It has ended; the outcome follows as a report.
    pub ended: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Echoed in [`Down::HeartbeatAck`].
    pub number: u64,
    pub stats: WorkerStats,
    /// Executions in a phase that may have changed since they were last told.
    pub phases: Vec<(ExecutionId, Phase)>,
    /// How far the images are that are fetched, in words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pulls: Vec<(ExecutionId, String)>,
    /// The agent was told on its own machine to leave after its last
    /// execution: the worker is wanted draining from now on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// The [`Welcome::lost_after_seconds`] by which the agent goes now. A change
    /// counts on the server once the agent goes by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u64>,
    /// All executions that the agent holds and this server does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
    /// All downloads and uploads under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<(ExecutionId, TransferProgress)>,
}

/// What became of an execution. Dates are the agent's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub execution: ExecutionId,
    pub task: TaskId,
    /// The revision of the task's specification by which the agent goes. An
    /// execution that was started by an older one than the task has by now is
    /// ended, and the task run again.
    #[serde(default, skip_serializing_if = "is_first")]
    pub revision: u32,
    pub at: Timestamp,
    pub event: ReportEvent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportEvent {
    /// The agent has it. It starts the command only once this is acknowledged:
    /// an execution that the server still has as `assigned` has provably not
    /// been started, and can be given to another worker at once.
    Accepted,
    /// The command was started.
    Started,
    /// The command has ended; the agent asks leave to upload. The
    /// acknowledgement is the leave; [`Verdict::Superseded`] refuses it.
    Uploading { exit_code: Option<i32> },
    /// It is over. `output` are the sizes of the streams on the worker, all of
    /// which was sent before this report.
    Finished {
        outcome: Outcome,
        output: OutputSizes,
        ended_at: Option<Timestamp>,
        /// What others may take over, of a task that wants that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cached: Option<Box<CacheEntry>>,
    },
}

/// From the server to the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    Welcome(Box<Welcome>),
    /// The last frame of a link that is refused for good.
    Refused {
        reason: RefusedLink,
        message: String,
    },
    /// Start this. Sent again after a hello that did not name it.
    Start(Box<Start>),
    /// A verdict that the agent did not ask for.
    Order {
        execution: ExecutionId,
        verdict: Verdict,
    },
    /// All reports of that number are on disk. Executions that the server
    /// did not take them for are named with the verdict on them.
    Ack {
        number: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        verdicts: Vec<(ExecutionId, Verdict)>,
    },
    HeartbeatAck {
        number: u64,
        /// As in [`Welcome::storage`], when that has changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        storage: Option<SiteStorage>,
    },
    /// The server has output up to here and no further: send on from there.
    OutputFrom {
        execution: ExecutionId,
        have: OutputSizes,
    },
    /// The settings were changed.
    Settings {
        settings: WorkerSettings,
        wanted: WantedState,
        /// As in [`Welcome::lost_after_seconds`].
        lost_after_seconds: Option<u64>,
    },
    /// Hold an execution back so far from now on, in whatever phase it is. Sent
    /// again after each hello for those that are held back; the others go on.
    Suspend {
        execution: ExecutionId,
        suspension: Suspension,
    },
    /// Send a signal to the process group of a command that runs.
    Signal {
        execution: ExecutionId,
        signal: Signal,
    },
    /// The task was edited. The agent goes by the new specification if the
    /// command has not been started; reports say by which it went. Sent again
    /// after a hello that named an older revision.
    Edit(Box<Edit>),
    /// These orphans belong to this server from now on. The agent introduces
    /// itself again, with them.
    Adopt {
        executions: Vec<ExecutionId>,
    },
    /// End these orphans and forget them.
    Abandon {
        executions: Vec<ExecutionId>,
    },
    /// Take what is not needed off the disk.
    Clean {
        what: Clean,
    },
    /// Replace the agent's process by a new one, while its commands run on.
    Restart,
    /// What executions with this key have made, latest first.
    Cached {
        execution: ExecutionId,
        found: Vec<CacheHit>,
    },
    /// Send the outputs of an ended execution once more, whose files were kept.
    /// Sent again after a hello that did not name it.
    Resend(Box<Resend>),
}

/// Why a link is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedLink {
    /// The agent is too old. It keeps its tasks and waits to be replaced.
    UpgradeNeeded,
    /// Another live agent speaks for this worker.
    AlreadyConnected,
    /// The token does not speak for this worker.
    Forbidden,
    /// The hello cannot be understood.
    Invalid,
}

/// The server's answer to a hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub worker: WorkerId,
    /// A token bound to this worker, when the agent came with a join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub store: StoreId,
    pub epoch: Epoch,
    /// Whether the server knew the worker: then its settings count.
    pub known: bool,
    pub settings: WorkerSettings,
    pub wanted: WantedState,
    /// Silent for longer than this, the worker's executions are given to
    /// others. None: never. Seconds.
    pub lost_after_seconds: Option<u64>,
    /// One for each execution of [`Hello::held`].
    pub verdicts: Vec<(ExecutionId, Verdict)>,
    /// What the server has of the output of the held executions.
    pub output: Vec<(ExecutionId, OutputSizes)>,
    /// The site's storage, if the server has any to tell and nobody else hears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<SiteStorage>,
}

/// The text of a `storage.toml`. It is kept in memory alone, and no log shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteStorage(pub String);

impl fmt::Debug for SiteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteStorage")
    }
}

/// What shall become of an execution that an agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Keep,
    /// Another execution has taken over, or the outcome is recorded: kill the
    /// command if it runs, forget the execution, send nothing.
    Superseded,
    /// A person ended it: TERM, KILL after the grace, then report the end.
    Cancelled,
    /// A person ended it at once: KILL, then report the end.
    Killed,
    /// The end is recorded: forget the execution.
    Settled,
    /// Wanted back: if the command has not been started, forget it and report
    /// it finished with the class `refused`, else go on.
    GiveBack,
    /// This store does not know it: keep it, run on, show it as orphaned.
    Unknown,
}

/// An order to run something.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    pub execution: ExecutionId,
    pub task: TaskId,
    pub attempt: u32,
    #[serde(default)]
    pub revision: u32,
    /// A [`crate::domain::task::TaskSpec`], as the database has it.
    pub spec: Box<RawValue>,
}

/// A new specification of a task that the agent has.
#[derive(Debug, Serialize, Deserialize)]
pub struct Edit {
    pub execution: ExecutionId,
    pub revision: u32,
    /// A [`crate::domain::task::TaskSpec`], as the database has it.
    pub spec: Box<RawValue>,
}

/// An order to send what an execution has made, whose upload has failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Resend {
    pub start: Start,
    /// How the command ended, without the failure of its upload.
    pub outcome: Outcome,
    pub accepted_at: Timestamp,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    /// What the server has of its output, which is all of it.
    pub output: OutputSizes,
}

impl Start {
    /// The text frame of a [`Down::Start`], made of a spec that is JSON already:
    /// it is neither parsed nor copied on its way from the database to the agent.
    #[must_use]
    pub fn frame(
        execution: ExecutionId,
        task: TaskId,
        attempt: u32,
        revision: u32,
        spec: &str,
    ) -> String {
        format!(
            r#"{{"start":{{"execution":{execution},"task":{task},"attempt":{attempt},"revision":{revision},"spec":{spec}}}}}"#
        )
    }
}

impl Edit {
    /// The text frame of a [`Down::Edit`], as [`Start::frame`].
    #[must_use]
    pub fn frame(execution: ExecutionId, revision: u32, spec: &str) -> String {
        format!(r#"{{"edit":{{"execution":{execution},"revision":{revision},"spec":{spec}}}}}"#)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_first(revision: &u32) -> bool {
    *revision == 0
}

/// A piece of output: a binary frame of a 17-byte header (execution id, stream,
/// offset; big-endian) and the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk<B> {
    pub execution: ExecutionId,
    pub stream: Stream,
    pub offset: u64,
    pub bytes: B,
}

const CHUNK_HEADER: usize = 17;

impl<B: AsRef<[u8]>> OutputChunk<B> {
    /// The frame for this piece.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes = self.bytes.as_ref();
        let mut frame = Vec::with_capacity(CHUNK_HEADER + bytes.len());
        frame.extend_from_slice(&self.execution.0.to_be_bytes());
        frame.push(match self.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        });
        frame.extend_from_slice(&self.offset.to_be_bytes());
        frame.extend_from_slice(bytes);
        frame
    }
}

impl OutputChunk<bytes::Bytes> {
    /// The piece in this frame, or none if it is malformed.
    #[must_use]
    pub fn decode(frame: &bytes::Bytes) -> Option<Self> {
        let (execution, rest) = frame.split_first_chunk::<8>()?;
        let (stream, rest) = rest.split_first()?;
        let (offset, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            execution: ExecutionId(u64::from_be_bytes(*execution)),
            stream: match stream {
                1 => Stream::Stdout,
                2 => Stream::Stderr,
                _ => return None,
            },
            offset: u64::from_be_bytes(*offset),
            bytes: frame.slice(CHUNK_HEADER..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_what_it_was() {
        let chunk = OutputChunk {
            execution: ExecutionId(1 << 40),
            stream: Stream::Stderr,
            offset: 77,
            bytes: bytes::Bytes::from_static(b"hello\0\xff"),
        };
        assert_eq!(OutputChunk::decode(&chunk.encode().into()), Some(chunk));
        assert_eq!(OutputChunk::decode(&bytes::Bytes::from_static(b"short")), None);
    }

    #[test]
    fn a_start_comes_with_its_spec_untouched() {
        let spec = r#"{"command": "true"}"#;
        let frame = Start::frame(ExecutionId(3), TaskId(2), 1, 4, spec);
        let Ok(Down::Start(start)) = serde_json::from_str(&frame) else { panic!("{frame}") };
        assert_eq!((start.execution, start.task, start.attempt), (ExecutionId(3), TaskId(2), 1));
        assert_eq!(start.revision, 4);
        assert_eq!(start.spec.get(), spec);
    }

    #[test]
    fn reports_are_short_on_the_wire() {
        let report = Report {
            execution: ExecutionId(1),
            task: TaskId(2),
            revision: 0,
            at: Timestamp(0),
            event: ReportEvent::Started,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"execution":1,"task":2,"at":"1970-01-01T00:00:00.000000Z","event":"started"}"#
        );
    }
}
