//! The engine: where it is, what it has, and what must not be left in it.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use super::facts::{EngineFacts, Users};
use super::login::LoginError;
use super::order::{EXECUTION_LABEL, WORKDIR_LABEL};
use crate::domain::{ExecutionId, Timestamp};

/// Where the engine listens, as `DOCKER_HOST` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address(pub String);

/// Whose engine it is: some things they do differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brand {
    Docker,
    Podman,
}

/// A connection to the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    brand: Brand,
    version: String,
    /// Whose process it is, by its socket; none where it has none on this machine.
    owner: Option<u32>,
}

/// What became of an image that nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedImage {
    Gone,
    WasNotThere,
    InUse,
}

#[derive(Debug, ThisError)]
pub enum EngineError {
    #[error("there is no container engine on this worker")]
    None,
    #[error("the container engine at `{address}` does not answer: {message}")]
    Silent { address: String, message: String },
    #[error("no image `{image}` on this worker, and it shall not be fetched")]
    NoImage { image: String },
    #[error("cannot fetch the image `{image}`: {message}")]
    Pull { image: String, message: String },
    #[error("cannot fetch the image `{image}`")]
    Login { image: String, source: LoginError },
}

/// How long an engine that is there takes to say so, at most.
const ANSWER: Duration = Duration::from_secs(5);

/// How long one request may take, seconds. Waiting for a container is none.
const REQUEST_SECONDS: u64 = 120;

impl Address {
    /// Where an engine is looked for: at `DOCKER_HOST`, else at the sockets
    /// that engines make where they are installed.
    #[must_use]
    pub fn find() -> Option<Self> {
        let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        if let Some(host) = set("DOCKER_HOST") {
            return Some(Self(host.to_string_lossy().into_owned()));
        }
        let mut sockets = vec!["/var/run/docker.sock".to_owned()];
        let runtime = set("XDG_RUNTIME_DIR").map(|folder| folder.to_string_lossy().into_owned());
        sockets.extend(runtime.iter().map(|folder| format!("{folder}/docker.sock")));
        sockets.push("/run/podman/podman.sock".to_owned());
        sockets.extend(runtime.iter().map(|folder| format!("{folder}/podman/podman.sock")));
        let found = sockets.into_iter().find(|socket| Path::new(socket).exists());
        found.map(|socket| Self(format!("unix://{socket}")))
    }

    /// The user who made the socket.
    fn owner(&self) -> Option<u32> {
        let path = self.0.strip_prefix("unix://").unwrap_or(&self.0);
        std::fs::metadata(path).ok().map(|socket| socket.uid())
    }

    fn client(&self) -> Result<Docker, Error> {
        let address = self.0.as_str();
        if address.starts_with("unix://") || address.starts_with('/') {
            return Docker::connect_with_unix(address, REQUEST_SECONDS, API_DEFAULT_VERSION);
        }
        Docker::connect_with_http(address, REQUEST_SECONDS, API_DEFAULT_VERSION)
    }
}

impl Engine {
    /// Connects to the engine.
    ///
    /// # Errors
    /// It is not there, or does not answer.
    pub async fn connect(address: &Address) -> Result<Self, EngineError> {
        let silent = |message: String| EngineError::Silent { address: address.0.clone(), message };
        let client = address.client().map_err(|error| silent(told(&error)))?;
        let greet = async {
            let docker = client.negotiate_version().await?;
            let version = docker.version().await?;
            Ok::<_, Error>((docker, version))
        };
        let (docker, version) = tokio::time::timeout(ANSWER, greet)
            .await
            .map_err(|_| silent(format!("nothing within {} s", ANSWER.as_secs())))?
            .map_err(|error| silent(told(&error)))?;
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name.contains("Podman"));
        let brand = if is_podman { Brand::Podman } else { Brand::Docker };
        let version = version.version.unwrap_or_default();
        Ok(Self { docker, brand, version, owner: address.owner() })
    }

    /// What people are told of it: whose it is, its version, and whether the
    /// users in its containers are others than they seem to be.
    pub async fn describe(&self) -> String {
        let facts = self.facts().await.unwrap_or_default();
        let name = match self.brand {
            Brand::Docker => "Docker",
            Brand::Podman => "Podman",
        };
        format!("{name} {}{}", self.version, facts.remarks())
    }

    /// What it tells of itself; none when it does not.
    pub async fn facts(&self) -> Option<EngineFacts> {
        let told = tokio::time::timeout(ANSWER, self.docker.info()).await;
        let mut facts = EngineFacts::of(&told.ok()?.ok()?);
        // Older ones do not tell it where Docker does.
        let is_of_a_user = self.owner.is_some_and(|owner| owner != 0);
        if self.brand == Brand::Podman && facts.users == Users::Same && is_of_a_user {
            facts.users = Users::Rootless;
        }
        Some(facts)
    }

    #[must_use]
    pub const fn docker(&self) -> &Docker {
        &self.docker
    }

    #[must_use]
    pub const fn brand(&self) -> Brand {
        self.brand
    }

    /// Removes a container, whether it runs or not.
    ///
    /// # Errors
    /// It is still there, or may be.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(name, Some(options)).await {
            // Gone, or going: somebody else removes it at this moment.
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes an image, unless a container has it.
    ///
    /// # Errors
    /// The engine does not say what became of it.
    pub async fn remove_image(&self, image: &str) -> Result<RemovedImage, Error> {
        let options = RemoveImageOptionsBuilder::default().force(false).build();
        match self.docker.remove_image(image, Some(options), None).await {
            Ok(_) => Ok(RemovedImage::Gone),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(RemovedImage::WasNotThere)
            }
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => {
                Ok(RemovedImage::InUse)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the containers of this workdir that were made before `before`
    /// and are not of the executions that are watched.
    ///
    /// # Errors
    /// Some may be left.
    pub async fn sweep(
        &self,
        workdir: &Path,
        watched: &BTreeSet<ExecutionId>,
        before: Timestamp,
    ) -> Result<(), Error> {
        let label = format!("{WORKDIR_LABEL}={}", workdir.display());
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        for container in self.docker.list_containers(Some(options)).await? {
            let labels = container.labels.unwrap_or_default();
            let execution =
                labels.get(EXECUTION_LABEL).and_then(|id| id.parse::<ExecutionId>().ok());
            // The engine tells whole seconds.
            let is_old =
                container.created.is_some_and(|at| at + 1 < before.0.div_euclid(1_000_000));
            let is_watched = execution.is_some_and(|execution| watched.contains(&execution));
            if let Some(id) = container.id.filter(|_| is_old && !is_watched) {
                tracing::info!(?execution, "removing a container that nobody watches");
                self.remove(&id).await?;
            }
        }
        Ok(())
    }
}

/// An error of the engine in the words that the engine has for it.
#[must_use]
pub fn told(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        error => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(source) = cause {
                let source_text = source.to_string();
                if !text.contains(&source_text) {
                    text = format!("{text}: {source_text}");
                }
                cause = source.source();
            }
            text
        }
    }
}
