//! What a site sets of Azure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::session::Session;
use super::source::Azure;
use crate::server::hiring::provider::Provider;
use crate::server::hiring::provider::provision::{PreparationTable, Service};
use crate::server::hiring::provider::user_data::{UserData, UserDataTable};
use crate::server::hiring::settings::{SettingsError, Surroundings, own_keys};

/// The keys of `[providers.NAME]` with `kind = "azure"`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AzureSettings {
    /// Each of these stands before the variable `AZURE_TENANT_ID` and so on.
    pub tenant: Option<String>,
    pub client: Option<String>,
    pub subscription: Option<String>,
    /// In the place of `AZURE_CLIENT_SECRET`.
    pub client_secret_file: Option<PathBuf>,
    pub priority: Priority,
    /// `publisher:offer:sku:version`.
    pub image: Option<String>,
    /// The same for machines with a GPU.
    pub gpu_image: Option<String>,
    /// Who may log in, with the key below.
    pub user: Option<String>,
    /// Azure makes no machine without a key.
    pub public_key: Option<PathBuf>,
    /// Networks from which people may log in; none: nobody may.
    pub ssh_from: Vec<String>,
    /// GiB of the system disk; none: as the image has it.
    pub system_disk: Option<u32>,
    /// In which prices are told.
    pub currency: Option<String>,
    pub user_data: Option<PathBuf>,
    /// What is done to a machine before the agent is started.
    pub prepare: PreparationTable,
    /// Where the agent is on the machine.
    pub directory: Option<String>,
    pub service: Service,
    /// How often what takes its time is asked for, where Azure does not say it.
    pub poll_seconds: Option<f64>,
    /// What takes longer to be made or deleted is told as an error.
    pub limit_minutes: Option<f64>,
    /// Addresses of another cloud of Azure's kind.
    pub management: Option<String>,
    pub login: Option<String>,
    pub prices: Option<String>,
    /// `host:port` at which machines ask for their scheduled events.
    pub scheduled_events: Option<String>,
}

/// Whether Azure may take machines away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Priority {
    #[default]
    Spot,
    Regular,
}

/// What a machine starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub publisher: String,
    pub offer: String,
    pub sku: String,
    pub version: String,
}

/// The settings once they are read.
#[derive(Debug)]
pub(super) struct Wanted {
    pub priority: Priority,
    pub image: Image,
    pub gpu_image: Option<Image>,
    pub user: String,
    pub public_key: PathBuf,
    pub ssh_from: Vec<String>,
    pub system_disk: Option<u32>,
    pub currency: String,
}

const IMAGE: &str = "Canonical:ubuntu-24_04-lts:server:latest";
const MANAGEMENT: &str = "https://management.azure.com";
const LOGIN: &str = "https://login.microsoftonline.com";
const PRICES: &str = "https://prices.azure.com";

/// Makes the provider. Credentials are read when they are used.
///
/// # Errors
/// A key that is wrong or missing, and a template of user data with an error.
pub fn make(
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let name = surroundings.name.clone();
    let settings: AzureSettings = own_keys(&name, own)?;
    let refuse = |reason: &str| SettingsError::of(&name, reason);
    if surroundings.regions.is_empty() {
        return Err(refuse("`regions` is missing: name those of Azure in which to hire"));
    }
    let public_key = settings.public_key.clone().ok_or_else(|| {
        refuse("`public_key` is missing: a file with the key of those who may log in, without which Azure makes no machine")
    })?;
    // Azure tells only those machines that it may take away.
    let notice = match (settings.priority, &settings.scheduled_events) {
        (Priority::Regular, _) => String::new(),
        (Priority::Spot, None) => "azure".to_owned(),
        (Priority::Spot, Some(address)) => format!("azure:{address}"),
    };
    let table = UserDataTable {
        template: settings.user_data.clone(),
        prepare: settings.prepare.clone(),
        directory: settings.directory.clone(),
        service: settings.service,
    };
    let user_data = UserData::new(&table, notice).map_err(|error| refuse(&error.to_string()))?;
    let image = |text: &str, key: &str| {
        Image::read(text).ok_or_else(|| {
            refuse(&format!(
                "`{key}` is `{text}`, which is not of the form publisher:offer:sku:version"
            ))
        })
    };
    let seconds = |value: f64, key: &str| {
        Duration::try_from_secs_f64(value)
            .map_err(|_| refuse(&format!("`{key}` is no length of time")))
    };
    let url = |own: &Option<String>, usual: &str, key: &str| {
        let text = own.as_deref().unwrap_or(usual);
        text.parse::<Url>()
            .map_err(|error| refuse(&format!("`{key}` is `{text}`, which is no address: {error}")))
    };
    let wanted = Wanted {
        priority: settings.priority,
        image: image(settings.image.as_deref().unwrap_or(IMAGE), "image")?,
        gpu_image: settings
            .gpu_image
            .as_deref()
            .map(|text| image(text, "gpu_image"))
            .transpose()?,
        user: settings.user.clone().unwrap_or_else(|| "scitq".to_owned()),
        public_key,
        ssh_from: settings.ssh_from.clone(),
        system_disk: settings.system_disk,
        currency: settings.currency.clone().unwrap_or_else(|| "EUR".to_owned()),
    };
    let poll = seconds(settings.poll_seconds.unwrap_or(2.0), "poll_seconds")?;
    let limit = seconds(settings.limit_minutes.unwrap_or(30.0) * 60.0, "limit_minutes")?;
    let management = url(&settings.management, MANAGEMENT, "management")?;
    let login = url(&settings.login, LOGIN, "login")?;
    let prices = url(&settings.prices, PRICES, "prices")?;
    let session = Session::new(&settings, &surroundings, management, login);
    let regions = surroundings.regions;
    Ok(Arc::new(Azure { name, regions, wanted, poll, limit, prices, user_data, session }))
}

impl Image {
    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [publisher, offer, sku, version] = parts[..] else { return None };
        if parts.contains(&"") {
            return None;
        }
        let own = str::to_owned;
        Some(Self {
            publisher: own(publisher),
            offer: own(offer),
            sku: own(sku),
            version: own(version),
        })
    }
}
