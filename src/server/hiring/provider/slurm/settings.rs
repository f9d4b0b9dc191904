//! What a site sets of a provider of kind `slurm`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::flavor::{FlavorName, RegionName};
use crate::server::hiring::settings::{SettingsError, Surroundings, own_keys};

/// Seconds between the word that a job ends soon and its end.
const NOTICE_SECONDS: u32 = 120;

/// Minutes that a job may wait in the queue before another flavor is tried.
const QUEUE_MINUTES: f64 = 30.0;

/// Its keys in `server.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    program: Option<PathBuf>,
    #[serde(default = "default_directory")]
    directory: String,
    logs: Option<PathBuf>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    options: Vec<String>,
    notice_seconds: Option<u32>,
    queue_minutes: Option<f64>,
    #[serde(default)]
    flavors: BTreeMap<String, Shape>,
}

/// `[providers.NAME.flavors.FLAVOR]`: what a job asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    pub cpu: u32,
    /// GiB.
    pub ram: Option<f64>,
    /// As `sbatch --gres` takes it.
    pub gres: Option<String>,
    pub gpu: Option<String>,
    /// GiB.
    pub gpu_memory: Option<f64>,
    #[serde(default)]
    pub tags: String,
    pub cost: Option<f64>,
    #[serde(default)]
    pub currency: String,
    /// The time limit; none: that of the partition.
    pub hours: Option<f64>,
    /// More options of `sbatch`.
    #[serde(default)]
    pub options: Vec<String>,
    /// Where such jobs may run; none: in all partitions that have such nodes.
    pub partitions: Option<Vec<String>>,
}

/// All that is set.
#[derive(Debug, Clone)]
pub struct SlurmSettings {
    /// Where the nodes have the program; none: they fetch it from the head.
    pub program: Option<PathBuf>,
    /// Where jobs keep the files of their agents; a node's shell reads it.
    pub directory: String,
    /// A folder that head and nodes share, for what jobs print.
    pub logs: Option<PathBuf>,
    /// Variables of Slurm's programs.
    pub environment: BTreeMap<String, String>,
    pub options: Vec<String>,
    pub notice_seconds: u32,
    pub queue_minutes: f64,
    pub shapes: BTreeMap<FlavorName, Shape>,
    pub partitions: Vec<RegionName>,
}

impl SlurmSettings {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(surroundings: &Surroundings, own: &toml::Table) -> Result<Self, SettingsError> {
        let name = &surroundings.name;
        let table: Table = own_keys(name, own)?;
        let refused = |reason: String| SettingsError::of(name, reason);
        let is_path = |letter: char| letter.is_ascii_alphanumeric() || "/-_.:${}".contains(letter);
        if table.directory.is_empty() || !table.directory.chars().all(is_path) {
            let reason = format!(
                "`directory` is `{}`: it is a path of letters, digits and any of /-_., perhaps with \
                 variables of the node such as $TMPDIR",
                table.directory
            );
            return Err(refused(reason));
        }
        let all = table.flavors.values().flat_map(|shape| &shape.options).chain(&table.options);
        for option in all {
            if !option.starts_with('-') || option.contains(char::is_control) {
                return Err(refused(format!(
                    "`{option}` is no option of sbatch such as --account=lab"
                )));
            }
        }
        for (flavor, shape) in &table.flavors {
            shape.check().map_err(|reason| refused(format!("`flavors.{flavor}`: {reason}")))?;
        }
        let queue_minutes = table.queue_minutes.unwrap_or(QUEUE_MINUTES);
        if !(0.0..=1e6).contains(&queue_minutes) {
            return Err(refused(format!("`queue_minutes` is {queue_minutes}")));
        }
        let mut environment = table.environment;
        for variable in ["PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF"] {
            if let Some(value) = (surroundings.variable)(variable) {
                environment.entry(variable.to_owned()).or_insert(value);
            }
        }
        let shapes = table.flavors.into_iter();
        Ok(Self {
            program: table.program,
            directory: table.directory,
            logs: table.logs,
            environment,
            options: table.options,
            notice_seconds: table.notice_seconds.unwrap_or(NOTICE_SECONDS),
            queue_minutes,
            shapes: shapes.map(|(name, shape)| (FlavorName::new(name), shape)).collect(),
            partitions: surroundings.regions.clone(),
        })
    }
}

impl Shape {
    /// A job that takes a whole node of this kind.
    #[must_use]
    pub const fn whole_node(cpu: u32, ram: f64, gres: Option<String>) -> Self {
        Self {
            cpu,
            ram: Some(ram),
            gres,
            gpu: None,
            gpu_memory: None,
            tags: String::new(),
            cost: None,
            currency: String::new(),
            hours: None,
            options: Vec::new(),
            partitions: None,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.cpu == 0 {
            return Err("`cpu` is 0".to_owned());
        }
        if self.ram.is_some_and(|ram| !(ram > 0.0 && ram < 1e6)) {
            return Err("`ram` is no amount of memory in GiB".to_owned());
        }
        if self.hours.is_some_and(|hours| !(hours > 0.0 && hours < 1e5)) {
            return Err("`hours` is no time limit".to_owned());
        }
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.:,=".contains(letter);
        if self.gres.as_ref().is_some_and(|gres| !gres.chars().all(is_word)) {
            return Err("`gres` is not as sbatch takes it: gpu:a100:1".to_owned());
        }
        Ok(())
    }
}

/// Where a node has room for a while.
fn default_directory() -> String {
    "${TMPDIR:-/tmp}".to_owned()
}
