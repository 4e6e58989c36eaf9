//! Transaction numbers of audit rows after a restore. A dump that is restored into a new server brings its rows with it,
//! but the new server counts its transactions from a lower number: new rows would stand below chained ones.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Result;

/// Adds an offset to the numbers of new audit rows if the server counts below rows that exist. Returns the offset if it
/// was changed. Only the owner of the tables may call it.
pub(super) async fn raise(connection: &mut PgConnection) -> Result<Option<i64>> {
    let mut tx = connection.begin().await?;
    let found: (i64, i64, i64) = sqlx::query_as(
        "SELECT transaction_offset, pg_snapshot_xmax(pg_current_snapshot())::text::bigint, greatest(
            (SELECT transaction_id FROM audit_log ORDER BY transaction_id DESC LIMIT 1)::text::bigint,
            (SELECT transaction_id FROM security_events ORDER BY transaction_id DESC LIMIT 1)::text::bigint,
            (SELECT max(head_transaction::text::bigint) FROM audit_checkpoints), 0)
         FROM audit_retention",
    )
    .fetch_one(&mut *tx)
    .await?;
    let (offset, next, newest) = found;
    // The highest number may belong to a transaction that has just committed.
    if newest < next + offset {
        return Ok(None);
    }
    let offset = newest + 1;
    let statements = format!(
        "UPDATE audit_retention SET transaction_offset = {offset};
         ALTER TABLE audit_log ALTER COLUMN transaction_id
            SET DEFAULT (pg_current_xact_id()::text::bigint + {offset})::text::xid8;
         ALTER TABLE security_events ALTER COLUMN transaction_id
            SET DEFAULT (pg_current_xact_id()::text::bigint + {offset})::text::xid8;"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(Some(offset))
}
