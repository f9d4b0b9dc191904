//! `serve --with-agent`: an agent on the head itself, as a process of its own.
//!
//! It is the very agent that runs on any worker, so its commands survive the
//! server, and the server's restart finds them running. Its standard input is a
//! pipe from the server: however the server ends, the pipe is closed, and the
//! agent leaves its commands to their supervisor and ends too.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::process::{Child, ChildStdin, Command};

/// Time that the agent has to detach from its commands when the server stops.
const DETACH_WITHIN: Duration = Duration::from_millis(800);
/// Wait before an agent that ended is started again, doubled each time up to
/// [`START_AGAIN_AT_MOST`]. The agent of a server that was killed may need a
/// moment to leave.
const START_AGAIN: Duration = Duration::from_millis(200);
const START_AGAIN_AT_MOST: Duration = Duration::from_secs(10);

/// The agent's process.
#[derive(Debug)]
pub(super) struct LocalAgent {
    program: PathBuf,
    arguments: Vec<OsString>,
    token_file: PathBuf,
    open_files: Rlimit,
    child: Child,
    /// Kept apart from the child, whose `wait` would close it.
    leash: Option<ChildStdin>,
}

/// What the agent is started with.
#[derive(Debug)]
pub(super) struct LocalAgentConfig<'a> {
    /// The server's URL.
    pub(super) server: String,
    pub(super) token_file: &'a Path,
    /// The server's data directory.
    pub(super) data: &'a Path,
    /// None: one command for each core.
    pub(super) concurrency: Option<u32>,
    /// Further arguments.
    pub(super) arguments: Vec<String>,
    /// How many files it may open; this process may have got leave for more.
    pub(super) open_files: Rlimit,
}

impl LocalAgent {
    /// Starts an agent that works in `DATA/agent`.
    pub(super) fn start(config: LocalAgentConfig<'_>) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let workdir = std::path::absolute(config.data.join("agent"))?;
        let token_file = std::path::absolute(config.token_file)?;
        let mut arguments: Vec<OsString> = ["agent", "--server"].map(Into::into).into();
        arguments.extend([config.server.into(), "--workdir".into(), workdir.into()]);
        if let Some(concurrency) = config.concurrency {
            arguments.extend(["--concurrency".into(), concurrency.to_string().into()]);
        }
        arguments.extend(config.arguments.into_iter().map(Into::into));
        let open_files = config.open_files;
        let mut child = spawn(&program, &arguments, &token_file, open_files)?;
        let leash = child.stdin.take();
        Ok(Self { program, arguments, token_file, open_files, child, leash })
    }

    /// Starts the agent again whenever it ends. Never returns.
    pub(super) async fn keep_alive(&mut self) -> Infallible {
        let mut pause = START_AGAIN;
        loop {
            let started = tokio::time::Instant::now();
            let status = self.child.wait().await;
            tracing::warn!(?status, "the agent ended; starting it again");
            if started.elapsed() > START_AGAIN_AT_MOST {
                pause = START_AGAIN;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(START_AGAIN_AT_MOST);
            match self.start_again() {
                Ok(mut child) => {
                    self.leash = child.stdin.take();
                    self.child = child;
                }
                Err(error) => tracing::error!(%error, "cannot start the agent"),
            }
        }
    }

    fn start_again(&self) -> io::Result<Child> {
        spawn(&self.program, &self.arguments, &self.token_file, self.open_files)
    }

    /// Asks the agent to leave its commands to their supervisor and end.
    pub(super) fn detach(&mut self) {
        self.leash = None;
    }

    /// Waits for the agent to end, but not for long: it needs no server to detach.
    pub(super) async fn wait(mut self) {
        if tokio::time::timeout(DETACH_WITHIN, self.child.wait()).await.is_err() {
            tracing::info!("the agent takes its time to detach");
        }
    }
}

fn spawn(
    program: &Path,
    arguments: &[OsString],
    token_file: &Path,
    open_files: Rlimit,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).env("SCITQ_TOKEN_FILE", token_file).env_remove("SCITQ_TOKEN");
    // A group of its own: Ctrl-C is for the server, which then tells the agent.
    command.arg("--until-stdin-closes").stdin(Stdio::piped()).process_group(0);
    let child = command.spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if pid.is_some() {
        // Old programs fail with more open files than they were made for. One
        // that has ended already needs no limit.
        let _ = prlimit(pid, Resource::Nofile, open_files);
    }
    Ok(child)
}
