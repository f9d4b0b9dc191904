//! The kinds of machines that Azure has for a subscription.

use std::collections::HashMap;

use serde::Deserialize;

use super::gpu;
use super::session::Api;
use super::settings::Priority;
use super::source::Azure;
use crate::domain::flavor::{Flavor, RegionName};
use crate::server::hiring::provider::wire::escaped;
use crate::server::hiring::provider::{ErrorClass, ProviderError};

/// The system disk has so many GiB at least.
const SMALLEST_DISK: f64 = 30.0;

/// A kind of machine in Azure's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sku {
    resource_type: String,
    name: String,
    #[serde(default)]
    capabilities: Vec<Capability>,
    #[serde(default)]
    restrictions: Vec<Restriction>,
}

#[derive(Debug, Deserialize)]
struct Capability {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Restriction {
    #[serde(rename = "type")]
    kind: String,
}

impl Azure {
    pub(super) async fn all_flavors(&self) -> Result<Vec<Flavor>, ProviderError> {
        let mut all = Vec::new();
        for region in &self.regions {
            let skus = self.skus_in(region).await?;
            let prices = self.prices_in(region).await?;
            let evictions = match self.wanted.priority {
                Priority::Spot => self.known_evictions(region).await?,
                Priority::Regular => HashMap::new(),
            };
            for sku in skus {
                let Some(mut flavor) = self.flavor_of(&sku, region) else { continue };
                if let Some(price) = prices.get(&sku.name) {
                    flavor.cost = Some(*price);
                    flavor.currency.clone_from(&self.wanted.currency);
                }
                flavor.eviction = match self.wanted.priority {
                    Priority::Spot => evictions.get(&sku.name.to_lowercase()).copied(),
                    Priority::Regular => Some(0.0),
                };
                all.push(flavor);
            }
        }
        Ok(all)
    }

    /// A principal that may make machines may still not ask for the rates.
    async fn known_evictions(
        &self,
        region: &RegionName,
    ) -> Result<HashMap<String, f64>, ProviderError> {
        match self.evictions_in(region).await {
            Err(error) if error.class == ErrorClass::Authentication => {
                tracing::warn!(provider = %self.name, %error, "rates of eviction are not known");
                Ok(HashMap::new())
            }
            other => other,
        }
    }

    async fn skus_in(&self, region: &RegionName) -> Result<Vec<Sku>, ProviderError> {
        let path = self.session.path("/providers/Microsoft.Compute/skus")?;
        let query = format!("&$filter={}", escaped(&format!("location eq '{region}'")));
        let items = self.session.pages(Api::Skus, &path, &query).await?;
        let skus: Vec<Sku> = items
            .into_iter()
            .filter(|item| item["resourceType"] == "virtualMachines")
            .map(serde_json::from_value)
            .collect::<Result<_, _>>()
            .map_err(|error| {
                let message = format!("a flavor of the region `{region}` cannot be read: {error}");
                ProviderError::new(ErrorClass::Unsupported, message)
            })?;
        if skus.is_empty() {
            let message =
                format!("Azure has no machines in the region `{region}`: is it misspelled?");
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        }
        Ok(skus)
    }

    /// None: not for this subscription, or not for our images and disks.
    fn flavor_of(&self, sku: &Sku, region: &RegionName) -> Option<Flavor> {
        let is_closed = sku.restrictions.iter().any(|restriction| restriction.kind == "Location");
        let is_spot = self.wanted.priority == Priority::Spot;
        let is_fit = sku.resource_type == "virtualMachines"
            && sku.text("CpuArchitectureType").is_none_or(|kind| kind == "x64")
            && sku.text("PremiumIO") == Some("True")
            && sku.text("HyperVGenerations").is_none_or(|kinds| kinds.contains("V2"))
            && (!is_spot || sku.text("LowPriorityCapable") == Some("True"));
        if is_closed || !is_fit {
            return None;
        }
        let cores = sku.number("vCPUsAvailable").or_else(|| sku.number("vCPUs"))?;
        let mut flavor = Flavor::new(sku.name.as_str(), &self.name, region, whole(cores));
        flavor.ram = sku.number("MemoryGB");
        let temporary = sku.number("MaxResourceVolumeMB").unwrap_or(0.0) / 1024.0;
        let nvme = sku.number("NvmeDiskSizeInMiB").unwrap_or(0.0) / 1024.0;
        let system = self.wanted.system_disk.map_or(SMALLEST_DISK, f64::from);
        flavor.disk = Some(system.max(temporary).max(nvme));
        let count = sku.number("GPUs").unwrap_or(0.0);
        if count > 0.0 {
            flavor.tags.push('G');
            let known = gpu::of_flavor(&sku.name);
            flavor.gpu_memory = known.as_ref().map(|gpu| gpu::memory_of(gpu, whole(cores), count));
            flavor.gpu = Some(known.map_or("GPU", |gpu| gpu.model).to_owned());
        }
        if nvme > 0.0 {
            flavor.tags.push('N');
        }
        Some(flavor)
    }
}

impl Sku {
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.capabilities.iter().find(|capability| capability.name == name);
        found.map(|capability| capability.value.as_str())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of cores, which is held between the bounds"
)]
const fn whole(cores: f64) -> u32 {
    cores.clamp(0.0, 1e6) as u32
}
