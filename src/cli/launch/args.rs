//! The options of `scitq launch`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::parse::{self, IdList};
use crate::domain::{BatchName, TaskId};

const EXAMPLES: &str = "\
Examples:
  scitq launch sort -o sorted.txt /data/reads.txt
  scitq launch -i file:///data/run7/ -o file:///data/counts/ \\
      --shell 'zcat $INPUT/*.gz | wc -l > $OUTPUT/count'
  qc=$(scitq launch -b qc fastqc reads.fq) && scitq launch -b qc -R $qc multiqc .
  scitq launch --follow --retry 2 make all

The command begins at the first word that is no option, or after `--`, and
reaches the worker word by word, as it is. A single word with spaces in it is
split as a shell splits words, without running a shell; --shell runs one.
Each option can be set by a variable as well: --run-timeout by
SCITQ_LAUNCH_RUN_TIMEOUT, and so on.";

/// Queue a task and print its id
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct LaunchArgs {
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
    /// Start only when these tasks have succeeded; repeatable
    #[arg(short = 'R', long, visible_alias = "requirements", value_name = "ID")]
    pub after: Vec<IdList<TaskId>>,
    /// Run the command, given as one word, through a shell [default: sh]
    #[arg(long, value_name = "SHELL", num_args = 0..=1, require_equals = true, default_missing_value = "sh")]
    pub shell: Option<String>,
    /// Set a variable for the command; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::environment_pair)]
    pub env: Vec<(String, String)>,
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
    /// Wait for the end and exit with the code of the command
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
    /// Print what would be sent and send nothing
    #[arg(short, long)]
    pub test: bool,
    /// The command with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
