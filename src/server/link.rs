//! The server's end of an agent's link, without its socket: what a hello, a
//! heartbeat and a report mean to the engine, and what its orders look like.
//! `http` carries it over a WebSocket.

use std::collections::HashMap;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::api::link::{
    Down, Edit, Heartbeat, Hello, PROTOCOL, RefusedLink, Report, ReportEvent, Start, Up, Verdict,
    Welcome,
};
use crate::domain::execution::OutputSizes;
use crate::domain::{Epoch, ExecutionId, StoreId, WorkerId};

use super::engine::Refusal;
use super::engine::command::{Command, Connect, Connected, Pulse, Received, Reply};
use super::engine::service::{Engine, LinkMessage};
use super::engine::state::LinkId;

/// Longest worker name, bytes.
pub const MAX_NAME: usize = 255;

/// What is said down once something is on disk.
pub type Answer = Pin<Box<dyn Future<Output = Result<Down, Refusal>> + Send>>;

/// Why a link ended before it was welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWelcome {
    pub reason: RefusedLink,
    pub message: String,
}

/// What is said over one welcome link, as commands to the engine.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub engine: Engine,
    /// In whose name the agent speaks.
    pub actor: Arc<str>,
    pub worker: WorkerId,
    pub link: LinkId,
}

/// Output that was told complete is not all here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputMissing(pub ExecutionId);

/// Reads the first frame of a link.
///
/// # Errors
/// It is no hello that this server can take.
pub fn read_hello(text: &str) -> Result<Hello, NotWelcome> {
    let refuse = |reason: RefusedLink, message: String| Err(NotWelcome { reason, message });
    let hello = match serde_json::from_str(text) {
        Ok(Up::Hello(hello)) => *hello,
        Ok(_) => return refuse(RefusedLink::Invalid, "the first frame is no hello".to_owned()),
        Err(error) => {
            let message = format!("the hello cannot be understood: {error}");
            return refuse(RefusedLink::Invalid, message);
        }
    };
    if hello.protocol != PROTOCOL {
        let message =
            format!("the agent speaks protocol {}, this server {PROTOCOL}", hello.protocol);
        let too_old = hello.protocol < PROTOCOL;
        let reason = if too_old { RefusedLink::UpgradeNeeded } else { RefusedLink::Invalid };
        return refuse(reason, message);
    }
    let length = hello.name.len();
    if length == 0 || length > MAX_NAME || hello.name.chars().any(char::is_control) {
        let message =
            format!("a worker's name is 1 to {MAX_NAME} bytes without control characters");
        return refuse(RefusedLink::Invalid, message);
    }
    Ok(hello)
}

/// The hello of a link as the engine takes it.
#[must_use]
pub fn connect(
    hello: Hello,
    link: LinkId,
    bound_to: Option<WorkerId>,
    new_token: Option<[u8; 32]>,
) -> Connect {
    Connect {
        link,
        bound_to,
        new_token,
        name: hello.name.into(),
        machine: hello.machine,
        version: hello.version,
        instance: hello.instance,
        settings: hello.settings,
        store: hello.store,
        held: hello.held,
        draining: hello.draining,
        orphans: hello.orphans,
    }
}

/// What an agent is told whose hello was refused. None: nothing, it shall come
/// back.
#[must_use]
pub fn on_refusal(refusal: &Refusal) -> Option<NotWelcome> {
    let reason = match refusal {
        Refusal::Unavailable(_) | Refusal::NoRoom(_) => return None,
        Refusal::AlreadyConnected(_) => RefusedLink::AlreadyConnected,
        _ => RefusedLink::Forbidden,
    };
    Some(NotWelcome { reason, message: refusal.to_string() })
}

/// The executions of a hello whose output this server still wants.
#[must_use]
pub fn still_wanted(connected: &Connected) -> Vec<ExecutionId> {
    let is_wanted = |verdict: Verdict| {
        matches!(verdict, Verdict::Keep | Verdict::Cancelled | Verdict::Killed | Verdict::GiveBack)
    };
    let verdicts = connected.verdicts.iter();
    verdicts.filter(|(_, verdict)| is_wanted(*verdict)).map(|(id, _)| *id).collect()
}

/// The answer to a hello. `output`: what this server has of what the agent holds.
#[must_use]
pub fn welcome(
    connected: Connected,
    token: Option<String>,
    (store, epoch): (StoreId, Epoch),
    output: Vec<(ExecutionId, OutputSizes)>,
) -> Welcome {
    Welcome {
        worker: connected.worker,
        token,
        store,
        epoch,
        known: connected.known,
        settings: connected.settings,
        wanted: connected.wanted,
        lost_after_seconds: connected.lost_after.map(|lost_after| lost_after.as_secs()),
        verdicts: connected.verdicts,
        output,
        storage: None,
    }
}

/// The frame of an order. None: the link ends here.
pub fn order_frame(order: LinkMessage) -> Option<serde_json::Result<String>> {
    let down = match order {
        LinkMessage::Start { execution, task, attempt, revision, spec } => {
            return Some(Ok(Start::frame(execution, task, attempt, revision, &spec)));
        }
        LinkMessage::Edit { execution, revision, spec } => {
            return Some(Ok(Edit::frame(execution, revision, &spec)));
        }
        LinkMessage::Close => return None,
        LinkMessage::Order { execution, verdict } => Down::Order { execution, verdict },
        LinkMessage::Settings { settings, wanted, lost_after_seconds } => {
            Down::Settings { settings, wanted, lost_after_seconds }
        }
        LinkMessage::Suspend { execution, suspension } => Down::Suspend { execution, suspension },
        LinkMessage::Signal { execution, signal } => Down::Signal { execution, signal },
        LinkMessage::Adopt { executions } => Down::Adopt { executions },
        LinkMessage::Abandon { executions } => Down::Abandon { executions },
        LinkMessage::Clean { what } => Down::Clean { what },
        LinkMessage::Resend(order) => match RawValue::from_string(order.spec.to_string()) {
            Ok(spec) => Down::Resend(Box::new(order.resend(spec))),
            Err(error) => return Some(Err(error)),
        },
        LinkMessage::Restart => Down::Restart,
    };
    Some(serde_json::to_string(&down))
}

/// The executions that reports say have ended: their output has to be safe on
/// the disk before the reports go on, since an end that is recorded promises
/// complete output.
#[must_use]
pub fn ended(reports: &[Report]) -> Vec<ExecutionId> {
    let is_end = |report: &&Report| matches!(report.event, ReportEvent::Finished { .. });
    reports.iter().filter(is_end).map(|report| report.execution).collect()
}

/// Joins reports with the output that is safe here.
///
/// # Errors
/// Some of the output of an execution of this agent is missing. Cut off, the
/// agent says hello and learns from where to send.
pub fn receive(
    reports: Vec<Report>,
    safe: &HashMap<ExecutionId, OutputSizes, impl BuildHasher>,
    is_mine: impl Fn(ExecutionId) -> bool,
) -> Result<Vec<Received>, OutputMissing> {
    let mut received = Vec::with_capacity(reports.len());
    for report in reports {
        let mut output = OutputSizes::default();
        if let ReportEvent::Finished { output: sent, .. } = &report.event {
            let id = report.execution;
            output = safe.get(&id).copied().unwrap_or_default();
            let lacks = output.stdout < sent.stdout || output.stderr < sent.stderr;
            if lacks && is_mine(id) {
                return Err(OutputMissing(id));
            }
        }
        received.push(Received { report, output });
    }
    Ok(received)
}

impl Conversation {
    pub fn on_heartbeat(&self, heartbeat: Heartbeat) -> Answer {
        let Heartbeat { number, stats, phases, pulls, draining, lease_seconds, orphans, transfers } =
            heartbeat;
        let lease = lease_seconds.map(Duration::from_secs);
        let pulse = Pulse { stats, phases, pulls, draining, lease, orphans, transfers };
        let (worker, link) = (self.worker, self.link);
        let reply = self.engine.submit(&self.actor, Command::Heartbeat { worker, link, pulse });
        Box::pin(async move { reply.await.map(|_| Down::HeartbeatAck { number, storage: None }) })
    }

    /// Nothing is answered: the agent says it again after its next hello.
    pub fn on_evicted(&self, reason: String) {
        let (worker, link) = (self.worker, Some(self.link));
        let command = Command::EvictWorker { worker, link, reason };
        drop(self.engine.submit(&self.actor, command));
    }

    pub fn on_reports(&self, number: u64, reports: Vec<Received>) -> Answer {
        let (worker, link) = (self.worker, self.link);
        let reply = self.engine.submit(&self.actor, Command::Report { worker, link, reports });
        Box::pin(async move {
            let verdicts = match reply.await? {
                Reply::Reported(verdicts) => verdicts,
                _ => Vec::new(),
            };
            Ok(Down::Ack { number, verdicts })
        })
    }
}
