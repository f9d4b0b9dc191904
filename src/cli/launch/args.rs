//! The options of `scitq launch`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::array::ArrayRange;
use super::each::Delimiter;
use crate::cli::manage::states;
use crate::cli::parse::{self, IdsOrStdin};
use crate::domain::container::Pull;
use crate::domain::{BatchName, TaskId};

const EXAMPLES: &str = "\
Examples:
  scitq launch sort -o sorted.txt /data/reads.txt
  scitq launch -i file:///data/run7/ -o file:///data/counts/ \\
      --shell 'zcat $INPUT/*.gz | wc -l > $OUTPUT/count'
  ls *.fq.gz | scitq launch -b qc --each -n {/.} -- fastp -i {} -o {/.}.clean
  scitq launch --each --header -n {sample} -- align {sample} {file} <samples.csv
  scitq launch --array 1-1000 --shell './simulate --seed $SCITQ_ARRAY_INDEX'
  ls *.fq | scitq launch --each -- trim {} | scitq launch --after - -- report
  scitq launch --follow --retry 2 make all

The command begins at the first word that is no option, or after `--`, and
reaches the worker word by word, as it is. A single word with spaces in it is
split as a shell splits words, without running a shell; --shell runs one.

With --each there is one task for each line of standard input. In the command
and in --name, --input, --resource, --output, --env and --tag, {} stands for the
line, {.} for the line without its extension, {/} for the last part of a path,
{/.} for both, {#} for the number of the task, {q} for the line quoted for a
shell, and {{} for a brace. With --delimiter or --header, {1} and {2} stand for
columns, and {sample} for the column of that name. A line never becomes more
than a part of one word. Blank lines are skipped.

A launch of many tasks is one request: all of them are queued, or none. Their
ids come in the order of the lines. --follow shows the output of one after the
other; --json prints their ids, and after --wait how they ended.

Each option can be set by a variable as well: --run-timeout by
SCITQ_LAUNCH_RUN_TIMEOUT, and so on. What neither says, the batch may.";

/// Queue a task, or many, and print the ids
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LaunchArgs {
    /// The command with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND", value_hint = clap::ValueHint::AnyPath)]
    pub command: Vec<OsString>,
    #[command(flatten)]
    pub task: TaskOptions,
    #[command(flatten, next_help_heading = "Many tasks")]
    pub many: ManyOptions,
    #[command(flatten, next_help_heading = "Afterwards")]
    pub then: ThenOptions,
}

/// What a task is.
#[derive(Debug, Args)]
pub struct TaskOptions {
    /// Give the task a name
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,
    /// Queue it for the workers of this batch [default: Default]
    #[arg(short, long)]
    pub batch: Option<BatchName>,
    /// Fetch these URIs into $INPUT first; separated by spaces, repeatable
    #[arg(short, long, value_name = "URI")]
    pub input: Vec<String>,
    /// Fetch these URIs once per worker into $RESOURCE; repeatable
    #[arg(short, long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Send the contents of $OUTPUT to this folder afterwards
    #[arg(short, long, value_name = "URI")]
    pub output: Option<String>,
    /// Take over the outputs of an execution that was given the same, if there is one
    #[arg(long)]
    pub use_cache: bool,
    /// Start when these tasks have succeeded; - reads their ids; repeatable
    #[arg(short = 'R', long, visible_alias = "requirements", value_name = "ID")]
    pub after: Vec<IdsOrStdin<TaskId>>,
    /// Start when these tasks have ended, well or not; repeatable
    #[arg(long, value_name = "ID")]
    pub after_any: Vec<IdsOrStdin<TaskId>>,
    /// Start when all tasks that this batch has now have succeeded; repeatable
    #[arg(long, value_name = "BATCH")]
    pub after_batch: Vec<BatchName>,
    /// Start before tasks of a lower priority [default: 0]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = parse::count::<i32>)]
    pub priority: Option<i32>,
    /// Take so many processor cores [default: the share of a slot]
    #[arg(long, value_name = "CORES", value_parser = parse::count::<u32>)]
    pub cpu: Option<u32>,
    /// Take so much memory, as in 8G [default: the share of a slot]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    pub mem: Option<u64>,
    /// Run the command, given as one word, through a shell [default: sh]
    #[arg(long, value_name = "SHELL", num_args = 0..=1, require_equals = true, default_missing_value = "sh")]
    pub shell: Option<String>,
    /// Run the command in a container made from this image
    #[arg(short = 'd', long, visible_alias = "container", value_name = "IMAGE")]
    pub docker: Option<String>,
    /// Give the container options of `docker run`, in quotes; repeatable
    #[arg(short = 'O', long = "option", value_name = "OPTIONS", allow_hyphen_values = true)]
    pub container_option: Vec<String>,
    /// Fetch the image always, when it is missing, or never [default: missing]
    #[arg(long, value_name = "WHEN", value_parser = states::parser::<Pull>())]
    pub pull: Option<Pull>,
    /// Set a variable for the command; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::environment_pair)]
    pub env: Vec<(String, String)>,
    /// Give the command this file as standard input; - passes ours on
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub stdin: Option<PathBuf>,
    /// Attach a word of your own to find it by; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::tag_pair)]
    pub tag: Vec<(String, String)>,
    /// Run as this user, by number (the agent must be root)
    #[arg(short, long, value_name = "UID", value_parser = parse::count::<u32>)]
    pub uid: Option<u32>,
    /// Run as this group, by number (the agent must be root)
    #[arg(short, long, value_name = "GID", value_parser = parse::count::<u32>)]
    pub gid: Option<u32>,
    /// Try again so many times when it fails [default: 0]
    #[arg(long, value_name = "TIMES", value_parser = parse::count::<u32>)]
    pub retry: Option<u32>,
    /// Fail it when the command runs longer: seconds, or 15m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = parse::limit_seconds)]
    pub run_timeout: Option<u32>,
    /// Fail it when fetching its data takes longer
    #[arg(long, value_name = "DURATION", value_parser = parse::limit_seconds)]
    pub download_timeout: Option<u32>,
    /// Fail it when sending its outputs takes longer; they stay on the worker
    #[arg(long, value_name = "DURATION", value_parser = parse::limit_seconds)]
    pub upload_timeout: Option<u32>,
    /// Keep so much of each output stream, as in 100M: its head and its tail
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub output_limit: Option<u64>,
}

/// How one command line becomes many tasks.
#[derive(Debug, Args)]
pub struct ManyOptions {
    /// Queue one task for each line of standard input
    #[arg(long, conflicts_with = "array")]
    pub each: bool,
    /// Split the lines into columns at this character, or at tab, comma, space
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<Delimiter>,
    /// Take the names of the columns from the first line (CSV, or TSV)
    #[arg(long)]
    pub header: bool,
    /// Expect a NUL byte after each line, and not its end: for `find -print0`
    #[arg(short = '0', long)]
    pub null: bool,
    #[arg(
        long,
        value_name = "RANGE",
        help = "Queue one task for each number, as in 1-1000 or 0-90:10, which it finds in $SCITQ_ARRAY_INDEX"
    )]
    pub array: Option<ArrayRange>,
}

/// What happens when the tasks are queued.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ThenOptions {
    /// Wait for the end and exit with the code of the command; 0 or 1 for many
    #[arg(long)]
    pub wait: bool,
    /// Wait, and show the output of the command as it comes
    #[arg(long)]
    pub follow: bool,
    /// Give up waiting when the server is away for longer [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub wait_limit: Option<Duration>,
    /// Print the task as JSON instead of its id
    #[arg(long)]
    pub json: bool,
    /// Print what would be sent, as JSON, and send nothing
    #[arg(short, long)]
    pub test: bool,
}
