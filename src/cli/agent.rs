//! `scitq agent`: run commands on this machine.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::sync::mpsc::{Receiver, channel};

use super::app::GlobalArgs;
use super::error::{CliError, ErrorKind};
use super::logging::{self, LogFormat, log_format};
use super::parse;
use super::settings;
use crate::agent::config::{KEEP_FAILED, MAX_USED_PERCENT, UPLOAD_PATIENCE};
use crate::agent::telemetry::MachineKind;
use crate::agent::{self, AgentConfig, Departure, HangUp, Notice, Secret, Stop};
use crate::api::ssh;
use crate::domain::BatchName;
use crate::domain::worker::WorkerSettings;
use crate::runtime_dir::Surroundings;

/// Run an agent, which takes tasks from the server and runs them here
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq agent --server head --concurrency 8
  SCITQ_TOKEN_FILE=join.token scitq agent --server head --batch assembly

Each option can be set by a variable as well, --name by SCITQ_AGENT_NAME and so
on, and in agent.toml, as name = \"...\". Concurrency, prefetch and batch count
until the server knows the worker; then `scitq manage worker update` changes
them. SIGTERM stops the agent and leaves its commands running for the next one;
SIGUSR1 makes it take nothing new and leave after its last command; SIGUSR2 says
that the machine is taken away: all goes to others at once. Restarted by
`scitq manage worker restart`, it becomes the program that is on the disk by then;
where there is none, it exits with 75.")]
pub struct AgentArgs {
    #[command(flatten)]
    options: AgentOptions,
    /// Stop as on SIGTERM when standard input is closed: an agent of `serve`
    /// ends with its server, however that ends
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// The options, as flags, variables, and in `agent.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentOptions {
    /// The server, where no flag or variable names it.
    #[arg(skip)]
    server: Option<String>,
    /// Be known as this worker [default: this machine's name]
    #[arg(short, long)]
    name: Option<String>,
    /// Run so many commands at once [default: one per core]
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Take so many more tasks, to fetch their data ahead [default: 0]
    #[arg(short, long, value_name = "COUNT")]
    prefetch: Option<u32>,
    /// Take tasks of this batch [default: Default]
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Keep all files here; one agent per directory [default: /var/lib/scitq-agent for root, else ~/.local/state/scitq-agent]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Tell people what kind of machine this is
    #[arg(short, long)]
    flavor: Option<String>,
    /// Tell people where this machine stands
    #[arg(long)]
    region: Option<String>,
    /// Tell people whose machine this is
    #[arg(long)]
    provider: Option<String>,
    /// Keep the files of a failed task so long: 12h, 7d [default: 7d]
    #[arg(long, value_name = "DURATION")]
    keep_failed: Option<String>,
    /// Try so long to send outputs before the task fails: 12h, 7d [default: 1d]
    #[arg(long, value_name = "DURATION")]
    upload_patience: Option<String>,
    /// Move at most so many bytes of data in a second, as in 100M [default: no limit]
    #[arg(long, value_name = "SIZE")]
    bandwidth: Option<String>,
    /// Remove files of failed tasks, then unused resources and images, when the disk is fuller [default: 90]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    disk_limit: Option<u8>,
    /// Learn that this machine is taken away by `file:PATH` (it appears), `command:COMMAND` (it succeeds), `azure` (its scheduled events) or `slurm` (the agent is a job), and give all back
    #[arg(long, value_name = "NOTICE")]
    eviction_notice: Option<String>,
    /// Log in this form: text or json [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = log_format)]
    log_format: Option<LogFormat>,
    /// Log to the end of this file, which SIGHUP opens anew [default: standard error]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Run each command in a control group of its own below this one, which keeps
    /// it within its --mem and counts its memory [default: the group delegated to
    /// the agent, if one is]
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
}

pub async fn cmd_agent(global: &GlobalArgs, args: AgentArgs) -> Result<u8, CliError> {
    let surroundings = Surroundings::of_process();
    let file = load_agent_file(agent_file(&surroundings).as_deref())?;
    let server = global.server.as_deref().or(file.server.as_deref());
    let found = settings::load(server)?;
    let voice = global.output().voice();
    for warning in &found.warnings {
        voice.warning(warning);
    }
    if let Some(host) = found.address.ssh()
        && let Err(error) = ssh::prepare(host)
    {
        // The agent goes on trying, as with any server that is away.
        voice.warning(format_args!("cannot reach {} yet: {error}", found.address));
    }
    let options = merged(args.options, file);
    let format = options.log_format.unwrap_or_default();
    let log = logging::start_with(format, options.log_file.as_deref())?;
    let config = AgentConfig {
        server: found.address,
        token: found.token.map(Secret),
        name: options.name.unwrap_or_else(machine_name),
        settings: WorkerSettings {
            batch: options.batch.unwrap_or_default(),
            concurrency: options.concurrency.unwrap_or_else(cores),
            prefetch: options.prefetch.unwrap_or(0),
        },
        workdir: workdir(options.workdir, &surroundings)?,
        kind: MachineKind {
            flavor: options.flavor,
            region: options.region,
            provider: options.provider,
        },
        keep_failed: options.keep_failed.as_deref().map_or(Ok(KEEP_FAILED), keep_failed)?,
        max_used_percent: f64::from(options.disk_limit.unwrap_or(MAX_USED_PERCENT)),
        upload_patience: options
            .upload_patience
            .as_deref()
            .map_or(Ok(UPLOAD_PATIENCE), upload_patience)?,
        bandwidth: options.bandwidth.as_deref().map(bandwidth).transpose()?,
        notice: options.eviction_notice.as_deref().map(eviction_notice).transpose()?,
        cgroup: options.cgroup,
        program: std::env::current_exe()
            .map_err(|error| CliError::internal("cannot find this program").caused_by(&error))?,
    };
    super::site::use_storage_settings();
    let hang_up = match log {
        Some(log) if !io::stdin().is_terminal() => {
            log.reopen_on_hang_up();
            HangUp::Other
        }
        _ => HangUp::Detach,
    };
    let mut stops = agent::stops_from_signals(hang_up, config.notice.clone())
        .map_err(|error| CliError::internal("cannot receive signals").caused_by(&error))?;
    if args.until_stdin_closes {
        stops = with_end_of_stdin(stops)
            .map_err(|error| CliError::internal("cannot read standard input").caused_by(&error))?;
    }
    let program = config.program.clone();
    match agent::run(config, stops).await {
        Ok(Departure::Left) => Ok(0),
        Ok(Departure::Restart) => Err(restart(&program)),
        Err(error) => Err(CliError::of(ErrorKind::Refused, &error)),
    }
}

/// Becomes the program anew, as it is on the disk by now, with the same
/// arguments and variables; returns only when that cannot be.
fn restart(program: &Path) -> CliError {
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    let text = format!("cannot start `{}` once more", program.display());
    CliError::new(ErrorKind::TryLater, text)
        .caused_by(&error)
        .hint("the commands run on: start the agent again, and it takes them over")
}

/// The same stops, and one more when standard input is closed.
fn with_end_of_stdin(mut signals: Receiver<Stop>) -> io::Result<Receiver<Stop>> {
    let (sender, stops) = channel(8);
    let on_end = sender.clone();
    // A thread of its own, which ends with the process: reads of a pipe that
    // nobody writes to cannot be called off.
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // Whatever ends the reading, nobody is at the other side any more.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = on_end.blocking_send(Stop::Detach);
    })?;
    tokio::spawn(async move {
        while let Some(stop) = signals.recv().await {
            if sender.send(stop).await.is_err() {
                return;
            }
        }
    });
    Ok(stops)
}

/// The command line's options before the file's.
fn merged(flags: AgentOptions, file: AgentOptions) -> AgentOptions {
    AgentOptions {
        server: flags.server.or(file.server),
        name: flags.name.or(file.name),
        concurrency: flags.concurrency.or(file.concurrency),
        prefetch: flags.prefetch.or(file.prefetch),
        batch: flags.batch.or(file.batch),
        workdir: flags.workdir.or(file.workdir),
        flavor: flags.flavor.or(file.flavor),
        region: flags.region.or(file.region),
        provider: flags.provider.or(file.provider),
        keep_failed: flags.keep_failed.or(file.keep_failed),
        upload_patience: flags.upload_patience.or(file.upload_patience),
        bandwidth: flags.bandwidth.or(file.bandwidth),
        disk_limit: flags.disk_limit.or(file.disk_limit),
        eviction_notice: flags.eviction_notice.or(file.eviction_notice),
        log_format: flags.log_format.or(file.log_format),
        log_file: flags.log_file.or(file.log_file),
        cgroup: flags.cgroup.or(file.cgroup),
    }
}

fn keep_failed(text: &str) -> Result<Duration, CliError> {
    let error = |reason| {
        CliError::configuration(format!("cannot keep failed tasks for `{text}`: {reason}"))
    };
    parse::duration(text).map_err(error)
}

fn eviction_notice(text: &str) -> Result<Notice, CliError> {
    text.parse::<Notice>().map_err(|error| CliError::configuration(error.to_string()))
}

fn bandwidth(text: &str) -> Result<u64, CliError> {
    let error = |reason| CliError::configuration(format!("no bandwidth is `{text}`: {reason}"));
    parse::size(text).map_err(error)
}

fn upload_patience(text: &str) -> Result<Duration, CliError> {
    let error =
        |reason| CliError::configuration(format!("cannot send outputs for `{text}`: {reason}"));
    parse::duration(text).map_err(error)
}

/// Where an agent of this user is configured.
fn agent_file(surroundings: &Surroundings) -> Option<PathBuf> {
    if surroundings.is_root {
        return Some(PathBuf::from("/etc/scitq/agent.toml"));
    }
    surroundings.client_config().map(|path| path.with_file_name("agent.toml"))
}

/// The options in a file; none where there is no file.
fn load_agent_file(path: Option<&Path>) -> Result<AgentOptions, CliError> {
    let Some(path) = path else { return Ok(AgentOptions::default()) };
    let broken = || CliError::configuration(format!("cannot read `{}`", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| broken().caused_by(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(AgentOptions::default()),
        Err(error) => Err(broken().caused_by(&error)),
    }
}

fn workdir(chosen: Option<PathBuf>, surroundings: &Surroundings) -> Result<PathBuf, CliError> {
    let beside_server = || Some(surroundings.default_data_dir()?.with_file_name("scitq-agent"));
    let path = chosen.or_else(beside_server).ok_or_else(|| {
        CliError::configuration("there is no home directory in which to keep files")
            .hint("name a directory with --workdir")
    })?;
    std::path::absolute(Path::new(&path)).map_err(|error| {
        CliError::configuration(format!("`{}` is no directory", path.display())).caused_by(&error)
    })
}

fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The cores that this process may use.
fn cores() -> u32 {
    available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> AgentOptions {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let flags = options("name = \"flag\"");
        let file = options("name = \"file\"\nbatch = \"qc\"\nconcurrency = 3\nserver = \"head\"");
        let merged = merged(flags, file);
        assert_eq!(merged.name.as_deref(), Some("flag"));
        assert_eq!(merged.concurrency, Some(3));
        assert_eq!(merged.batch, Some("qc".parse().unwrap()));
    }

    #[test]
    fn a_file_with_a_misspelled_option_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        fs::write(&path, "concurency = 3").unwrap();
        let error = load_agent_file(Some(&path)).unwrap_err();
        assert!(error.causes()[0].contains("unknown field `concurency`"), "{error:?}");
        assert_eq!(load_agent_file(Some(Path::new("/nonexistent"))), Ok(AgentOptions::default()));
    }

    #[test]
    fn the_files_of_an_agent_lie_beside_those_of_a_server() {
        let root = Surroundings { is_root: true, ..Surroundings::default() };
        assert_eq!(workdir(None, &root), Ok("/var/lib/scitq-agent".into()));
        assert_eq!(workdir(Some("/scratch".into()), &root), Ok("/scratch".into()));
        assert_eq!(agent_file(&root), Some("/etc/scitq/agent.toml".into()));
        assert!(workdir(None, &Surroundings::default()).is_err());
    }
}
