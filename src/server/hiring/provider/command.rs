//! `kind = "command"`: machines that programs of the site's own make and destroy.
//!
//! Each is started with a JSON object on standard input, and says the outcome by its
//! exit code; what it writes to standard error is the job's log. What they are asked
//! may be asked again, since a server can be killed before it has heard the answer.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::{
    ErrorClass, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, Provider, ProviderError,
    Silence,
};
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::server::hiring::settings::{SettingsError, Surroundings, own_keys};

/// Longest time that a program may take where the site sets nothing.
const USUAL_LIMIT: Duration = Duration::from_mins(30);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// A program with its arguments.
    create: Vec<String>,
    destroy: Vec<String>,
    /// Lists what there is; without it, forgotten machines are not found.
    #[serde(default)]
    list: Vec<String>,
    limit_minutes: Option<f64>,
    flavor: Vec<Shape>,
}

/// A kind of machine that the programs can make, in each of the regions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    name: String,
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
    eviction: Option<f64>,
}

#[derive(Debug)]
struct Programs {
    name: ProviderName,
    regions: Vec<RegionName>,
    keys: Keys,
    limit: Duration,
}

/// What `create` is asked.
#[derive(Serialize)]
struct Create<'a> {
    worker: &'a str,
    tag: &'a str,
    flavor: &'a str,
    region: &'a str,
    provider: &'a str,
    server: &'a str,
    token: &'a str,
    batch: &'a str,
    concurrency: u32,
    prefetch: u32,
}

/// What `destroy` is asked.
#[derive(Serialize)]
struct Destroy<'a> {
    worker: &'a str,
    tag: &'a str,
    region: &'a str,
    machine: Option<&'a str>,
}

#[derive(Serialize)]
struct List<'a> {
    tag: &'a str,
}

/// What `create` answers.
#[derive(Deserialize)]
struct Created {
    machine: String,
}

/// What `list` answers.
#[derive(Deserialize)]
struct Listed {
    machines: Vec<ListedMachine>,
}

#[derive(Deserialize)]
struct ListedMachine {
    worker: String,
    region: String,
    machine: Option<String>,
}

/// # Errors
/// Wrong keys, or none of those that are needed.
pub fn make(
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let keys: Keys = own_keys(&surroundings.name, own)?;
    for (what, program) in [("create", &keys.create), ("destroy", &keys.destroy)] {
        if program.is_empty() {
            let reason = format!("{what} names no program: {what} = [\"/path/to/it\"]");
            return Err(SettingsError::of(&surroundings.name, reason));
        }
    }
    let limit =
        keys.limit_minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
    let mut regions = surroundings.regions;
    if regions.is_empty() {
        regions.push(RegionName::new("here"));
    }
    Ok(Arc::new(Programs {
        name: surroundings.name,
        regions,
        keys,
        limit: limit.unwrap_or(USUAL_LIMIT),
    }))
}

impl Provider for Programs {
    fn flavors(&self) -> BoxFuture<'_, Result<Vec<Flavor>, ProviderError>> {
        let of = |shape: &Shape, region: &RegionName| Flavor {
            ram: shape.ram,
            disk: shape.disk,
            gpu: shape.gpu.clone(),
            gpu_memory: shape.gpu_memory,
            tags: shape.tags.clone(),
            cost: shape.cost,
            currency: shape.currency.clone(),
            eviction: shape.eviction,
            ..Flavor::new(shape.name.as_str(), &self.name, region, shape.cpu)
        };
        let shapes = self.keys.flavor.iter();
        let flavors =
            shapes.flat_map(|shape| self.regions.iter().map(move |region| of(shape, region)));
        let flavors = flavors.collect();
        Box::pin(async move { Ok(flavors) })
    }

    fn create<'a>(
        &'a self,
        order: &'a Order,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<MachineId, ProviderError>> {
        let settings = &order.agent.settings;
        let asked = Create {
            worker: &order.worker,
            tag: &order.tag.0,
            flavor: order.flavor.as_str(),
            region: order.region.as_str(),
            provider: &order.agent.provider,
            server: &order.agent.server,
            token: order.agent.token.expose(),
            batch: settings.batch.as_str(),
            concurrency: settings.concurrency,
            prefetch: settings.prefetch,
        };
        Box::pin(async move {
            let answer = self.run(&self.keys.create, &asked, journal).await?;
            let created: Created = understood(&self.keys.create, &answer)?;
            Ok(MachineId(created.machine))
        })
    }

    fn deploy<'a>(
        &'a self,
        _: &'a Order,
        _: &'a MachineId,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Ok(()) })
    }

    fn status<'a>(
        &'a self,
        hired: &'a Hired,
    ) -> BoxFuture<'a, Result<MachineStatus, ProviderError>> {
        Box::pin(async move {
            if self.keys.list.is_empty() {
                return Ok(MachineStatus::Running { addresses: Vec::new() });
            }
            let there = self.list(&hired.tag).await?;
            let is_there = there.iter().any(|machine| machine.worker == hired.worker);
            Ok(if is_there {
                MachineStatus::Running { addresses: Vec::new() }
            } else {
                MachineStatus::Gone
            })
        })
    }

    fn destroy<'a>(
        &'a self,
        hired: &'a Hired,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        let asked = Destroy {
            worker: &hired.worker,
            tag: &hired.tag.0,
            region: hired.region.as_str(),
            machine: hired.machine.as_ref().map(|machine| machine.0.as_str()),
        };
        Box::pin(async move { self.run(&self.keys.destroy, &asked, journal).await.map(drop) })
    }

    fn list<'a>(&'a self, tag: &'a HeadTag) -> BoxFuture<'a, Result<Vec<Hired>, ProviderError>> {
        Box::pin(async move {
            if self.keys.list.is_empty() {
                let text = format!("provider {} has no program that lists machines", self.name);
                return Err(ProviderError::new(ErrorClass::Unsupported, text));
            }
            let answer = self.run(&self.keys.list, &List { tag: &tag.0 }, &Silence).await?;
            let listed: Listed = understood(&self.keys.list, &answer)?;
            let found = listed.machines.into_iter().map(|machine| Hired {
                worker: machine.worker.into(),
                tag: tag.clone(),
                region: RegionName::new(machine.region),
                machine: machine.machine.map(MachineId),
            });
            Ok(found.collect())
        })
    }
}

impl Programs {
    /// Runs a program to its end, and gives what it wrote to standard output.
    async fn run(
        &self,
        program: &[String],
        asked: &impl Serialize,
        journal: &dyn Journal,
    ) -> Result<Vec<u8>, ProviderError> {
        let Some((path, arguments)) = program.split_first() else {
            return Err(ProviderError::new(ErrorClass::Unsupported, "no program is named"));
        };
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            ProviderError::new(ErrorClass::Transient, format!("{what} `{path}`: {error}"))
        };
        let asked = serde_json::to_vec(asked).map_err(|error| failed("cannot ask", &error))?;
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("cannot start", &error))?;
        let (mut input, output, told) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let writing = async {
            if let Some(input) = &mut input {
                // One that does not want to know reads nothing.
                let _ = input.write_all(&asked).await;
                let _ = input.write_all(b"\n").await;
            }
            drop(input);
        };
        let mut answer = Vec::new();
        let reading = async {
            if let Some(mut output) = output {
                // What it does not say to the end is not understood below.
                let _ = output.read_to_end(&mut answer).await;
            }
        };
        let listening = async {
            let Some(told) = told else { return };
            let mut lines = BufReader::new(told).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                journal.line(&line);
            }
        };
        let all = async { tokio::join!(writing, reading, listening, child.wait()).3 };
        let status = tokio::select! {
            ended = tokio::time::timeout(self.limit, all) => {
                let Ok(status) = ended else {
                    let limit = format!("it took longer than {} s", self.limit.as_secs());
                    return Err(failed("gave up", &limit));
                };
                status.map_err(|error| failed("cannot wait for", &error))?
            }
            () = journal.cancelled() => return Err(ProviderError::cancelled()),
        };
        match status.code() {
            Some(0) => Ok(answer),
            code => {
                Err(ProviderError::new(class_of(code), format!("`{path}` ended with {status}")))
            }
        }
    }
}

fn understood<T: serde::de::DeserializeOwned>(
    program: &[String],
    answer: &[u8],
) -> Result<T, ProviderError> {
    serde_json::from_slice(answer).map_err(|error| {
        let path = program.first().map(String::as_str).unwrap_or_default();
        let text = format!("`{path}` did not answer as it should: {error}");
        ProviderError::new(ErrorClass::Unsupported, text)
    })
}

/// What an exit code says.
const fn class_of(code: Option<i32>) -> ErrorClass {
    match code {
        Some(10) => ErrorClass::Authentication,
        Some(11) => ErrorClass::Quota,
        Some(12) => ErrorClass::Capacity,
        Some(13) => ErrorClass::Unsupported,
        _ => ErrorClass::Transient,
    }
}
