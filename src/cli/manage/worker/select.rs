//! Which workers a verb is for: by id, or by name where it names one only.

use std::collections::HashSet;
use std::convert::Infallible;
use std::str::FromStr;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::worker::WorkerView;
use crate::cli::error::CliError;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::WorkerId;

/// A worker as a person names it: a number is its id, anything else its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerRef {
    Id(WorkerId),
    Name(String),
}

/// One worker or several.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct SomeWorkers {
    /// The workers, by id or name, separated by spaces or commas
    #[arg(value_name = "WORKER", value_delimiter = ',', value_parser = parse_worker)]
    workers: Vec<WorkerRef>,
    /// The workers by id; repeatable
    #[arg(short, long, value_name = "ID")]
    id: Vec<IdList<WorkerId>>,
    /// The worker of this name; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
}

impl FromStr for WorkerRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

/// A worker that has at least one character.
pub fn parse_worker(text: &str) -> Result<WorkerRef, String> {
    match text.trim() {
        "" => Err("it names no worker".to_owned()),
        text => text.parse().map_err(|error: Infallible| match error {}),
    }
}

impl SomeWorkers {
    /// The workers, each once, in the order in which they were named.
    pub async fn find(&self, session: &Session) -> Result<Vec<WorkerView>, CliError> {
        let ids = parse::flatten(&self.id).into_iter().map(WorkerRef::Id);
        let names = self.name.iter().cloned().map(WorkerRef::Name);
        let all: Vec<WorkerRef> = self.workers.iter().cloned().chain(ids).chain(names).collect();
        find_workers(session, &all).await
    }
}

/// The workers of these ids and names, each once.
pub async fn find_workers(
    session: &Session,
    wanted: &[WorkerRef],
) -> Result<Vec<WorkerView>, CliError> {
    let has_names = wanted.iter().any(|worker| matches!(worker, WorkerRef::Name(_)));
    let all = if has_names { list(session).await? } else { Vec::new() };
    let mut found: Vec<WorkerView> = Vec::new();
    for worker in wanted {
        found.push(match worker {
            WorkerRef::Id(id) => {
                session.client.worker(*id).await.map_err(|e| session.explain(e))?
            }
            WorkerRef::Name(name) => named(&all, name)?.clone(),
        });
    }
    let mut seen = HashSet::new();
    found.retain(|worker| seen.insert(worker.id));
    Ok(found)
}

/// The id of one worker.
pub async fn find_worker(session: &Session, wanted: &WorkerRef) -> Result<WorkerId, CliError> {
    match wanted {
        WorkerRef::Id(id) => Ok(*id),
        WorkerRef::Name(name) => named(&list(session).await?, name).map(|worker| worker.id),
    }
}

async fn list(session: &Session) -> Result<Vec<WorkerView>, CliError> {
    Ok(session.client.list_workers().await.map_err(|e| session.explain(e))?.workers)
}

/// The only worker of this name.
fn named<'a>(workers: &'a [WorkerView], name: &str) -> Result<&'a WorkerView, CliError> {
    let namesakes: Vec<&WorkerView> = workers.iter().filter(|worker| worker.name == name).collect();
    match namesakes.as_slice() {
        [] => Err(unknown_worker(workers, name)),
        [worker] => Ok(worker),
        several => {
            let shown: Vec<String> = several
                .iter()
                .map(|worker| format!("{} ({}, batch {})", worker.id, worker.state, worker.batch))
                .collect();
            Err(CliError::refused(format!("several workers have the name `{name}`"))
                .hint(format!("give the id of one: {}", shown.join(", "))))
        }
    }
}

fn unknown_worker(workers: &[WorkerView], name: &str) -> CliError {
    let error = CliError::refused(format!("no worker has the name `{name}`"));
    let names = workers.iter().map(|worker| worker.name.as_str());
    match parse::most_similar(name, names) {
        Some(similar) => error.hint(format!("did you mean `{similar}`?")),
        None => error.hint("`scitq manage worker list` shows the workers and their names"),
    }
}

/// How a question names workers.
#[must_use]
pub fn describe(workers: &[WorkerView]) -> String {
    let names: Vec<String> =
        workers.iter().map(|worker| format!("{} ({})", worker.id, worker.name)).collect();
    format!("worker{} {}", if workers.len() == 1 { "" } else { "s" }, names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_id_and_anything_else_a_name() {
        assert_eq!(parse_worker("7"), Ok(WorkerRef::Id(WorkerId(7))));
        assert_eq!(parse_worker("node7"), Ok(WorkerRef::Name("node7".into())));
        assert!(parse_worker(" ").is_err());
    }

    #[test]
    fn an_unknown_name_is_told_with_one_like_it() {
        let worker = crate::cli::testing::worker(1);
        let error = named(&[worker], "wroker-1").unwrap_err();
        assert_eq!(error.hints(), ["did you mean `worker-1`?"]);
        assert_eq!(named(&[], "x").unwrap_err().to_string(), "no worker has the name `x`");
    }
}
