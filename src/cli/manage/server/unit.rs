//! `scitq manage server unit`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::manage::units::{program, word};
use crate::cli::output::Output;

/// Print a systemd unit for the server
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage server unit --listen 0.0.0.0:5000 >/etc/systemd/system/scitq.service
  useradd --system scitq && systemctl daemon-reload && systemctl enable --now scitq

The unit gives the server its data directory and nothing else of the machine.
systemctl reload scitq makes it read its certificate anew.")]
pub struct UnitArgs {
    /// Listen there
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:5000", value_parser = word)]
    listen: String,
    /// Keep everything in this directory
    #[arg(long, value_name = "DIR", default_value = STATE, value_parser = word)]
    data: String,
    /// Run as this user
    #[arg(long, value_name = "USER", default_value = "scitq", value_parser = word)]
    user: String,
}

/// The directory that systemd makes for the server.
const STATE: &str = "/var/lib/scitq";

/// What the server does without.
const CONFINEMENT: &str = "\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
";

pub fn cmd_unit(output: &Output, args: &UnitArgs) -> Result<(), CliError> {
    let UnitArgs { listen, data, user } = args;
    let program = program()?;
    let place = if data == STATE {
        "StateDirectory=scitq\nStateDirectoryMode=0700".to_owned()
    } else {
        format!("ReadWritePaths={data}")
    };
    let unit = format!(
        "\
[Unit]
Description=scitq server
Documentation=man:scitq-serve(1)
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={program} serve --listen {listen} --tls self --data {data}
ExecReload=kill -HUP $MAINPID
User={user}
{place}
Restart=on-failure
RestartSec=1
LimitNOFILE=65536
{CONFINEMENT}
[Install]
WantedBy=multi-user.target
"
    );
    output.bytes(unit.as_bytes())
}
