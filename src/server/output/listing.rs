//! What there is output of.

use rusqlite::params;

use super::error::OutputError;
use super::store::OutputStore;
use crate::domain::ExecutionId;

impl OutputStore {
    /// Executions with output, in the order of their ids, from behind `after`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub async fn list_executions(
        &self,
        after: ExecutionId,
        limit: u32,
    ) -> Result<Vec<ExecutionId>, OutputError> {
        self.blocking(move |shared| {
            let listed = shared.readers.with(|connection| {
                connection
                    .prepare_cached(
                        "SELECT DISTINCT execution FROM streams WHERE execution > ?1
                         ORDER BY execution LIMIT ?2",
                    )?
                    .query_map(params![after.to_sql(), limit], |row| {
                        row.get(0).map(ExecutionId::from_sql)
                    })?
                    .collect()
            });
            Ok(listed?)
        })
        .await
    }
}
