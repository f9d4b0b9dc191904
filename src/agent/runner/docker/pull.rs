//! Fetching an image, and how far that is.

use std::collections::BTreeMap;
use std::fmt;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::engine::{Engine, EngineError, told};
use super::login::{self, Login};
use crate::domain::container::Pull;

/// How far the fetching of an image is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullProgress {
    layers: BTreeMap<String, Layer>,
}

/// How an engine came by an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    WasThere,
    /// It came from its registry, or was looked for there and is the same still.
    Pulled(PullProgress),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Layer {
    bytes: u64,
    total: u64,
    is_here: bool,
}

impl Engine {
    /// Sees to it that the engine has an image. `tell` hears how far it is, the
    /// first time when the image turns out not to be there.
    ///
    /// # Errors
    /// It has not, and it cannot or shall not be fetched.
    pub async fn fetch(
        &self,
        image: &str,
        pull: Pull,
        tell: &(dyn Fn(&PullProgress) + Send + Sync),
    ) -> Result<Fetched, EngineError> {
        let failed =
            |error: &Error| EngineError::Pull { image: image.to_owned(), message: told(error) };
        if pull != Pull::Always {
            match self.docker().inspect_image(image).await {
                Ok(_) => return Ok(Fetched::WasThere),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
            if pull == Pull::Never {
                return Err(EngineError::NoImage { image: image.to_owned() });
            }
        }
        let credentials = credentials(image).await?;
        let mut progress = PullProgress::default();
        tell(&progress);
        let options = CreateImageOptionsBuilder::default().from_image(&with_tag(image)).build();
        let mut steps =
            std::pin::pin!(self.docker().create_image(Some(options), None, credentials));
        while let Some(step) = steps.next().await {
            progress.note(&step.map_err(|error| failed(&error))?);
            tell(&progress);
        }
        Ok(Fetched::Pulled(progress))
    }
}

impl PullProgress {
    /// Bytes that have come, and bytes of the layers whose size is known by now.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.layers
            .values()
            .fold((0, 0), |(bytes, total), layer| (bytes + layer.bytes, total + layer.total))
    }

    /// Layers that are here, and all.
    #[must_use]
    pub fn layers(&self) -> (usize, usize) {
        (self.layers.values().filter(|layer| layer.is_here).count(), self.layers.len())
    }

    /// Takes in one step that an engine tells. Those that are not about a layer
    /// count for nothing.
    fn note(&mut self, step: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&step.id, &step.status) else { return };
        let is_here = match status.as_str() {
            "Pulling fs layer" | "Waiting" | "Downloading" | "Verifying Checksum" => false,
            "Download complete" | "Extracting" | "Pull complete" | "Already exists" => true,
            _ => return,
        };
        let layer = self.layers.entry(id.clone()).or_default();
        layer.is_here |= is_here;
        if let (Some(detail), "Downloading") = (&step.progress_detail, status.as_str()) {
            let known = |figure: Option<i64>| figure.and_then(|bytes| u64::try_from(bytes).ok());
            layer.bytes = known(detail.current).unwrap_or(layer.bytes);
            layer.total = known(detail.total).unwrap_or(layer.total);
        }
        if is_here {
            layer.bytes = layer.total;
        }
    }
}

impl fmt::Display for PullProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((here, all), (bytes, total)) = (self.layers(), self.bytes());
        write!(f, "{here} of {all} layers")?;
        if total > 0 {
            write!(f, ", {} of {} MB", bytes / 1_000_000, total.div_ceil(1_000_000))?;
        }
        Ok(())
    }
}

async fn credentials(image: &str) -> Result<Option<DockerCredentials>, EngineError> {
    let Some(file) = login::config_file() else { return Ok(None) };
    let wanted = image.to_owned();
    let found = tokio::task::spawn_blocking(move || login::find_login(&file, &wanted)).await;
    let login = match found {
        Ok(Ok(login)) => login,
        Ok(Err(source)) => return Err(EngineError::Login { image: image.to_owned(), source }),
        Err(error) => {
            let message = error.to_string();
            return Err(EngineError::Pull { image: image.to_owned(), message });
        }
    };
    let serveraddress = Some(login::registry_of(image).to_owned());
    Ok(login.map(|login| match login {
        Login::Password { user, password } => DockerCredentials {
            username: Some(user),
            password: Some(password),
            serveraddress,
            ..DockerCredentials::default()
        },
        Login::Token(token) => DockerCredentials {
            identitytoken: Some(token),
            serveraddress,
            ..DockerCredentials::default()
        },
    }))
}

/// Without a tag the engine would fetch all of them.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("127.0.0.1:5000/a"), "127.0.0.1:5000/a:latest");
        assert_eq!(with_tag("a:1"), "a:1");
        assert_eq!(with_tag("a@sha256:0"), "a@sha256:0");
    }

    fn step(json: &str) -> CreateImageInfo {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn layers_and_bytes_are_told_as_they_come() {
        let mut progress = PullProgress::default();
        // As engines have told it.
        for json in [
            r#"{"status": "Pulling from tools/busybox", "id": "1"}"#,
            r#"{"status": "Pulling fs layer", "progressDetail": {}, "id": "8002b2aee2e2"}"#,
            r#"{"status": "Already exists", "progressDetail": {}, "id": "b1551f3a1e2e"}"#,
            r#"{"status": "Downloading", "progressDetail": {"current": 1500000, "total": 4000000},
                "progress": "[==>  ]", "id": "8002b2aee2e2"}"#,
        ] {
            progress.note(&step(json));
        }
        assert_eq!(progress.to_string(), "1 of 2 layers, 1 of 4 MB");
        for status in ["Download complete", "Extracting", "Pull complete"] {
            progress.note(&step(&format!(
                r#"{{"status": "{status}", "progressDetail": {{"current": 9}}, "id": "8002b2aee2e2"}}"#
            )));
        }
        progress.note(&step(r#"{"status": "Digest: sha256:00"}"#));
        assert_eq!(progress.to_string(), "2 of 2 layers, 4 of 4 MB");
    }
}
