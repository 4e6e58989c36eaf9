//! Unmanaged runners: runners on GitHub that did not come through this service.

use chrono::{DateTime, Utc};
use domain::{InstallationId, SeenRunner};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Listed, Page, Result};

/// Queries of unmanaged runners on one connection.
#[derive(Debug)]
pub struct UnmanagedRunners<'c>(pub(crate) &'c mut PgConnection);

/// An unmanaged runner on GitHub.
#[derive(Clone, Debug, PartialEq)]
pub struct UnmanagedRow {
    /// Id of the row.
    pub id: Uuid,
    /// Installation it was seen in.
    pub installation: String,
    /// GitHub's id of the runner.
    pub github_runner_id: i64,
    /// Name of the runner.
    pub name: String,
    /// Whether it is connected to GitHub.
    pub online: bool,
    /// Whether it runs a workflow job.
    pub busy: bool,
    /// All its labels.
    pub labels: Vec<String>,
    /// Time it was first listed.
    pub first_seen_at: DateTime<Utc>,
    /// Time it was last listed.
    pub last_seen_at: DateTime<Utc>,
}

impl UnmanagedRunners<'_> {
    /// Replaces an installation's unmanaged runners.
    pub async fn replace(&mut self, installation: &InstallationId, found: &[&SeenRunner]) -> Result<()> {
        let ids: Vec<Uuid> = found.iter().map(|_| Uuid::now_v7()).collect();
        let github: Vec<i64> = found.iter().map(|runner| runner.github_id).collect();
        let names: Vec<String> = found.iter().map(|runner| runner.name.clone()).collect();
        let online: Vec<bool> = found.iter().map(|runner| runner.online).collect();
        let busy: Vec<bool> = found.iter().map(|runner| runner.busy).collect();
        // A two-dimensional array must be rectangular, so each list of labels is one text; labels have no line breaks.
        let labels: Vec<String> = found.iter().map(|runner| join_labels(runner)).collect();
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

    /// Returns one page of unmanaged runners, as of the last complete runs.
    pub async fn list(&mut self, page: Page) -> Result<Listed<UnmanagedRow>> {
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
}

fn join_labels(runner: &SeenRunner) -> String {
    let names: Vec<String> = runner.labels.iter().map(|label| label.name.replace('\n', " ")).collect();
    names.join("\n")
}
