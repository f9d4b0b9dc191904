//! The script of a job, which a person can submit by hand too.

use std::fmt::Write as _;

use super::super::provision::token_text;
use super::super::words::quote;
use super::super::{HeadTag, Order};
use super::settings::{Shape, SlurmSettings};

/// Whether the script is for Slurm or for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    Slurm,
    /// A token of their own takes the place of the secret one.
    People,
}

/// What marks the jobs of a head.
#[must_use]
pub fn comment_of(tag: &HeadTag) -> String {
    format!("{}={tag}", HeadTag::LABEL)
}

/// The script that is a worker for as long as its job lasts.
#[must_use]
pub fn job_script(settings: &SlurmSettings, shape: &Shape, order: &Order, reader: For) -> String {
    let mut script = String::from("#!/bin/sh\n");
    for option in options(settings, shape, order) {
        let _ = writeln!(script, "#SBATCH {option}");
    }
    script.push_str(
        "\
#
# A scitq worker that is a job. The token in it lets it join once, and is worth nothing
# after a while.
set -eu
umask 077

",
    );
    let token = match reader {
        For::Slurm => token_text(order),
        For::People => "put a token here with which an agent may join".to_owned(),
    };
    let program = settings.program.as_ref().map(|path| path.display().to_string());
    let agent = &order.agent.settings;
    for (name, value) in [
        ("WORKER", order.worker.to_string()),
        ("TAG", order.tag.to_string()),
        ("SERVER", order.agent.server.clone()),
        ("TOKEN", token),
        ("PROGRAM", program.unwrap_or_default()),
        ("BATCH", agent.batch.to_string()),
        ("CONCURRENCY", agent.concurrency.to_string()),
        ("PREFETCH", agent.prefetch.to_string()),
        ("PROVIDER", order.agent.provider.to_string()),
        ("REGION", order.region.to_string()),
        ("FLAVOR", order.flavor.to_string()),
    ] {
        let _ = writeln!(script, "{name}={}", quote(&value));
    }
    // The node's own variables may stand in it.
    let _ = writeln!(script, "PARENT=\"{}\"", settings.directory);
    script.push_str(include_str!("job.sh"));
    script
}

fn options(settings: &SlurmSettings, shape: &Shape, order: &Order) -> Vec<String> {
    let mut options = vec![
        format!("--job-name={}", order.worker),
        format!("--comment={}", comment_of(&order.tag)),
        format!("--partition={}", order.region),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", shape.cpu),
        // Started again elsewhere it would find its token used up.
        "--no-requeue".to_owned(),
        format!("--signal=B:USR2@{}", settings.notice_seconds),
        "--chdir=/".to_owned(),
    ];
    if let Some(ram) = shape.ram {
        options.push(format!("--mem={:.0}M", (ram * 1024.0).floor()));
    }
    if let Some(gres) = &shape.gres {
        options.push(format!("--gres={gres}"));
    }
    if let Some(hours) = shape.hours {
        options.push(format!("--time={:.0}", (hours * 60.0).ceil()));
    }
    options.push(match &settings.logs {
        Some(folder) => format!("--output={}/{}-%j.log", folder.display(), order.worker),
        None => "--output=/dev/null".to_owned(),
    });
    options.extend(settings.options.iter().cloned());
    options.extend(shape.options.iter().cloned());
    options
}
