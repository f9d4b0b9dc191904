//! An agent from start to end.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel, unbounded_channel};

use crate::api::ssh::Tunnel;
use crate::clock::SystemClock;
use crate::domain::Clock;
use crate::domain::worker::{Machine, MemoryLimit};
use crate::storage::RateLimit;

use super::cache::ResourceCache;
use super::config::{AgentConfig, Departure, Stop};
use super::driver::{
    Commands, Desk, Driver, FolderCare, Folders, Hands, HeldFolders, Identity, Images, Inquiries,
    Maker, Output, describe_engine,
};
use super::error::AgentError;
use super::files;
use super::fsm::{AgentState, Event, Files, Limits, Record, UnaskedTerm};
use super::journal::{Journal, Replay};
use super::link::{Channels, Link, Patience};
use super::logs::LogReader;
use super::notice::Notice;
use super::outbox::Outbox;
use super::runner::group::{self, TaskGroups};
use super::runner::{UserEnvironment, WorkerFacts};
use super::stage::KnownSums;
use super::telemetry::{Sampler, boot_id, detect_machine};
use super::token::{self, Tokens};

/// Pieces of output that may wait for the link: each is at most
/// [`crate::api::link::MAX_CHUNK`] bytes of memory.
const OUTPUT_QUEUE: usize = 2;

/// Runs an agent until it is told to leave, or has drained. Commands run on
/// under the supervisor; an agent that is started on the same workdir later
/// takes them over.
///
/// Made for a runtime of one thread: what may block runs in threads of its own.
///
/// # Errors
/// The agent cannot work here, or the server does not take it.
pub async fn run(config: AgentConfig, mut stops: Receiver<Stop>) -> Result<Departure, AgentError> {
    let workdir = std::path::absolute(&config.workdir).map_err(|source| AgentError::File {
        what: "find",
        path: config.workdir.clone(),
        source,
    })?;
    let lock = files::lock(&workdir)?;
    let (driver, first) = start(config, workdir).await?;
    let outcome = driver.drive(first, &mut stops).await;
    release(lock);
    outcome
}

/// What SIGHUP means to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// The terminal on which it was started is gone.
    Detach,
    /// Something for others, who listen to it themselves.
    Other,
}

/// The process's signals as words to the agent: TERM and INT detach, and HUP where
/// it means that, USR1 drains, USR2 says that the machine is taken away. In a job of
/// a batch system TERM says so too. The notice is waited for as well.
///
/// # Errors
/// The signals cannot be received.
pub fn stops_from_signals(hang_up: HangUp, notice: Option<Notice>) -> io::Result<Receiver<Stop>> {
    let (sender, stops) = channel(8);
    let terminate = match notice {
        Some(Notice::Slurm) => Stop::Evict("the batch system ends its job".to_owned()),
        _ => Stop::Detach,
    };
    for (kind, stop) in [
        (SignalKind::terminate(), terminate),
        (SignalKind::interrupt(), Stop::Detach),
        (SignalKind::user_defined1(), Stop::Drain),
        (SignalKind::user_defined2(), Stop::Evict("it was sent SIGUSR2".to_owned())),
    ] {
        forward(kind, stop, sender.clone())?;
    }
    if hang_up == HangUp::Detach {
        forward(SignalKind::hangup(), Stop::Detach, sender.clone())?;
    }
    if let Some(notice) = notice {
        tokio::spawn(notice.watch(sender));
    }
    Ok(stops)
}

fn forward(kind: SignalKind, stop: Stop, sender: Sender<Stop>) -> io::Result<()> {
    let mut signals = signal(kind)?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            if sender.send(stop.clone()).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// The lock is held until here.
fn release(lock: File) {
    drop(lock);
}

fn limits(config: &AgentConfig) -> Limits {
    let unasked_term = match config.notice {
        Some(Notice::Slurm) => UnaskedTerm::EndOfJob,
        _ => UnaskedTerm::TasksOwn,
    };
    Limits { upload_patience: config.upload_patience, unasked_term, ..Limits::default() }
}

async fn start(config: AgentConfig, workdir: PathBuf) -> Result<(Driver, Event), AgentError> {
    let mut machine = detect_machine(&workdir, config.kind.clone())?;
    machine.engine = describe_engine().await;
    let groups = find_groups(&config, &workdir, &mut machine);
    let store = files::read_store(&workdir)?;
    let token_path = files::token(&workdir);
    let bound = token::read(&token_path).map_err(|source| AgentError::File {
        what: "read",
        path: token_path,
        source,
    })?;
    let (journal, replay) = open_journal(&workdir)?;
    let mut state =
        AgentState::new(limits(&config), machine.clone(), config.settings.clone(), store);
    let cache = ResourceCache::open(&workdir, Arc::new(SystemClock))?;
    let images = Images::open(&workdir);

    let (events_sender, events) = unbounded_channel();
    let held = HeldFolders::default();
    for record in &replay.records {
        held.add(record.execution());
    }
    let care = FolderCare {
        maker: Maker::new(workdir.clone())?,
        cache: cache.clone(),
        images: images.clone(),
        max_used_percent: config.max_used_percent,
        keep_failed: config.keep_failed,
        held,
    };
    let folders = Folders::start(care, events_sender.clone()).map_err(no_thread)?;
    folders.discard(replay.to_remove.iter().map(|id| (*id, Files::Remove)).collect());
    restore(&mut state, replay.records);

    let facts = worker_facts(&config, &machine);
    let (commands, first) =
        Commands::connect(workdir.clone(), config.program, facts, groups, events_sender.clone())
            .await?;
    let (frames_sender, frames) = unbounded_channel();
    let (output_sender, output) = channel(OUTPUT_QUEUE);
    let (logs_sender, orders) = unbounded_channel();
    start_log_reader(LogReader::new(orders, output_sender, events_sender.clone()))?;
    let outbox = Outbox::new(journal, frames_sender.clone());
    let tokens = Tokens::new(bound, config.token);
    let channels = Channels { frames, output, events: events_sender.clone() };
    let tunnel = config
        .server
        .ssh()
        .map(|host| Tunnel::open(host, config.server.port()))
        .transpose()
        .map_err(|error| AgentError::NoWay(error.to_string()))?;
    let link = Link::new(config.server, tokens, Patience::default(), channels).through(tunnel);
    let identity = Identity {
        name: config.name,
        machine,
        instance: instance(),
        boot_id: boot_id(),
        settings: config.settings,
    };
    let sampler = Sampler::new(&workdir, SystemClock.now().monotonic);
    let hands = Hands {
        output: Output::new(workdir.clone(), logs_sender, events_sender.clone()),
        workdir,
        identity,
        commands,
        folders,
        cache,
        images,
        inquiries: Inquiries::new(frames_sender.clone()),
        sums: KnownSums::default(),
        limit: config.bandwidth.map(RateLimit::of).unwrap_or_default(),
        sampler: Arc::new(Mutex::new(sampler)),
        link: frames_sender,
        events: events_sender,
        transfers: HashMap::new(),
        discarded: Vec::new(),
    };
    let link = tokio::spawn(link.run());
    Ok((Driver { desk: Desk::new(state, outbox), hands, events, link }, first))
}

fn open_journal(workdir: &Path) -> Result<(Journal, Replay), AgentError> {
    let path = files::journal(workdir);
    Journal::open(&path).map_err(|source| AgentError::File { what: "open", path, source })
}

fn restore(state: &mut AgentState, records: Vec<Record>) {
    if !records.is_empty() {
        tracing::info!("taking over the executions of the agent before this one");
    }
    state.restore(records);
}

/// Finds a place for the groups of commands, and says what became of it.
fn find_groups(config: &AgentConfig, workdir: &Path, machine: &mut Machine) -> Option<TaskGroups> {
    match group::find(config.cgroup.as_deref(), workdir, &config.program) {
        Ok(groups) => {
            tracing::info!(base = %groups.base().display(), "each command has a control group");
            machine.memory_limit = Some(MemoryLimit::Cgroup { version: groups.version().number() });
            Some(groups)
        }
        Err(error) => {
            let reason = error.to_string();
            if config.cgroup.is_some() {
                tracing::error!(%reason, "the kernel does not keep commands within their memory");
            } else {
                tracing::info!(%reason, "the kernel does not keep commands within their memory");
            }
            machine.memory_limit = Some(MemoryLimit::None { reason });
            None
        }
    }
}

fn worker_facts(config: &AgentConfig, machine: &Machine) -> WorkerFacts {
    WorkerFacts {
        name: config.name.clone(),
        server: config.server.to_string(),
        cores: machine.cores,
        memory_bytes: machine.memory_bytes,
        concurrency: config.settings.concurrency,
        user: UserEnvironment::of_this_process(),
    }
}

/// Output is read in a thread of its own, with a clock of its own.
fn start_log_reader(reader: LogReader) -> Result<(), AgentError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(no_thread)?;
    thread::Builder::new()
        .name("output".to_owned())
        .spawn(move || runtime.block_on(reader.run()))
        .map_err(no_thread)?;
    Ok(())
}

/// Tells this process from others. Without a source of chance its id must do.
fn instance() -> String {
    match getrandom::u64() {
        Ok(number) => format!("{number:016x}"),
        Err(_) => std::process::id().to_string(),
    }
}

fn no_thread(source: io::Error) -> AgentError {
    AgentError::System { what: "thread", source }
}
