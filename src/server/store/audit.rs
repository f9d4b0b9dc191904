//! Table `audit`: who did what. Rows are only ever added.

use rusqlite::{Connection, Transaction};

use crate::api::audit::{AuditEntry, ListAudit};
use crate::domain::Timestamp;

use super::super::engine::change::AuditRow;

pub(super) fn write(transaction: &Transaction<'_>, rows: &[AuditRow]) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("INSERT INTO audit (at, who, action, detail) VALUES (?1, ?2, ?3, ?4)")?;
    for row in rows {
        statement.execute((row.at.0, &*row.who, row.action, &row.detail))?;
    }
    Ok(())
}

/// Entries that fit, the latest first.
pub(super) fn list(
    connection: &Connection,
    query: &ListAudit,
    limit: u32,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let before = query.before.map_or(i64::MAX, |id| i64::try_from(id).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(
        "SELECT id, at, who, action, detail FROM audit
         WHERE id < ?1 AND (?2 IS NULL OR who = ?2)
             AND (?3 IS NULL OR substr(action, 1, length(?3)) = ?3)
         ORDER BY id DESC LIMIT ?4",
    )?;
    let rows = statement.query_map((before, &query.who, &query.action, limit), |row| {
        Ok(AuditEntry {
            id: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
            at: Timestamp(row.get(1)?),
            who: row.get(2)?,
            action: row.get(3)?,
            detail: row.get(4)?,
        })
    })?;
    rows.collect()
}
