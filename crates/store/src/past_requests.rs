//! Past requests for runners, as the audit log has them.

use chrono::{DateTime, Utc};
use domain::{PastRequest, TeamId};
use uuid::Uuid;

use crate::{Audit, Result, page::first_id};

/// Bytes after which a refused label is cut off.
const MAX_LABEL_BYTES: usize = 64;

/// A past request with its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRequestRow {
    /// Id of the row.
    pub id: Uuid,
    /// Time of the request.
    pub at: DateTime<Utc>,
    /// Identity of the caller.
    pub identity: Option<String>,
    /// Number of equal requests that share the row.
    pub occurrences: i32,
    /// The request.
    pub request: PastRequest,
}

impl Audit<'_> {
    /// Returns up to `limit` requests of a team since a time, newest first, older than the row `before`.
    pub async fn past_requests(
        &mut self,
        team: TeamId,
        since: DateTime<Utc>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<PastRequestRow>> {
        let rows = sqlx::query!(
            r#"SELECT id, "timestamp", user_identity, occurrences, success, event_data ->> 'code' AS code,
                ARRAY(SELECT jsonb_array_elements_text(CASE jsonb_typeof(event_data -> 'labels')
                    WHEN 'array' THEN event_data -> 'labels' ELSE '[]' END)) AS "labels!",
                CASE jsonb_typeof(event_data -> 'refused_label_count')
                    WHEN 'number' THEN (event_data ->> 'refused_label_count')::int8 END AS refused,
                CASE jsonb_typeof(event_data -> 'runner_group_id')
                    WHEN 'number' THEN (event_data ->> 'runner_group_id')::int8 END AS runner_group_id
             FROM audit_log
             WHERE team_id = $1 AND event_type IN ('runner.provision', 'runner.register') AND "timestamp" >= $2
                AND ($3::uuid IS NULL OR id >= $3) AND ($4::uuid IS NULL OR id < $4)
             ORDER BY id DESC LIMIT $5"#,
            team.uuid(),
            since,
            first_id(since),
            before,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let requests = rows.into_iter().map(|row| {
            let kept = i64::try_from(row.labels.len()).unwrap_or(i64::MAX);
            let cut = row.refused.is_some_and(|refused| refused > kept)
                || row.labels.iter().any(|label| !row.success && label.len() >= MAX_LABEL_BYTES);
            let code = (!row.success).then(|| row.code.unwrap_or_default());
            PastRequestRow {
                id: row.id,
                at: row.timestamp,
                identity: row.user_identity,
                occurrences: row.occurrences,
                request: PastRequest {
                    code,
                    labels: row.labels,
                    labels_are_cut: cut,
                    runner_group_id: row.runner_group_id,
                },
            }
        });
        Ok(requests.collect())
    }
}
