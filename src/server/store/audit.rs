//! Table `audit`: who did what. Rows are only ever added.

use rusqlite::Transaction;

use super::super::engine::change::AuditRow;

pub(super) fn write(transaction: &Transaction<'_>, rows: &[AuditRow]) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("INSERT INTO audit (at, who, action, detail) VALUES (?1, ?2, ?3, ?4)")?;
    for row in rows {
        statement.execute((row.at.0, &*row.who, row.action, &row.detail))?;
    }
    Ok(())
}
