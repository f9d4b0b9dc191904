//! Lets a whole scitq live through random trouble, in made-up time.
//!
//! ```text
//! cargo run --release --example simulate -- [--seed N] [--rounds N] [--trace]
//! ```
//!
//! Each round is one seed: a server, agents, people and a network, with all that
//! can go wrong between them. A seed that breaks a rule is shrunk to the least
//! that still breaks it, and told as a story. The same seed gives the same
//! story, to the byte.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a report is what it is for")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};

use world::life::Failure;
use world::{Plan, Trace, live, shrink};

/// What the command line says.
struct Options {
    seed: u64,
    rounds: u64,
    trace: Tracing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracing {
    /// Only of what goes wrong.
    OfFailures,
    OfAll,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = options()?;
    let folder = folder()?;
    let begun = Instant::now();
    let (mut steps, mut tasks) = (0, 0);
    for seed in options.seed..options.seed.saturating_add(options.rounds) {
        let plan = Plan::of(seed);
        let trace = if options.trace == Tracing::OfAll { Trace::kept() } else { Trace::default() };
        let outcome = live(&plan, folder.path(), trace)?;
        if options.trace == Tracing::OfAll {
            for line in outcome.story {
                println!("{line}");
            }
            println!("seed {seed}: digest {:016x}", outcome.digest);
        }
        steps += outcome.steps;
        tasks += outcome.tasks;
        if (seed + 1 - options.seed).is_multiple_of(1_000) {
            eprintln!("{} rounds", seed + 1 - options.seed);
        }
        if let Some(failure) = outcome.failure {
            tell_failure(plan, &failure, folder.path())?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let an_hour = options.rounds as f64 / seconds * 3_600.0;
    println!(
        "{} rounds from seed {} in {seconds:.1} s, {an_hour:.0} an hour; {tasks} tasks, {steps} steps. No rule was broken.",
        options.rounds, options.seed
    );
    Ok(ExitCode::SUCCESS)
}

/// The shortest story of the same kind of failure.
fn tell_failure(plan: Plan, failure: &Failure, folder: &Path) -> anyhow::Result<()> {
    let seed = plan.seed;
    eprintln!("seed {seed}: {}", failure.problem);
    eprintln!("shrinking {} disturbances…", plan.disturbances.len());
    let plan = shrink(plan, failure, folder)?;
    let outcome = live(&plan, folder, Trace::kept())?;
    println!(
        "seed {seed}, {} agents, tasks are lost after {} s",
        plan.agents.len(),
        plan.lost_after
    );
    for (at, disturbance) in &plan.disturbances {
        println!("  at {:>8.3} s: {disturbance}", *at as f64 / 1e6);
    }
    for line in outcome.story {
        println!("{line}");
    }
    Ok(())
}

/// In memory, where the machine has a place for that.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let shared = Path::new("/dev/shm");
    if shared.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(shared)
    {
        return Ok(folder);
    }
    Ok(tempfile::tempdir()?)
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options { seed: 1, rounds: 100, trace: Tracing::OfFailures };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> anyhow::Result<u64> {
            let value = words.next().with_context(|| format!("`{word}` needs a number"))?;
            value.parse().with_context(|| format!("`{word}` needs a number, not `{value}`"))
        };
        match word.as_str() {
            "--seed" => options.seed = number()?,
            "--rounds" => options.rounds = number()?,
            "--trace" => options.trace = Tracing::OfAll,
            _ => bail!("`{word}` is none of --seed, --rounds and --trace"),
        }
    }
    Ok(options)
}
