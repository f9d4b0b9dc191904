//! What providers offer, as they last told it, and what the site has added.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::hiring::ImportedFlavor;
use crate::domain::Timestamp;
use crate::domain::flavor::{Flavor, ProviderName, RegionName};

/// See the module.
#[derive(Debug)]
pub struct Catalog {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    offers: BTreeMap<ProviderName, Offers>,
    imported: Vec<ImportedFlavor>,
    errors: BTreeMap<ProviderName, String>,
}

/// What one provider offers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Offers {
    at: Option<Timestamp>,
    flavors: Vec<Flavor>,
}

/// How the last question to a provider ended.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    pub at: Option<Timestamp>,
    pub error: Option<String>,
}

impl Catalog {
    /// Reads what is there. What cannot be read is asked for anew.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let inner = Inner {
            offers: read(&folder.join("flavors.json")).unwrap_or_default(),
            imported: read(&folder.join("imported.json")).unwrap_or_default(),
            errors: BTreeMap::new(),
        };
        Self { folder: folder.to_owned(), inner: Mutex::new(inner) }
    }

    /// All that is offered, with what the site has added.
    #[must_use]
    pub fn flavors(&self) -> Vec<Flavor> {
        let inner = self.inner();
        let mut flavors: Vec<Flavor> =
            inner.offers.values().flat_map(|offers| offers.flavors.iter().cloned()).collect();
        let told = flavors.len();
        for line in &inner.imported {
            let mut found = false;
            for flavor in flavors.iter_mut().take(told) {
                let is_meant = flavor.provider == line.provider
                    && flavor.name == line.name
                    && line.region.as_ref().is_none_or(|region| *region == flavor.region);
                if is_meant {
                    complete(flavor, line);
                    found = true;
                }
            }
            if let Some(cpu) = line.cpu.filter(|_| !found) {
                let region = line.region.clone().unwrap_or_else(|| RegionName::new("any"));
                let mut flavor = Flavor::new(line.name.as_str(), &line.provider, &region, cpu);
                complete(&mut flavor, line);
                flavors.push(flavor);
            }
        }
        flavors
    }

    #[must_use]
    pub fn freshness(&self, provider: &ProviderName) -> Freshness {
        let inner = self.inner();
        Freshness {
            at: inner.offers.get(provider).and_then(|offers| offers.at),
            error: inner.errors.get(provider).cloned(),
        }
    }

    /// Notes what a provider told. What it told before stays where it could not.
    pub fn note(&self, provider: &ProviderName, at: Timestamp, told: Result<Vec<Flavor>, String>) {
        let mut inner = self.inner();
        match told {
            Ok(flavors) => {
                inner.errors.remove(provider);
                inner.offers.insert(provider.clone(), Offers { at: Some(at), flavors });
                if let Err(error) = write(&self.folder.join("flavors.json"), &inner.offers) {
                    tracing::warn!(%error, "what providers offer cannot be kept");
                }
            }
            Err(error) => {
                inner.errors.insert(provider.clone(), error);
            }
        }
    }

    /// Replaces what was imported for the providers that these lines name.
    ///
    /// # Errors
    /// It cannot be kept; nothing has changed then.
    pub fn import(&self, lines: Vec<ImportedFlavor>) -> std::io::Result<()> {
        let mut inner = self.inner();
        let is_kept =
            |old: &&ImportedFlavor| !lines.iter().any(|line| line.provider == old.provider);
        let mut imported: Vec<ImportedFlavor> =
            inner.imported.iter().filter(is_kept).cloned().collect();
        imported.extend(lines);
        write(&self.folder.join("imported.json"), &imported)?;
        inner.imported = imported;
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets what a line says.
fn complete(flavor: &mut Flavor, line: &ImportedFlavor) {
    flavor.cpu = line.cpu.unwrap_or(flavor.cpu);
    flavor.ram = line.ram.or(flavor.ram);
    flavor.disk = line.disk.or(flavor.disk);
    flavor.gpu = line.gpu.clone().or_else(|| flavor.gpu.take());
    flavor.gpu_memory = line.gpu_memory.or(flavor.gpu_memory);
    flavor.cost = line.cost.or(flavor.cost);
    flavor.eviction = line.eviction.or(flavor.eviction);
    if let Some(tags) = &line.tags {
        flavor.tags.clone_from(tags);
    }
    if let Some(currency) = &line.currency {
        flavor.currency.clone_from(currency);
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes a file whole or not at all, and onto the disk.
fn write<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_added_to_what_providers_tell_and_survive() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path());
        let provider = ProviderName::new("ovh");
        let flavor = Flavor::new("b2-7", &provider, &RegionName::new("GRA11"), 2);
        catalog.note(&provider, Timestamp(1), Ok(vec![flavor]));
        let lines = serde_json::json!([
            {"provider": "ovh", "name": "b2-7", "cost": 0.07, "currency": "EUR"},
            {"provider": "lab", "name": "box", "cpu": 4},
            {"provider": "lab", "name": "unknown", "cost": 1.0},
        ]);
        catalog.import(serde_json::from_value(lines).unwrap()).unwrap();
        catalog.note(&provider, Timestamp(2), Err("down".to_owned()));
        let shown = |catalog: &Catalog| -> Vec<String> {
            let flavors = catalog.flavors();
            flavors.iter().map(|f| format!("{} {} {:?}", f.name, f.cpu, f.cost)).collect()
        };
        assert_eq!(shown(&catalog), ["b2-7 2 Some(0.07)", "box 4 None"]);
        assert_eq!(catalog.freshness(&provider).error.as_deref(), Some("down"));
        assert_eq!(shown(&Catalog::open(folder.path())), shown(&catalog));
    }
}
