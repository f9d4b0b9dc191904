//! What Nova, Glance and Neutron say, as far as it concerns us.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A machine of Nova.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Server {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub status: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub addresses: BTreeMap<String, Vec<Address>>,
    #[serde(default)]
    pub fault: Option<Fault>,
    /// RFC 3339, so that the texts sort as the dates do.
    #[serde(default)]
    pub created: String,
    #[serde(default, rename = "OS-EXT-STS:task_state")]
    pub task_state: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Address {
    pub addr: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Fault {
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ServerBody {
    pub server: Server,
}

/// The answer to the making of a machine.
#[derive(Debug, Deserialize)]
pub(super) struct MadeBody {
    pub server: Made,
}

#[derive(Debug, Deserialize)]
pub(super) struct Made {
    pub id: String,
}

/// A kind of machine.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct NovaFlavor {
    pub id: String,
    pub name: String,
    pub vcpus: u32,
    /// MiB.
    pub ram: f64,
    /// GiB.
    pub disk: f64,
    /// GiB.
    #[serde(default, rename = "OS-FLV-EXT-DATA:ephemeral")]
    pub ephemeral: f64,
    #[serde(default, rename = "OS-FLV-DISABLED:disabled")]
    pub disabled: bool,
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    pub status: String,
    #[serde(default)]
    pub created_at: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Images {
    pub images: Vec<Image>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Network {
    pub id: String,
    #[serde(default)]
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Networks {
    pub networks: Vec<Network>,
}

impl Server {
    pub(super) fn is_deleted(&self) -> bool {
        matches!(self.status.as_str(), "DELETED" | "SOFT_DELETED")
    }

    /// Whether a machine that was found again can still become what was ordered.
    pub(super) fn is_usable(&self) -> bool {
        let is_going = self.task_state.as_deref().is_some_and(|task| task.contains("delet"));
        !is_going && matches!(self.status.as_str(), "BUILD" | "ACTIVE" | "REBUILD" | "REBOOT")
    }

    pub(super) fn fault_message(&self) -> &str {
        self.fault.as_ref().map_or("", |fault| fault.message.trim())
    }

    pub(super) fn all_addresses(&self) -> Vec<String> {
        self.addresses.values().flatten().map(|address| address.addr.clone()).collect()
    }
}
