//! What scitq costs, next to what the machine can do without it.
//!
//! ```text
//! cargo build --release && cargo run --release --example bench [-- --tasks N --lines N --files N --mebibytes N --only PART]
//! ```
//!
//! Starts the release binary on free ports and in temporary directories, loads
//! it, and prints one table. The load runs on the same cores as scitq: the
//! figures are lower bounds. PART is one of `launch`, `queue`, `agents`,
//! `hyperqueue` (where its `hq` is in the search path), `tui`, `log`, `hiring`, `containers`
//! (where an engine answers), `data` (where `rclone` is, and what `tests/peers`
//! installs) and `legacy`; `data` moves `--files` files of 100 KB, 2,000 where nothing
//! is said, and four of `--mebibytes`, 1,024 where nothing is said; `--lines` is how
//! many lines the log of `log` has, 110,000,000 (a gigabyte) where
//! nothing is said.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what it is for")]

mod agents;
mod containers;
mod data;
mod hiring;
mod hyperqueue;
mod launch;
mod legacy;
mod queue;
mod scene;
mod screen;
mod table;
mod tui;
mod watch;

use std::path::PathBuf;

use anyhow::{Context, bail};

use table::Table;

/// What the command line says.
struct Options {
    /// Tasks in the large queue.
    tasks: u64,
    /// Lines in the long log.
    lines: u64,
    /// Data that are moved.
    amounts: data::Amounts,
    /// The only part to run; all where none is named.
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let program = program()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut table = Table::default();
    let is_wanted = |part| options.only.as_deref().is_none_or(|only| only == part);
    runtime.block_on(async {
        if is_wanted("launch") {
            launch::measure(&program, &mut table).await.context("launch")?;
        }
        if is_wanted("queue") {
            queue::measure(&program, options.tasks, &mut table).await.context("queue")?;
        }
        if is_wanted("agents") {
            agents::measure(&program, &mut table).await.context("agents")?;
        }
        if is_wanted("hyperqueue") {
            hyperqueue::measure(options.tasks, &mut table).context("hyperqueue")?;
        }
        if is_wanted("tui") {
            tui::measure(&program, options.tasks, &mut table).await.context("tui")?;
        }
        if is_wanted("log") {
            watch::measure_log(&program, options.lines, &mut table).await.context("log")?;
        }
        if is_wanted("containers") {
            containers::measure(&program, &mut table).await.context("containers")?;
        }
        anyhow::Ok(())
    })?;
    if is_wanted("hiring") {
        hiring::measure(&mut table).context("hiring")?;
    }
    if is_wanted("data") {
        data::measure(&program, options.amounts, &mut table).context("data")?;
    }
    if is_wanted("legacy") {
        legacy::measure(&program, &mut table).context("legacy")?;
    }
    println!("{table}");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, shared by scitq, its load and whatever else runs on this machine.");
    Ok(())
}

fn options() -> anyhow::Result<Options> {
    let amounts = data::Amounts { files: 2_000, mebibytes: 1_024 };
    let mut options = Options { tasks: 1_000_000, lines: 110_000_000, amounts, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--tasks" => options.tasks = value.parse().context("--tasks needs a number")?,
            "--lines" => options.lines = value.parse().context("--lines needs a number")?,
            "--files" => options.amounts.files = value.parse().context("--files needs a number")?,
            "--mebibytes" => {
                options.amounts.mebibytes = value.parse().context("--mebibytes needs a number")?;
            }
            "--only" => options.only = Some(value),
            _ => bail!("`{word}` is none of --tasks, --lines, --files, --mebibytes and --only"),
        }
    }
    Ok(options)
}

/// The release binary, which lies beside the folder of the examples.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(std::path::Path::parent);
    let program = folder.context("this example lies in no build folder")?.join("scitq");
    if !program.is_file() {
        bail!("`{}` is missing: run `cargo build --release` first", program.display());
    }
    if cfg!(debug_assertions) {
        eprintln!("warning: this is no release build; its figures mean little");
    }
    Ok(program)
}
