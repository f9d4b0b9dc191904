//! A socket of this machine behind which the server is.
//!
//! Each connection that is made to the socket becomes a channel of the master
//! connection, by an `ssh -W` of its own: when the master is gone, the next one
//! makes it anew, without asking anybody.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::{AbortHandle, spawn_blocking};

use super::master::{Master, Questions, folder, socket_in};
use super::{SshError, SshHost, last_line};

/// Bytes that are carried at once.
const PIECE: usize = 64 << 10;
/// Words of ssh that are kept, bytes.
const MAX_WORDS: u64 = 16 << 10;

/// A way to the server, open as long as this value lives.
#[derive(Debug)]
pub struct Tunnel {
    socket: PathBuf,
    carried: Arc<Carried>,
    accepting: AbortHandle,
}

/// What the connections of a tunnel share.
#[derive(Debug)]
struct Carried {
    host: SshHost,
    /// The server's port on the loopback interface of its machine.
    port: u16,
    /// Why the last connection came to nothing; none once one did come about.
    problem: Mutex<Option<String>>,
}

impl Tunnel {
    /// Opens the socket; ssh is started when somebody connects to it. To be
    /// called within a runtime.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(host: &SshHost, port: u16) -> Result<Self, SshError> {
        let folder = folder()?;
        sweep(&folder);
        let failed = |source| SshError::Folder { path: folder.clone(), source };
        let socket = socket_in(&folder).map_err(failed)?;
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let carried = Arc::new(Carried { host: host.clone(), port, problem: Mutex::new(None) });
        let shared = Arc::clone(&carried);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { socket, carried, accepting: accepting.abort_handle() })
    }

    /// Where to connect.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Why the last connection came to nothing, if it did.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.carried.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
        // Swept by the next one otherwise.
        let _ = fs::remove_file(&self.socket);
    }
}

impl Carried {
    fn note(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Removes sockets of processes that are gone.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("t-")?.split('-').next());
        let pid = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?));
        let is_gone = pid.is_some_and(|pid| {
            rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
        });
        if is_gone {
            // Somebody else may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Carries one connection. Whoever is at its other end sees it closed when it
/// comes to nothing, and finds the reason in the tunnel.
async fn carry(stream: UnixStream, carried: Arc<Carried>) {
    let host = carried.host.clone();
    let opened = spawn_blocking(move || {
        let master = Master::of(&host)?;
        master.open(Questions::Never).map(|()| master)
    });
    let master = match opened.await {
        Ok(Ok(master)) => master,
        Ok(Err(error)) => return carried.note(Some(told(&error))),
        // The runtime is going down.
        Err(_) => return,
    };
    match channel(&master, carried.port) {
        Ok(child) => {
            if let Err(problem) = pass_on(stream, child, &carried).await {
                carried.note(Some(problem));
            }
        }
        Err(error) => carried.note(Some(told(&SshError::NoProgram(error)))),
    }
}

fn told(error: &SshError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn channel(master: &Master, port: u16) -> io::Result<Child> {
    let mut command = Command::from(master.command());
    command.args(["-o", "ControlMaster=no", "-o", "BatchMode=yes"]);
    command.arg("-W").arg(format!("127.0.0.1:{port}")).args(master.destination());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn()
}

/// Passes bytes on in both directions until one side has no more.
///
/// # Errors
/// Not one byte came from the server: what ssh says about it.
async fn pass_on(
    mut stream: UnixStream,
    mut child: Child,
    carried: &Carried,
) -> Result<(), String> {
    let (Some(mut to), Some(mut from), Some(words)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Ok(());
    };
    let (mut reading, mut writing) = stream.split();
    let mut received = false;
    let down = async {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            if !received {
                received = true;
                carried.note(None);
            }
            if writing.write_all(&piece[..count]).await.is_err() {
                break;
            }
        }
    };
    let up = async {
        // However it ends, what the server still says is passed on.
        let _ = tokio::io::copy(&mut reading, &mut to).await;
        drop(to);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = down => {}
        () = up => {}
    }
    if received {
        return Ok(());
    }
    let mut text = Vec::new();
    // Without its words there is still the fact that nothing came.
    let _ = words.take(MAX_WORDS).read_to_end(&mut text).await;
    Err(last_line(&text))
}
