//! Questions to the server about outputs that may be taken over: asked by a
//! transfer, sent over whatever link there is, answered to the transfer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use crate::agent::link::ToLink;
use crate::api::cache::{CacheHit, CacheKey};
use crate::api::link::Up;
use crate::domain::ExecutionId;

/// A server that is away for longer is not waited for: the task runs.
const ASKING_LIMIT: Duration = Duration::from_mins(1);

/// Clones share what is asked.
#[derive(Debug, Clone)]
pub struct Inquiries(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    frames: UnboundedSender<ToLink>,
    /// The link on which the server has welcomed this agent.
    link: watch::Sender<Option<u64>>,
    waiting: Mutex<HashMap<ExecutionId, oneshot::Sender<Vec<CacheHit>>>>,
}

impl Inquiries {
    pub fn new(frames: UnboundedSender<ToLink>) -> Self {
        let (link, _) = watch::channel(None);
        Self(Arc::new(Shared { frames, link, waiting: Mutex::default() }))
    }

    /// Which link is good from now on.
    pub fn on_link(&self, link: Option<u64>) {
        self.0.link.send_replace(link);
    }

    /// The server has answered.
    pub fn on_found(&self, execution: ExecutionId, found: Vec<CacheHit>) {
        let waiting = &self.0.waiting;
        let asker = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&execution);
        if let Some(asker) = asker {
            // It may have gone away.
            let _ = asker.send(found);
        }
    }

    /// Asks, and asks again on the next link if one breaks.
    pub async fn find(&self, execution: ExecutionId, key: &CacheKey) -> Vec<CacheHit> {
        let Ok(found) = tokio::time::timeout(ASKING_LIMIT, self.ask(execution, key)).await else {
            tracing::warn!(%execution, "the server is away: nothing is taken over");
            return Vec::new();
        };
        found
    }

    async fn ask(&self, execution: ExecutionId, key: &CacheKey) -> Vec<CacheHit> {
        let mut links = self.0.link.subscribe();
        loop {
            let link = *links.borrow_and_update();
            let (asker, answer) = oneshot::channel();
            if let Some(link) = link {
                let waiting = &self.0.waiting;
                waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(execution, asker);
                let frame = Up::FindCached { execution, key: key.clone() };
                drop(self.0.frames.send(ToLink::Frame { link, frame }));
            }
            tokio::select! {
                Ok(found) = answer, if link.is_some() => return found,
                changed = links.changed() => {
                    if changed.is_err() {
                        return Vec::new();
                    }
                }
            }
        }
    }
}
