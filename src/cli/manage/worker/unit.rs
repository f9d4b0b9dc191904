//! `scitq manage worker unit`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::manage::units::{program, word};
use crate::cli::output::Output;

/// Print a systemd unit for an agent
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage worker unit head >/etc/systemd/system/scitq-agent.service
  systemctl daemon-reload && systemctl enable --now scitq-agent

Put the token with which it joins into /etc/scitq/join.token (mode 0600) first.
Commands outlive the agent: a restart or an upgrade ends none.")]
pub struct UnitArgs {
    /// The server's address, as --server takes it [default: that in /etc/scitq/agent.toml]
    #[arg(value_name = "ADDRESS", value_parser = word)]
    address: Option<String>,
    /// Keep all files here
    #[arg(long, value_name = "DIR", default_value = "/var/lib/scitq-agent", value_parser = word)]
    workdir: String,
    /// Run as this user; as root, tasks can run as any user
    #[arg(long, value_name = "USER", default_value = "root", value_parser = word)]
    user: String,
}

pub fn cmd_unit(output: &Output, args: &UnitArgs) -> Result<(), CliError> {
    let UnitArgs { address, workdir, user } = args;
    let program = program()?;
    let address = match address {
        Some(address) => format!(" --server {address}"),
        None => String::new(),
    };
    let unit = format!(
        "\
[Unit]
Description=scitq agent
Documentation=man:scitq-agent(1)
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={program} agent{address} --workdir {workdir}
Environment=SCITQ_TOKEN_FILE=/etc/scitq/join.token
User={user}
KillMode=process
OOMPolicy=continue
Delegate=yes
TasksMax=infinity
LimitNOFILE=65536
Restart=on-failure
RestartSec=2
UMask=0077

[Install]
WantedBy=multi-user.target
"
    );
    output.bytes(unit.as_bytes())
}
