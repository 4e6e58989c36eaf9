//! Counts for an overview. Each stops at [`MAX_TOTAL`], and deleted runners are never counted.

use sqlx::PgConnection;

use crate::{MAX_TOTAL, Result};

/// Queries for counts on one connection.
#[derive(Debug)]
pub struct Stats<'c>(pub(crate) &'c mut PgConnection);

/// Numbers of rows, each at most one more than [`MAX_TOTAL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Runners that are requested.
    pub requested_runners: i64,
    /// Runners with an issued config that were never online.
    pub pending_runners: i64,
    /// Runners that are online.
    pub active_runners: i64,
    /// Runners that were online and are not.
    pub offline_runners: i64,
    /// Users.
    pub users: i64,
    /// Users who may act.
    pub active_users: i64,
    /// Admins who may act.
    pub admins: i64,
    /// Viewers who may act.
    pub viewers: i64,
    /// Teams.
    pub teams: i64,
    /// Teams that may get runners.
    pub active_teams: i64,
    /// Security events.
    pub events: i64,
    /// Security events of severity `high`.
    pub high_events: i64,
    /// Security events of severity `critical`.
    pub critical_events: i64,
    /// Audit rows.
    pub audit_rows: i64,
    /// Audit rows about refusals and failures.
    pub failures: i64,
}

impl Stats<'_> {
    /// Counts everything.
    pub async fn counts(&mut self) -> Result<Counts> {
        Ok(sqlx::query_as!(
            Counts,
            r#"SELECT
                (SELECT count(*) FROM (SELECT FROM runners WHERE status = 'requested' LIMIT $1) c) AS "requested_runners!",
                (SELECT count(*) FROM (SELECT FROM runners WHERE status = 'pending' LIMIT $1) c) AS "pending_runners!",
                (SELECT count(*) FROM (SELECT FROM runners WHERE status = 'active' LIMIT $1) c) AS "active_runners!",
                (SELECT count(*) FROM (SELECT FROM runners WHERE status = 'offline' LIMIT $1) c) AS "offline_runners!",
                (SELECT count(*) FROM (SELECT FROM users LIMIT $1) c) AS "users!",
                (SELECT count(*) FROM (SELECT FROM users WHERE is_active LIMIT $1) c) AS "active_users!",
                (SELECT count(*) FROM (SELECT FROM users WHERE is_active AND is_admin LIMIT $1) c) AS "admins!",
                (SELECT count(*) FROM (SELECT FROM users WHERE is_active AND is_viewer AND NOT is_admin LIMIT $1) c)
                    AS "viewers!",
                (SELECT count(*) FROM (SELECT FROM teams LIMIT $1) c) AS "teams!",
                (SELECT count(*) FROM (SELECT FROM teams WHERE is_active LIMIT $1) c) AS "active_teams!",
                (SELECT count(*) FROM (SELECT FROM security_events LIMIT $1) c) AS "events!",
                (SELECT count(*) FROM (SELECT FROM security_events WHERE severity = 'high' LIMIT $1) c) AS "high_events!",
                (SELECT count(*) FROM (SELECT FROM security_events WHERE severity = 'critical' LIMIT $1) c)
                    AS "critical_events!",
                (SELECT count(*) FROM (SELECT FROM audit_log LIMIT $1) c) AS "audit_rows!",
                (SELECT count(*) FROM (SELECT FROM audit_log WHERE NOT success LIMIT $1) c) AS "failures!""#,
            MAX_TOTAL + 1,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }
}
