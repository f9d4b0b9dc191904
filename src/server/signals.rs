//! What the system tells the server.

use std::io::{self, IsTerminal};

/// SIGTERM, SIGINT and SIGHUP.
#[derive(Debug)]
pub(super) struct Signals {
    hang_up: tokio::signal::unix::Signal,
    /// Whether a hang-up means that the terminal on which the server was
    /// started is gone.
    on_terminal: bool,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            on_terminal: io::stdin().is_terminal(),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves when the server shall stop.
    pub(super) async fn recv(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    if self.on_terminal {
                        return;
                    }
                    reload();
                }
            }
        }
    }
}
