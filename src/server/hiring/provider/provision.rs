//! The script that makes a worker of a fresh machine.
//!
//! One for all kinds of providers, in plain POSIX shell, so that a person can read it
//! and run it by hand. Each step looks first whether it is done already. There are no
//! secrets in it: the token of the agent and the logins of registries are files that
//! whoever runs it puts there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{HeadTag, Order};
use crate::server::hiring::provider::words::quote;

/// Where the logins of registries are on the machine, before they are installed.
pub const REGISTRY_LOGINS: &str = "/etc/scitq/registry-logins.json";

/// What a site wants done to its machines: `prepare = { … }` of a provider.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreparationTable {
    /// Make `/scratch` of the NVMe disks, or of what there is.
    scratch: Option<bool>,
    /// Swap space, as a share of `/scratch`; 0: none.
    swap: Option<f64>,
    /// See to it that there is a container engine, with its data on `/scratch`.
    engine: Option<bool>,
    /// Registries that it may talk to without TLS.
    insecure_registries: Vec<String>,
    /// On the head: logins of registries, in the form of Docker's `config.json`.
    pub registry_logins: Option<PathBuf>,
    /// `server:/export`, mounted on `/data`.
    nfs: Option<String>,
    /// Let containers use NVIDIA devices, where there are any.
    nvidia: Option<bool>,
}

/// What is done to a machine where the site says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The machine is somebody's: it stays as it is.
    Untouched,
    /// It was made for this: it gets all.
    Full,
}

/// What is done to a machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preparation {
    steps: BTreeSet<Step>,
    swap: Option<f64>,
    insecure_registries: Vec<String>,
    nfs: Option<String>,
}

/// What is done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Scratch,
    Engine,
    Logins,
    Nvidia,
}

/// Where an agent and its files are on a machine.
#[derive(Debug, Clone)]
pub struct Place {
    /// All of its files are in here.
    pub directory: String,
    pub program: Program,
    pub service: Service,
    /// How it learns that the machine is taken away, as `scitq agent
    /// --eviction-notice` has it; empty: not at all.
    pub notice: String,
}

/// How the program comes onto a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// It was copied to `bin/scitq.new`, and this is its SHA-256.
    Copied(String),
    /// The machine fetches it from the head.
    Fetched,
}

/// What keeps an agent running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// systemd, where it runs and the agent is root's; else nothing.
    #[default]
    Auto,
    /// Nothing, though there is systemd.
    Detached,
}

impl PreparationTable {
    /// With what the kind of provider does where the site says nothing.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn over(&self, baseline: Baseline) -> Result<Preparation, String> {
        let full = baseline == Baseline::Full;
        let swap = self.swap.unwrap_or(if full { 0.1 } else { 0.0 });
        if !(0.0..=1.0).contains(&swap) {
            return Err(format!("`prepare.swap` is {swap}: it is a share, from 0 to 1"));
        }
        for word in &self.insecure_registries {
            if word.is_empty() || word.contains(|letter: char| !is_plain(letter)) {
                return Err(format!("`{word}` in `prepare.insecure_registries` is no registry"));
            }
        }
        if let Some(nfs) = &self.nfs
            && (!nfs.contains(":/") || nfs.contains(|letter: char| !is_plain(letter)))
        {
            return Err(format!("`{nfs}` in `prepare.nfs` is not of the form server:/export"));
        }
        let steps = [
            (Step::Scratch, self.scratch.unwrap_or(full)),
            (Step::Engine, self.engine.unwrap_or(full)),
            (Step::Logins, self.registry_logins.is_some()),
            (Step::Nvidia, self.nvidia.unwrap_or(full)),
        ];
        Ok(Preparation {
            steps: steps.into_iter().filter(|(_, wanted)| *wanted).map(|(step, _)| step).collect(),
            swap: Some(swap).filter(|share| *share > 0.0),
            insecure_registries: self.insecure_registries.clone(),
            nfs: self.nfs.clone(),
        })
    }
}

/// The script that makes a worker of a machine, run as root or as the user of the agent.
#[must_use]
pub fn provisioning_script(order: &Order, preparation: &Preparation, place: &Place) -> String {
    let mut script = String::from(
        "\
#!/bin/sh
# Makes a scitq worker of this machine. Written by `scitq`, for people to read and to run:
# as root, again after a failure, as often as you like. Each step is skipped when it is
# done already. What it needs besides: a token with which an agent may join, in the file
# TOKEN_FILE (mode 0600).
set -eu
umask 022

",
    );
    let settings = &order.agent.settings;
    let has = |step| preparation.steps.contains(&step);
    let flag = |step| if has(step) { "yes" } else { "" }.to_owned();
    let sum = match &place.program {
        Program::Copied(sum) => sum.as_str(),
        Program::Fetched => "",
    };
    let service = match place.service {
        Service::Auto => "auto",
        Service::Detached => "detached",
    };
    let logins = if has(Step::Logins) { REGISTRY_LOGINS } else { "" };
    let values = [
        ("WORKER", order.worker.to_string()),
        ("TAG", order.tag.to_string()),
        ("SERVER", order.agent.server.clone()),
        ("DIRECTORY", place.directory.clone()),
        ("TOKEN_FILE", token_file(&place.directory)),
        ("PROGRAM_SUM", sum.to_owned()),
        ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("SERVICE", service.to_owned()),
        ("NOTICE", place.notice.clone()),
        ("BATCH", settings.batch.to_string()),
        ("CONCURRENCY", settings.concurrency.to_string()),
        ("PREFETCH", settings.prefetch.to_string()),
        ("PROVIDER", order.agent.provider.to_string()),
        ("REGION", order.region.to_string()),
        ("FLAVOR", order.flavor.to_string()),
        ("SCRATCH", flag(Step::Scratch)),
        ("SWAP_SHARE", preparation.swap.map_or_else(String::new, |share| share.to_string())),
        ("ENGINE", flag(Step::Engine)),
        ("INSECURE_REGISTRIES", preparation.insecure_registries.join(" ")),
        ("REGISTRY_LOGINS", logins.to_owned()),
        ("NFS", preparation.nfs.clone().unwrap_or_default()),
        ("NVIDIA", flag(Step::Nvidia)),
    ];
    write_values(&mut script, &values);
    script.push_str(include_str!("provision/prepare.sh"));
    script.push_str(include_str!("provision/agent.sh"));
    script
}

/// The script that takes a worker off a machine again.
#[must_use]
pub fn removal_script(worker: &str, tag: &HeadTag, directory: &str) -> String {
    let mut script = String::from("#!/bin/sh\nset -eu\n\n");
    let values = [
        ("WORKER", worker.to_owned()),
        ("TAG", tag.to_string()),
        ("DIRECTORY", directory.to_owned()),
    ];
    write_values(&mut script, &values);
    script.push_str(include_str!("provision/leave.sh"));
    script
}

/// Where the token of an agent is put before the script is run.
#[must_use]
pub fn token_file(directory: &str) -> String {
    format!("{directory}/join.token")
}

/// What is put into that file: a head that made its own certificate is known by the
/// fingerprint behind the token's dot.
#[must_use]
pub fn token_text(order: &Order) -> String {
    let token = order.agent.token.expose();
    match &order.agent.fingerprint {
        Some(fingerprint) if !token.contains('.') => format!("{token}.{fingerprint}"),
        _ => token.to_owned(),
    }
}

/// Assignments of a shell.
fn write_values(script: &mut String, values: &[(&str, String)]) {
    for (name, value) in values {
        let _ = writeln!(script, "{name}={}", quote(value));
    }
}

/// Letters that mean nothing to a shell, to JSON, nor to `fstab`.
const fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':' | '/' | '[' | ']')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::hiring::provider::testing::order;

    fn place() -> Place {
        Place {
            directory: "/var/lib/scitq/it's".to_owned(),
            program: Program::Fetched,
            service: Service::Auto,
            notice: String::new(),
        }
    }

    #[test]
    fn a_script_has_all_values_quoted_and_no_secret() {
        let table: PreparationTable =
            toml::from_str("swap = 0.25\nnfs = \"nas:/lab\"\nnvidia = false").unwrap();
        let preparation = table.over(Baseline::Full).unwrap();
        let script = provisioning_script(&order("lab-node1"), &preparation, &place());
        for line in [
            "WORKER=lab-node1",
            r#"DIRECTORY="/var/lib/scitq/it's""#,
            "SCRATCH=yes",
            "SWAP_SHARE=0.25",
            "NFS=nas:/lab",
            "NVIDIA=''",
        ] {
            assert!(script.lines().any(|found| found == line), "{line}\n{script}");
        }
        assert!(!script.contains(order("lab-node1").agent.token.expose()));
    }

    #[test]
    fn a_machine_of_somebody_stays_as_it_is() {
        let preparation = PreparationTable::default().over(Baseline::Untouched).unwrap();
        assert_eq!(preparation, Preparation::default());
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        for (text, part) in [
            ("swap = 3", "`prepare.swap` is 3: it is a share, from 0 to 1"),
            ("swap = nan", "`prepare.swap`"),
            ("nfs = \"nas\"", "server:/export"),
            ("nfs = \"nas:/a b\"", "server:/export"),
            ("insecure_registries = [\"a\\\"b\"]", "is no registry"),
        ] {
            let table: PreparationTable = toml::from_str(text).unwrap();
            let reason = table.over(Baseline::Full).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
        assert!(toml::from_str::<PreparationTable>("swapp = 1").is_err());
    }

    #[test]
    fn a_token_carries_the_fingerprint_of_a_head_that_made_its_own_certificate() {
        let mut order = order("lab-node1");
        let token = order.agent.token.expose().to_owned();
        assert_eq!(token_text(&order), token);
        order.agent.fingerprint = Some("abc".to_owned());
        assert_eq!(token_text(&order), format!("{token}.abc"));
    }
}
