//! Rows of the chained tables, with the columns that never change.

use chrono::{DateTime, Utc};
use domain::{AuditChain, ChainPlace, ChainRow};
use uuid::Uuid;

use crate::{AuditChains, Result};

/// Part of a chain: the rows after one place, up to and including another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRange {
    /// Place of the last row before the part.
    pub after: ChainPlace,
    /// Last place of the part.
    pub through: ChainPlace,
}

struct Row {
    id: Uuid,
    transaction: i64,
    timestamp: DateTime<Utc>,
    counts_repeats: bool,
    fields: Vec<Option<String>>,
}

impl From<Row> for ChainRow {
    fn from(row: Row) -> Self {
        Self {
            place: ChainPlace { transaction: row.transaction, id: row.id },
            timestamp: row.timestamp,
            counts_repeats: row.counts_repeats,
            fields: row.fields,
        }
    }
}

/// Rows of a chained table, in the order of its chain. Both tables count repeats in the same columns.
macro_rules! chained_rows {
    ($columns:tt, $table:tt, $range:expr, $limit:expr $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT id, transaction_id::text::bigint AS "transaction!", "timestamp",
                repeat_key IS NOT NULL AS "counts_repeats!",
                ARRAY["# + $columns + r#", occurrences::text, encode(repeat_key, 'hex'),
                    (extract(epoch FROM last_at) * 1000000)::bigint::text] AS "fields!: Vec<Option<String>>"
             FROM "# + $table + "
             WHERE (transaction_id, id) > ($1::bigint::text::xid8, $2)
                AND (transaction_id, id) <= ($3::bigint::text::xid8, $4)
             ORDER BY transaction_id, id LIMIT $5",
            $range.after.transaction,
            $range.after.id,
            $range.through.transaction,
            $range.through.id,
            $limit,
        )
    };
}

impl AuditChains<'_> {
    /// Returns up to `limit` rows of a part of the chain, in order.
    pub async fn rows(
        &mut self,
        chain: AuditChain,
        range: ChainRange,
        limit: usize,
    ) -> Result<Vec<ChainRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match chain {
            AuditChain::AuditLog => self.audit_rows(range, limit).await?,
            AuditChain::SecurityEvents => self.security_rows(range, limit).await?,
        };
        Ok(rows.into_iter().map(ChainRow::from).collect())
    }

    async fn audit_rows(&mut self, range: ChainRange, limit: i64) -> Result<Vec<Row>> {
        let rows = chained_rows!(
            "event_type, user_id::text, client_id::text, user_identity, runner_id::text, runner_name,
                    team_id::text, job_id::text, request_ip, user_agent, request_id, event_data::text,
                    success::text, error_message, oidc_sub",
            "audit_log",
            range,
            limit,
        );
        Ok(rows.fetch_all(&mut *self.0).await?)
    }

    async fn security_rows(&mut self, range: ChainRange, limit: i64) -> Result<Vec<Row>> {
        let rows = chained_rows!(
            "event_type, severity, user_identity, runner_id::text, runner_name, team_id::text,
                    violation_data::text",
            "security_events",
            range,
            limit,
        );
        Ok(rows.fetch_all(&mut *self.0).await?)
    }
}
