//! What a site sets of a provider of kind `ssh`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::super::provision::{Baseline, Preparation, PreparationTable, Service};
use super::hosts::{Host, expand};
use crate::domain::flavor::{Flavor, FlavorName, ProviderName, RegionName};
use crate::server::hiring::settings::{SettingsError, Surroundings, own_keys};

/// Its keys in `server.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    user: Option<String>,
    port: Option<u16>,
    key_file: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    config_file: Option<PathBuf>,
    #[serde(default)]
    jump: Vec<String>,
    connect_seconds: Option<u16>,
    #[serde(default)]
    sudo: bool,
    directory: Option<String>,
    #[serde(default)]
    service: Service,
    #[serde(default)]
    programs: BTreeMap<String, PathBuf>,
    #[serde(default)]
    prepare: PreparationTable,
    #[serde(default)]
    flavors: BTreeMap<String, GroupTable>,
}

/// `[providers.NAME.flavors.FLAVOR]`: hosts of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTable {
    hosts: OneOrMany,
    region: Option<String>,
    cpu: u32,
    ram: Option<f64>,
    disk: Option<f64>,
    gpu: Option<String>,
    gpu_memory: Option<f64>,
    #[serde(default)]
    tags: String,
    cost: Option<f64>,
    #[serde(default)]
    currency: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// How hosts are reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub user: Option<String>,
    pub port: Option<u16>,
    pub key_file: Option<PathBuf>,
    /// Where the site keeps the keys of its hosts; none: where `ssh` looks.
    pub known_hosts: Option<PathBuf>,
    pub config_file: Option<PathBuf>,
    pub jump: Vec<String>,
    /// Seconds that a host has to answer.
    pub connect_seconds: u16,
}

/// All that is set.
#[derive(Debug, Clone)]
pub struct SshSettings {
    pub access: Access,
    pub sudo: Privilege,
    /// Each worker has a folder of its own in here.
    pub directory: String,
    pub service: Service,
    /// Programs for other architectures than the head's, by `uname -m`.
    pub programs: BTreeMap<String, PathBuf>,
    pub preparation: Preparation,
    pub registry_logins: Option<PathBuf>,
    pub groups: Vec<Group>,
}

/// As whom things are done on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    AsLogin,
    Sudo,
}

/// Hosts of one kind in one place.
#[derive(Debug, Clone)]
pub struct Group {
    pub flavor: Flavor,
    pub hosts: Vec<Host>,
}

impl Access {
    /// What the `ssh` programs are told of a host, the host itself last.
    #[must_use]
    pub fn arguments(&self, host: &Host) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(file) = &self.config_file {
            arguments.extend(["-F".to_owned(), file.display().to_string()]);
        }
        if let Some(port) = host.port.or(self.port) {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = host.user.as_ref().or(self.user.as_ref()) {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        arguments.push(host.name.clone());
        arguments
    }
}

impl SshSettings {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(surroundings: &Surroundings, own: &toml::Table) -> Result<Self, SettingsError> {
        let name = &surroundings.name;
        let table: Table = own_keys(name, own)?;
        let refused = |reason: String| SettingsError::of(name, reason);
        let preparation = table.prepare.over(Baseline::Untouched).map_err(refused)?;
        let directory = table.directory.unwrap_or_else(|| "/var/lib/scitq".to_owned());
        let is_plain = directory
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "/-_.".contains(letter));
        if !directory.starts_with('/') || directory.len() < 2 || !is_plain {
            let reason = format!(
                "`directory` is `{directory}`: it is an absolute path of letters, digits and any of /-_."
            );
            return Err(refused(reason));
        }
        let mut groups = Vec::new();
        for (flavor, group) in table.flavors {
            let place = format!("flavors.{flavor}");
            let group = group.load(name, surroundings.regions.first(), &flavor);
            groups.push(group.map_err(|reason| refused(format!("`{place}`: {reason}")))?);
        }
        check_hosts(&groups).map_err(refused)?;
        let access = Access {
            user: table.user,
            port: table.port,
            key_file: table.key_file,
            known_hosts: table.known_hosts,
            config_file: table.config_file,
            jump: table.jump,
            connect_seconds: table.connect_seconds.unwrap_or(10).max(1),
        };
        Ok(Self {
            access,
            sudo: if table.sudo { Privilege::Sudo } else { Privilege::AsLogin },
            directory: directory.trim_end_matches('/').to_owned(),
            service: table.service,
            programs: table.programs,
            preparation,
            registry_logins: table.prepare.registry_logins,
            groups,
        })
    }

    /// The hosts of a flavor in a region.
    #[must_use]
    pub fn hosts(&self, flavor: &FlavorName, region: &RegionName) -> Option<&[Host]> {
        let group = self
            .groups
            .iter()
            .find(|group| group.flavor.name == *flavor && group.flavor.region == *region);
        group.map(|group| group.hosts.as_slice())
    }
}

impl GroupTable {
    fn load(
        self,
        provider: &ProviderName,
        region: Option<&RegionName>,
        name: &str,
    ) -> Result<Group, String> {
        // Hosts stand where the site says, or in the one place that it has.
        let region = match self.region {
            Some(region) => RegionName::new(region),
            None => region.cloned().unwrap_or_else(|| RegionName::new(provider.as_str())),
        };
        if self.cpu == 0 {
            return Err("`cpu` is 0".to_owned());
        }
        let patterns = match self.hosts {
            OneOrMany::One(pattern) => vec![pattern],
            OneOrMany::Many(patterns) => patterns,
        };
        let mut hosts = Vec::new();
        for pattern in patterns {
            hosts.extend(expand(&pattern)?);
        }
        if hosts.is_empty() {
            return Err("`hosts` names none".to_owned());
        }
        let flavor = Flavor {
            ram: self.ram,
            disk: self.disk,
            gpu: self.gpu,
            gpu_memory: self.gpu_memory,
            tags: self.tags,
            cost: self.cost,
            currency: self.currency,
            // Nobody takes these machines away.
            eviction: Some(0.0),
            ..Flavor::new(name, provider, &region, self.cpu)
        };
        Ok(Group { flavor, hosts })
    }
}

/// Each host has one place: it cannot be hired twice.
fn check_hosts(groups: &[Group]) -> Result<(), String> {
    let mut seen: BTreeMap<&Host, &FlavorName> = BTreeMap::new();
    if groups.is_empty() {
        return Err("`flavors` is missing: [providers.NAME.flavors.FLAVOR] with `hosts` and `cpu`"
            .to_owned());
    }
    for group in groups {
        for host in &group.hosts {
            if let Some(other) = seen.insert(host, &group.flavor.name) {
                return Err(format!(
                    "host {host} is named twice, in flavor `{other}` and in `{}`",
                    group.flavor.name
                ));
            }
        }
    }
    Ok(())
}
