//! What a site sets of an OpenStack cloud.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::session::Session;
use super::source::OpenStack;
use crate::server::hiring::provider::Provider;
use crate::server::hiring::provider::provision::{PreparationTable, Service};
use crate::server::hiring::provider::user_data::{UserData, UserDataTable};
use crate::server::hiring::settings::{SettingsError, Surroundings, own_keys};

/// The keys of `[providers.NAME]` with `kind = "openstack"`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OpenStackSettings {
    /// A cloud of `clouds.yaml`; none: `OS_CLOUD`, else the other `OS_*` variables.
    pub cloud: Option<String>,
    /// Another place of that file.
    pub clouds_file: Option<PathBuf>,
    /// Name or id of the image that machines start from.
    pub image: Option<String>,
    /// The same for machines with a GPU.
    pub gpu_image: Option<String>,
    /// Name or id of their network; none: the only one that there is.
    pub network: Option<String>,
    /// Name of the key pair by which people log in; none: nobody does.
    pub key: Option<String>,
    /// Public half of that pair, which is sent to the cloud where it does not have it.
    pub public_key: Option<PathBuf>,
    pub security_groups: Vec<String>,
    pub availability_zone: Option<String>,
    /// Flavors that are left out; `%` stands for any text.
    pub without_flavors: Vec<String>,
    /// Another text for the machine's first start.
    pub user_data: Option<PathBuf>,
    /// What is done to a machine before the agent is started.
    pub prepare: PreparationTable,
    /// Where the agent is on the machine.
    pub directory: Option<String>,
    pub service: Service,
    /// How often a machine is asked for while it comes or goes.
    pub poll_seconds: Option<f64>,
    /// A machine that takes longer to come is given up.
    pub build_minutes: Option<f64>,
    /// A machine that takes longer to go is told as an error.
    pub delete_minutes: Option<f64>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub poll: Duration,
    pub build: Duration,
    pub delete: Duration,
}

/// Makes the provider. Credentials are read when they are used, so that new ones count at
/// once, and a server starts without them.
///
/// # Errors
/// A key that is wrong, and a template of user data with an error.
pub fn make(
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let settings: OpenStackSettings = own_keys(&surroundings.name, own)?;
    let refuse = |reason: &str| SettingsError::of(&surroundings.name, reason);
    if settings.image.is_none() {
        return Err(refuse("`image` is missing: the name or id of the image to start from"));
    }
    if settings.public_key.is_some() && settings.key.is_none() {
        return Err(refuse("`public_key` needs a `key`: the name of the pair at the cloud"));
    }
    let table = UserDataTable {
        template: settings.user_data.clone(),
        prepare: settings.prepare.clone(),
        directory: settings.directory.clone(),
        service: settings.service,
    };
    let user_data =
        UserData::new(&table, String::new()).map_err(|error| refuse(&error.to_string()))?;
    let seconds = |value: Option<f64>, usual: f64, key: &str| {
        Duration::try_from_secs_f64(value.unwrap_or(usual))
            .map_err(|_| refuse(&format!("`{key}` is no length of time")))
    };
    let minutes = |value: Option<f64>, usual: f64, key: &str| {
        seconds(value.map(|minutes| minutes * 60.0), usual * 60.0, key)
    };
    let pace = Pace {
        poll: seconds(settings.poll_seconds, 2.0, "poll_seconds")?,
        build: minutes(settings.build_minutes, 20.0, "build_minutes")?,
        delete: minutes(settings.delete_minutes, 10.0, "delete_minutes")?,
    };
    let session = Session::new(&settings, &surroundings);
    Ok(Arc::new(OpenStack {
        name: surroundings.name,
        regions: surroundings.regions,
        settings,
        pace,
        user_data,
        session,
    }))
}
