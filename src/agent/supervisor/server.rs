//! The supervisor's life: takes its place in the work directory, serves one
//! agent at a time, and leaves when nobody needs it any more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{getpid, getsid, set_child_subreaper, setsid};
use thiserror::Error;

use super::connection::{Incoming, Outgoing, Received, split};
use super::journal::{Journal, Opened, Replay};
use super::paths::{self, SocketPath};
use super::protocol::{FromSupervisor, OLDEST_PROTOCOL, PROTOCOL, ToSupervisor};
use super::state::Shared;
use super::{BUSY, READY, VERSION, reaper, recovery, requests};

/// How long a supervisor without commands waits for another agent when the
/// last one left without a word.
const GRACE: Duration = Duration::from_secs(10);

/// Connections that have not said hello yet; more make the oldest give way.
const MAX_STRANGERS: usize = 16;

/// Waiting connections that the kernel keeps for us.
const BACKLOG: i32 = 16;

/// Why there is no supervisor.
#[derive(Debug, Error)]
pub enum SupervisorError {
    #[error("another supervisor serves `{}`", workdir.display())]
    AlreadyRunning { workdir: PathBuf },
    #[error("cannot {what} `{}`", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {what}")]
    System { what: &'static str, source: io::Error },
}

/// The thread of the socket.
struct Server {
    shared: Arc<Shared>,
    listener: UnixListener,
    /// The agent that counts. Its writing half is in the shared state.
    agent: Option<Incoming>,
    /// Connections that have not said hello.
    strangers: Vec<(Incoming, Outgoing)>,
    scratch: Vec<u8>,
    ticks_per_second: u64,
    /// The last agent said that it leaves.
    goodbye: bool,
    /// Since when there are neither commands nor an agent.
    idle_since: Option<Instant>,
}

/// What became of a connection.
enum Link {
    Open,
    Closed,
}

/// Takes its place in `workdir`, tells so by a line on standard output, and serves until nobody needs it any more.
///
/// # Errors
/// It could not begin, or the system refuses what it cannot do without.
pub fn run(workdir: &Path) -> Result<(), SupervisorError> {
    make_journal_folder(workdir)?;
    let tell = system("tell the agent how the start went");
    let Some(_lock) = take_lock(workdir)? else {
        announce(BUSY).map_err(tell)?;
        return Err(SupervisorError::AlreadyRunning { workdir: workdir.to_owned() });
    };
    lead_session()?;
    let shared = Arc::new(take_over(workdir)?);
    let socket = SocketPath::of(workdir).map_err(file("open", workdir))?;
    let listener = bind(socket.as_path()).map_err(file("listen on", socket.as_path()))?;
    start_reaper(&shared)?;
    announce(READY).map_err(tell)?;
    let outcome = Server::new(Arc::clone(&shared), listener).serve();
    if let Err(error) = fs::remove_file(socket.as_path()) {
        tracing::warn!(%error, "cannot remove the socket");
    }
    shared.lock().publish();
    outcome.map_err(system("wait for requests"))
}

impl Server {
    fn new(shared: Arc<Shared>, listener: UnixListener) -> Self {
        Self {
            shared,
            listener,
            agent: None,
            strangers: Vec::new(),
            scratch: Vec::new(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            goodbye: false,
            idle_since: None,
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let Some(patience) = self.patience() else { return Ok(()) };
            let ready = self.wait(patience)?;
            self.send_what_is_due();
            if ready.woken {
                rustix::io::read(&self.shared.wake, &mut [0; 8])?;
            }
            if ready.agent {
                self.on_agent_ready();
            }
            if ready.listener {
                self.on_connection();
            }
            // From the back, since one that leaves closes its gap.
            for (position, is_ready) in ready.strangers.into_iter().enumerate().rev() {
                if is_ready {
                    self.on_stranger_ready(position);
                }
            }
        }
    }

    /// How long nothing may happen before the supervisor leaves; none: it
    /// leaves now. `Duration::MAX`: for ever.
    fn patience(&mut self) -> Option<Duration> {
        let state = self.shared.lock();
        if state.agent.is_none() {
            // A write may have found out before a read does.
            self.agent = None;
        }
        if self.agent.is_some() || !state.running.is_empty() {
            self.idle_since = None;
            return Some(Duration::MAX);
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let grace = if self.goodbye { Duration::ZERO } else { GRACE };
        grace.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }
}

/// What can be read from.
struct Ready {
    woken: bool,
    listener: bool,
    agent: bool,
    strangers: Vec<bool>,
}

impl Server {
    fn wait(&self, patience: Duration) -> io::Result<Ready> {
        let (blocked, send_at) = {
            let state = self.shared.lock();
            (state.is_blocked(), state.send_at)
        };
        let patience = match send_at {
            Some(at) => patience.min(at.saturating_duration_since(Instant::now())),
            None => patience,
        };
        let mut fds = Vec::with_capacity(3 + self.strangers.len());
        fds.push(PollFd::new(&self.shared.wake, PollFlags::IN));
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        for (stranger, _) in &self.strangers {
            fds.push(PollFd::new(stranger.stream(), PollFlags::IN));
        }
        if let Some(agent) = &self.agent {
            let room = if blocked { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(agent.stream(), PollFlags::IN | room));
        }
        let timeout = (patience < Duration::MAX).then(|| Timespec::try_from(patience).ok());
        match poll(&mut fds, timeout.flatten().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            woken: ready.next().unwrap_or_default(),
            listener: ready.next().unwrap_or_default(),
            strangers: ready.by_ref().take(self.strangers.len()).collect(),
            agent: ready.next().unwrap_or_default(),
        })
    }

    fn send_what_is_due(&self) {
        let mut state = self.shared.lock();
        if state.send_at.is_some_and(|at| at <= Instant::now()) {
            state.publish();
        }
    }

    fn on_connection(&mut self) {
        match self.listener.accept().and_then(|(stream, _)| split(stream)) {
            Ok(halves) => {
                if self.strangers.len() >= MAX_STRANGERS {
                    self.strangers.remove(0);
                }
                self.strangers.push(halves);
            }
            Err(error) => tracing::warn!(%error, "cannot accept a connection"),
        }
    }

    /// A connection that says hello becomes the agent that counts.
    fn on_stranger_ready(&mut self, position: usize) {
        let Some((incoming, _)) = self.strangers.get_mut(position) else { return };
        let hello = match incoming.receive(&mut self.scratch) {
            Ok(Received::Open) => match incoming.next() {
                None => return,
                Some(hello) => hello,
            },
            Ok(Received::Closed) | Err(_) => {
                self.strangers.remove(position);
                return;
            }
        };
        let (incoming, outgoing) = self.strangers.remove(position);
        match hello {
            Ok(ToSupervisor::Hello { protocol, oldest, version }) => {
                tracing::info!(protocol, version, "an agent connects");
                self.on_hello(incoming, outgoing, protocol, oldest);
            }
            Ok(_) => tracing::warn!("dropped a connection that did not say hello"),
            Err(error) => tracing::warn!(%error, "dropped a connection"),
        }
    }

    fn on_hello(&mut self, incoming: Incoming, mut outgoing: Outgoing, newest: u32, oldest: u32) {
        if newest < OLDEST_PROTOCOL || oldest > PROTOCOL {
            outgoing.push(&FromSupervisor::Refused { protocol: PROTOCOL, oldest: OLDEST_PROTOCOL });
            if let Err(error) = outgoing.flush() {
                tracing::warn!(%error, "cannot tell an agent that it is refused");
            }
            return;
        }
        let mut state = self.shared.lock();
        state.tell(&FromSupervisor::Replaced {});
        state.publish();
        outgoing.push(&FromSupervisor::Welcome {
            protocol: newest.min(PROTOCOL),
            version: VERSION.to_owned(),
            known: state.known(),
        });
        state.agent = Some(outgoing);
        state.publish();
        drop(state);
        self.goodbye = false;
        self.agent = Some(incoming);
        self.handle_requests();
    }

    fn on_agent_ready(&mut self) {
        {
            let mut state = self.shared.lock();
            if state.is_blocked() {
                state.publish();
            }
        }
        let Some(agent) = &mut self.agent else { return };
        match agent.receive(&mut self.scratch) {
            Ok(Received::Open) => self.handle_requests(),
            Ok(Received::Closed) => self.drop_agent(),
            Err(error) => {
                tracing::warn!(%error, "lost the agent");
                self.drop_agent();
            }
        }
    }

    fn handle_requests(&mut self) {
        while let Some(request) = self.agent.as_mut().and_then(Incoming::next) {
            let link = match request {
                Ok(request) => self.handle(request),
                Err(error) => {
                    tracing::error!(%error, "dropped the agent, whose request makes no sense");
                    Link::Closed
                }
            };
            if matches!(link, Link::Closed) {
                self.drop_agent();
            }
        }
    }

    fn handle(&mut self, request: ToSupervisor) -> Link {
        let shared = &self.shared;
        match request {
            ToSupervisor::Spawn { number, request } => {
                requests::on_spawn(shared, self.ticks_per_second, number, &request);
            }
            ToSupervisor::Signal { number, execution, signal } => {
                requests::on_signal(shared, number, execution, signal);
            }
            ToSupervisor::List { number } => requests::on_list(shared, number),
            ToSupervisor::Forget { executions } => requests::on_forget(shared, executions),
            ToSupervisor::Goodbye {} => {
                tracing::info!("the agent leaves");
                self.goodbye = true;
                return Link::Closed;
            }
            ToSupervisor::Hello { .. } => {
                tracing::error!("dropped the agent, which said hello twice");
                return Link::Closed;
            }
        }
        Link::Open
    }

    fn drop_agent(&mut self) {
        self.agent = None;
        self.shared.lock().agent = None;
    }
}

fn make_journal_folder(workdir: &Path) -> Result<(), SupervisorError> {
    let folder = paths::journal_folder(workdir);
    fs::create_dir_all(&folder).map_err(file("make the folder", &folder))
}

/// The lock, which is held for as long as the file is open; none if another
/// supervisor has it. For people, the file says whose it is.
fn take_lock(workdir: &Path) -> Result<Option<File>, SupervisorError> {
    let path = paths::lock(workdir);
    let mut options = OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let mut lock = lock.map_err(file("open", &path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(file("lock", &path)(error.into())),
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(file("write", &path))?;
    Ok(Some(lock))
}

/// Leaves the terminal and the session of whoever started it, and becomes the
/// parent of processes whose own parent dies.
fn lead_session() -> Result<(), SupervisorError> {
    // Refused to the leader of a process group, as which a shell starts it.
    if let Err(error) = setsid() {
        tracing::warn!(%error, "stays in the session of whoever started it");
    }
    set_child_subreaper(Some(getpid()))
        .map_err(|error| system("adopt orphaned processes")(error.into()))
}

/// Ends what a predecessor that died left running, and goes on with its journal.
fn take_over(workdir: &Path) -> Result<Shared, SupervisorError> {
    let path = paths::journal(workdir);
    let boot = recovery::boot().map_err(system("read the boot id"))?;
    let Replay { unended, mut ended } = Replay::load(&path).map_err(file("read", &path))?;
    let unended: Vec<_> = unended.into_values().collect();
    if let Err(error) = recovery::kill_leftovers(&unended, &boot) {
        tracing::error!(%error, "cannot end all that a dead supervisor left");
    }
    ended.extend(unended.iter().map(|(started, _)| (started.execution, reaper::lost(started))));
    let session = getsid(None).map_err(|error| system("read the session")(error.into()))?;
    let opened = Opened { boot, session: session.as_raw_nonzero().get() };
    let journal = Journal::create(path.clone(), opened, &ended.values().collect::<Vec<_>>())
        .map_err(file("write", &path))?;
    let wake: OwnedFd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| system("make an eventfd")(error.into()))?;
    Ok(Shared::new(journal, ended, wake))
}

/// Makes the socket. Nobody but its owner can connect: its mode is set before
/// it begins to listen.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

fn start_reaper(shared: &Arc<Shared>) -> Result<(), SupervisorError> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("reaper".to_owned())
        .spawn(move || reaper::run(&shared))
        .map(drop)
        .map_err(system("start a thread"))
}

fn announce(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn file<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> SupervisorError + use<'a> {
    move |source| SupervisorError::File { what, path: path.to_owned(), source }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> SupervisorError {
    move |source| SupervisorError::System { what, source }
}
