//! A server's life: open everything, answer until told to stop, close in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

use crate::api::event::Event;
use crate::api::token::Role;
use crate::clock::SystemClock;
use crate::domain::time::Clock;
use crate::domain::{ExecutionId, StoreId, TaskId, TokenId};
use crate::runtime_dir::{self, ServerFile};

use super::auth::{Principal, Secret, TokenHash, TokenTable};
use super::config::{Ready, ServeConfig};
use super::data_dir::{DataDir, DataDirError, write_private};
use super::engine::Refusal;
use super::engine::command::{Command, Reply};
use super::engine::service::{Audience, Engine};
use super::events::EventHub;
use super::hiring::provider::HeadTag;
use super::hiring::settings::{self, ServerToml, SettingsError};
use super::hiring::{HiringService, Tools, TrustOfOrphans};
use super::http::{App, Samples, Waits, keep_samples};
use super::local_agent::LocalAgent;
use super::output::{OutputError, OutputSettings, OutputStore};
use super::store::{Origin, Store, StoreError};
use super::trust::Trust;
use super::v1::V1;

/// Bytes of one output stream that are kept.
const OUTPUT_LIMIT: u64 = 1 << 30;
/// Wait before output that could not be deleted is tried again.
const GARBAGE_AGAIN: Duration = Duration::from_mins(1);

/// Why a server did not start, or had to end.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot use the database in {path}", path = .path.display())]
    Store { path: PathBuf, source: StoreError },
    #[error("cannot use the output store in {path}", path = .path.display())]
    Output { path: PathBuf, source: OutputError },
    #[error("cannot make the first token: {0}")]
    FirstToken(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot use the folder for hiring in {path}", path = .path.display())]
    Hiring { path: PathBuf, source: io::Error },
    #[error("cannot start an agent: {0}")]
    Agent(String),
    #[error("the database cannot be trusted any more: {0}")]
    Fatal(String),
    #[error("signals: {0}")]
    Signals(#[source] io::Error),
}

/// Tells what has been committed to all who want to know.
struct Told {
    events: Arc<EventHub>,
    waits: Arc<Waits>,
    output: OutputStore,
    tokens: Arc<TokenTable>,
    garbage: mpsc::UnboundedSender<Vec<ExecutionId>>,
    fatal: mpsc::UnboundedSender<String>,
    jobs: Arc<Notify>,
}

/// Runs a server until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start, or its database failed under it.
pub async fn run(config: ServeConfig) -> Result<(), ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data_dir = Arc::new(DataDir::open(&config.data)?);
    let listener = listen(config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let (app, engine_thread, mut signs) = open(&config, &data_dir, &clock, address).await?;
    let token_file = first_token(&app, &data_dir).await?;
    // Before anybody can know of this server, and so ask it to stop.
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let left_word = leave_word(address, &token_file, &data_dir);
    let mut agent = match config.with_agent {
        None => None,
        Some(concurrency) => Some(
            LocalAgent::start(reachable(address), &token_file, data_dir.path(), concurrency)
                .map_err(|error| ServeError::Agent(error.to_string()))?,
        ),
    };
    let serving = tokio::spawn(super::http::serve(listener, Arc::clone(&app)));
    tokio::spawn(Arc::clone(&app.hiring).run(app.stopping.clone()));
    tokio::spawn(keep_samples(Arc::clone(&app)));
    tokio::spawn(super::v1::keep_watch(Arc::clone(&app)));
    if let Some(ready) = config.ready {
        // Nobody may want to know.
        let _ = ready.send(Ready { address, token_file });
    }
    tracing::info!(%address, data = %data_dir.path().display(), "serving");
    let ended = tokio::select! {
        () = signals.recv() => Ok(()),
        Some(reason) = signs.fatal.recv() => Err(ServeError::Fatal(reason)),
        never = collect_garbage(&app, &mut signs.garbage) => match never {},
        never = watch_agent(agent.as_mut()) => match never {},
    };
    tracing::info!("stopping");
    for path in left_word {
        // A file that is left behind leads to a server that does not answer.
        let _ = std::fs::remove_file(path);
    }
    if let Some(agent) = &mut agent {
        agent.detach();
    }
    let _ = signs.stop.send(true);
    app.events.close();
    // The task only ends by itself.
    let _ = serving.await;
    if let Some(agent) = agent {
        agent.wait().await;
    }
    if let Err(error) = app.output.stop().await {
        tracing::warn!(%error, "the last output is not on disk; agents send it again");
    }
    // Joins the thread after its last commit.
    tokio::task::block_in_place(move || drop(engine_thread));
    ended
}

/// What the server is told from inside.
struct Signs {
    stop: watch::Sender<bool>,
    fatal: mpsc::UnboundedReceiver<String>,
    garbage: mpsc::UnboundedReceiver<Vec<ExecutionId>>,
}

async fn open(
    config: &ServeConfig,
    data_dir: &Arc<DataDir>,
    clock: &Arc<dyn Clock>,
    address: SocketAddr,
) -> Result<(Arc<App>, super::engine::service::EngineThread, Signs), ServeError> {
    let store_error = |source| ServeError::Store { path: data_dir.database(), source };
    let output_error = |source| ServeError::Output { path: data_dir.output(), source };
    let id = random_store_id().map_err(|error| ServeError::FirstToken(error.to_string()))?;
    let toml = load_settings(config.settings.as_deref(), data_dir)?;
    let (store, writer) = Store::open(&data_dir.database(), &id).map_err(store_error)?;
    if store.origin() == Origin::Copy {
        tracing::warn!(
            "the data directory is a copy: nothing is given out until its workers have said what \
             they run, or are offline"
        );
    }
    let store = Arc::new(store);
    let output = OutputStore::open(&data_dir.output(), OutputSettings::new(OUTPUT_LIMIT))
        .map_err(output_error)?
        .with_clock(Arc::clone(clock));
    let tokens = Arc::new(TokenTable::default());
    for (id, row) in store.readers.list_tokens().await.map_err(store_error)? {
        let principal =
            Principal { token: Some(id), name: row.name, role: row.role, worker: row.worker };
        tokens.insert(TokenHash(row.hash), principal);
    }
    let started_at = clock.now().wall;
    let (garbage, garbage_signs) = mpsc::unbounded_channel();
    let (fatal, fatal_signs) = mpsc::unbounded_channel();
    let (stop, stopping) = watch::channel(false);
    let wake = Arc::new(Notify::new());
    let (events, waits) = (Arc::new(EventHub::new(started_at)), Arc::new(Waits::default()));
    let told = Told {
        events: Arc::clone(&events),
        waits: Arc::clone(&waits),
        output: output.clone(),
        tokens: Arc::clone(&tokens),
        garbage: garbage.clone(),
        fatal,
        jobs: Arc::clone(&wake),
    };
    let policy = config.policy.clone();
    let (engine, thread) = Engine::start(
        Arc::clone(&store),
        writer,
        Arc::clone(clock),
        Arc::new(told),
        policy.clone(),
    )
    .map_err(store_error)?;
    let left = store.readers.list_garbage().await.map_err(store_error)?;
    if !left.is_empty() {
        // The receiver is in our hands.
        let _ = garbage.send(left);
    }
    let folder = data_dir.path().join("hiring");
    let tools = hiring_tools(&engine, &store, &tokens, clock, wake, address).await?;
    let hiring = HiringService::new(tools, toml, folder.clone())
        .map_err(|source| ServeError::Hiring { path: folder, source })?;
    let app = Arc::new(App {
        engine,
        hiring: Arc::new(hiring),
        store,
        output,
        events,
        waits,
        tokens,
        trust: Trust::new(config.trust.iter().copied()).with_roles(config.trust_roles.clone()),
        v1: config.v1.clone().map(V1::new),
        clock: Arc::clone(clock),
        data_dir: Arc::clone(data_dir),
        policy,
        started_at,
        samples: Samples::default(),
        stopping,
        next_link: AtomicU64::new(1),
    });
    Ok((app, thread, Signs { stop, fatal: fatal_signs, garbage: garbage_signs }))
}

/// What `server.toml` says: the file that is named, or the first that is there.
fn load_settings(named: Option<&Path>, data_dir: &DataDir) -> Result<ServerToml, ServeError> {
    let usual = [data_dir.path().join("server.toml"), PathBuf::from("/etc/scitq/server.toml")];
    let path = named.or_else(|| usual.iter().map(PathBuf::as_path).find(|path| path.exists()));
    let mut toml = match path {
        None => ServerToml::default(),
        Some(path) => settings::load(path)?,
    };
    if toml.hiring.name.is_empty() {
        toml.hiring.name = short_name();
    }
    Ok(toml)
}

/// The first part of this machine's name.
fn short_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    let first = name.split('.').next().unwrap_or_default();
    first.chars().filter(is_plain).take(40).collect()
}

async fn hiring_tools(
    engine: &Engine,
    store: &Store,
    tokens: &Arc<TokenTable>,
    clock: &Arc<dyn Clock>,
    wake: Arc<Notify>,
    address: SocketAddr,
) -> Result<Tools, ServeError> {
    let tag = engine.query(|state| state.store.0.clone()).await;
    let tag = tag.map_err(|refusal| ServeError::Fatal(refusal.to_string()))?;
    Ok(Tools {
        engine: engine.clone(),
        tokens: Arc::clone(tokens),
        clock: Arc::clone(clock),
        wake,
        local_address: format!("http://{}", reachable(address)),
        tag: HeadTag(tag.into()),
        trust_of_orphans: match store.origin() {
            Origin::Copy => TrustOfOrphans::PerhapsOfAnother,
            Origin::Here => TrustOfOrphans::Own,
        },
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Sees to it that the administrator's token file holds a token that is valid.
async fn first_token(app: &App, data_dir: &DataDir) -> Result<PathBuf, ServeError> {
    let path = data_dir.admin_token();
    let present = std::fs::read_to_string(&path).ok();
    if present.is_some_and(|secret| app.tokens.find(secret.trim()).is_some()) {
        return Ok(path);
    }
    let failed = |error: String| ServeError::FirstToken(error);
    let secret = Secret::generate().map_err(|error| failed(error.to_string()))?;
    let name = "admin".to_owned();
    let command =
        Command::CreateToken { name: name.clone(), role: Role::Admin, hash: secret.hash().0 };
    let reply = app.engine.apply(&"server".into(), command, None).await;
    let id = match reply.map_err(|refusal: Refusal| failed(refusal.to_string()))? {
        Reply::Token(id) => id,
        other => return Err(failed(format!("{other:?}"))),
    };
    write_private(&path, format!("{}\n", secret.expose()).as_bytes())?;
    let principal = Principal { token: Some(id), name, role: Role::Admin, worker: None };
    app.tokens.insert(secret.hash(), principal);
    Ok(path)
}

/// Leaves word of this server where the command line of the same user looks.
fn leave_word(
    address: SocketAddr,
    token_file: &std::path::Path,
    data_dir: &DataDir,
) -> Vec<PathBuf> {
    let file = ServerFile {
        address: format!("http://{}", reachable(address)),
        token_file: std::path::absolute(token_file).unwrap_or_else(|_| token_file.to_owned()),
        pid: std::process::id(),
    };
    let Ok(text) = serde_json::to_string(&file) else { return Vec::new() };
    let runtime = runtime_dir::Surroundings::of_process().runtime_dir();
    let runtime = runtime.map(|directory| {
        // Where it cannot be made, writing says so.
        let _ = std::fs::create_dir_all(&directory);
        runtime_dir::server_file_in(&directory)
    });
    let mut written = Vec::new();
    for path in [Some(data_dir.server()), runtime].into_iter().flatten() {
        match write_private(&path, text.as_bytes()) {
            Ok(()) => written.push(path),
            Err(error) => tracing::warn!(%error, "the command line has to be told the address"),
        }
    }
    written
}

/// The address under which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Deletes the output of deleted tasks. Never returns while the server runs.
async fn collect_garbage(
    app: &App,
    garbage: &mut mpsc::UnboundedReceiver<Vec<ExecutionId>>,
) -> Infallible {
    while let Some(executions) = garbage.recv().await {
        while let Err(error) = app.output.delete(executions.clone()).await {
            tracing::warn!(%error, "output cannot be deleted; trying again later");
            tokio::time::sleep(GARBAGE_AGAIN).await;
        }
        app.engine.garbage_collected(executions);
    }
    std::future::pending().await
}

/// Keeps the agent alive. Never returns.
async fn watch_agent(agent: Option<&mut LocalAgent>) -> Infallible {
    match agent {
        Some(agent) => agent.keep_alive().await,
        None => std::future::pending().await,
    }
}

fn random_store_id() -> Result<StoreId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(StoreId(format!("{:032x}", u128::from_be_bytes(bytes))))
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Audience for Told {
    fn publish(&self, events: Vec<Event>) {
        self.events.publish(events);
    }

    fn ended(&self, tasks: &[TaskId]) {
        self.waits.on_ended(tasks);
    }

    fn output_complete(&self, executions: &[ExecutionId]) {
        for execution in executions {
            self.output.complete(*execution);
        }
    }

    fn tokens_revoked(&self, tokens: &[TokenId]) {
        for token in tokens {
            self.tokens.remove(*token);
        }
    }

    fn jobs_changed(&self) {
        self.jobs.notify_one();
    }

    fn output_garbage(&self, executions: Vec<ExecutionId>) {
        // What is not collected now is found at the next start.
        let _ = self.garbage.send(executions);
    }

    fn fatal(&self, reason: &str) {
        // The server may be stopping already.
        let _ = self.fatal.send(reason.to_owned());
    }
}
