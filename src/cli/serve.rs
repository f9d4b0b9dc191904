//! `scitq serve`: run the head node.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use tokio::sync::oneshot;

use super::app::GlobalArgs;
use super::error::{CliError, ErrorKind};
use super::logging::{self, LogFormat, log_format};
use super::output::Voice;
use super::parse;
use super::settings::LEAST_FREE;
use crate::api::client::DEFAULT_PORT;
use crate::api::link::HEARTBEAT_SECONDS;
use crate::api::token::Role;
use crate::runtime_dir::Surroundings;
use crate::server::{
    self, BackupError, LeastFree, PlainTokens, Policy, Ready, Retention, ServeConfig, ServeError,
    TlsError, TlsSettings, V1Settings,
};

/// Run the server that keeps the tasks and gives them to agents
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq serve --with-agent
  scitq serve --listen 0.0.0.0:5000 --tls self --data /srv/scitq

The first start makes the data directory, and in it admin.token, with which
this user's scitq finds its way by itself. Give others a token of their own:
scitq manage token create --name ada --role user
With --tls self the server makes a certificate of its own, which its tokens
name: their holders need no certificate authority. SIGTERM stops the server, and
nothing is lost; SIGHUP makes it read its certificate anew.")]
pub struct ServeArgs {
    /// Listen on this address and port; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000", value_parser = listen_address)]
    listen: SocketAddr,
    /// Keep everything in this directory, on a local disk [default: /var/lib/scitq for root, else ~/.local/state/scitq]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Run an agent as well, with so many commands at once [default: one per core]
    #[arg(long, value_name = "CONCURRENCY", num_args = 0..=1, require_equals = true, default_missing_value = "cores", value_parser = concurrency)]
    with_agent: Option<Concurrency>,
    /// Let these networks in without a token: whoever uses them may run anything on every worker; repeatable
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    trust: Vec<IpNet>,
    /// Speak TLS as well, with a certificate that the server makes and every token names
    #[arg(long, value_name = "self", value_parser = ["self"], conflicts_with_all = ["tls_cert", "tls_key"])]
    tls: Option<String>,
    /// Speak TLS as well, with the certificate and its chain in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Take tokens that come from other machines without encryption: whoever listens has them
    #[arg(long)]
    insecure: bool,
    /// Fill the data directory, which must be empty, from this backup first
    #[arg(long, value_name = "FILE")]
    restore: Option<PathBuf>,
    /// Let those networks in as these: user, agent (for workers of scitq 1), read; repeatable
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_value = "user", value_parser = trusted_role)]
    trust_role: Vec<Role>,
    /// Let an address show so many wrong tokens in a minute before it has to wait
    #[arg(long, value_name = "NUMBER", default_value_t = 30)]
    wrong_tokens: u32,
    /// Do not serve clients and workers of scitq 1, which come without a token
    #[arg(long)]
    no_v1: bool,
    /// Give clients of scitq 1 this rclone.conf when they ask for it: it has secrets in it
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "/etc/rclone.conf")]
    v1_share_rclone: Option<PathBuf>,
    /// Tell workflows of scitq 1 to leave their scripts in this folder
    #[arg(long, value_name = "URI", default_value = "", hide_default_value = true)]
    v1_remote: String,
    /// Keep the output of executions for so long after their end, or `never` delete it
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = retention)]
    retain_output: Limit,
    /// Delete tasks so long after their end, or `never`
    #[arg(long, value_name = "DURATION", default_value = "never", value_parser = retention)]
    retain_finished: Limit,
    /// Take no new tasks while less of the disk is free
    #[arg(long, value_name = "PERCENT", default_value = "5", env = LEAST_FREE.name, hide_env = true, value_parser = clap::value_parser!(u8).range(0..=50))]
    least_free: u8,
    /// Log in this form: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = log_format)]
    log_format: LogFormat,
    /// Log to the end of this file, which SIGHUP opens anew [default: standard error]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// See a worker that is silent for so long as offline
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = silence)]
    offline_after: Duration,
    /// Set up providers of machines as this file says [default: server.toml in the data directory, else /etc/scitq/server.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Give what a worker runs to others when it is silent for so long, or `never`
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = loss)]
    lost_after: Limit,
}

/// Shortest silence that means something: two heartbeats.
const SHORTEST_SILENCE: Duration = Duration::from_secs(2 * HEARTBEAT_SECONDS);

/// When something happens by the passing of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Never,
    After(Duration),
}

impl Limit {
    const fn time(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(time) => Some(time),
        }
    }
}

/// How many commands an agent runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concurrency {
    OnePerCore,
    Fixed(u32),
}

impl Concurrency {
    const fn count(self) -> Option<u32> {
        match self {
            Self::OnePerCore => None,
            Self::Fixed(count) => Some(count),
        }
    }
}

/// How other machines can reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exposure {
    /// Not at all, encrypted, or as was asked for.
    Chosen,
    /// In plain, so that their tokens are not taken.
    Plain,
}

/// Whether an agent was started with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    Here,
    Missing,
}

pub fn cmd_serve(global: &GlobalArgs, args: ServeArgs) -> Result<u8, CliError> {
    let log = logging::start_with(args.log_format, args.log_file.as_deref())?;
    let surroundings = Surroundings::of_process();
    let data = args.data.or_else(|| surroundings.default_data_dir()).ok_or_else(|| {
        CliError::configuration("there is no home directory in which to keep the data")
            .hint("name a directory with --data")
    })?;
    let data = std::path::absolute(&data).unwrap_or(data);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal("cannot start").caused_by(&error))?;
    let (ready, is_ready) = oneshot::channel();
    let plain_tokens =
        if args.insecure { PlainTokens::FromAnywhere } else { PlainTokens::OfThisMachine };
    let config = ServeConfig {
        listen: args.listen,
        data: data.clone(),
        with_agent: args.with_agent.map(Concurrency::count),
        agent_arguments: vec![format!("--log-format={}", args.log_format)],
        trust: args.trust,
        tls: tls_settings(args.tls, args.tls_cert, args.tls_key),
        plain_tokens,
        restore: args.restore,
        trust_roles: args.trust_role,
        wrong_tokens: args.wrong_tokens,
        v1: (!args.no_v1)
            .then_some(V1Settings { rclone: args.v1_share_rclone, remote: args.v1_remote }),
        settings: args.config,
        least_free: LeastFree(args.least_free),
        retention: Retention {
            output: args.retain_output.time(),
            finished: args.retain_finished.time(),
        },
        policy: Policy {
            offline_after: args.offline_after,
            lost_after: args.lost_after.time(),
            ..Policy::default()
        },
        ready: Some(ready),
    };
    let worker = if args.with_agent.is_some() { Worker::Here } else { Worker::Missing };
    let is_plain = config.tls.is_none() && !args.insecure && !args.listen.ip().is_loopback();
    let exposure =
        if is_plain && config.trust.is_empty() { Exposure::Plain } else { Exposure::Chosen };
    let voice = global.output().voice();
    let greeting = async {
        if let Ok(ready) = is_ready.await {
            greet(voice, &ready, &data, &surroundings, (worker, exposure));
        }
    };
    let outcome = runtime.block_on(async {
        if let Some(log) = log {
            log.reopen_on_hang_up();
        }
        tokio::join!(server::run(config), greeting).0
    });
    runtime.shutdown_background();
    outcome.map(|()| 0).map_err(|error| explain(&error))
}

fn tls_settings(
    own: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<TlsSettings> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsSettings::Files { certificate, key }),
        _ => own.map(|_| TlsSettings::OwnMade),
    }
}

fn silence(text: &str) -> Result<Duration, String> {
    let time = parse::duration(text)?;
    if time < SHORTEST_SILENCE {
        let shortest = SHORTEST_SILENCE.as_secs();
        return Err(format!("agents speak every {HEARTBEAT_SECONDS} s; {shortest} s is the least"));
    }
    Ok(time)
}

fn loss(text: &str) -> Result<Limit, String> {
    if text == "never" { Ok(Limit::Never) } else { silence(text).map(Limit::After) }
}

fn retention(text: &str) -> Result<Limit, String> {
    match text {
        "never" => Ok(Limit::Never),
        _ => match parse::duration(text)? {
            Duration::ZERO => Err("write `never` for no limit, or at least 1s".to_owned()),
            time => Ok(Limit::After(time)),
        },
    }
}

/// Tells where the server is and what to do next.
fn greet(
    voice: Voice,
    ready: &Ready,
    data: &Path,
    surroundings: &Surroundings,
    (worker, exposure): (Worker, Exposure),
) {
    let url = &ready.url;
    let token = ready.token_file.display();
    voice.status(format_args!("scitq listens on {url} and keeps its data in {}", data.display()));
    if let Some(fingerprint) = ready.fingerprint {
        voice.status(format_args!(
            "its certificate, which every new token names, has the SHA-256 fingerprint {}",
            fingerprint.in_hexadecimal()
        ));
    }
    if exposure == Exposure::Plain {
        voice.warning(
            "other machines reach this server without encryption only, so it takes no tokens from \
             them: add --tls self",
        );
    }
    voice.status("try next:");
    let is_found = surroundings.xdg_runtime.is_some()
        || surroundings.default_data_dir().as_deref() == Some(data);
    if !is_found {
        voice.status(format_args!("  export SCITQ_SERVER={url} SCITQ_TOKEN_FILE={token}"));
    }
    match worker {
        Worker::Here => {
            voice.status("  scitq launch --follow echo hello");
            voice.status("  scitq manage worker list");
        }
        Worker::Missing => {
            voice.status("  scitq agent");
            voice.status("  scitq launch --follow echo hello");
        }
    }
    voice.status("  scitq manage task list");
}

fn explain(error: &ServeError) -> CliError {
    let kind = match error {
        ServeError::DataDir(_)
        | ServeError::Listen { .. }
        | ServeError::Store { .. }
        | ServeError::Settings(_)
        | ServeError::Restore(_)
        | ServeError::Tls(_) => ErrorKind::Configuration,
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
        ServeError::Restore(BackupError::NotEmpty { .. }) => told.hint(
            "nothing was changed: name another directory with --data, or move what is in it away",
        ),
        ServeError::Restore(BackupError::CutShort { .. }) => {
            told.hint("nothing was changed: copy the whole of the backup, or take another")
        }
        ServeError::Tls(TlsError::HalfLost { .. }) => told.hint(
            "take both from a backup; or delete what is left, and make all tokens anew after the start",
        ),
        ServeError::Tls(_) => told.hint("--tls-cert and --tls-key name files in PEM form"),
        ServeError::Fatal(_) => told.hint(
            "check the disk, then start the server again: it takes up where the last commit was",
        ),
        _ => told,
    }
}

/// `ADDRESS:PORT`, an address alone, or `localhost` with or without a port.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.replacen("localhost", "127.0.0.1", 1);
    if let Ok(address) = numeric.parse::<SocketAddr>() {
        return Ok(address);
    }
    match numeric.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, DEFAULT_PORT)),
        Err(_) => Err("write ADDRESS:PORT with a numeric address, such as 0.0.0.0:5000".to_owned()),
    }
}

fn concurrency(text: &str) -> Result<Concurrency, String> {
    match text.parse() {
        _ if text == "cores" => Ok(Concurrency::OnePerCore),
        Ok(0) => Err("an agent runs at least one command".to_owned()),
        Ok(count) => Ok(Concurrency::Fixed(count)),
        Err(_) => Err("write how many commands may run at once".to_owned()),
    }
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse().or_else(|_| {
        text.parse::<IpAddr>()
            .map(IpNet::from)
            .map_err(|_| "write a network such as 10.0.0.0/8, or an address".to_owned())
    })
}

/// What one may be without a token.
fn trusted_role(text: &str) -> Result<Role, String> {
    match text.parse() {
        Ok(role @ (Role::User | Role::Agent | Role::Read)) => Ok(role),
        _ => Err("write user, agent or read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on_may_be_short() {
        let shown = |text| listen_address(text).map(|address| address.to_string());
        assert_eq!(shown("0.0.0.0:80"), Ok("0.0.0.0:80".into()));
        assert_eq!(shown("0.0.0.0"), Ok("0.0.0.0:5000".into()));
        assert_eq!(shown("::1"), Ok("[::1]:5000".into()));
        assert_eq!(shown("localhost:0"), Ok("127.0.0.1:0".into()));
        assert!(shown("head:5000").is_err());
    }

    #[test]
    fn a_single_address_is_a_network_too() {
        assert_eq!(network("127.0.0.1"), Ok("127.0.0.1/32".parse().unwrap()));
        assert!(network("10.0.0.0/40").is_err());
    }

    #[test]
    fn an_agent_has_a_slot() {
        assert_eq!(concurrency("cores"), Ok(Concurrency::OnePerCore));
        assert_eq!(concurrency("3"), Ok(Concurrency::Fixed(3)));
        assert!(concurrency("0").is_err());
    }
}
