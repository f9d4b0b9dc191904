//! What a container used, as far as its engine was asked while it ran.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::engine::Engine;
use crate::domain::execution::ResourceUsage;

/// The first look comes soon, later ones further apart: a long run is told to
/// the last seconds, a short one at all.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Looks at a container from time to time, until it is dropped.
#[derive(Debug)]
pub struct Meter {
    latest: Arc<Mutex<Option<ResourceUsage>>>,
    task: JoinHandle<()>,
}

impl Meter {
    /// Begins to look at a container that runs.
    pub fn start(engine: &Engine, name: &str) -> Self {
        let latest = Arc::new(Mutex::new(None));
        let (engine, name, seen) = (engine.clone(), name.to_owned(), Arc::clone(&latest));
        let task = tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            loop {
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
                let mut stats = std::pin::pin!(engine.docker().stats(&name, Some(options)));
                if let Some(Ok(stats)) = stats.next().await {
                    note(&mut seen.lock().unwrap_or_else(PoisonError::into_inner), &stats);
                }
            }
        });
        Self { latest, task }
    }

    /// What was seen; none of a container that ended at once.
    pub fn usage(&self) -> Option<ResourceUsage> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Figures only grow: an engine tells zeros of a container that has just ended.
fn note(latest: &mut Option<ResourceUsage>, stats: &ContainerStatsResponse) {
    let before = latest.unwrap_or_default();
    let cpu = stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref());
    let memory = stats.memory_stats.as_ref();
    let seconds = |nanos: Option<u64>| Duration::from_nanos(nanos.unwrap_or(0)).as_secs_f64();
    let user = seconds(cpu.and_then(|cpu| cpu.usage_in_usermode));
    let system = seconds(cpu.and_then(|cpu| cpu.usage_in_kernelmode));
    let peak = memory.and_then(|memory| memory.max_usage.max(memory.usage)).unwrap_or(0);
    *latest = Some(ResourceUsage {
        user_seconds: user.max(before.user_seconds),
        system_seconds: system.max(before.system_seconds),
        peak_memory_bytes: peak.max(before.peak_memory_bytes),
    });
}
