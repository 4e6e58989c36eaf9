//! The fleet as a whole: live rows, changes of many rows at once, how the last pass went, and what is not ours.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, LiveRunner, REMOVAL_APPROVAL_TTL, RunnerId, SeenRunner, Source, StatusChange};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Listed, Page, Result, StoreError, jobs::seconds, readable::keep_readable};

/// The fleet, on one connection.
#[derive(Debug)]
pub struct SyncRuns<'c>(pub(crate) &'c mut PgConnection);

/// Some of the live runners.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveRunners {
    /// Those that this version can read, by id.
    pub runners: Vec<LiveRunner>,
    /// GitHub's ids of all of them, the unreadable ones too.
    pub github_ids: Vec<i64>,
    /// The last id, of the unreadable ones too. None: there are no more.
    pub last: Option<RunnerId>,
}

/// One pass under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncStart {
    /// When it began, by the database's clock.
    pub began: DateTime<Utc>,
    /// After how many runners an admin allowed it to send, not long ago.
    pub allowed: Option<usize>,
    /// How many the last one held back.
    pub held: i32,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncEnd {
    /// `ok`, `held`, `incomplete`, `paused` or `failed`.
    pub result: &'static str,
    /// What went wrong.
    pub error: Option<String>,
    /// What it counted.
    pub counts: Value,
    /// How many runners it did not send after for want of an admin's word.
    pub held: i32,
    /// It had an admin's word and has nothing left to do by it, or found more than that was given for.
    pub approval_used: bool,
}

/// How the comparison of one installation stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncRow {
    /// Which.
    pub installation: String,
    /// How often it is compared, in seconds.
    pub interval_seconds: Option<i32>,
    /// An admin asked for a pass that has not begun yet.
    pub triggered: bool,
    /// The end of the last run of any kind.
    pub last_sync_time: Option<DateTime<Utc>>,
    /// The end of the last complete run.
    pub last_complete_sync_time: Option<DateTime<Utc>>,
    /// How the last one ended.
    pub last_sync_result: Option<String>,
    /// What went wrong.
    pub last_sync_error: Option<String>,
    /// What it counted.
    pub counts: Option<Value>,
    /// How many runners were not sent after for want of an admin's word.
    pub removals_held: i32,
    /// An admin has agreed to about so many, not long ago.
    pub removals_confirmed: bool,
}

/// An installation whose next pass was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggeredRow {
    /// Which.
    pub installation: String,
    /// It may send after about as many runners as the last pass held back.
    pub confirmed: bool,
}

/// A runner on GitHub that is not ours.
#[derive(Clone, Debug, PartialEq)]
pub struct UnmanagedRow {
    /// Our id of the row.
    pub id: Uuid,
    /// Where it was seen.
    pub installation: String,
    /// GitHub's id.
    pub github_runner_id: i64,
    /// Its name.
    pub name: String,
    /// Connected.
    pub online: bool,
    /// Runs a workflow job.
    pub busy: bool,
    /// All its labels.
    pub labels: Vec<String>,
    /// First listed.
    pub first_seen_at: DateTime<Utc>,
    /// Last listed.
    pub last_seen_at: DateTime<Utc>,
}

/// Moves rows that still stand where they were, tells the trail of each, and empties the configs of those that are
/// online or gone: one statement for one row or ten thousand. With `since`, rows changed after it are left alone.
/// Answers the ids of the rows that were changed.
pub(crate) async fn shift(
    connection: &mut PgConnection,
    shifts: &[StatusChange],
    source: Source,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<RunnerId>> {
    let ids: Vec<Uuid> = shifts.iter().map(|shift| shift.runner.uuid()).collect();
    let from: Vec<Option<String>> =
        shifts.iter().map(|shift| shift.from.map(|status| status.to_string())).collect();
    let to: Vec<String> = shifts.iter().map(|shift| shift.to.to_string()).collect();
    let busy: Vec<bool> = shifts.iter().map(|shift| shift.busy).collect();
    let details: Vec<Option<String>> = shifts.iter().map(|shift| shift.detail.clone()).collect();
    let moved = sqlx::query_scalar!(
        r#"WITH wanted AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::text[])
                AS w(id, was, becomes, busy, detail)
        ), old AS (
            SELECT runners.id, runners.status AS was, w.becomes, w.busy, w.detail
            FROM runners JOIN wanted w ON w.id = runners.id
            WHERE runners.status <> 'deleted' AND (w.was IS NULL OR w.was = runners.status)
                AND ($7::timestamptz IS NULL OR runners.updated_at <= $7)
            ORDER BY runners.id FOR UPDATE OF runners
        ), moved AS (
            UPDATE runners SET status = old.becomes, busy = old.busy, updated_at = now(),
                offline_since = CASE WHEN old.becomes = 'offline' THEN coalesce(offline_since, now()) END,
                deleted_at = CASE WHEN old.becomes = 'deleted' THEN now() END
            FROM old WHERE runners.id = old.id RETURNING runners.id, old.was, old.becomes, old.detail
        ), told AS (
            INSERT INTO runner_events (runner_id, from_status, to_status, source, detail)
            SELECT id, was, becomes, $6, detail FROM moved WHERE was <> becomes
        ), emptied AS (
            UPDATE credentials SET key_id = NULL, wrapped_key = NULL, ciphertext = NULL, shredded_at = now()
            FROM jobs JOIN moved ON moved.id = jobs.runner_id
            WHERE credentials.job_id = jobs.id AND shredded_at IS NULL AND moved.becomes IN ('active', 'deleted')
        )
        SELECT id AS "id!" FROM moved"#,
        &ids,
        &from as &[Option<String>],
        &to,
        &busy,
        &details as &[Option<String>],
        source.as_str(),
        since,
    )
    .fetch_all(connection)
    .await?;
    Ok(moved.into_iter().map(RunnerId::from).collect())
}

impl SyncRuns<'_> {
    /// Whether a run is due: the interval is over, an admin asked, or the last one ended a minute ago before it had read
    /// a page. Any run that has read pages costs as much as a complete one, so the next keeps the interval.
    pub async fn is_due(&mut self, installation: &InstallationId, interval: TimeDelta) -> Result<bool> {
        let due = sqlx::query_scalar!(
            r#"SELECT coalesce(attempted_at IS NULL OR coalesce(triggered_at > attempted_at, false)
                OR attempted_at + make_interval(secs => CASE
                    WHEN last_sync_result IN ('ok', 'held', 'incomplete')
                        OR coalesce((counts ->> 'requests')::int, 0) > 0 THEN $2::float8
                    ELSE least($2::float8, 60) END) <= now(), true) AS "due!"
             FROM sync_status WHERE installation = $1"#,
            installation.as_str(),
            seconds(interval),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(due.unwrap_or(true))
    }

    /// Notes that a pass begins. Answers when, by the database's clock.
    pub async fn begin(
        &mut self,
        installation: &InstallationId,
        interval: TimeDelta,
    ) -> Result<DateTime<Utc>> {
        let interval = i32::try_from(interval.num_seconds()).unwrap_or(i32::MAX);
        Ok(sqlx::query_scalar!(
            r#"INSERT INTO sync_status (installation, interval_seconds, attempted_at)
             VALUES ($1, $2, clock_timestamp())
             ON CONFLICT (installation) DO UPDATE SET interval_seconds = $2, attempted_at = clock_timestamp()
             RETURNING attempted_at AS "attempted_at!""#,
            installation.as_str(),
            interval,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Locks the installation's status until the end of the transaction. None: a pass that began later, or ended after
    /// this one began, has been here; what this one saw is old.
    pub async fn lock(
        &mut self,
        installation: &InstallationId,
        began: DateTime<Utc>,
    ) -> Result<Option<SyncStart>> {
        let row = sqlx::query!(
            r#"SELECT attempted_at = $2 AND coalesce(last_sync_time < $2, true) AS "newest!", removals_held,
                CASE WHEN removals_allowed_at > now() - make_interval(secs => $3) THEN removals_allowed END AS allowed
             FROM sync_status WHERE installation = $1 FOR UPDATE"#,
            installation.as_str(),
            began,
            seconds(REMOVAL_APPROVAL_TTL),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.filter(|row| row.newest).map(|row| SyncStart {
            began,
            allowed: row.allowed.and_then(|allowed| usize::try_from(allowed).ok()),
            held: row.removals_held,
        }))
    }

    /// Notes how a pass ended.
    pub async fn end(&mut self, installation: &InstallationId, end: &SyncEnd) -> Result<()> {
        let complete = matches!(end.result, "ok" | "held");
        sqlx::query!(
            "UPDATE sync_status SET last_sync_result = $2, last_sync_error = $3, counts = $4,
                last_run_time = now(), last_sync_time = CASE WHEN $5 THEN now() ELSE last_sync_time END,
                removals_held = CASE WHEN $5 OR $6 > 0 THEN $6 ELSE removals_held END,
                removals_allowed_at = CASE WHEN NOT $7 THEN removals_allowed_at END
             WHERE installation = $1",
            installation.as_str(),
            end.result,
            end.error,
            end.counts,
            complete,
            end.held,
            end.approval_used,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Our runners on GitHub that are not deleted: at most `limit` of those behind `after`, by id.
    pub async fn live(
        &mut self,
        installation: &InstallationId,
        after: Option<RunnerId>,
        limit: i64,
    ) -> Result<LiveRunners> {
        let rows = sqlx::query!(
            r#"SELECT runners.id, github_runner_id AS "github_id!", team_id, weight, drift_response, runners.name,
                labels, status, busy, ephemeral, missed, unlisted, drift_seen, refused,
                refused AND EXISTS (SELECT FROM jobs WHERE runner_id = runners.id AND kind = 'deprovision'
                    AND finished_at IS NULL) AS "leaving!",
                coalesce(registered_at, runners.created_at) AS "registered_at!", runners.updated_at
             FROM runners JOIN teams ON teams.id = runners.team_id
             WHERE runners.installation = $1 AND status NOT IN ('requested', 'deleted')
                AND github_runner_id IS NOT NULL AND ($3::uuid IS NULL OR runners.id > $3)
             ORDER BY runners.id LIMIT $2"#,
            installation.as_str(),
            limit,
            after.map(RunnerId::uuid),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let github_ids = rows.iter().map(|row| row.github_id).collect();
        let last = rows.last().map(|row| row.id.into());
        let read = rows.into_iter().map(|row| {
            Ok(LiveRunner {
                id: row.id.into(),
                github_id: row.github_id,
                team: row.team_id.into(),
                weight: row.weight,
                response: row.drift_response.parse().map_err(StoreError::inconsistent)?,
                name: row.name,
                labels: row.labels,
                status: row.status.parse().map_err(StoreError::inconsistent)?,
                busy: row.busy,
                ephemeral: row.ephemeral,
                missed: row.missed,
                unlisted: row.unlisted,
                drift_seen: row.drift_seen,
                refused: row.refused,
                leaving: row.leaving,
                registered_at: row.registered_at,
                updated_at: row.updated_at,
            })
        });
        Ok(LiveRunners { runners: read.filter_map(keep_readable).collect(), github_ids, last })
    }

    /// Moves rows that still stand where they were and did not change after `since`. Answers how many.
    pub async fn change_statuses(
        &mut self,
        shifts: &[StatusChange],
        source: Source,
        since: DateTime<Utc>,
    ) -> Result<usize> {
        if shifts.is_empty() {
            return Ok(0);
        }
        Ok(shift(self.0, shifts, source, Some(since)).await?.len())
    }

    /// Sets, for each runner, the complete runs and the runs of any kind in a row that did not list it.
    pub async fn count_misses(&mut self, counters: &[(RunnerId, i16, i16)]) -> Result<()> {
        if counters.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = counters.iter().map(|(id, _, _)| id.uuid()).collect();
        let missed: Vec<i16> = counters.iter().map(|(_, missed, _)| *missed).collect();
        let unlisted: Vec<i16> = counters.iter().map(|(_, _, unlisted)| *unlisted).collect();
        sqlx::query!(
            "UPDATE runners SET missed = new.missed, unlisted = new.unlisted
             FROM unnest($1::uuid[], $2::smallint[], $3::smallint[]) AS new(id, missed, unlisted)
             WHERE runners.id = new.id AND status <> 'deleted'",
            &ids,
            &missed,
            &unlisted,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Notes that a runner was found on GitHub by a look at it alone: what runs missed before counts no more.
    pub async fn found(&mut self, runner: RunnerId) -> Result<()> {
        sqlx::query!(
            "UPDATE runners SET missed = 0, unlisted = 0 WHERE id = $1 AND (missed > 0 OR unlisted > 0)",
            runner.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Notes the labels a runner has on GitHub although its team's policy does not allow them; none: it has no such labels.
    pub async fn record_foreign_labels(&mut self, runner: RunnerId, labels: Option<&[String]>) -> Result<()> {
        sqlx::query!(
            "UPDATE runners SET foreign_labels = $2 WHERE id = $1 AND foreign_labels IS DISTINCT FROM $2",
            runner.uuid(),
            labels,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// What [`Self::record_foreign_labels`] has noted last.
    pub async fn foreign_labels(&mut self, runner: RunnerId) -> Result<Vec<String>> {
        let row = sqlx::query_scalar!("SELECT foreign_labels FROM runners WHERE id = $1", runner.uuid());
        Ok(row.fetch_optional(&mut *self.0).await?.flatten().unwrap_or_default())
    }

    /// The names that calls of ours under way, or without an answer, may have given to runners; in lower case.
    pub async fn unresolved_names(&mut self, installation: &InstallationId) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT lower(runner_name) AS "name!" FROM github_calls
             WHERE installation = $1 AND state IN ('intent', 'effect_suspected')
             UNION SELECT lower(name) FROM runners WHERE installation = $1 AND status = 'requested'"#,
            installation.as_str()
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Replaces what is known of runners that are not ours.
    pub async fn replace_unmanaged(
        &mut self,
        installation: &InstallationId,
        found: &[&SeenRunner],
    ) -> Result<()> {
        let ids: Vec<Uuid> = found.iter().map(|_| Uuid::now_v7()).collect();
        let github: Vec<i64> = found.iter().map(|runner| runner.github_id).collect();
        let names: Vec<String> = found.iter().map(|runner| runner.name.clone()).collect();
        let online: Vec<bool> = found.iter().map(|runner| runner.online).collect();
        let busy: Vec<bool> = found.iter().map(|runner| runner.busy).collect();
        // An array of arrays would have to be rectangular; labels hold no line breaks.
        let labels: Vec<String> = found.iter().map(|runner| joined(runner)).collect();
        sqlx::query!(
            "DELETE FROM unmanaged_runners WHERE installation = $1 AND github_runner_id <> ALL($2)",
            installation.as_str(),
            &github,
        )
        .execute(&mut *self.0)
        .await?;
        sqlx::query!(
            r"INSERT INTO unmanaged_runners (id, installation, github_runner_id, name, online, busy, labels)
             SELECT id, $2, github, name, online, busy, string_to_array(labels, E'\n')
             FROM unnest($1::uuid[], $3::bigint[], $4::text[], $5::bool[], $6::bool[], $7::text[])
                AS f(id, github, name, online, busy, labels)
             ON CONFLICT (installation, github_runner_id) DO UPDATE SET name = excluded.name,
                online = excluded.online, busy = excluded.busy, labels = excluded.labels, last_seen_at = now()",
            &ids,
            installation.as_str(),
            &github,
            &names,
            &online,
            &busy,
            &labels,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Runners that are not ours, as of the last complete passes.
    pub async fn unmanaged(&mut self, page: Page) -> Result<Listed<UnmanagedRow>> {
        let items = sqlx::query_as!(
            UnmanagedRow,
            "SELECT id, installation, github_runner_id, name, online, busy, labels, first_seen_at, last_seen_at
             FROM unmanaged_runners WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
            page.before,
            page.limit,
            page.offset,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total = sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM unmanaged_runners"#)
            .fetch_one(&mut *self.0)
            .await?;
        let next = page.next(items.len(), 0, items.last().map(|last| last.id));
        Ok(Listed::counted(items, total, next))
    }

    /// How every installation stands, by name; those never compared have no row.
    pub async fn statuses(&mut self) -> Result<Vec<SyncRow>> {
        Ok(sqlx::query_as!(
            SyncRow,
            r#"SELECT installation, interval_seconds,
                coalesce(triggered_at > attempted_at, triggered_at IS NOT NULL) AS "triggered!",
                greatest(last_run_time, last_sync_time) AS last_sync_time,
                last_sync_time AS last_complete_sync_time, last_sync_result, last_sync_error, counts, removals_held,
                coalesce(removals_allowed_at > now() - make_interval(secs => $1), false) AS "removals_confirmed!"
             FROM sync_status ORDER BY installation <> 'default', installation LIMIT 1000"#,
            seconds(REMOVAL_APPROVAL_TTL),
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Asks for a pass over the installation now, unless the last one was asked for within half a minute: what GitHub
    /// tells of a name may come often.
    pub async fn request_soon(&mut self, installation: &InstallationId) -> Result<()> {
        sqlx::query!(
            "INSERT INTO sync_status (installation, triggered_at) VALUES ($1, clock_timestamp())
             ON CONFLICT (installation) DO UPDATE SET triggered_at = clock_timestamp()
             WHERE sync_status.triggered_at IS NULL
                OR sync_status.triggered_at < clock_timestamp() - interval '30 seconds'",
            installation.as_str()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Asks for a pass over one installation, or every one, now. With `confirm`, where the last one held removals back, the
    /// next may send after about as many, if it comes soon. Answers the installations.
    pub async fn trigger(
        &mut self,
        installation: Option<&InstallationId>,
        confirm: bool,
    ) -> Result<Vec<TriggeredRow>> {
        Ok(sqlx::query_as!(
            TriggeredRow,
            r#"INSERT INTO sync_status AS was (installation, triggered_at)
             SELECT id, clock_timestamp() FROM installations WHERE $2::text IS NULL OR id = $2
             ON CONFLICT (installation) DO UPDATE SET triggered_at = clock_timestamp(),
                removals_allowed = CASE WHEN $1 AND was.removals_held > 0 THEN was.removals_held
                    ELSE was.removals_allowed END,
                removals_allowed_at = CASE WHEN $1 AND was.removals_held > 0 THEN now()
                    ELSE was.removals_allowed_at END
             RETURNING installation, $1 AND removals_held > 0 AS "confirmed!""#,
            confirm,
            installation.map(InstallationId::as_str),
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}

fn joined(runner: &SeenRunner) -> String {
    let names: Vec<String> = runner.labels.iter().map(|label| label.name.replace('\n', " ")).collect();
    names.join("\n")
}
