//! `serve --with-agent`: an agent on the head itself, as a process of its own.
//!
//! It is the very agent that runs on any worker, so its commands survive the
//! server, and the server's restart finds them running.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Time that the agent has to detach from its commands when the server stops.
const DETACH_WITHIN: Duration = Duration::from_millis(800);
/// Wait before an agent that ended is started again.
const START_AGAIN: Duration = Duration::from_secs(2);

/// The agent's process.
#[derive(Debug)]
pub(super) struct LocalAgent {
    program: PathBuf,
    server: String,
    token_file: PathBuf,
    workdir: PathBuf,
    concurrency: Option<u32>,
    child: Child,
}

impl LocalAgent {
    /// Starts an agent that works in `DATA/agent`.
    pub(super) fn start(
        address: SocketAddr,
        token_file: &Path,
        data: &Path,
        concurrency: Option<u32>,
    ) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let server = format!("http://{address}");
        let workdir = std::path::absolute(data.join("agent"))?;
        let token_file = std::path::absolute(token_file)?;
        let child = spawn(&program, &server, &token_file, &workdir, concurrency)?;
        Ok(Self { program, server, token_file, workdir, concurrency, child })
    }

    /// Starts the agent again whenever it ends. Never returns.
    pub(super) async fn keep_alive(&mut self) -> Infallible {
        loop {
            let status = self.child.wait().await;
            tracing::warn!(?status, "the agent ended; starting it again");
            tokio::time::sleep(START_AGAIN).await;
            match spawn(
                &self.program,
                &self.server,
                &self.token_file,
                &self.workdir,
                self.concurrency,
            ) {
                Ok(child) => self.child = child,
                Err(error) => tracing::error!(%error, "cannot start the agent"),
            }
        }
    }

    /// Asks the agent to leave its commands to their supervisor and end.
    pub(super) fn detach(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
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
    server: &str,
    token_file: &Path,
    workdir: &Path,
    concurrency: Option<u32>,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("agent").arg("--server").arg(server).arg("--workdir").arg(workdir);
    if let Some(concurrency) = concurrency {
        command.arg("--concurrency").arg(concurrency.to_string());
    }
    // The agent outlives a server that is killed, and finds the next one.
    command.env("SCITQ_TOKEN_FILE", token_file).env_remove("SCITQ_TOKEN");
    // A group of its own: Ctrl-C is for the server, which then tells the agent.
    command.stdin(std::process::Stdio::null()).process_group(0).spawn()
}
