//! The log of the programs that stay: one line for each thing worth knowing,
//! on standard error, where a service manager keeps it.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::settings::LOG;

/// What would write tokens into the log at its finest, with all else that is sent.
const KEPT_QUIET: &str = "tungstenite=info,tokio_tungstenite=info";

/// Begins to log; what is told is chosen by a variable.
pub fn start() {
    let filter = std::env::var_os(LOG.name).and_then(|value| value.into_string().ok());
    let filter = filter.as_deref().unwrap_or("info");
    let filter = EnvFilter::new(format!("{filter},{KEPT_QUIET}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // A program that embeds us may log already, and goes on to.
    let _ = subscriber.try_init();
}
