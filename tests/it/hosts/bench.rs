//! A provider, as the head has it, with a server whose workers it makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use scitq::domain::flavor::{FlavorName, ProviderName, RegionName};
use scitq::domain::worker::WorkerSettings;
use scitq::server::hiring::kinds;
use scitq::server::hiring::provider::{
    AgentOrder, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, Provider, Secret,
};
use scitq::server::hiring::settings::{SettingsError, Surroundings};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::{SCITQ, Server, until};

/// A job's log, as people read it.
#[derive(Debug, Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
    percents: Mutex<Vec<u8>>,
    pub cancel: CancellationToken,
}

impl Journal for Log {
    fn progress(&self, percent: u8) {
        self.percents.lock().unwrap().push(percent);
    }

    fn line(&self, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        self.cancel.cancelled().boxed()
    }
}

impl Log {
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    #[track_caller]
    pub fn says(&self, part: &str) {
        assert!(self.text().contains(part), "no `{part}` in:\n{}", self.text());
    }

    /// The percents only grow.
    #[track_caller]
    pub fn has_progress_up_to(&self, percent: u8) {
        let percents = self.percents.lock().unwrap();
        assert!(percents.is_sorted(), "{percents:?}");
        assert_eq!(percents.last(), Some(&percent));
    }
}

/// A provider of that kind with these keys.
pub fn provider(kind: &str, folder: &Path, keys: &str) -> Result<Arc<dyn Provider>, SettingsError> {
    let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
    let home = folder.join("home").display().to_string();
    let folder = folder.join("provider");
    std::fs::create_dir_all(&folder).unwrap();
    let surroundings = Surroundings {
        name: ProviderName::new("lab"),
        regions: Vec::new(),
        folder,
        variable: Arc::new(move |name: &str| match name {
            "PATH" => Some(path.clone()),
            "HOME" => Some(home.clone()),
            _ => None,
        }),
    };
    kinds::make(kind, surroundings, &toml::from_str(keys).unwrap())
}

/// An order for a worker of this server, with a token with which it may join.
pub fn order(server: &Server, worker: &str, (flavor, region): (&str, &str)) -> Order {
    let ran = server.scitq(&["manage", "token", "create", "--name", worker, "--role", "agent"]);
    let token = ran.ok().text().to_owned();
    Order {
        worker: worker.into(),
        tag: HeadTag("head-1".into()),
        flavor: FlavorName::new(flavor),
        region: RegionName::new(region),
        agent: AgentOrder {
            server: server.url(),
            token: Secret::new(token),
            fingerprint: None,
            settings: WorkerSettings {
                batch: "Default".parse().unwrap(),
                concurrency: 2,
                prefetch: 0,
            },
            provider: "lab".into(),
        },
    }
}

pub fn hired(order: &Order, machine: Option<MachineId>) -> Hired {
    Hired {
        worker: Arc::clone(&order.worker),
        tag: order.tag.clone(),
        region: order.region.clone(),
        machine,
    }
}

/// The machine, made and with its agent on it.
pub async fn hire(provider: &dyn Provider, order: &Order, log: &Log) -> MachineId {
    let machine = provider.create(order, log).await.unwrap_or_else(|error| panic!("{error}"));
    provider.deploy(order, &machine, log).await.unwrap_or_else(|error| panic!("{error}"));
    machine
}

pub async fn is_running(provider: &dyn Provider, hired: &Hired) -> bool {
    matches!(provider.status(hired).await, Ok(MachineStatus::Running { .. }))
}

/// Waits until a worker is in this state, and returns what the server says of it.
#[track_caller]
pub fn until_worker(server: &Server, name: &str, state: &str) -> Value {
    until(&format!("worker {name} to be {state}"), || {
        let list = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
        let found = list.as_array()?.iter().find(|worker| worker["name"] == name)?.clone();
        (found["state"] == state).then_some(found)
    })
}

/// The program under test without what debuggers want, which is most of it.
pub fn small_program() -> PathBuf {
    static SMALL: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        let path = folder.join("scitq-small");
        let is_fresh = |made| modified(Path::new(SCITQ)).is_ok_and(|source| source < made);
        if !modified(&path).is_ok_and(is_fresh) {
            let draft = folder.join(format!("scitq-small-{}", std::process::id()));
            let strip = Command::new("strip").arg("-o").arg(&draft).arg(SCITQ).status();
            if !strip.is_ok_and(|status| status.success()) {
                return SCITQ.into();
            }
            std::fs::rename(draft, &path).unwrap();
        }
        path
    };
    SMALL.get_or_init(make).clone()
}
