//! Carries out effects.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::agent::cache::ResourceCache;
use crate::agent::fsm::{Culprit, Effect, Event, Files, Ground, Order, Standing, TransferFailure};
use crate::agent::link::ToLink;
use crate::agent::stage::{self, KnownSums, StageError};
use crate::agent::telemetry::Sampler;
use crate::agent::workdir::TaskDirs;
use crate::agent::{files, token};
use crate::api::link::{Heartbeat, Hello, PROTOCOL, Up};
use crate::clock::SystemClock;
use crate::domain::execution::TransferProgress;
use crate::domain::worker::{Machine, WorkerSettings};
use crate::domain::{Clock, ExecutionId, Monotonic};
use crate::storage::{Note, RateLimit, Scratch, Transfer};

use super::commands::Commands;
use super::containers::{PullBoard, fetch_image};
use super::desk::Carrier;
use super::folders::{self, Folders, Maker};
use super::images::Images;
use super::inquiry::Inquiries;
use super::output::Output;

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
    pub inquiries: Inquiries,
    pub sums: KnownSums,
    /// How fast all transfers together may be.
    pub limit: RateLimit,
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
    inquiries: Inquiries,
    sums: KnownSums,
    events: UnboundedSender<Event>,
}

impl Moving {
    fn progress(&self, now: Monotonic) -> TransferProgress {
        let (bytes, total) = (self.transfer.progress.bytes(), self.transfer.progress.total());
        let milliseconds = now.since(self.since).as_millis().max(1);
        let rate = u128::from(bytes) * 1000 / milliseconds;
        let bytes_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
        TransferProgress { bytes, total, bytes_per_second }
    }
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
            // The inquiries's own affairs.
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
        if !has_data && !spec.use_cache && ground != Ground::Edited {
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
            inquiries: self.inquiries.clone(),
            sums: self.sums.clone(),
            events: self.events.clone(),
        };
        self.start_transfer(&order, board, async move |order, transfer| {
            let result = download.run(&order, &transfer).await;
            Event::Prepared { execution: order.execution, result }
        });
    }

    fn upload(&mut self, order: &Arc<Order>) {
        let dirs = TaskDirs::new(&self.workdir, order.execution);
        // One whose outputs are sent once more was not held until now.
        self.folders.hold(order.execution);
        let events = self.events.clone();
        self.start_transfer(order, PullBoard::default(), async move |order, transfer| {
            let execution = order.execution;
            let uri = order.spec.output.as_deref().unwrap_or_default();
            let result = if dirs.output().is_dir() {
                stage::upload(&dirs, uri, &transfer).await.map_err(|error| failure(&error))
            } else {
                Err(files_are_gone(execution))
            };
            if let Ok(uploaded) = &result {
                log_notes(execution, &uploaded.notes);
                tell_made(&order, &dirs, &transfer, &events).await;
            }
            Event::Uploaded { execution, result: result.map(|_| ()) }
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
        // Goes with the task's directory.
        let scratch = Scratch::within(&TaskDirs::new(&self.workdir, order.execution).scratch());
        let limit = self.limit.clone();
        let transfer = Transfer { scratch, limit, ..Transfer::default() };
        let events = self.events.clone();
        let work = work(order.clone(), transfer.clone());
        let task = tokio::spawn(async move { drop(events.send(work.await)) });
        let since = SystemClock.now().monotonic;
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
        let pulls = self.describe_pulls();
        let frames = self.link.clone();
        let now = SystemClock.now().monotonic;
        let transfers =
            self.transfers.iter().map(|(id, moving)| (*id, moving.progress(now))).collect();
        tokio::task::spawn_blocking(move || {
            let now = SystemClock.now().monotonic;
            let stats = sampler.lock().unwrap_or_else(PoisonError::into_inner).sample(now);
            let Standing { draining, lease_seconds, orphans } = standing;
            let heartbeat = Heartbeat {
                number,
                stats,
                phases,
                pulls,
                draining,
                lease_seconds,
                orphans,
                transfers,
            };
            drop(frames.send(ToLink::Frame { link, frame: Up::Heartbeat(Box::new(heartbeat)) }));
        });
    }

    /// How far everything is that is under way.
    fn describe_pulls(&self) -> Vec<(ExecutionId, String)> {
        let told = self.transfers.iter();
        told.filter_map(|(execution, moving)| Some((*execution, moving.board.describe()?)))
            .collect()
    }

    fn send(&self, frame: ToLink) {
        drop(self.link.send(frame));
    }
}

impl Download {
    async fn run(self, order: &Arc<Order>, transfer: &Transfer) -> Result<(), TransferFailure> {
        let Self { maker, dirs, cache, images, board, ground, inquiries, sums, events } = self;
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
        data.and(image)?;
        if order.spec.use_cache {
            let (dirs, inquiries, sums, events) = (&dirs, &inquiries, &sums, &events);
            let found = Search { order, dirs, inquiries, sums, events }.run(transfer).await;
            found.map_err(|error| failure(&error))?;
        }
        Ok(())
    }
}

/// Looks for outputs that an execution can take over.
struct Search<'a> {
    order: &'a Order,
    dirs: &'a TaskDirs,
    inquiries: &'a Inquiries,
    sums: &'a KnownSums,
    events: &'a UnboundedSender<Event>,
}

impl Search<'_> {
    /// Tells the key of what it was given, and what it can take over.
    async fn run(self, transfer: &Transfer) -> Result<(), StageError> {
        let Self { order, dirs, inquiries, sums, events } = self;
        let execution = order.execution;
        let output = order.spec.output.as_deref().unwrap_or_default();
        let key = stage::content_key(&order.spec, dirs, sums, transfer).await?;
        drop(events.send(Event::Keyed { execution, key: key.clone() }));
        let found = tokio::select! {
            found = inquiries.find(execution, &key) => found,
            () = transfer.cancel.cancelled() => Vec::new(),
        };
        for hit in found {
            let other = hit.execution;
            match stage::take_over(hit, output, dirs, transfer).await {
                Ok(Some(reuse)) => {
                    drop(events.send(Event::Reusable { execution, reuse: Box::new(reuse) }));
                    return Ok(());
                }
                Ok(None) => {
                    tracing::info!(%execution, of = %other, "outputs have changed: not taken over");
                }
                Err(error) if error.is_cancelled() => return Err(error),
                // What cannot be read cannot be taken over.
                Err(error) => {
                    tracing::warn!(%execution, of = %other, %error, "outputs are not taken over");
                }
            }
        }
        stage::clear_outputs(dirs).await
    }
}

/// Tells what an execution has made, for others to take over. Where that cannot
/// be found out, nobody does.
async fn tell_made(
    order: &Order,
    dirs: &TaskDirs,
    transfer: &Transfer,
    events: &UnboundedSender<Event>,
) {
    if !order.spec.use_cache {
        return;
    }
    let execution = order.execution;
    match stage::list_made(dirs, transfer).await {
        Ok(Some(files)) => drop(events.send(Event::Made { execution, files })),
        Ok(None) => tracing::info!(%execution, "its outputs cannot be taken over by others"),
        Err(error) => tracing::warn!(%execution, %error, "cannot sum up what it made"),
    }
}

fn files_are_gone(execution: ExecutionId) -> TransferFailure {
    let reason = format!("the files of execution {execution} are no longer on this worker");
    TransferFailure { reason, transient: false, culprit: Culprit::Worker }
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
