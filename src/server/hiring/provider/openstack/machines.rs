//! Making, watching and ending machines with Nova.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{MadeBody, Server, ServerBody};
use super::error::{of_fault, of_reply};
use super::session::Call;
use super::source::OpenStack;
use crate::domain::flavor::RegionName;
use crate::server::hiring::provider::wire::{escaped, go_on, pause};
use crate::server::hiring::provider::{
    ErrorClass, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, ProviderError,
};

/// What Nova takes as user data, encoded.
const MOST_USER_DATA: usize = 65_535;

/// Where the cloud asks for more patience between two looks, this counts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After so many looks a machine that does not go is deleted by force.
const PATIENT_LOOKS: u32 = 15;

impl OpenStack {
    /// Makes a machine, or finds again the one that was being made.
    pub(super) async fn make(
        &self,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<MachineId, ProviderError> {
        let region = &order.region;
        go_on(journal)?;
        let id = match self.find_again(order, journal).await? {
            Some(id) => id,
            None => self.order_new(order, journal).await?,
        };
        self.await_running(region, &id, journal).await?;
        Ok(MachineId(id))
    }

    pub(super) async fn status_of(&self, hired: &Hired) -> Result<MachineStatus, ProviderError> {
        let server = match &hired.machine {
            Some(MachineId(id)) => self.server(&hired.region, id).await?,
            None => self.servers_of(&hired.region, &hired.tag, &hired.worker).await?.pop(),
        };
        Ok(match server {
            None => MachineStatus::Gone,
            Some(server) if server.is_deleted() => MachineStatus::Gone,
            Some(server) => match server.status.as_str() {
                "BUILD" | "REBUILD" => MachineStatus::Building,
                "ERROR" => MachineStatus::Failed(server.fault_message().to_owned()),
                "SHUTOFF" | "SHELVED" | "SHELVED_OFFLOADED" => {
                    MachineStatus::Failed(format!("it is {}", server.status))
                }
                _ => MachineStatus::Running { addresses: server.all_addresses() },
            },
        })
    }

    /// Ends all machines of a worker, and waits until they are gone.
    pub(super) async fn end(
        &self,
        hired: &Hired,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let found = self.servers_of(&hired.region, &hired.tag, &hired.worker).await?;
        let mut ids: Vec<String> = found.into_iter().map(|server| server.id).collect();
        if let Some(MachineId(id)) = &hired.machine
            && !ids.contains(id)
        {
            ids.push(id.clone());
        }
        for (position, id) in ids.iter().enumerate() {
            self.end_one(&hired.region, id, journal).await?;
            let done = (position + 1) * 100 / ids.len();
            journal.progress(u8::try_from(done).unwrap_or(100));
        }
        Ok(())
    }

    /// All machines with the tag of this head, in all regions.
    pub(super) async fn all_of(&self, tag: &HeadTag) -> Result<Vec<Hired>, ProviderError> {
        let mut all = Vec::new();
        for region in self.all_regions().await? {
            for server in self.servers(&region, "/servers/detail").await? {
                if !server.carries(HeadTag::LABEL, &tag.0) || server.is_deleted() {
                    continue;
                }
                let worker = server.metadata.get(HeadTag::WORKER_LABEL).unwrap_or(&server.name);
                all.push(Hired {
                    worker: worker.as_str().into(),
                    tag: tag.clone(),
                    region: region.clone(),
                    machine: Some(MachineId(server.id)),
                });
            }
        }
        Ok(all)
    }

    /// A machine that an earlier try has made. What is left of others of them goes.
    async fn find_again(
        &self,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<Option<String>, ProviderError> {
        let mut kept = None;
        for server in self.servers_of(&order.region, &order.tag, &order.worker).await? {
            if kept.is_none() && server.is_usable() {
                journal.line(&format!("found again: machine {} ({})", server.id, server.status));
                kept = Some(server.id);
            } else {
                journal.line(&format!("left over: machine {} ({})", server.id, server.status));
                self.end_one(&order.region, &server.id, journal).await?;
            }
        }
        Ok(kept)
    }

    async fn order_new(
        &self,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<String, ProviderError> {
        let body = self.new_server(order, journal).await?;
        go_on(journal)?;
        journal.progress(20);
        match self.session.ask(&Call::post(&order.region, "/servers", body)).await {
            Ok(reply) => {
                let made: MadeBody = reply.read()?;
                journal.line(&format!("machine {} is being made", made.server.id));
                Ok(made.server.id)
            }
            // The answer may have been lost after the machine was made.
            Err(error) if error.class == ErrorClass::Transient => {
                journal.line(&format!("{error}; looking whether the machine is there"));
                let found = self.find_again(order, journal).await?;
                found.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn new_server(
        &self,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<Value, ProviderError> {
        let region = &order.region;
        let script = STANDARD.encode(self.user_data.render(order)?);
        if script.len() > MOST_USER_DATA {
            let message = format!(
                "the user data have {} bytes when encoded, and a cloud takes {MOST_USER_DATA}",
                script.len()
            );
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        }
        let flavor = self.flavor_named(region, order.flavor.as_str()).await?;
        let usual = self.settings.image.as_deref().unwrap_or_default();
        let image = match &self.settings.gpu_image {
            Some(image) if flavor.gpu().is_some() => image,
            _ => usual,
        };
        let image_id = self.image_id(region, image).await?;
        journal.progress(10);
        let network = self.network_id(region).await?;
        self.ensure_key(region).await?;
        journal.line(&format!(
            "ordering a {} with the image {image} in {region}",
            order.flavor.as_str()
        ));
        let mut server = json!({
            "name": &*order.worker,
            "flavorRef": flavor.id,
            "imageRef": image_id,
            "networks": [{"uuid": network}],
            "user_data": script,
            "metadata": {
                (HeadTag::LABEL): &*order.tag.0,
                (HeadTag::WORKER_LABEL): &*order.worker,
            },
        });
        if let Some(key) = &self.settings.key {
            server["key_name"] = key.as_str().into();
        }
        if let Some(zone) = &self.settings.availability_zone {
            server["availability_zone"] = zone.as_str().into();
        }
        if !self.settings.security_groups.is_empty() {
            let groups = self.settings.security_groups.iter().map(|name| json!({"name": name}));
            server["security_groups"] = groups.collect();
        }
        Ok(json!({"server": server}))
    }

    async fn await_running(
        &self,
        region: &RegionName,
        id: &str,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let begun = Instant::now();
        let mut percent = 30;
        loop {
            let is_late = begun.elapsed() > self.pace.build;
            let found = match self.server(region, id).await {
                // Not to be able to look ends nothing.
                Err(error) if error.class == ErrorClass::Transient && !is_late => {
                    journal.line(&error.message);
                    let wait = error.retry_after.unwrap_or(self.pace.poll);
                    pause(journal, wait.min(LONGEST_PAUSE)).await?;
                    continue;
                }
                other => other?,
            };
            let Some(server) = found else {
                let message = format!("machine `{id}` has vanished while it was made");
                return Err(ProviderError::new(ErrorClass::Transient, message));
            };
            match server.status.as_str() {
                "ACTIVE" => {
                    let addresses = server.all_addresses().join(", ");
                    journal.line(&format!("the machine runs: {addresses}"));
                    journal.progress(100);
                    return Ok(());
                }
                "ERROR" => return Err(of_fault(&server.name, server.fault_message())),
                _ if is_late => {
                    let message = format!(
                        "machine `{id}` is still {} after {} s",
                        server.status,
                        begun.elapsed().as_secs()
                    );
                    return Err(ProviderError::new(ErrorClass::Transient, message));
                }
                _ => {}
            }
            journal.progress(percent);
            percent = (percent + 3).min(90);
            pause(journal, self.pace.poll).await?;
        }
    }

    /// Deletes a machine, in the end by force, and waits until it is gone.
    async fn end_one(
        &self,
        region: &RegionName,
        id: &str,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let begun = Instant::now();
        let path = format!("/servers/{}", escaped(id));
        for look in 0_u32.. {
            if look % PATIENT_LOOKS == 0 {
                let reply = self.session.send(&Call::delete(region, &path)).await?;
                match reply.status {
                    StatusCode::NOT_FOUND => break,
                    status if status.is_success() => {
                        journal.line(&format!("machine {id} is being deleted"));
                    }
                    // It is busy with something else, and asked again later.
                    StatusCode::CONFLICT => journal.line(&of_reply(&reply).message),
                    _ => return Err(of_reply(&reply)),
                }
            }
            let Some(server) = self.server(region, id).await? else {
                break;
            };
            let is_kept = server.is_deleted();
            if is_kept || (look > 0 && look % PATIENT_LOOKS == 0) {
                self.force(region, id, journal).await?;
            }
            if is_kept {
                // The cloud keeps it for a while, in case that somebody regrets it.
                break;
            }
            if begun.elapsed() > self.pace.delete {
                let message = format!(
                    "machine `{id}` is still there {} s after it was deleted ({}), and may still cost",
                    begun.elapsed().as_secs(),
                    server.status
                );
                return Err(ProviderError::new(ErrorClass::Transient, message));
            }
            pause(journal, self.pace.poll).await?;
        }
        journal.line(&format!("machine {id} is gone"));
        Ok(())
    }

    /// Many clouds keep this for their administrators: a refusal changes nothing.
    async fn force(
        &self,
        region: &RegionName,
        id: &str,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let path = format!("/servers/{}/action", escaped(id));
        let call = Call::post(region, &path, json!({"forceDelete": null}));
        let reply = self.session.send(&call).await?;
        let outcome = if reply.status.is_success() { "taken" } else { "refused" };
        journal.line(&format!("machine {id} does not go: deletion by force {outcome}"));
        Ok(())
    }

    async fn server(&self, region: &RegionName, id: &str) -> Result<Option<Server>, ProviderError> {
        let path = format!("/servers/{}", escaped(id));
        let reply = self.session.send(&Call::get(region, &path)).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !reply.status.is_success() {
            return Err(of_reply(&reply));
        }
        Ok(Some(reply.read::<ServerBody>()?.server))
    }

    /// The machines of one worker, the oldest first.
    async fn servers_of(
        &self,
        region: &RegionName,
        tag: &HeadTag,
        worker: &str,
    ) -> Result<Vec<Server>, ProviderError> {
        // The name is a pattern there, and ours have nothing in them that is special in one.
        let path = format!("/servers/detail?name={}", escaped(&format!("^{worker}$")));
        let mut found = self.servers(region, &path).await?;
        found.retain(|server| {
            server.carries(HeadTag::LABEL, &tag.0)
                && server.carries(HeadTag::WORKER_LABEL, worker)
                && !server.is_deleted()
        });
        found.sort_by(|one, other| one.created.cmp(&other.created));
        Ok(found)
    }

    async fn servers(&self, region: &RegionName, path: &str) -> Result<Vec<Server>, ProviderError> {
        let items = self.session.pages(region, path, "servers", None).await?;
        let servers = items.into_iter().map(serde_json::from_value);
        servers.collect::<Result<_, _>>().map_err(|error| {
            let message = format!("a machine of the region `{region}` cannot be read: {error}");
            ProviderError::new(ErrorClass::Unsupported, message)
        })
    }
}

impl Server {
    fn carries(&self, label: &str, value: &str) -> bool {
        self.metadata.get(label).is_some_and(|found| found == value)
    }
}
