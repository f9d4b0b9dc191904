//! The images that this worker has fetched, so that those which nobody uses can
//! go when the disk is full. Images that somebody else has brought to the
//! engine are none of ours.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::agent::runner::docker::engine::RemovedImage;
use crate::agent::runner::docker::{Address, Engine};
use crate::agent::workdir;
use crate::clock::SystemClock;
use crate::domain::{Clock, ExecutionId, Timestamp};

/// Where they are written down, in the folder of the agent's own files.
const FILE: &str = "images.json";

/// The images of one worker. Clones are the same.
#[derive(Debug, Clone)]
pub struct Images {
    path: PathBuf,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Those that were fetched, with their last use.
    used: BTreeMap<String, Timestamp>,
    /// Those that executions of this worker want.
    held: BTreeMap<ExecutionId, String>,
}

impl Images {
    /// Goes on with what an agent before has written down. A file that cannot be
    /// read costs nothing but space: its images are not removed.
    pub fn open(workdir: &Path) -> Self {
        let path = workdir::journal(workdir).join(FILE);
        let used: Option<BTreeMap<String, i64>> =
            fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let used = used.unwrap_or_default().into_iter();
        let used = used.map(|(image, micros)| (image, Timestamp(micros))).collect();
        Self { path, known: Arc::new(Mutex::new(Known { used, held: BTreeMap::new() })) }
    }

    /// An execution wants an image: it stays.
    pub fn hold(&self, execution: ExecutionId, image: &str) {
        self.known().held.insert(execution, image.to_owned());
    }

    pub fn release(&self, execution: ExecutionId) {
        self.known().held.remove(&execution);
    }

    /// The engine has fetched it for this worker.
    pub fn on_pulled(&self, image: &str) {
        let mut known = self.known();
        known.used.insert(image.to_owned(), SystemClock.now().wall);
        self.write(&known);
    }

    /// The engine had it already.
    pub fn on_found(&self, image: &str) {
        let mut known = self.known();
        if let Some(used_at) = known.used.get_mut(image) {
            *used_at = SystemClock.now().wall;
            self.write(&known);
        }
    }

    /// Removes images that nobody uses, least recently used first, while the
    /// disk that they are on is full. Blocks.
    pub fn evict_while(&self, is_full: impl Fn(&Path) -> bool) -> io::Result<()> {
        if self.unused().is_empty() {
            return Ok(());
        }
        let Some(address) = Address::find() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.evict(&address, is_full)).map_err(io::Error::other)
    }

    async fn evict(
        &self,
        address: &Address,
        is_full: impl Fn(&Path) -> bool,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let engine = Engine::connect(address).await?;
        // An engine on another machine has another disk.
        let root = engine.facts().await.unwrap_or_default().root.filter(|root| root.exists());
        let Some(root) = root else { return Ok(()) };
        for image in self.unused() {
            if !is_full(&root) {
                break;
            }
            match engine.remove_image(&image).await? {
                RemovedImage::Gone => {
                    tracing::info!(image, "removed an image that no task uses: the disk is full");
                    self.forget(&image);
                }
                RemovedImage::WasNotThere => self.forget(&image),
                RemovedImage::InUse => {}
            }
        }
        Ok(())
    }

    /// Those that no execution of this worker wants, least recently used first.
    fn unused(&self) -> Vec<String> {
        let known = self.known();
        let is_held = |image: &String| known.held.values().any(|held| held == image);
        let mut unused: Vec<(Timestamp, &String)> = known
            .used
            .iter()
            .filter(|(image, _)| !is_held(image))
            .map(|(image, used_at)| (*used_at, image))
            .collect();
        unused.sort_unstable();
        unused.into_iter().map(|(_, image)| image.clone()).collect()
    }

    fn forget(&self, image: &str) {
        let mut known = self.known();
        known.used.remove(image);
        self.write(&known);
    }

    fn write(&self, known: &Known) {
        let plain: BTreeMap<&String, i64> =
            known.used.iter().map(|(image, used_at)| (image, used_at.0)).collect();
        let unfinished = self.path.with_extension("new");
        let written = serde_json::to_vec(&plain)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&unfinished, text))
            .and_then(|()| fs::rename(&unfinished, &self.path));
        if let Err(error) = written {
            tracing::warn!(%error, "the images of this worker are not written down");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_by_their_last_use_and_those_in_use_stay() {
        let workdir = tempfile::tempdir().unwrap();
        fs::create_dir_all(workdir::journal(workdir.path())).unwrap();
        let images = Images::open(workdir.path());
        for image in ["a", "b", "c"] {
            images.on_pulled(image);
        }
        images.on_found("a");
        images.on_found("brought by somebody else");
        images.hold(ExecutionId(1), "b");
        assert_eq!(images.unused(), ["c", "a"]);
        let next = Images::open(workdir.path());
        assert_eq!(next.unused(), ["b", "c", "a"]);
        images.release(ExecutionId(1));
        images.forget("c");
        assert_eq!(images.unused(), ["b", "a"]);
    }
}
