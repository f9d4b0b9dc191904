//! Kind `slurm`: each worker is a job. Partitions are regions, and what jobs ask for are
//! flavors.
//!
//! The head runs Slurm's own programs, as the user whose jobs they are.

mod client;
mod script;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{
    ErrorClass, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, Provider, ProviderError,
};
use crate::domain::flavor::{Flavor, FlavorName, ProviderName, RegionName};
use crate::server::hiring::settings::{SettingsError, Surroundings};

use client::{Client, Job, Nodes, hopeless};
use script::{For, comment_of, job_script};
use settings::{Shape, SlurmSettings};

/// How often the queue is looked at for a job that is waited for. It is a question to the
/// controller, which all users share.
const LOOK: Duration = Duration::from_secs(2);

/// How long a job has to end after it was told to: Slurm kills after half a minute.
const END: Duration = Duration::from_mins(3);

/// Lines of a job's log that an error has.
const LAST_LINES: usize = 3;

/// A cluster.
#[derive(Debug)]
pub struct SlurmProvider {
    name: ProviderName,
    settings: SlurmSettings,
    client: Client,
}

/// Makes one from its settings.
///
/// # Errors
/// What is wrong with them.
pub fn make(
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let settings = SlurmSettings::load(&surroundings, own)?;
    let client = Client::new(settings.environment.clone());
    Ok(Arc::new(SlurmProvider { name: surroundings.name, settings, client }))
}

impl Provider for SlurmProvider {
    fn flavors(&self) -> BoxFuture<'_, Result<Vec<Flavor>, ProviderError>> {
        async move {
            let nodes = self.client.nodes().await?;
            let shapes = self.shapes(&nodes);
            let offers =
                shapes.iter().map(|(name, region, shape)| self.flavor(name, region, shape));
            Ok(offers.collect())
        }
        .boxed()
    }

    fn create<'a>(
        &'a self,
        order: &'a Order,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<MachineId, ProviderError>> {
        async move {
            let id = match self.find(&order.worker, &order.tag).await? {
                Some(job) => {
                    journal.line(&format!("job {} was submitted already", job.id));
                    job.id
                }
                None => self.submit(order, journal).await?,
            };
            journal.progress(20);
            tokio::select! {
                started = self.until_started(&id, order, journal) => started?,
                () = journal.cancelled() => return Err(ProviderError::cancelled()),
            }
            Ok(MachineId(id))
        }
        .boxed()
    }

    fn deploy<'a>(
        &'a self,
        order: &'a Order,
        machine: &'a MachineId,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        async move {
            // The job brings the agent along.
            match self.client.job(&machine.0).await? {
                Some(job) if !job.is_over() => {
                    journal.line(&format!("job {} runs the agent on {}", job.id, job.nodes));
                    Ok(())
                }
                found => {
                    let state = found.map_or_else(|| "gone".to_owned(), |job| job.state);
                    Err(self.ended(&machine.0, &order.worker, &state).await)
                }
            }
        }
        .boxed()
    }

    fn status<'a>(
        &'a self,
        hired: &'a Hired,
    ) -> BoxFuture<'a, Result<MachineStatus, ProviderError>> {
        async move {
            let job = match &hired.machine {
                Some(id) => self.client.job(&id.0).await?,
                None => self.find(&hired.worker, &hired.tag).await?,
            };
            Ok(job.map_or(MachineStatus::Gone, |job| status_of(&job)))
        }
        .boxed()
    }

    fn destroy<'a>(
        &'a self,
        hired: &'a Hired,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.end(hired, journal).boxed()
    }

    fn list<'a>(&'a self, tag: &'a HeadTag) -> BoxFuture<'a, Result<Vec<Hired>, ProviderError>> {
        async move {
            let comment = comment_of(tag);
            let jobs = self.client.jobs().await?;
            let ours = jobs.into_iter().filter(|job| job.comment == comment && !job.is_over());
            let hired = ours.map(|job| Hired {
                worker: job.name.into(),
                tag: tag.clone(),
                region: RegionName::new(job.partition),
                machine: Some(MachineId(job.id)),
            });
            Ok(hired.collect())
        }
        .boxed()
    }

    fn script(&self, order: &Order) -> Result<Option<String>, ProviderError> {
        let shape = self.settings.shapes.get(&order.flavor).cloned();
        let shape = shape.unwrap_or_else(|| Shape::whole_node(1, 1.0, None));
        Ok(Some(job_script(&self.settings, &shape, order, For::People)))
    }
}

impl SlurmProvider {
    /// What can be asked for, where: the site's shapes in the partitions that have such
    /// nodes, or whole nodes where the site has set none.
    fn shapes(&self, nodes: &[Nodes]) -> Vec<(FlavorName, RegionName, Shape)> {
        let mut found: Vec<(FlavorName, RegionName, Shape)> = Vec::new();
        let allowed = |region: &RegionName| {
            self.settings.partitions.is_empty() || self.settings.partitions.contains(region)
        };
        let mut add = |name: FlavorName, region: RegionName, shape: Shape| {
            let is_there = found.iter().any(|(other, at, _)| *other == name && *at == region);
            if !is_there && allowed(&region) {
                found.push((name, region, shape));
            }
        };
        for kind in nodes {
            let region = RegionName::new(kind.partition.as_str());
            if self.settings.shapes.is_empty() {
                // Slurm wants a little less than what it says that there is.
                let name = format!("node-{}c-{:.0}g", kind.cpu, kind.ram);
                let shape = Shape::whole_node(kind.cpu, kind.ram, kind.gres.clone());
                add(FlavorName::new(name), region, shape);
                continue;
            }
            for (name, shape) in &self.settings.shapes {
                let is_named =
                    shape.partitions.as_ref().is_none_or(|names| names.contains(&kind.partition));
                let fits = shape.cpu <= kind.cpu
                    && shape.ram.is_none_or(|ram| ram <= kind.ram)
                    && (shape.gres.is_none() || kind.gres.is_some());
                if is_named && fits {
                    add(name.clone(), region.clone(), shape.clone());
                }
            }
        }
        found
    }

    fn flavor(&self, name: &FlavorName, region: &RegionName, shape: &Shape) -> Flavor {
        let gpu = shape
            .gpu
            .clone()
            .or_else(|| shape.gres.as_ref().filter(|gres| gres.starts_with("gpu")).cloned());
        let tags = match &gpu {
            Some(_) if !shape.tags.contains('G') => format!("G{}", shape.tags),
            _ => shape.tags.clone(),
        };
        Flavor {
            ram: shape.ram,
            gpu,
            gpu_memory: shape.gpu_memory,
            tags,
            cost: shape.cost,
            currency: shape.currency.clone(),
            ..Flavor::new(name.as_str(), &self.name, region, shape.cpu)
        }
    }

    /// The job of a worker that is not over.
    async fn find(&self, worker: &str, tag: &HeadTag) -> Result<Option<Job>, ProviderError> {
        let comment = comment_of(tag);
        let jobs = self.client.jobs().await?;
        Ok(jobs
            .into_iter()
            .find(|job| job.name == worker && job.comment == comment && !job.is_over()))
    }

    async fn submit(&self, order: &Order, journal: &dyn Journal) -> Result<String, ProviderError> {
        let nodes = self.client.nodes().await?;
        let shapes = self.shapes(&nodes);
        let found = shapes
            .iter()
            .find(|(name, region, _)| *name == order.flavor && *region == order.region);
        let Some((_, _, shape)) = found else {
            let mut partitions: Vec<&str> =
                nodes.iter().map(|kind| kind.partition.as_str()).collect();
            partitions.dedup();
            let message = format!(
                "there is no flavor `{}` in partition `{}`; partitions that take jobs: {}",
                order.flavor,
                order.region,
                partitions.join(", ")
            );
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        };
        let id = self.client.submit(&job_script(&self.settings, shape, order, For::Slurm)).await?;
        journal.line(&format!("job {id} is submitted to partition {}", order.region));
        Ok(id)
    }

    /// Waits for its turn. A job that waits in vain, or too long, is taken back.
    async fn until_started(
        &self,
        id: &str,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let patience = Duration::from_secs_f64(self.settings.queue_minutes * 60.0);
        let since = tokio::time::Instant::now();
        let mut told = String::new();
        loop {
            let Some(job) = self.client.job(id).await? else {
                return Err(self.ended(id, &order.worker, "gone").await);
            };
            match job.state.as_str() {
                "RUNNING" => {
                    journal.line(&format!("job {id} runs on {}", job.nodes));
                    return Ok(());
                }
                state if job.is_over() => return Err(self.ended(id, &order.worker, state).await),
                _ => {}
            }
            let class = hopeless(&job.reason);
            if class.is_some() || since.elapsed() > patience {
                self.client.cancel(id).await?;
                let minutes = since.elapsed().as_secs() / 60;
                let message = format!(
                    "job {id} has waited in partition {} for {minutes} min, and is taken back: {}",
                    order.region, job.reason
                );
                return Err(ProviderError::new(class.unwrap_or(ErrorClass::Capacity), message));
            }
            if job.reason != told && job.reason != "None" {
                journal.line(&format!("job {id} waits: {}", job.reason));
                told = job.reason;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn end(&self, hired: &Hired, journal: &dyn Journal) -> Result<(), ProviderError> {
        let by_number = match &hired.machine {
            Some(id) => self.client.job(&id.0).await?.filter(|job| !job.is_over()),
            None => None,
        };
        // By its name as well: the answer to its submission may never have been heard.
        let job = match by_number {
            Some(job) => Some(job),
            None => self.find(&hired.worker, &hired.tag).await?,
        };
        let Some(job) = job else {
            journal.line("its job is over");
            return Ok(());
        };
        journal.line(&format!("ending job {}", job.id));
        self.client.cancel(&job.id).await?;
        let since = tokio::time::Instant::now();
        while since.elapsed() < END {
            if self.client.job(&job.id).await?.is_none_or(|job| job.is_over()) {
                journal.line(&format!("job {} has ended", job.id));
                journal.progress(100);
                return Ok(());
            }
            tokio::time::sleep(LOOK / 4).await;
        }
        let message = format!("job {} does not end", job.id);
        Err(ProviderError::new(ErrorClass::Transient, message))
    }

    /// A job that is over before its worker was one, with its last words.
    async fn ended(&self, id: &str, worker: &str, state: &str) -> ProviderError {
        let mut message = format!("job {id} is over before its agent was there: {state}");
        if let Some(folder) = &self.settings.logs {
            let log = folder.join(format!("{worker}-{id}.log"));
            let text = tokio::fs::read(&log).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
                message = format!("{message}; {line}");
            }
        }
        ProviderError::new(ErrorClass::Transient, message)
    }
}

/// What Slurm's word for a job means for its worker.
fn status_of(job: &Job) -> MachineStatus {
    match job.state.as_str() {
        "RUNNING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "RESIZING" | "COMPLETING" => {
            MachineStatus::Running { addresses: vec![job.nodes.clone()] }
        }
        // Slurm takes it away; of what a person cancels the agent tells itself.
        "TIMEOUT" | "PREEMPTED" | "NODE_FAIL" | "REVOKED" | "DEADLINE" => MachineStatus::Evicted,
        "CANCELLED" | "COMPLETED" => MachineStatus::Gone,
        state if job.is_over() => MachineStatus::Failed(format!("job {}: {state}", job.id)),
        _ => MachineStatus::Building,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn provider(text: &str, regions: &[&str]) -> Result<SlurmProvider, SettingsError> {
        let surroundings = Surroundings {
            name: ProviderName::new("hpc"),
            regions: regions.iter().map(|region| RegionName::new(*region)).collect(),
            folder: "/nonexistent".into(),
            variable: Arc::new(|_: &str| None),
        };
        let settings = SlurmSettings::load(&surroundings, &toml::from_str(text).unwrap())?;
        let client = Client::new(BTreeMap::new());
        Ok(SlurmProvider { name: surroundings.name, settings, client })
    }

    fn nodes() -> Vec<Nodes> {
        let kind = |partition: &str, cpu, ram, gres: Option<&str>| Nodes {
            partition: partition.to_owned(),
            cpu,
            ram,
            gres: gres.map(str::to_owned),
        };
        vec![
            kind("short", 16, 64.0, None),
            kind("long", 16, 64.0, None),
            kind("gpu", 64, 500.0, Some("gpu:a100:4")),
        ]
    }

    fn names(provider: &SlurmProvider) -> Vec<String> {
        let shapes = provider.shapes(&nodes());
        shapes.iter().map(|(name, region, _)| format!("{name} in {region}")).collect()
    }

    #[test]
    fn whole_nodes_are_flavors_where_a_site_sets_none() {
        let provider = provider("", &[]).unwrap();
        assert_eq!(
            names(&provider),
            ["node-16c-64g in short", "node-16c-64g in long", "node-64c-500g in gpu"]
        );
        let (name, region, shape) = &provider.shapes(&nodes())[2];
        let flavor = provider.flavor(name, region, shape);
        assert_eq!((flavor.gpu.as_deref(), flavor.tags.as_str()), (Some("gpu:a100:4"), "G"));
    }

    #[test]
    fn shapes_are_offered_where_they_fit() {
        let text = "[flavors.big]\ncpu = 32\nram = 100\n[flavors.small]\ncpu = 2\n\
            [flavors.quick]\ncpu = 1\npartitions = [\"short\"]\n[flavors.cuda]\ncpu = 8\ngres = \"gpu:1\"";
        assert_eq!(
            names(&provider(text, &["gpu", "short"]).unwrap()),
            ["quick in short", "small in short", "big in gpu", "cuda in gpu", "small in gpu"]
        );
    }

    #[test]
    fn a_job_asks_for_what_its_flavor_has() {
        let text = "options = [\"--account=lab\"]\nlogs = \"/shared/logs\"\n\
            [flavors.big]\ncpu = 32\nram = 100.5\nhours = 1.5\ngres = \"gpu:1\"";
        let provider = provider(text, &[]).unwrap();
        let mut order = super::super::testing::order("head-node1");
        let shape = &provider.settings.shapes[&FlavorName::new("big")];
        let script = job_script(&provider.settings, shape, &order, For::Slurm);
        for option in [
            "--job-name=head-node1",
            "--comment=scitq-head=store-1",
            "--partition=lab",
            "--cpus-per-task=32",
            "--mem=102912M",
            "--gres=gpu:1",
            "--time=90",
            "--signal=B:USR2@120",
            "--no-requeue",
            "--output=/shared/logs/head-node1-%j.log",
            "--account=lab",
        ] {
            assert!(script.contains(&format!("#SBATCH {option}\n")), "{option}\n{script}");
        }
        assert!(script.contains("TOKEN=scitq_secret\n"));
        order.agent.fingerprint = Some("abc".to_owned());
        let shown = provider.script(&order).unwrap().unwrap();
        assert!(!shown.contains("scitq_secret"), "people see no secret");
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        for (text, part) in [
            ("directory = \"/a b\"", "`directory` is `/a b`"),
            ("directory = \"$(id)\"", "`directory`"),
            ("options = [\"account\"]", "is no option of sbatch"),
            ("options = [\"--a\\nrm\"]", "is no option of sbatch"),
            ("queue_minutes = -1", "`queue_minutes`"),
            ("flavours = 1", "unknown field `flavours`"),
            ("[flavors.x]\ncpu = 0", "`flavors.x`: `cpu` is 0"),
            ("[flavors.x]\ncpu = 1\nram = 0", "`ram` is no amount"),
            ("[flavors.x]\ncpu = 1\ngres = \"a b\"", "`gres` is not as sbatch takes it"),
        ] {
            let error = provider(text, &[]).unwrap_err().to_string();
            assert!(error.contains("provider `hpc`") && error.contains(part), "{text}: {error}");
        }
    }
}
