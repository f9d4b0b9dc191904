//! Which workers a verb is for: by id, or by name where it names one only.

use std::collections::HashSet;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::worker::WorkerView;
use crate::cli::error::CliError;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::WorkerId;

/// One worker or several.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct SomeWorkers {
    /// The workers, separated by spaces or commas
    #[arg(value_name = "ID")]
    workers: Vec<IdList<WorkerId>>,
    /// The workers, as an option; repeatable
    #[arg(short, long, value_name = "ID")]
    id: Vec<IdList<WorkerId>>,
    /// The worker of this name; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
}

impl SomeWorkers {
    /// The workers, each once, in the order in which they were named.
    pub async fn find(&self, session: &Session) -> Result<Vec<WorkerView>, CliError> {
        let mut found: Vec<WorkerView> = Vec::new();
        for id in parse::flatten(&self.workers).into_iter().chain(parse::flatten(&self.id)) {
            found.push(session.client.worker(id).await.map_err(|e| session.explain(e))?);
        }
        if !self.name.is_empty() {
            let all = session.client.list_workers().await.map_err(|e| session.explain(e))?;
            for name in &self.name {
                found.push(named(&all.workers, name)?.clone());
            }
        }
        let mut seen = HashSet::new();
        found.retain(|worker| seen.insert(worker.id));
        Ok(found)
    }
}

/// The only worker of this name.
fn named<'a>(workers: &'a [WorkerView], name: &str) -> Result<&'a WorkerView, CliError> {
    let namesakes: Vec<&WorkerView> = workers.iter().filter(|worker| worker.name == name).collect();
    match namesakes.as_slice() {
        [] => Err(CliError::refused(format!("no worker has the name `{name}`"))
            .hint("`scitq manage worker list` shows the workers and their names")),
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
