//! Kind `ssh`: hosts that exist, and are reached as a person would reach them.
//!
//! Strict about keys in both directions: a host whose key is not known is not talked to,
//! and a password is never asked for.

mod claims;
mod connection;
mod hosts;
mod install;
mod known;
mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{
    ErrorClass, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, Provider, ProviderError,
};
use crate::clock::SystemClock;
use crate::domain::flavor::{Flavor, RegionName};
use crate::domain::{Clock, Monotonic};
use crate::server::hiring::settings::{SettingsError, Surroundings};

use claims::{Claim, Claims, Taken};
use connection::Connection;
use hosts::Host;
use install::{Installed, Programs};
use settings::SshSettings;

/// For how long a host that could not be used is not chosen.
const REST: Duration = Duration::from_mins(10);

/// Hosts of a site.
#[derive(Debug)]
pub struct SshProvider {
    settings: SshSettings,
    claims: Claims,
    /// The known hosts of each worker.
    keys: PathBuf,
    programs: Programs,
    /// Until when hosts rest that could not be used.
    resting: Mutex<BTreeMap<Host, Monotonic>>,
}

/// Makes one from its settings.
///
/// # Errors
/// What is wrong with them.
pub fn make(
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let settings = SshSettings::load(&surroundings, own)?;
    let Surroundings { name, folder, .. } = surroundings;
    let keys = folder.join("known_hosts");
    let unusable = |error: std::io::Error| {
        SettingsError::of(&name, format!("cannot use the folder `{}`: {error}", folder.display()))
    };
    let claims = Claims::open(folder.join("claims")).map_err(unusable)?;
    std::fs::create_dir_all(&keys).map_err(unusable)?;
    let programs = Programs::new(settings.programs.clone());
    Ok(Arc::new(SshProvider { settings, claims, keys, programs, resting: Mutex::default() }))
}

impl Provider for SshProvider {
    fn flavors(&self) -> BoxFuture<'_, Result<Vec<Flavor>, ProviderError>> {
        let flavors = self.settings.groups.iter().map(|group| group.flavor.clone()).collect();
        async move { Ok(flavors) }.boxed()
    }

    fn create<'a>(
        &'a self,
        order: &'a Order,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<MachineId, ProviderError>> {
        unless_cancelled(journal, self.choose(order, journal)).boxed()
    }

    fn deploy<'a>(
        &'a self,
        order: &'a Order,
        machine: &'a MachineId,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        unless_cancelled(journal, self.install(order, machine, journal)).boxed()
    }

    fn status<'a>(
        &'a self,
        hired: &'a Hired,
    ) -> BoxFuture<'a, Result<MachineStatus, ProviderError>> {
        self.look_after(hired).boxed()
    }

    fn destroy<'a>(
        &'a self,
        hired: &'a Hired,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        // Cancelled half-way it would leave what nobody looks after.
        self.remove(hired, journal).boxed()
    }

    fn list<'a>(&'a self, tag: &'a HeadTag) -> BoxFuture<'a, Result<Vec<Hired>, ProviderError>> {
        async move {
            let claims = self.claims.list().map_err(|error| unreadable(&error))?;
            let ours = claims.into_iter().filter(|claim| claim.tag == *tag.0);
            Ok(ours.map(hired_by).collect())
        }
        .boxed()
    }

    fn script(&self, order: &Order) -> Result<Option<String>, ProviderError> {
        Ok(Some(install::script(&self.settings, order, None)))
    }
}

impl SshProvider {
    /// Claims a host that is free and answers.
    async fn choose(
        &self,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<MachineId, ProviderError> {
        if let Some(claim) = self.claim_of(&order.worker, &order.tag)? {
            journal.line(&format!("host {} is claimed already", claim.host));
            return Ok(MachineId(claim.host));
        }
        let Some(hosts) = self.settings.hosts(&order.flavor, &order.region) else {
            let message = format!("there is no flavor `{}` in `{}`", order.flavor, order.region);
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        };
        let mut failures: Vec<ProviderError> = Vec::new();
        let mut resting = 0;
        for host in hosts {
            if self.rests(host) {
                resting += 1;
                continue;
            }
            let claim = Claim {
                host: host.to_string(),
                worker: order.worker.to_string(),
                tag: order.tag.to_string(),
                region: order.region.to_string(),
            };
            match self.claims.take(host, &claim).map_err(|error| unreadable(&error))? {
                Taken::InUse => continue,
                Taken::Yes => {}
            }
            match self.is_usable(host, order).await {
                Ok(()) => {
                    journal.line(&format!("host {host} answers, and is this worker's now"));
                    return Ok(MachineId(host.to_string()));
                }
                Err(error) => {
                    self.give_back(host, &order.worker)?;
                    self.let_rest(host);
                    journal.line(&format!("{error}; another host is tried"));
                    failures.push(error);
                }
            }
        }
        Err(none_left(order, hosts.len(), resting, &failures))
    }

    async fn is_usable(&self, host: &Host, order: &Order) -> Result<(), ProviderError> {
        let connection = self.connect(host, &order.worker).await?;
        let directory = self.directory(&order.worker);
        let found = Installed::look(&connection, &order.worker, &directory).await;
        connection.close().await;
        self.programs.fits(host, &found?, &directory).await
    }

    async fn install(
        &self,
        order: &Order,
        machine: &MachineId,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let host = host_of(machine)?;
        let connection = self.connect(&host, &order.worker).await?;
        let installed =
            install::install(&connection, &self.settings, &self.programs, order, journal).await;
        connection.close().await;
        installed.inspect_err(|error| {
            // The next try takes another one.
            if error.class == ErrorClass::Capacity {
                self.let_rest(&host);
            }
        })
    }

    async fn look_after(&self, hired: &Hired) -> Result<MachineStatus, ProviderError> {
        let Some(claim) = self.claim_of(&hired.worker, &hired.tag)? else {
            return Ok(MachineStatus::Gone);
        };
        let host = host_of(&MachineId(claim.host))?;
        let connection = self.connect(&host, &hired.worker).await?;
        let directory = self.directory(&hired.worker);
        let found = Installed::look(&connection, &hired.worker, &directory).await;
        connection.close().await;
        Ok(found?.status(&host, hired))
    }

    async fn remove(&self, hired: &Hired, journal: &dyn Journal) -> Result<(), ProviderError> {
        let Some(claim) = self.claim_of(&hired.worker, &hired.tag)? else {
            journal.line("no host is claimed for it");
            return Ok(());
        };
        let host = host_of(&MachineId(claim.host))?;
        // Without its key the host was never talked to: there is nothing on it.
        if self.keys_of(&hired.worker).exists() {
            let connection = self.connect(&host, &hired.worker).await?;
            let directory = self.directory(&hired.worker);
            let removed = install::remove(&connection, hired, &directory, journal).await;
            connection.close().await;
            removed?;
        }
        self.give_back(&host, &hired.worker)?;
        journal.line(&format!("host {host} is free again"));
        journal.progress(100);
        Ok(())
    }

    async fn connect(&self, host: &Host, worker: &str) -> Result<Connection, ProviderError> {
        let keys = self.keys_of(worker);
        known::pin(&self.settings.access, host, &keys).await?;
        Connection::open(&self.settings.access, self.settings.sudo, host, &keys).await
    }

    fn claim_of(&self, worker: &str, tag: &HeadTag) -> Result<Option<Claim>, ProviderError> {
        let claims = self.claims.list().map_err(|error| unreadable(&error))?;
        Ok(claims.into_iter().find(|claim| claim.worker == worker && claim.tag == *tag.0))
    }

    /// The key goes first: a claim without one means that nothing was done yet.
    fn give_back(&self, host: &Host, worker: &str) -> Result<(), ProviderError> {
        known::forget(&self.keys_of(worker)).map_err(|error| unreadable(&error))?;
        self.claims.release(host).map_err(|error| unreadable(&error))
    }

    fn keys_of(&self, worker: &str) -> PathBuf {
        self.keys.join(worker)
    }

    fn directory(&self, worker: &str) -> String {
        format!("{}/{worker}", self.settings.directory)
    }

    fn rests(&self, host: &Host) -> bool {
        let now = SystemClock.now().monotonic;
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(host).is_some_and(|until| *until > now)
    }

    fn let_rest(&self, host: &Host) {
        let until = SystemClock.now().monotonic.after(REST);
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), until);
    }
}

fn hired_by(claim: Claim) -> Hired {
    Hired {
        worker: claim.worker.into(),
        tag: HeadTag(claim.tag.into()),
        region: RegionName::new(claim.region),
        machine: Some(MachineId(claim.host)),
    }
}

fn host_of(machine: &MachineId) -> Result<Host, ProviderError> {
    machine.0.parse().map_err(|reason: String| ProviderError::new(ErrorClass::Unsupported, reason))
}

/// Why no host was found. Where only one thing stands in the way, that is the answer.
fn none_left(
    order: &Order,
    all: usize,
    resting: usize,
    failures: &[ProviderError],
) -> ProviderError {
    if all == 1
        && let Some(only) = failures.first()
    {
        return only.clone();
    }
    let in_use = all - resting - failures.len();
    let mut message = format!(
        "none of the {all} hosts of `{}` can be had: {in_use} are in use, {} could not be used just \
         now, {resting} not some minutes ago",
        order.flavor,
        failures.len(),
    );
    for failure in failures {
        message = format!("{message}; {failure}");
    }
    ProviderError::new(ErrorClass::Capacity, message)
}

fn unreadable(error: &std::io::Error) -> ProviderError {
    let message = format!("cannot keep on the head which host is whose: {error}");
    ProviderError::new(ErrorClass::Transient, message)
}

async fn unless_cancelled<T>(
    journal: &dyn Journal,
    work: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::select! {
        done = work => done,
        () = journal.cancelled() => Err(ProviderError::cancelled()),
    }
}
