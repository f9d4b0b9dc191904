//! Table `recruiter`.

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;

use crate::domain::BatchId;
use crate::domain::recruiter::Recruiter;

use super::{StoreError, from_json, json};

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<(BatchId, u32), Option<Recruiter>>,
) -> rusqlite::Result<()> {
    for ((batch, rank), row) in rows {
        match row {
            None => transaction.execute(
                "DELETE FROM recruiter WHERE batch = ?1 AND rank = ?2",
                params![batch.to_sql(), rank],
            )?,
            Some(recruiter) => transaction.execute(
                "INSERT INTO recruiter (batch, rank, recruiter, scope) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (batch, rank) DO UPDATE SET recruiter = ?3, scope = ?4",
                params![batch.to_sql(), rank, json(recruiter)?, json(&recruiter.scope)?],
            )?,
        };
    }
    Ok(())
}

/// A recruiter with its batch and rank.
type Ranked = ((BatchId, u32), Recruiter);

pub(super) fn load(connection: &Connection) -> Result<Vec<Ranked>, StoreError> {
    let mut statement =
        connection.prepare("SELECT batch, rank, recruiter, scope FROM recruiter")?;
    let mut rows = statement.query([])?;
    let mut recruiters = Vec::new();
    while let Some(row) = rows.next()? {
        let mut recruiter: Recruiter = from_json("recruiter", row.get(2)?)?;
        recruiter.scope = from_json("scope of a recruiter", row.get(3)?)?;
        recruiters.push(((BatchId::from_sql(row.get(0)?), row.get(1)?), recruiter));
    }
    Ok(recruiters)
}
