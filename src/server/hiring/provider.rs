//! What a source of machines can do, and the words in which it is asked.
//!
//! A server may be killed at any moment, so each call may come again: what is done
//! already is skipped. All that a provider makes carries the tag of its head and the
//! name of the worker, and is found again by both.

pub mod azure;
pub mod command;
pub mod local;
pub mod openstack;
pub mod provision;
pub mod slurm;
pub mod ssh;
mod user_data;
mod wire;
mod words;

#[cfg(test)]
mod testing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::domain::flavor::{Flavor, FlavorName, RegionName};
use crate::domain::worker::WorkerSettings;

/// A source of machines.
///
/// A call whose job was cancelled ends soon with [`ErrorClass::Cancelled`], leaving
/// what it has made: `destroy` follows. One that does not end is dropped after half a
/// minute.
pub trait Provider: Send + Sync + fmt::Debug {
    /// What can be hired, in all regions that the site has set.
    ///
    /// # Errors
    /// Classed, as all here.
    fn flavors(&self) -> BoxFuture<'_, Result<Vec<Flavor>, ProviderError>>;

    /// Makes a machine, and waits until it is one. Where a machine of this tag and
    /// worker is there already, that one is the answer.
    ///
    /// # Errors
    /// What was made by then stays until `destroy` is called.
    fn create<'a>(
        &'a self,
        order: &'a Order,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<MachineId, ProviderError>>;

    /// Brings the agent onto a machine, where `create` has not done so. It may end
    /// before the agent has called the head.
    ///
    /// # Errors
    /// The machine stays.
    fn deploy<'a>(
        &'a self,
        order: &'a Order,
        machine: &'a MachineId,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// How a machine is.
    ///
    /// # Errors
    /// Only where the provider cannot be asked: one that is not there is
    /// [`MachineStatus::Gone`].
    fn status<'a>(
        &'a self,
        hired: &'a Hired,
    ) -> BoxFuture<'a, Result<MachineStatus, ProviderError>>;

    /// Ends a machine with all that was made for it, and waits until it is gone. One
    /// that is gone already is a success. Of one whose id is not known, what there is
    /// of it is found by tag, worker and region.
    ///
    /// # Errors
    /// It may still be there, and may still cost.
    fn destroy<'a>(
        &'a self,
        hired: &'a Hired,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// All that carry this tag, half made ones too.
    ///
    /// # Errors
    /// A list that is not whole is an error.
    fn list<'a>(&'a self, tag: &'a HeadTag) -> BoxFuture<'a, Result<Vec<Hired>, ProviderError>>;

    /// The script that turns a fresh machine into a worker, for people to read and to
    /// run by hand; none where machines need no preparation.
    ///
    /// # Errors
    /// A template of the site's own that has an error, with its place.
    fn script(&self, order: &Order) -> Result<Option<String>, ProviderError> {
        let _ = order;
        Ok(None)
    }
}

/// What a provider calls one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub String);

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What marks the machines of one head: the id of its store. Letters, digits and `-`,
/// so that it can stand in a label, a comment or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeadTag(pub Arc<str>);

impl HeadTag {
    /// The label under which machines carry it.
    pub const LABEL: &'static str = "scitq-head";
    /// The label under which they carry the name of their worker.
    pub const WORKER_LABEL: &'static str = "scitq-worker";
}

impl fmt::Display for HeadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which machine is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hired {
    /// `<head>-node<i>`: letters, digits and `-`, at most 63 of them.
    pub worker: Arc<str>,
    pub tag: HeadTag,
    pub region: RegionName,
    /// None: the server was killed before it heard the answer of its provider.
    pub machine: Option<MachineId>,
}

/// A machine that is to be made, and the agent that is to work on it.
#[derive(Debug, Clone)]
pub struct Order {
    /// The name under which the agent registers, and the machine's host name.
    pub worker: Arc<str>,
    pub tag: HeadTag,
    pub flavor: FlavorName,
    pub region: RegionName,
    pub agent: AgentOrder,
}

/// What an agent on a hired machine is started with.
#[derive(Debug, Clone)]
pub struct AgentOrder {
    /// Where workers reach the head: `https://head:5000`. Its binary comes from
    /// `/api/v2/agent-binary` there.
    pub server: String,
    /// Lets it fetch its binary and join once. Drawn anew for each try, and for a
    /// limited time: never keep it.
    pub token: Secret,
    /// The certificate by which the head is known, where that is not a public one.
    pub fingerprint: Option<String>,
    pub settings: WorkerSettings,
    /// Name of the provider, which the agent tells with its machine.
    pub provider: Arc<str>,
}

/// Text that no log, no error and no reply shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a machine is, as its provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineStatus {
    Building,
    Running {
        addresses: Vec<String>,
    },
    /// Taken away by its provider, or about to be.
    Evicted,
    Failed(String),
    Gone,
}

/// Where a call tells how far it is. Lines must not have secrets in them.
pub trait Journal: Send + Sync {
    /// How much is done, percent.
    fn progress(&self, percent: u8);
    fn line(&self, text: &str);
    /// Whether the job was cancelled: then the call ends.
    fn is_cancelled(&self) -> bool;
    /// Waits until the job is cancelled; for `tokio::select`.
    fn cancelled(&self) -> BoxFuture<'_, ()>;
}

/// A journal that nobody reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence;

impl Journal for Silence {
    fn progress(&self, _: u8) {}

    fn line(&self, text: &str) {
        tracing::info!("{text}");
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// What kind of failure it is, and so what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Credentials are missing, wrong or expired: not tried again.
    Authentication,
    /// The site may have no more there: that flavor rests in that region.
    Quota,
    /// The provider has none left: likewise.
    Capacity,
    /// It can never be: not tried again.
    Unsupported,
    /// It may be better the next time: tried again with growing waits.
    Transient,
    /// The job was cancelled.
    Cancelled,
}

/// What a provider could not do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ProviderError {
    pub class: ErrorClass,
    /// What, where and what to do; without secrets.
    pub message: String,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }

    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(ErrorClass::Cancelled, "cancelled")
    }
}
