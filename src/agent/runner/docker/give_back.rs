//! Gives files that a container made as another user back to the agent's user,
//! who has to send and to remove them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use futures_util::StreamExt;

use super::engine::{Engine, told};
use super::facts::Users;
use super::order::ContainerOrder;

/// Where the folders are in the helper's container.
const PLACE: &str = "/scitq";

/// Changes the owner of all that is not the agent's, by a container made from
/// the task's own image: only the engine may do that. An agent that is root
/// can read and remove everything as it is.
///
/// # Errors
/// In words, when some files may still be another user's.
pub async fn give_back(engine: &Engine, order: &ContainerOrder) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    if user == 0 {
        return Ok(());
    }
    let foreign = order.give_back.iter().filter(|folder| has_foreign(folder, user));
    let foreign: Vec<_> = foreign.collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let users = engine.facts().await.unwrap_or_default().users;
    let group = rustix::process::getegid().as_raw();
    let (owner, users_of) = match users {
        Users::Same => (format!("{user}:{group}"), None),
        // The user outside is root inside.
        Users::Rootless => ("0:0".to_owned(), None),
        // The agent's user is none of those that are in a container of this
        // engine, but for one without the mapping.
        Users::Remapped => (format!("{user}:{group}"), Some("host".to_owned())),
    };
    let places = (0..foreign.len()).map(|number| format!("{PLACE}/{number}"));
    let mounts = foreign.iter().zip(places.clone()).map(|(folder, place)| Mount {
        typ: Some(MountType::BIND),
        source: Some(folder.to_string_lossy().into_owned()),
        target: Some(place),
        ..Mount::default()
    });
    let command = ["-R", "-h", &owner].map(str::to_owned).into_iter().chain(places.clone());
    let body = ContainerCreateBody {
        image: Some(order.image.clone()),
        entrypoint: Some(vec!["chown".to_owned()]),
        cmd: Some(command.collect()),
        user: Some("0:0".to_owned()),
        labels: Some(order.labels.clone().into_iter().collect()),
        host_config: Some(HostConfig {
            mounts: Some(mounts.collect()),
            network_mode: Some("none".to_owned()),
            userns_mode: users_of,
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let name = format!("{}-give-back", order.name);
    let outcome = run(engine, &name, body).await;
    drop(engine.remove(&name).await);
    outcome.map_err(|message| {
        format!("files of other users cannot be given back to user {user}: {message}")
    })
}

async fn run(engine: &Engine, name: &str, body: ContainerCreateBody) -> Result<(), String> {
    let docker = engine.docker();
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await.map_err(|error| told(&error))?;
    docker.start_container(name, None).await.map_err(|error| told(&error))?;
    let mut waiting = std::pin::pin!(docker.wait_container(name, None));
    match waiting.next().await {
        Some(Ok(_)) => Ok(()),
        Some(Err(Error::DockerContainerWaitError { code, .. })) => {
            Err(format!("`chown` in the task's image ended with exit code {code}"))
        }
        Some(Err(error)) => Err(told(&error)),
        None => Err("the engine hung up".to_owned()),
    }
}

/// Whether there is a file of another user. A folder that cannot be read is one.
fn has_foreign(folder: &Path, user: u32) -> bool {
    let look = || -> io::Result<bool> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.uid() != user || (metadata.is_dir() && has_foreign(&entry.path(), user)) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().unwrap_or(true)
}
