//! What tests of providers share.

use super::{AgentOrder, HeadTag, Order, Secret};
use crate::domain::flavor::{FlavorName, RegionName};
use crate::domain::worker::WorkerSettings;

/// An order as the head gives it.
pub fn order(worker: &str) -> Order {
    Order {
        worker: worker.into(),
        tag: HeadTag("store-1".into()),
        flavor: FlavorName::new("big"),
        region: RegionName::new("lab"),
        agent: AgentOrder {
            server: "http://head:5000".to_owned(),
            token: Secret::new("scitq_secret".to_owned()),
            fingerprint: None,
            settings: WorkerSettings {
                batch: "assembly".parse().unwrap(),
                concurrency: 4,
                prefetch: 1,
            },
            provider: "lab".into(),
        },
    }
}
