//! Carries out what `update` wants, each thing beside all others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::{change, fetch, output};
use crate::api::Client;
use crate::domain::WorkerId;
use crate::tui::effect::{Action, Change, Fetch, OutputFrom, Reply, Search};

/// What a request needs.
#[derive(Debug, Clone)]
pub struct Hands {
    pub(super) client: Client,
    /// Ids of workers by their names, as they were last seen.
    pub(super) workers: Arc<Mutex<BTreeMap<String, WorkerId>>>,
    replies: UnboundedSender<Action>,
    /// Requests that wait for output to come.
    followers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// The last change that was wanted.
    last_change: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Hands {
    #[must_use]
    pub fn new(client: Client, replies: UnboundedSender<Action>) -> Self {
        Self {
            client,
            workers: Arc::default(),
            replies,
            followers: Arc::default(),
            last_change: Arc::default(),
        }
    }

    pub fn fetch(&self, wanted: Fetch) {
        let is_follow = matches!(
            &wanted,
            Fetch::Output(request) if matches!(request.from, OutputFrom::Follow(_))
        );
        let hands = self.clone();
        let task = tokio::spawn(async move {
            let reply = fetch::fetch(&hands, wanted).await;
            hands.tell(reply);
        });
        if is_follow {
            let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
            followers.retain(|follower| !follower.is_finished());
            followers.push(task);
        }
    }

    /// Changes reach the server in the order in which they were wanted, each after
    /// the answer to the one before: of two settings the last one shall hold.
    pub fn change(&self, wanted: Change) {
        let hands = self.clone();
        let mut last = self.last_change.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.take();
        *last = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // Also after one that broke off.
                let _ = before.await;
            }
            let told = change::change(&hands, wanted).await;
            hands.tell(Reply::Changed(told));
        }));
    }

    pub fn search(&self, search: Search) {
        let hands = self.clone();
        tokio::spawn(async move {
            let result = output::search(&hands.client, &search).await;
            hands.tell(Reply::Found { search, result });
        });
    }

    pub fn download(&self, tasks: Vec<crate::domain::TaskId>, directory: std::path::PathBuf) {
        let hands = self.clone();
        tokio::spawn(async move {
            let told = output::download(&hands.client, &tasks, &directory).await;
            hands.tell(Reply::Changed(told));
        });
    }

    /// Nobody looks at growing output any more.
    pub fn cancel_follow(&self) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        for follower in followers.drain(..) {
            follower.abort();
        }
    }

    pub fn tell(&self, reply: Reply) {
        // The screen may be gone by now.
        let _ = self.replies.send(Action::Reply(Box::new(reply)));
    }
}
