//! `scitq serve`: the head node.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use tokio::sync::oneshot;

use super::app::GlobalArgs;
use super::error::{CliError, ErrorKind};
use crate::runtime_dir;
use crate::server::{self, Ready, ServeConfig, ServeError};

/// Run the server, which keeps the queue and gives tasks to agents
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq serve --with-agent             a server and a worker in one
  scitq serve --listen 0.0.0.0:5000    for workers on other machines

The first token, an administrator's, is written to DIR/admin.token; the command
line of the same user finds it. SIGTERM stops the server; nothing is lost.")]
pub struct ServeArgs {
    /// Listen here; port 0 takes any free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:5000",
        env = "SCITQ_LISTEN",
        hide_env = true
    )]
    listen: SocketAddr,
    /// Keep all data here, on a local disk [default: /var/lib/scitq for root, else ~/.local/state/scitq]
    #[arg(long, value_name = "DIR", env = "SCITQ_DATA", hide_env = true)]
    data: Option<PathBuf>,
    /// Run an agent here as well, with so many slots [default: one per core]
    #[arg(long, value_name = "CONCURRENCY", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "absent, given, and given with a number")]
    with_agent: Option<Option<u32>>,
    /// Let these addresses in without a token; whoever uses them may run anything on every worker
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trust: Vec<IpNet>,
}

pub fn cmd_serve(global: &GlobalArgs, args: ServeArgs) -> Result<u8, CliError> {
    super::logging::start();
    let data = args.data.or_else(runtime_dir::default_data_dir).ok_or_else(|| {
        CliError::configuration("there is no home directory to keep the data in")
            .hint("name a directory with --data")
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal("cannot start").caused_by(&error))?;
    let (ready, is_ready) = oneshot::channel();
    let config = ServeConfig {
        listen: args.listen,
        data: data.clone(),
        with_agent: args.with_agent,
        trust: args.trust,
        ready: Some(ready),
    };
    let outcome = runtime.block_on(async {
        let greeting = async {
            if let Ok(ready) = is_ready.await {
                greet(global, &ready, &data, args.with_agent.is_some());
            }
        };
        tokio::join!(server::run(config), greeting).0
    });
    runtime.shutdown_background();
    outcome.map(|()| 0).map_err(|error| explain(&error))
}

fn greet(global: &GlobalArgs, ready: &Ready, data: &std::path::Path, with_agent: bool) {
    let address = ready.address;
    let voice = global.output().voice();
    voice.status(format!("scitq serves http://{address}, its data is in {}", data.display()));
    if with_agent {
        voice.status("try:  scitq launch --follow -- echo hello");
    } else {
        voice.status(format!(
            "try:  SCITQ_TOKEN_FILE={} scitq agent --server http://{address}",
            ready.token_file.display()
        ));
    }
    voice.status("      scitq manage task list");
    voice.status("      scitq manage server status");
}

fn explain(error: &ServeError) -> CliError {
    let kind = match error {
        ServeError::DataDir(_) | ServeError::Listen { .. } | ServeError::Store { .. } => {
            ErrorKind::Configuration
        }
        ServeError::Fatal(_) => ErrorKind::Internal,
        _ => ErrorKind::Refused,
    };
    let told = CliError::of(kind, error);
    match error {
        ServeError::DataDir(problem) => match problem.hint() {
            Some(hint) => told.hint(hint),
            None => told,
        },
        ServeError::Listen { .. } => {
            told.hint("another server may run there; choose another address with --listen")
        }
        ServeError::Store { .. } => {
            told.hint("start the scitq that wrote it, or name another directory with --data")
        }
        ServeError::Fatal(_) => told.hint(
            "check the disk, then start the server again: it takes up where the last commit was",
        ),
        _ => told,
    }
}
