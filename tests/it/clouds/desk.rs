//! What a provider is asked with in a test: orders, a journal, settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use scitq::domain::flavor::{FlavorName, ProviderName, RegionName};
use scitq::domain::worker::WorkerSettings;
use scitq::server::hiring::kinds;
use scitq::server::hiring::provider::{
    AgentOrder, HeadTag, Hired, Journal, MachineId, Order, Provider, Secret,
};
use scitq::server::hiring::settings::{SettingsError, Surroundings};
use tokio_util::sync::CancellationToken;

/// The token that an agent joins with; the secret of each test.
pub const JOIN_TOKEN: &str = "join-token-that-nobody-sees";

/// Keeps what it is told.
#[derive(Debug, Default)]
pub struct Notes {
    lines: Mutex<Vec<String>>,
    percent: Mutex<u8>,
    cancelled: CancellationToken,
}

impl Notes {
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub fn percent(&self) -> u8 {
        *self.percent.lock().unwrap()
    }

    pub fn cancel(&self) {
        self.cancelled.cancel();
    }
}

impl Journal for Notes {
    fn progress(&self, percent: u8) {
        *self.percent.lock().unwrap() = percent;
    }

    fn line(&self, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        self.cancelled.cancelled().boxed()
    }
}

/// A provider with these keys and variables.
pub fn provider(
    kind: &str,
    folder: &Path,
    keys: &str,
    variables: &BTreeMap<String, String>,
    regions: &[&str],
) -> Result<Arc<dyn Provider>, SettingsError> {
    let variables = variables.clone();
    let surroundings = Surroundings {
        name: ProviderName::new("cloud"),
        regions: regions.iter().map(|region| RegionName::new(*region)).collect(),
        folder: folder.to_owned(),
        variable: Arc::new(move |name| variables.get(name).cloned()),
    };
    kinds::make(kind, surroundings, &keys.parse().unwrap())
}

pub fn tag(text: &str) -> HeadTag {
    HeadTag(text.into())
}

pub fn order(worker: &str, flavor: &str, region: &str) -> Order {
    let settings =
        WorkerSettings { batch: "default".parse().unwrap(), concurrency: 2, prefetch: 0 };
    Order {
        worker: worker.into(),
        tag: tag("store-1"),
        flavor: FlavorName::new(flavor),
        region: RegionName::new(region),
        agent: AgentOrder {
            server: "http://127.0.0.1:9".to_owned(),
            token: Secret::new(JOIN_TOKEN.to_owned()),
            fingerprint: None,
            settings,
            provider: "cloud".into(),
        },
    }
}

pub fn hired(order: &Order, machine: Option<MachineId>) -> Hired {
    Hired {
        worker: order.worker.clone(),
        tag: order.tag.clone(),
        region: order.region.clone(),
        machine,
    }
}

/// Runs to its end what must end soon.
pub fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_mins(3), work).await.expect("it does not end")
    })
}
