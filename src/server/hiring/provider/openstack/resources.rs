//! What a machine is made with: its image, its network and the key of those who log in.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::api::{Images, Networks};
use super::error::of_reply;
use super::session::{Call, Service};
use super::source::OpenStack;
use crate::domain::flavor::RegionName;
use crate::server::hiring::provider::wire::escaped;
use crate::server::hiring::provider::{ErrorClass, ProviderError};

impl OpenStack {
    /// The id of the newest image of that name, or of the image that has it as its id.
    pub(super) async fn image_id(
        &self,
        region: &RegionName,
        name: &str,
    ) -> Result<String, ProviderError> {
        let path = format!("/images?name={}&sort=created_at:desc", escaped(name));
        let call = Call::get(region, &path).of(Service::Image);
        let found: Images = self.session.ask(&call).await?.read()?;
        let mut images = found.images;
        images.retain(|image| image.status == "active");
        images.sort_by(|one, other| other.created_at.cmp(&one.created_at));
        if let Some(image) = images.into_iter().find(|image| image.name.as_deref() == Some(name)) {
            return Ok(image.id);
        }
        let path = format!("/images/{}", escaped(name));
        let reply = self.session.send(&Call::get(region, &path).of(Service::Image)).await?;
        if reply.status.is_success() {
            return Ok(name.to_owned());
        }
        if !matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
            return Err(of_reply(&reply));
        }
        Err(self.unknown("image", name, region))
    }

    /// The id of the network to which machines are attached.
    pub(super) async fn network_id(&self, region: &RegionName) -> Result<String, ProviderError> {
        let call = Call::get(region, "/networks").of(Service::Network);
        let found: Networks = self.session.ask(&call).await?.read()?;
        let Some(name) = &self.settings.network else {
            let mut networks = found.networks.into_iter();
            return match (networks.next(), networks.next()) {
                (Some(only), None) => Ok(only.id),
                (None, _) => Err(ProviderError::new(
                    ErrorClass::Unsupported,
                    format!("provider `{}` has no network in the region `{region}`", self.name),
                )),
                (Some(first), Some(second)) => {
                    let all = [first, second].into_iter().chain(networks);
                    let names: Vec<String> =
                        all.map(|network| format!("`{}`", network.name)).collect();
                    let message = format!(
                        "provider `{}` has several networks in the region `{region}`: name one by `network`: {}",
                        self.name,
                        names.join(", ")
                    );
                    Err(ProviderError::new(ErrorClass::Unsupported, message))
                }
            };
        };
        let is_it = |network: &super::api::Network| network.name == *name || network.id == *name;
        let found = found.networks.into_iter().find(is_it);
        found.map(|network| network.id).ok_or_else(|| self.unknown("network", name, region))
    }

    /// Sees to it that the cloud has the key pair.
    pub(super) async fn ensure_key(&self, region: &RegionName) -> Result<(), ProviderError> {
        let (Some(name), Some(path)) = (&self.settings.key, &self.settings.public_key) else {
            return Ok(());
        };
        let found = format!("/os-keypairs/{}", escaped(name));
        let reply = self.session.send(&Call::get(region, &found)).await?;
        if reply.status.is_success() {
            return Ok(());
        }
        if reply.status != StatusCode::NOT_FOUND {
            return Err(of_reply(&reply));
        }
        let key = tokio::fs::read_to_string(path).await.map_err(|error| {
            let message = format!("cannot read the `public_key` `{}`: {error}", path.display());
            ProviderError::new(ErrorClass::Unsupported, message)
        })?;
        let body = json!({"keypair": {"name": name, "public_key": key.trim()}});
        let call = Call { method: Method::POST, ..Call::post(region, "/os-keypairs", body) };
        let reply = self.session.send(&call).await?;
        // Another job may have sent it at the same time.
        if reply.status.is_success() || reply.status == StatusCode::CONFLICT {
            return Ok(());
        }
        Err(of_reply(&reply))
    }

    fn unknown(&self, kind: &str, name: &str, region: &RegionName) -> ProviderError {
        let message =
            format!("provider `{}` has no {kind} `{name}` in the region `{region}`", self.name);
        ProviderError::new(ErrorClass::Unsupported, message)
    }
}
