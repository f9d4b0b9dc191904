//! The options of `scitq manage task update`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use strum::{EnumIter, EnumString, IntoStaticStr};

use super::send::EditOptions;
use crate::cli::manage::change::ChangeOptions;
use crate::cli::manage::select::{Filters, TaskSelection};
use crate::cli::manage::states;
use crate::cli::manage::worker::WorkerRef;
use crate::cli::parse::{self, IdList, IdsOrStdin};
use crate::domain::container::Pull;
use crate::domain::task::TaskState;
use crate::domain::{BatchName, TaskId};

/// Change what tasks are made of
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task update 12 --retry 3 --mem 16G
  scitq manage task update --from-batch qc --state failed --replace v1.2 v1.3
  scitq manage task update --name 'align-*' --regex 'threads=(\\d+)' 'threads=${1}0' --dry-run
  scitq manage task update --from-batch qc --priority 10 --unset run-timeout --yes

--replace and --regex change all commands at once and show each change before
they ask. A command that was queued word by word is changed within each word.
Tasks that have ended run again as changed, unless --no-run is given; one that
runs is refused unless --restart-running is given. --env and --tag add to what
there is, --input, --resource and --after take its place.")]
pub struct UpdateArgs {
    #[command(flatten)]
    pub tasks: UpdatedTasks,
    #[command(flatten)]
    pub changes: Changes,
    /// Do as `manage task relaunch` (pending), `pause` (paused), `resume` (running) or `cancel` (failed)
    #[arg(short = 'S', long, value_name = "STATE", value_parser = states::parser::<Status>())]
    pub status: Option<Status>,
    /// Show all changes before the question, and not the first ten only
    #[arg(short = 'L', long)]
    pub wide: bool,
    /// Edit all that the task is made of, as `manage task edit`
    #[arg(long)]
    pub edit: bool,
    #[command(flatten)]
    pub edit_options: EditOptions,
    #[command(flatten)]
    pub options: ChangeOptions,
}

/// Which tasks: some options have other names than elsewhere, since those
/// names are what is changed.
#[derive(Debug, Args)]
pub struct UpdatedTasks {
    /// The tasks, separated by spaces or commas; `-` reads them from standard input
    #[arg(value_name = "ID")]
    tasks: Vec<IdsOrStdin<TaskId>>,
    /// The tasks, as an option; repeatable
    #[arg(short, long, value_name = "ID")]
    id: Vec<IdsOrStdin<TaskId>>,
    /// The task of this name, or with `*`, `?` or `[a-z]` in it all of such names; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
    /// Only tasks of this batch
    #[arg(long, value_name = "BATCH")]
    from_batch: Option<BatchName>,
    /// Only tasks in these states, separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<TaskState>())]
    state: Vec<TaskState>,
    /// Only tasks whose command has this in it
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    with_command: Option<String>,
    /// Only tasks with this tag, of whatever value where none is given
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = NonEmptyStringValueParser::new())]
    with_tag: Option<String>,
    /// Only tasks whose latest execution is on this worker
    #[arg(short, long)]
    worker: Option<WorkerRef>,
    /// Only tasks that have been in their state for longer: 90s, 15m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    older_than: Option<Duration>,
}

/// What is changed; named as in `scitq launch` where the original does not
/// name it otherwise.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Changes")]
pub struct Changes {
    /// Replace this text in commands by another one, both taken as they are
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], allow_hyphen_values = true)]
    pub replace: Option<Vec<String>>,
    /// Replace what fits this regular expression; `$1` stands for its first group
    #[arg(long, num_args = 2, value_names = ["PATTERN", "NEW"], allow_hyphen_values = true, conflicts_with = "replace")]
    pub regex: Option<Vec<String>>,
    /// Run this command instead, in quotes
    #[arg(short, long, value_name = "COMMAND", conflicts_with_all = ["replace", "regex"])]
    pub command: Option<String>,
    /// Give the task another name
    #[arg(short = 'N', long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub new_name: Option<String>,
    /// Queue it for the workers of this batch
    #[arg(short, long)]
    pub batch: Option<BatchName>,
    /// Fetch these URIs into $INPUT; repeatable
    #[arg(short = 'j', long, value_name = "URI")]
    pub input: Vec<String>,
    /// Fetch these URIs once per worker into $RESOURCE; repeatable
    #[arg(short, long, value_name = "URI")]
    pub resource: Vec<String>,
    /// Send the contents of $OUTPUT to this folder
    #[arg(short, long, value_name = "URI")]
    pub output: Option<String>,
    /// Take over the outputs of an execution that was given the same
    #[arg(long)]
    pub use_cache: bool,
    /// Start only when these tasks have succeeded; repeatable
    #[arg(short = 'R', long, visible_alias = "requirements", value_name = "ID")]
    pub after: Vec<IdList<TaskId>>,
    /// Start only when these tasks have ended, well or not; repeatable
    #[arg(long, value_name = "ID")]
    pub after_any: Vec<IdList<TaskId>>,
    /// Start only when the tasks of this batch have succeeded; repeatable
    #[arg(long, value_name = "BATCH")]
    pub after_batch: Vec<BatchName>,
    /// Run the command line through a shell [default: sh]
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
    /// Set a tag; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::tag_pair)]
    pub tag: Vec<(String, String)>,
    /// Give the command this file on its standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub stdin: Option<PathBuf>,
    /// Start before tasks of a lower priority
    #[arg(long, value_name = "NUMBER", value_parser = parse::count::<i32>, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Take so many processor cores
    #[arg(long, value_name = "CORES", value_parser = parse::count::<u32>)]
    pub cpu: Option<u32>,
    /// Take so much memory, as in 8G
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    pub mem: Option<u64>,
    /// Try again so many times when it fails
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
    /// Keep so much of each output stream: bytes, or 100M
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    pub output_limit: Option<u64>,
    /// Run as this user, by number (the agent must be root)
    #[arg(short, long, value_name = "UID", value_parser = parse::count::<u32>)]
    pub uid: Option<u32>,
    /// Run as this group, by number (the agent must be root)
    #[arg(short, long, value_name = "GID", value_parser = parse::count::<u32>)]
    pub gid: Option<u32>,
    /// Take away what these options have set, separated by commas: run-timeout,env
    #[arg(long, value_name = "OPTION", value_delimiter = ',', value_parser = states::parser::<Unset>())]
    pub unset: Vec<Unset>,
}

/// What can be taken away from a task, by the option that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Unset {
    NewName,
    Input,
    Resource,
    Output,
    UseCache,
    After,
    AfterAny,
    AfterBatch,
    Shell,
    Docker,
    Option,
    Pull,
    Env,
    Tag,
    Stdin,
    Priority,
    Cpu,
    Mem,
    Retry,
    RunTimeout,
    DownloadTimeout,
    UploadTimeout,
    OutputLimit,
    Uid,
    Gid,
}

/// What the original's `--status` can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Status {
    Pending,
    Paused,
    Running,
    Failed,
}

impl UpdatedTasks {
    #[must_use]
    pub fn selection(self) -> TaskSelection {
        let filters = Filters {
            batch: self.from_batch,
            state: self.state,
            command: self.with_command,
            tag: self.with_tag,
            worker: self.worker,
            older_than: self.older_than,
        };
        TaskSelection::of(self.tasks, self.id, self.name, filters)
    }
}
