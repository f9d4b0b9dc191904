//! The supervisor: the process that is the parent of all commands of a worker,
//! so that they outlive the agent.
//!
//! An agent is restarted, replaced and killed; its commands run for days. So
//! they are children of a small process of their own, one for each work
//! directory, that does nothing else: it starts commands, waits for them,
//! writes down how they ended, and tells the agent of the moment.
//!
//! - [`run`] is that process. It has two threads: one serves the agent's
//!   socket ([`protocol`] is what they speak), one waits for children.
//! - [`SupervisorClient`] is the agent's side, which starts a supervisor where
//!   there is none.
//!
//! | in the work directory | what it is |
//! |---|---|
//! | `supervisor.sock` | the socket, for its owner only |
//! | `journal/supervisor.lock` | locked by the one supervisor that lives |
//! | `journal/supervisor.jsonl` | what was started, how it ended |
//! | `journal/supervisor.log` | messages for people |
//!
//! **A command** is the leader of a process group, with a file or nothing as
//! standard input and files as outputs. Signals go to the whole group. When the command's own
//! process has ended, what it left in its group is killed; a process that made
//! a session or group of its own (a daemon) is left alone.
//!
//! **Every end is told at least once**: it stays in the journal until the agent
//! says that it has it on its own disk. When a supervisor was killed, the next
//! one kills what is left of its commands and tells them as
//! [`Exit::Lost`].
//!
//! **A control group** may be named with the start: the command is in it from its
//! first moment on ([`mod@enter`]). Its limits and figures are the agent's business.
//!
//! What the kernel counts as a command's use of resources has that of its
//! descendants in it that were waited for, and as peak memory that of the
//! largest single process, 5 MB or so at the least: a process begins as a copy
//! of the supervisor.
//!
//! **It leaves by itself** when there are neither commands nor an agent: at
//! once when the agent said goodbye, else after ten seconds.

mod client;
mod connection;
mod enter;
mod journal;
mod launch;
mod paths;
pub mod protocol;
mod reaper;
mod recovery;
mod requests;
mod server;
mod spawn;
mod state;
mod talk;
#[cfg(test)]
mod tests;

pub use client::{
    SignalError, SpawnError, Spawned, SupervisorClient, SupervisorClientError, SupervisorEvent,
    connect_or_start,
};
pub use enter::{ENTER_SUBCOMMAND, EnterError, Entry, enter};
pub use protocol::{EndRecord, Exit, KnownExecution, SignalRefusal, SpawnRefusal, SpawnRequest};
pub use server::{SupervisorError, run};

/// The line on standard output by which a new supervisor tells that it listens.
const READY: &str = "scitq supervisor ready";

/// The line by which it tells that another one has its place.
const BUSY: &str = "scitq supervisor busy";

/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The hidden subcommand of `scitq` that runs a supervisor; it takes
/// `--workdir DIR`.
pub const SUBCOMMAND: &str = "supervise";
