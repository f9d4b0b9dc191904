//! Carries out effects.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::agent::cache::ResourceCache;
use crate::agent::fsm::{Culprit, Effect, Event, Files, Ground, Order, Standing, TransferFailure};
use crate::agent::link::ToLink;
use crate::agent::stage::{self, StageError};
use crate::agent::telemetry::Sampler;
use crate::agent::workdir::TaskDirs;
use crate::agent::{files, token};
use crate::api::link::{Heartbeat, Hello, PROTOCOL, Up};
use crate::clock::SystemClock;
use crate::domain::worker::{Machine, WorkerSettings};
use crate::domain::{Clock, ExecutionId, Monotonic};
use crate::storage::{Note, Transfer};

use super::commands::Commands;
use super::containers::{PullBoard, fetch_image};
use super::desk::Carrier;
use super::folders::{self, Folders, Maker};
use super::images::Images;
use super::output::Output;
use super::progress;

/// So many directories are handed to the cleaner at once: some of those that it
/// keeps serve the next tasks.
const MANY_DISCARDED: usize = 16;

/// How the agent introduces itself.
#[derive(Debug)]
pub struct Identity {
    pub name: String,
    pub machine: Machine,
    pub instance: String,
    pub boot_id: String,
    pub settings: WorkerSettings,
}

/// All that effects need.
#[derive(Debug)]
pub struct Hands {
    pub workdir: PathBuf,
    pub identity: Identity,
    pub commands: Commands,
    pub folders: Folders,
    pub cache: ResourceCache,
    pub images: Images,
    pub sampler: Arc<Mutex<Sampler>>,
    pub link: UnboundedSender<ToLink>,
    pub output: Output,
    pub events: UnboundedSender<Event>,
    pub transfers: HashMap<ExecutionId, Moving>,
    /// What is handed to the cleaner in a moment, so that it wakes up less often.
    pub discarded: Vec<(ExecutionId, Files)>,
}

/// A download or upload under way.
#[derive(Debug)]
pub struct Moving {
    transfer: Transfer,
    board: PullBoard,
    since: Monotonic,
    task: JoinHandle<()>,
}

/// What it takes to fetch the data of a task.
struct Download {
    maker: Maker,
    dirs: TaskDirs,
    cache: ResourceCache,
    images: Images,
    board: PullBoard,
    ground: Ground,
}

impl Identity {
    /// The hello of an agent that holds nothing.
    fn hello(&self, standing: Standing) -> Hello {
        let Standing { draining, lease_seconds, orphans } = standing;
        Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            machine: self.machine.clone(),
            instance: self.instance.clone(),
            boot_id: self.boot_id.clone(),
            settings: self.settings.clone(),
            store: None,
            held: Vec::new(),
            draining,
            lease_seconds,
            orphans,
        }
    }
}

impl Carrier for Hands {
    fn notice(&mut self, event: &Event) {
        self.note_event(event);
    }

    fn perform(&mut self, effect: Effect, concurrency: u32) {
        match effect {
            Effect::Prepare { order, ground } => self.prepare(order, ground),
            Effect::Spawn(order) => self.commands.spawn(&order, concurrency),
            Effect::Signal { execution, signal } => self.commands.signal(execution, signal),
            Effect::ForgetCommand(execution) => self.commands.forget(execution),
            Effect::Upload(order) => self.upload(&order),
            Effect::StopTransfer(execution) => self.stop_transfer(execution),
            Effect::FollowNewOutput { execution, link } => {
                self.output.follow_new(execution, link);
            }
            Effect::FollowOutput { execution, link, from } => {
                self.output.follow(execution, link, from);
            }
            Effect::FinishOutput { execution } => self.output.finish(execution),
            Effect::StopOutput(execution) => self.output.stop(execution),
            Effect::StopAllOutput => self.output.stop_all(),
            Effect::Discard { execution, files } => self.discard(execution, files),
            Effect::SendHello { link, store, held, standing } => {
                let hello = Hello { store, held, ..self.identity.hello(standing) };
                self.send(ToLink::Frame { link, frame: Up::Hello(Box::new(hello)) });
            }
            Effect::SendHeartbeat { link, number, phases, standing } => {
                self.send_heartbeat(link, number, phases, standing);
            }
            Effect::SendEvicted { link, reason } => {
                self.send(ToLink::Frame { link, frame: Up::Evicted { reason } });
            }
            Effect::Redial { link } => self.send(ToLink::Redial { link }),
            Effect::RememberStore(store, epoch) => {
                if let Err(error) = files::write_store(&self.workdir, &store, epoch) {
                    tracing::error!(%error, "cannot write down which database this agent serves");
                }
            }
            Effect::RememberToken(secret) => {
                if let Err(error) = token::write(&files::token(&self.workdir), &secret) {
                    tracing::error!(%error, "cannot keep the worker's token");
                }
            }
            Effect::Clean(what) => self.folders.clean_on_demand(what),
            // The desk's own affairs.
            Effect::Journal(_) | Effect::Restart | Effect::Exit => {}
        }
    }

    fn has_much(&self) -> bool {
        self.discarded.len() >= MANY_DISCARDED
    }

    fn has_late(&self) -> bool {
        self.output.has_fresh() || !self.discarded.is_empty()
    }

    fn do_late(&mut self) {
        self.output.hand_over();
        if !self.discarded.is_empty() {
            self.folders.discard(std::mem::take(&mut self.discarded));
        }
    }
}

impl Hands {
    /// Notes that a transfer has answered.
    pub fn on_transfer_over(&mut self, execution: ExecutionId) {
        self.transfers.remove(&execution);
    }

    /// Tells all transfers to end. What they have brought stays.
    pub fn stop_all_transfers(&mut self) {
        for (_, moving) in self.transfers.drain() {
            moving.transfer.cancel.cancel();
        }
    }

    fn prepare(&mut self, order: Arc<Order>, ground: Ground) {
        let spec = &order.spec;
        let has_data =
            !(spec.input.is_empty() && spec.resource.is_empty()) || spec.container.is_some();
        if !has_data && ground != Ground::Edited {
            return self.folders.make(order, ground);
        }
        self.folders.hold(order.execution);
        if let Some(image) = &spec.container {
            self.images.hold(order.execution, image);
        }
        let board = PullBoard::default();
        let download = Download {
            maker: self.folders.maker(),
            dirs: TaskDirs::new(&self.workdir, order.execution),
            cache: self.cache.clone(),
            images: self.images.clone(),
            board: board.clone(),
            ground,
        };
        self.start_transfer(&order, board, async move |order, transfer| {
            let result = download.run(&order, &transfer).await;
            Event::Prepared { execution: order.execution, result }
        });
    }

    fn upload(&mut self, order: &Arc<Order>) {
        let dirs = TaskDirs::new(&self.workdir, order.execution);
        self.start_transfer(order, PullBoard::default(), async move |order, transfer| {
            let execution = order.execution;
            let uri = order.spec.output.as_deref().unwrap_or_default();
            let result = match stage::upload(&dirs, uri, &transfer).await {
                Ok(uploaded) => {
                    log_notes(execution, &uploaded.notes);
                    Ok(())
                }
                Err(error) => Err(failure(&error)),
            };
            Event::Uploaded { execution, result }
        });
    }

    fn start_transfer<F>(
        &mut self,
        order: &Arc<Order>,
        board: PullBoard,
        work: impl FnOnce(Arc<Order>, Transfer) -> F,
    ) where
        F: Future<Output = Event> + Send + 'static,
    {
        let transfer = Transfer::default();
        let events = self.events.clone();
        let since = SystemClock.now().monotonic;
        let work = work(order.clone(), transfer.clone());
        let task = tokio::spawn(async move { drop(events.send(work.await)) });
        self.transfers.insert(order.execution, Moving { transfer, board, since, task });
    }

    fn stop_transfer(&mut self, execution: ExecutionId) {
        if let Some(moving) = self.transfers.get(&execution) {
            moving.transfer.cancel.cancel();
        }
    }

    /// A directory goes only after the transfer that works in it has ended.
    fn discard(&mut self, execution: ExecutionId, files: Files) {
        self.images.release(execution);
        let Some(moving) = self.transfers.remove(&execution) else {
            return self.discarded.push((execution, files));
        };
        moving.transfer.cancel.cancel();
        let discard = self.folders.discard_later(execution, files);
        tokio::spawn(async move {
            if moving.task.await.is_err() {
                tracing::error!(%execution, "a transfer broke off");
            }
            discard();
        });
    }

    /// The figures are taken on another thread: a disk may be slow to answer.
    fn send_heartbeat(
        &self,
        link: u64,
        number: u64,
        phases: Vec<(ExecutionId, crate::domain::execution::Phase)>,
        standing: Standing,
    ) {
        let sampler = self.sampler.clone();
        let transfers = self.describe_transfers();
        let frames = self.link.clone();
        tokio::task::spawn_blocking(move || {
            let now = SystemClock.now().monotonic;
            let stats = sampler.lock().unwrap_or_else(PoisonError::into_inner).sample(now);
            let Standing { draining, lease_seconds, orphans } = standing;
            let heartbeat =
                Heartbeat { number, stats, phases, transfers, draining, lease_seconds, orphans };
            drop(frames.send(ToLink::Frame { link, frame: Up::Heartbeat(Box::new(heartbeat)) }));
        });
    }

    /// How far everything is that is under way.
    fn describe_transfers(&self) -> Vec<(ExecutionId, String)> {
        let now = SystemClock.now().monotonic;
        let told = self.transfers.iter().filter_map(|(execution, moving)| {
            let Moving { transfer, board, since, .. } = moving;
            Some((*execution, progress::describe(transfer, board, *since, now)?))
        });
        told.collect()
    }

    fn send(&self, frame: ToLink) {
        drop(self.link.send(frame));
    }
}

impl Download {
    async fn run(self, order: &Arc<Order>, transfer: &Transfer) -> Result<(), TransferFailure> {
        let Self { maker, dirs, cache, images, board, ground } = self;
        let making = order.clone();
        match tokio::task::spawn_blocking(move || maker.make(&making, ground)).await {
            Ok(made) => made.map_err(|error| folders::no_folder(&error))?,
            Err(error) => {
                let (reason, culprit) = (error.to_string(), Culprit::Worker);
                return Err(TransferFailure { reason, transient: false, culprit });
            }
        }
        let data = async {
            match stage::download(&order.spec, &dirs, &cache, transfer).await {
                Ok(staged) => {
                    log_notes(order.execution, &staged.notes);
                    Ok(())
                }
                Err(error) => Err(failure(&error)),
            }
        };
        let image = async {
            tokio::select! {
                fetched = fetch_image(&order.spec, &dirs, &images, &board) => fetched,
                () = transfer.cancel.cancelled() => {
                    let reason = "the image was not waited for".to_owned();
                    Err(TransferFailure { reason, transient: true, culprit: Culprit::Data })
                }
            }
        };
        let (data, image) = tokio::join!(data, image);
        data.and(image)
    }
}

fn failure(error: &StageError) -> TransferFailure {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        reason = format!("{reason}: {source}");
        cause = source.source();
    }
    let culprit = match error {
        StageError::Storage(_) | StageError::Collision { .. } => Culprit::Data,
        StageError::Folder { .. } | StageError::Internal { .. } => Culprit::Worker,
    };
    TransferFailure { reason, transient: error.is_transient(), culprit }
}

fn log_notes(execution: ExecutionId, notes: &[Note]) {
    for note in notes {
        tracing::warn!(%execution, ?note, "a file was left out");
    }
}
