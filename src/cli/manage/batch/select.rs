//! Which batches a verb is for.

use clap::Args;

use crate::api::batch::BatchDetail;
use crate::api::{ClientError, ErrorCode};
use crate::cli::error::CliError;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::BatchName;

/// One batch or several.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct SomeBatches {
    /// The batches
    #[arg(value_name = "NAME")]
    batches: Vec<BatchName>,
    /// The batch, as an option; repeatable
    #[arg(short, long)]
    name: Vec<BatchName>,
}

/// One batch.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct OneBatch {
    /// The batch
    #[arg(value_name = "NAME")]
    batch: Option<BatchName>,
    /// The batch, as an option
    #[arg(short, long)]
    name: Option<BatchName>,
}

impl SomeBatches {
    /// Their names, each once.
    #[must_use]
    pub fn names(&self) -> Vec<BatchName> {
        let mut names: Vec<BatchName> = Vec::new();
        for name in self.batches.iter().chain(&self.name) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

impl OneBatch {
    /// Its name.
    ///
    /// # Errors
    /// None was given, which the grammar rules out.
    pub fn named(&self) -> Result<BatchName, CliError> {
        let name = self.batch.as_ref().or(self.name.as_ref());
        name.cloned().ok_or_else(|| CliError::usage("no batch is named"))
    }
}

/// Reads all about one batch.
///
/// # Errors
/// The server has none of that name: then with one like it as a hint.
pub async fn read_batch(session: &Session, name: &BatchName) -> Result<BatchDetail, CliError> {
    match session.client.batch(name).await {
        Ok(detail) => Ok(detail),
        Err(error) => Err(explain(session, error, name).await),
    }
}

/// An error about a batch, with a name like the one that is not known.
pub async fn explain(session: &Session, error: ClientError, name: &BatchName) -> CliError {
    let is_unknown = error.is_refused_as(ErrorCode::NotFound);
    let told = session.explain(error);
    if !is_unknown {
        return told;
    }
    match similar_batch(session, name).await {
        Some(similar) => told.hint(format!("did you mean `{similar}`?")),
        None => told,
    }
}

/// Why nothing of a batch was found, where that is because there is no such batch.
pub async fn hint_of_unknown(session: &Session, name: &BatchName) -> Option<String> {
    let error = session.client.batch(name).await.err()?;
    if !error.is_refused_as(ErrorCode::NotFound) {
        return None;
    }
    Some(match similar_batch(session, name).await {
        Some(similar) => format!("batch `{name}` does not exist; did you mean `{similar}`?"),
        None => {
            format!("batch `{name}` does not exist; `scitq manage batch list` shows those that do")
        }
    })
}

/// A batch whose name is like this one. It is only for a hint: where the list
/// cannot be read, there is none.
async fn similar_batch(session: &Session, name: &BatchName) -> Option<String> {
    let list = session.client.list_batches().await.ok()?;
    let names = list.batches.iter().map(|batch| batch.name.as_str());
    parse::most_similar(name.as_str(), names).map(str::to_owned)
}
