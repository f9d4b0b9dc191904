//! A server's life: open everything, answer until told to stop, close in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

use crate::api::event::Event;
use crate::api::fingerprint::secret_of;
use crate::api::token::Role;
use crate::clock::SystemClock;
use crate::domain::time::Clock;
use crate::domain::{ExecutionId, StoreId, TaskId, TokenId};
use crate::runtime_dir::{self, ServerFile};

use super::auth::{Principal, Secret, TokenHash, TokenLife, TokenTable};
use super::backup::{self, BackupError, Manifest};
use super::config::{Ready, ServeConfig};
use super::data_dir::{DataDir, DataDirError, write_private};
use super::disk::Growth;
use super::engine::Refusal;
use super::engine::command::{Command, Reply};
use super::engine::service::{Audience, Engine};
use super::events::EventHub;
use super::failures::Failures;
use super::hiring::settings::SettingsError;
use super::http::{App, Counts, Samples, Waits, keep_samples};
use super::local_agent::{LocalAgent, LocalAgentConfig};
use super::output::{OutputError, OutputSettings, OutputStore};
use super::signals::Signals;
use super::start_hiring::{self, reachable};
use super::store::{self, Origin, Store, StoreError};
use super::tls::{Tls, TlsError};
use super::trust::Trust;
use super::v1::V1;

/// Bytes of one output stream that are kept.
const OUTPUT_LIMIT: u64 = 1 << 30;
/// How often it is written down when tokens were last used.
const NOTE_USES_EVERY: Duration = Duration::from_mins(1);
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
    #[error("cannot restore the backup")]
    Restore(#[from] BackupError),
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    counts: Arc<Counts>,
    garbage: mpsc::UnboundedSender<Vec<ExecutionId>>,
    fatal: mpsc::UnboundedSender<String>,
    jobs: Arc<Notify>,
}

/// Runs a server until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start, or its database failed under it.
pub async fn run(config: ServeConfig) -> Result<(), ServeError> {
    let open_files = raise_open_files();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data_dir = Arc::new(DataDir::open(&config.data)?);
    backup::clear_leftovers(&data_dir);
    if let Some(archive) = &config.restore {
        take_back(&data_dir, archive)?;
    }
    let listener = listen(config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|source| ServeError::Listen { address: config.listen, source })?;
    let (app, engine_thread, mut signs) = open(&config, &data_dir, &clock, address).await?;
    let token_file = first_token(&app, &data_dir).await?;
    // Before anybody can know of this server, and so ask it to stop.
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let url = local_url(address, &app);
    let left_word = leave_word(&url, &token_file, &data_dir);
    let mut agent = match config.with_agent {
        None => None,
        Some(concurrency) => Some(
            LocalAgent::start(LocalAgentConfig {
                server: url.clone(),
                token_file: &token_file,
                data: data_dir.path(),
                concurrency,
                arguments: config.agent_arguments.clone(),
                open_files,
            })
            .map_err(|error| ServeError::Agent(error.to_string()))?,
        ),
    };
    let serving = tokio::spawn(super::http::serve(listener, Arc::clone(&app)));
    tokio::spawn(Arc::clone(&app.hiring).run(app.stopping.clone()));
    tokio::spawn(keep_samples(Arc::clone(&app)));
    let noting = tokio::spawn(note_uses_for_ever(Arc::clone(&app)));
    tokio::spawn(super::v1::keep_watch(Arc::clone(&app)));
    tokio::spawn(super::disk::keep_watch(Arc::clone(&app)));
    tokio::spawn(super::retention::keep(Arc::clone(&app)));
    if let Some(ready) = config.ready {
        // Nobody may want to know.
        let fingerprint = app.tls.as_ref().and_then(|tls| tls.fingerprint());
        let _ = ready.send(Ready { address, url, fingerprint, token_file });
    }
    tracing::info!(%address, data = %data_dir.path().display(), "serving");
    let ended = tokio::select! {
        () = signals.recv(|| reload(&app)) => Ok(()),
        Some(reason) = signs.fatal.recv() => Err(ServeError::Fatal(reason)),
        never = collect_garbage(&app, &mut signs.garbage) => match never {},
        never = watch_agent(agent.as_mut()) => match never {},
    };
    tracing::info!("stopping");
    noting.abort();
    note_uses(&app).await;
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
    let open_tls = |settings| Tls::open(settings, data_dir).map(Arc::new);
    let tls = config.tls.as_ref().map(open_tls).transpose()?;
    let store_error = |source| ServeError::Store { path: data_dir.database(), source };
    let output_error = |source| ServeError::Output { path: data_dir.output(), source };
    let id = random_store_id().map_err(|error| ServeError::FirstToken(error.to_string()))?;
    let toml = start_hiring::load_settings(config.settings.as_deref(), data_dir.path())?;
    let (store, writer) = Store::open(&data_dir.database(), &id).map_err(store_error)?;
    if config.restore.is_some() {
        look_at_restored(&data_dir.database()).map_err(store_error)?;
    }
    say_where_from(store.origin());
    let store = Arc::new(store);
    let output = OutputStore::open(&data_dir.output(), OutputSettings::new(OUTPUT_LIMIT))
        .map_err(output_error)?
        .with_clock(Arc::clone(clock));
    let tokens = Arc::new(load_tokens(&store).await.map_err(store_error)?);
    let (garbage, garbage_signs) = mpsc::unbounded_channel();
    let (fatal, fatal_signs) = mpsc::unbounded_channel();
    let (stop, stopping) = watch::channel(false);
    let wake = Arc::new(Notify::new());
    let started_at = clock.now().wall;
    let (events, waits) = (Arc::new(EventHub::new(started_at)), Arc::new(Waits::default()));
    let counts = Arc::new(Counts::default());
    let told = Told {
        events: Arc::clone(&events),
        waits: Arc::clone(&waits),
        output: output.clone(),
        tokens: Arc::clone(&tokens),
        counts: Arc::clone(&counts),
        garbage: garbage.clone(),
        fatal,
        jobs: Arc::clone(&wake),
    };
    let policy = config.policy.clone();
    let (audience, rules) = (Arc::new(told), policy.clone());
    let (engine, thread) =
        Engine::start(Arc::clone(&store), writer, Arc::clone(clock), audience, rules)
            .map_err(store_error)?;
    tell_garbage(&store, &garbage).await.map_err(store_error)?;
    let folder = data_dir.path().join("hiring");
    let place = start_hiring::Place {
        address: reachable(address),
        fingerprint: tls.as_ref().and_then(|tls| tls.fingerprint()),
        clock: Arc::clone(clock),
        wake,
        folder,
    };
    let hiring = start_hiring::open(&engine, &store, &tokens, place, toml).await?;
    let app = Arc::new(App {
        engine,
        hiring: Arc::new(hiring),
        store,
        output,
        events,
        waits,
        tokens,
        failures: Failures::new(config.wrong_tokens),
        retention: config.retention,
        growth: Growth::default(),
        least_free: config.least_free,
        counts,
        tls,
        plain_tokens: config.plain_tokens,
        backup_turn: Arc::default(),
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

/// Tells whose output was to be thrown away when the server ended.
async fn tell_garbage(
    store: &Store,
    garbage: &mpsc::UnboundedSender<Vec<ExecutionId>>,
) -> Result<(), StoreError> {
    let left = store.readers.list_garbage().await?;
    if !left.is_empty() {
        // The receiver is in the caller's hands.
        let _ = garbage.send(left);
    }
    Ok(())
}

fn say_where_from(origin: Origin) {
    if origin == Origin::Copy {
        tracing::warn!(
            "the data directory is a copy: nothing is given out until its workers have said what \
             they run, or are offline"
        );
    }
}

async fn load_tokens(store: &Store) -> Result<TokenTable, StoreError> {
    let tokens = TokenTable::default();
    for (id, row) in store.readers.list_tokens().await? {
        let principal =
            Principal { token: Some(id), name: row.name, role: row.role, worker: row.worker };
        let life = TokenLife { expires_at: row.expires_at, last_used_at: row.last_used_at };
        tokens.insert_with(TokenHash(row.hash), principal, life);
    }
    Ok(tokens)
}

/// Gets leave to open as many files as the system allows, so that many
/// connections can be open; answers what it was before.
fn raise_open_files() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    let most = Rlimit { current: before.maximum, maximum: before.maximum };
    // Without leave there are fewer connections.
    let _ = setrlimit(Resource::Nofile, most);
    before
}

async fn note_uses_for_ever(app: Arc<App>) {
    let mut ticks = tokio::time::interval(NOTE_USES_EVERY);
    loop {
        ticks.tick().await;
        note_uses(&app).await;
    }
}

/// Writes down when tokens were last used. What cannot be written now is not
/// worth a word: the next use is.
async fn note_uses(app: &App) {
    let used: Vec<_> = app.tokens.uses_to_write().into_iter().collect();
    if !used.is_empty() {
        let _ = app.engine.apply(&"server".into(), Command::UseTokens(used), None).await;
    }
}

/// Fills the data directory from a backup.
fn take_back(data_dir: &DataDir, archive: &std::path::Path) -> Result<(), ServeError> {
    let manifest = backup::restore(data_dir, archive)?;
    let Manifest { version, store, epoch, made_at, .. } = manifest;
    tracing::info!(%version, %store, epoch = epoch.0, %made_at, "restored a backup");
    Ok(())
}

/// Says what is wrong in a database that was restored.
fn look_at_restored(database: &std::path::Path) -> Result<(), StoreError> {
    let breaches = store::check::check(database)?;
    for breach in &breaches {
        tracing::warn!(%breach, "the restored database is not as it should be");
    }
    if breaches.is_empty() {
        tracing::info!("the restored database keeps all rules");
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Sees to it that the administrator's token file holds a token that is valid.
async fn first_token(app: &App, data_dir: &DataDir) -> Result<PathBuf, ServeError> {
    let path = data_dir.admin_token();
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    if app.tokens.find(present.trim()).is_some() {
        // The certificate may be new since the file was written, or gone.
        let secret = Secret::from(secret_of(present.trim()).to_owned());
        let wanted = app.handed_out(&secret);
        if wanted != present.trim() {
            write_private(&path, format!("{wanted}\n").as_bytes())?;
        }
        return Ok(path);
    }
    let failed = |error: String| ServeError::FirstToken(error);
    let secret = Secret::generate().map_err(|error| failed(error.to_string()))?;
    let name = "admin".to_owned();
    let command = Command::CreateToken {
        name: name.clone(),
        role: Role::Admin,
        hash: secret.hash().0,
        expires_at: None,
    };
    let reply = app.engine.apply(&"server".into(), command, None).await;
    let id = match reply.map_err(|refusal: Refusal| failed(refusal.to_string()))? {
        Reply::Token(id) => id,
        other => return Err(failed(format!("{other:?}"))),
    };
    write_private(&path, format!("{}\n", app.handed_out(&secret)).as_bytes())?;
    let principal = Principal { token: Some(id), name, role: Role::Admin, worker: None };
    app.tokens.insert(secret.hash(), principal);
    Ok(path)
}

/// Leaves word of this server where the command line of the same user looks.
fn leave_word(url: &str, token_file: &std::path::Path, data_dir: &DataDir) -> Vec<PathBuf> {
    let file = ServerFile {
        address: url.to_owned(),
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

/// The URL under which this machine reaches the server. The name in a given
/// certificate is not known here, and what stays on this machine needs none.
fn local_url(address: SocketAddr, app: &App) -> String {
    let is_pinned = app.tls.as_ref().is_some_and(|tls| tls.fingerprint().is_some());
    let scheme = if is_pinned { "https" } else { "http" };
    format!("{scheme}://{}", reachable(address))
}

/// Reads anew what an administrator may have renewed.
fn reload(app: &App) {
    let Some(tls) = &app.tls else { return };
    match tls.reload() {
        Ok(()) => tracing::info!("read the certificate anew"),
        Err(error) => tracing::error!(%error, "the certificate from before stays"),
    }
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

impl Audience for Told {
    fn publish(&self, events: Vec<Event>) {
        self.counts.note_events(&events);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everywhere_is_reached_at_home() {
        assert_eq!(reachable("0.0.0.0:7".parse().unwrap()).to_string(), "127.0.0.1:7");
        assert_eq!(reachable("[::]:7".parse().unwrap()).to_string(), "[::1]:7");
        assert_eq!(reachable("[::1]:7".parse().unwrap()).to_string(), "[::1]:7");
    }
}
