//! `scitq manage batch update`.

use clap::Args;
use strum::{EnumIter, EnumString, IntoStaticStr};

use super::select::OneBatch;
use crate::api::ErrorCode;
use crate::api::batch::{Setting, UpdateBatch};
use crate::cli::error::CliError;
use crate::cli::launch::joined;
use crate::cli::manage::states;
use crate::cli::manage::uris::read_uris;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::batch::{LostAfter, TaskDefaults};
use crate::domain::container::Pull;
use crate::domain::hire::Money;

/// Set what new tasks of a batch take by default, and its limits
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch update qc --retry 2 --mem 8G --env THREADS=4
  scitq manage batch update qc --lost-after 30m --output-limit 100M
  scitq manage batch update qc --unset env,run-timeout --lost-after default

Defaults are taken by tasks that are queued from now on, for all that they do
not say themselves. A batch that is not there is made.")]
pub struct UpdateArgs {
    #[command(flatten)]
    batch: OneBatch,
    #[command(flatten)]
    defaults: Defaults,
    /// A worker that is silent for longer has lost its tasks: 30m, never, or default
    #[arg(long, value_name = "DURATION", value_parser = lost_after)]
    lost_after: Option<Setting<LostAfter>>,
    /// Keep so much of each output stream of its tasks: 100M, or default
    #[arg(long, value_name = "SIZE", value_parser = output_limit)]
    output_limit: Option<Setting<u64>>,
    /// Let its recruiters hire up to so many workers in all, or default: no limit
    #[arg(long, value_name = "COUNT", value_parser = limit::<u32>)]
    maximum_workers: Option<Setting<u32>>,
    /// Let its hired machines cost so much an hour at the most, or default: no limit
    #[arg(long, value_name = "AMOUNT", value_parser = limit::<Money>)]
    maximum_cost: Option<Setting<Money>>,
    /// Print the batch as JSON
    #[arg(long)]
    json: bool,
}

/// What new tasks take; named as in `scitq launch`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(next_help_heading = "Defaults of new tasks")]
struct Defaults {
    /// Try again so many times when it fails
    #[arg(long, value_name = "TIMES", value_parser = parse::count::<u32>)]
    retry: Option<u32>,
    /// Start before tasks of a lower priority
    #[arg(long, value_name = "NUMBER", value_parser = parse::count::<i32>, allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Take so many processor cores
    #[arg(long, value_name = "CORES", value_parser = parse::count::<u32>)]
    cpu: Option<u32>,
    /// Take so much memory, as in 8G
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    mem: Option<u64>,
    /// Set a variable for the command; repeatable, adds to those that there are
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::environment_pair)]
    env: Vec<(String, String)>,
    /// Run the command line through a shell [default: sh]
    #[arg(long, value_name = "SHELL", num_args = 0..=1, require_equals = true, default_missing_value = "sh")]
    shell: Option<String>,
    /// Run the command in a container made from this image
    #[arg(short = 'd', long, visible_alias = "container", value_name = "IMAGE")]
    docker: Option<String>,
    /// Give the container options of `docker run`, in quotes; repeatable
    #[arg(short = 'O', long = "option", value_name = "OPTIONS", allow_hyphen_values = true)]
    container_option: Vec<String>,
    /// Fetch the image always, when it is missing, or never [default: missing]
    #[arg(long, value_name = "WHEN", value_parser = states::parser::<Pull>())]
    pull: Option<Pull>,
    /// Fetch these URIs once per worker into $RESOURCE; repeatable
    #[arg(short, long, value_name = "URI")]
    resource: Vec<String>,
    /// Run as this user, by number (the agent must be root)
    #[arg(short, long, value_name = "UID", value_parser = parse::count::<u32>)]
    uid: Option<u32>,
    /// Run as this group, by number (the agent must be root)
    #[arg(short, long, value_name = "GID", value_parser = parse::count::<u32>)]
    gid: Option<u32>,
    /// Fail it when the command runs longer: seconds, or 15m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = parse::limit_seconds)]
    run_timeout: Option<u32>,
    /// Fail it when fetching its data takes longer
    #[arg(long, value_name = "DURATION", value_parser = parse::limit_seconds)]
    download_timeout: Option<u32>,
    /// Fail it when sending its outputs takes longer; they stay on the worker
    #[arg(long, value_name = "DURATION", value_parser = parse::limit_seconds)]
    upload_timeout: Option<u32>,
    /// Take away what these options have set, separated by commas: env,retry
    #[arg(long, value_name = "OPTION", value_delimiter = ',', value_parser = states::parser::<Unset>())]
    unset: Vec<Unset>,
}

/// What can be taken away, by the option that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
enum Unset {
    Retry,
    Priority,
    Cpu,
    Mem,
    Env,
    Shell,
    Docker,
    Option,
    Pull,
    Resource,
    Uid,
    Gid,
    RunTimeout,
    DownloadTimeout,
    UploadTimeout,
    LostAfter,
    OutputLimit,
    MaximumWorkers,
    MaximumCost,
}

pub async fn cmd_update(session: &Session, args: UpdateArgs) -> Result<(), CliError> {
    let name = args.batch.named()?;
    let changes_defaults = args.defaults != Defaults::default();
    let changes_limits = args.lost_after.is_some()
        || args.output_limit.is_some()
        || args.maximum_workers.is_some()
        || args.maximum_cost.is_some();
    if !changes_defaults && !changes_limits {
        return Err(CliError::usage("nothing is to be changed")
            .hint("name what to set, as in --retry 2, or what to take away, as in --unset retry"));
    }
    let defaults = if changes_defaults {
        Some(args.defaults.applied(load_defaults(session, &name).await?)?)
    } else {
        None
    };
    let unset = |field| args.defaults.unset.contains(&field);
    let update = UpdateBatch {
        defaults,
        lost_after: args.lost_after.or(unset(Unset::LostAfter).then_some(Setting::Default)),
        output_limit: args.output_limit.or(unset(Unset::OutputLimit).then_some(Setting::Default)),
        maximum_workers: args
            .maximum_workers
            .or(unset(Unset::MaximumWorkers).then_some(Setting::Default)),
        maximum_cost: args.maximum_cost.or(unset(Unset::MaximumCost).then_some(Setting::Default)),
    };
    let answer = session.client.update_batch(&name, &update).await;
    let detail = answer.map_err(|e| session.explain(e))?;
    if args.json {
        return session.output.json(&detail);
    }
    session.output.status(format_args!("batch {name} set"));
    Ok(())
}

/// The defaults that a batch has; none where it is not there yet.
async fn load_defaults(session: &Session, name: &BatchName) -> Result<TaskDefaults, CliError> {
    match session.client.batch(name).await {
        Ok(detail) => Ok(detail.settings.defaults),
        Err(error) if error.is_refused_as(ErrorCode::NotFound) => Ok(TaskDefaults::default()),
        Err(error) => Err(session.explain(error)),
    }
}

impl Defaults {
    /// Present defaults with these changes.
    fn applied(&self, present: TaskDefaults) -> Result<TaskDefaults, CliError> {
        let mut defaults = present;
        for field in &self.unset {
            unset(&mut defaults, *field);
        }
        defaults.retry = self.retry.or(defaults.retry);
        defaults.priority = self.priority.or(defaults.priority);
        defaults.cpu = self.cpu.or(defaults.cpu);
        defaults.memory = self.mem.or(defaults.memory);
        defaults.env.extend(self.env.iter().cloned());
        defaults.shell = self.shell.clone().or(defaults.shell);
        defaults.container = self.docker.clone().or(defaults.container);
        defaults.container_options = joined(&self.container_option).or(defaults.container_options);
        defaults.pull = self.pull.or(defaults.pull);
        if !self.resource.is_empty() {
            defaults.resource = read_uris("--resource", &self.resource)?;
        }
        defaults.uid = self.uid.or(defaults.uid);
        defaults.gid = self.gid.or(defaults.gid);
        defaults.run_timeout = self.run_timeout.or(defaults.run_timeout);
        defaults.download_timeout = self.download_timeout.or(defaults.download_timeout);
        defaults.upload_timeout = self.upload_timeout.or(defaults.upload_timeout);
        Ok(defaults)
    }
}

fn unset(defaults: &mut TaskDefaults, field: Unset) {
    match field {
        Unset::Retry => defaults.retry = None,
        Unset::Priority => defaults.priority = None,
        Unset::Cpu => defaults.cpu = None,
        Unset::Mem => defaults.memory = None,
        Unset::Env => defaults.env.clear(),
        Unset::Shell => defaults.shell = None,
        Unset::Docker => defaults.container = None,
        Unset::Option => defaults.container_options = None,
        Unset::Pull => defaults.pull = None,
        Unset::Resource => defaults.resource.clear(),
        Unset::Uid => defaults.uid = None,
        Unset::Gid => defaults.gid = None,
        Unset::RunTimeout => defaults.run_timeout = None,
        Unset::DownloadTimeout => defaults.download_timeout = None,
        Unset::UploadTimeout => defaults.upload_timeout = None,
        // Limits, and no defaults of tasks.
        Unset::LostAfter | Unset::OutputLimit | Unset::MaximumWorkers | Unset::MaximumCost => {}
    }
}

fn lost_after(text: &str) -> Result<Setting<LostAfter>, String> {
    match text {
        "default" => Ok(Setting::Default),
        "never" => Ok(Setting::Value(LostAfter::Never)),
        text => match parse::limit_seconds(text)? {
            0..60 => Err("it is at least one minute".to_owned()),
            seconds => Ok(Setting::Value(LostAfter::Seconds(seconds))),
        },
    }
}

fn limit<T: std::str::FromStr>(text: &str) -> Result<Setting<T>, String>
where
    T::Err: std::fmt::Display,
{
    match text {
        "default" => Ok(Setting::Default),
        text => text.parse().map(Setting::Value).map_err(|error: T::Err| error.to_string()),
    }
}

fn output_limit(text: &str) -> Result<Setting<u64>, String> {
    match text {
        "default" => Ok(Setting::Default),
        text => match parse::size(text)? {
            0 => Err("it is at least one byte".to_owned()),
            bytes => Ok(Setting::Value(bytes)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let present: TaskDefaults =
            serde_json::from_str(r#"{"retry": 1, "cpu": 2, "env": {"A": "1", "B": "2"}}"#).unwrap();
        let changes = Defaults {
            retry: Some(3),
            env: vec![("A".into(), "x".into())],
            unset: vec![Unset::Cpu],
            ..Defaults::default()
        };
        let applied = changes.applied(present.clone()).unwrap();
        assert_eq!(
            serde_json::to_string(&applied).unwrap(),
            r#"{"env":{"A":"x","B":"2"},"retry":3}"#
        );
        let cleared = Defaults { unset: vec![Unset::Env], ..changes };
        assert_eq!(cleared.applied(present).unwrap().env.len(), 1);
    }

    #[test]
    fn limits_have_a_word_for_the_server_s_own() {
        assert_eq!(lost_after("30m"), Ok(Setting::Value(LostAfter::Seconds(1_800))));
        assert_eq!(lost_after("never"), Ok(Setting::Value(LostAfter::Never)));
        assert_eq!(lost_after("default"), Ok(Setting::Default));
        assert_eq!(lost_after("10s"), Err("it is at least one minute".into()));
        assert_eq!(output_limit("100M"), Ok(Setting::Value(100 << 20)));
        assert!(output_limit("0").is_err());
    }
}
