//! The database of the predecessor, GHARTS, read in one snapshot. Its tables are not ours, so the queries are checked when they run.

use std::{collections::BTreeSet, str::FromStr};

use chrono::NaiveDateTime;
use domain::Secret;
use sqlx::{Connection, FromRow, PgConnection, postgres::PgConnectOptions};

use crate::{Result, StoreError};

/// Most rows that are read of each table but the audit log.
const MAX_ROWS: i64 = 100_000;

/// Tables and columns that this release knows, as the last releases of the predecessor made them.
const KNOWN: &[(&str, &str)] = &[
    (
        "teams",
        "id name description required_labels optional_label_patterns max_runners is_active deactivation_reason \
         deactivated_at deactivated_by created_at updated_at created_by",
    ),
    (
        "users",
        "id email oidc_sub display_name is_admin is_active can_use_jit created_at updated_at last_login_at created_by",
    ),
    ("user_team_memberships", "id user_id team_id joined_at added_by"),
    ("oauth_clients", "id client_id team_id description is_active created_at created_by last_used_at"),
    (
        "runners",
        "id runner_name github_runner_id runner_group_id labels ephemeral disable_update provisioned_by oidc_sub \
         team_id team_name status github_url created_at updated_at registered_at deleted_at",
    ),
    (
        "audit_log",
        "id event_type runner_id runner_name team_id user_identity oidc_sub request_ip user_agent event_data success \
         error_message timestamp",
    ),
];

/// A connection to the predecessor's database, in one read-only snapshot.
#[derive(Debug)]
pub struct Predecessor {
    connection: PgConnection,
    source: String,
}

/// A team of the predecessor. Lists are JSON in a text.
#[derive(Clone, Debug, FromRow)]
pub struct OldTeam {
    /// Id, a UUID.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Labels that a request had to name.
    pub required_labels: String,
    /// Regular expressions of further labels, matched at the beginning of a label.
    pub optional_label_patterns: Option<String>,
    /// Most runners.
    pub max_runners: Option<i32>,
    /// Whether it may get runners.
    pub is_active: bool,
    /// Reason of its deactivation.
    pub deactivation_reason: Option<String>,
}

/// A user of the predecessor.
#[derive(Clone, Debug, FromRow)]
pub struct OldUser {
    /// Id, a UUID.
    pub id: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Subject at the only issuer.
    pub oidc_sub: Option<String>,
    /// Name to show.
    pub display_name: Option<String>,
    /// Whether the user is an admin.
    pub is_admin: bool,
    /// Whether the user may do anything.
    pub is_active: bool,
    /// Whether the user may request JIT configs.
    pub can_use_jit: bool,
}

/// A membership of the predecessor.
#[derive(Clone, Debug, FromRow)]
pub struct OldMember {
    /// Id of the user.
    pub user_id: String,
    /// Id of the team.
    pub team_id: String,
}

/// A machine client of the predecessor.
#[derive(Clone, Debug, FromRow)]
pub struct OldClient {
    /// Id, a UUID.
    pub id: String,
    /// Client id at the issuer.
    pub client_id: String,
    /// Id of the team.
    pub team_id: String,
    /// Description.
    pub description: Option<String>,
    /// Whether it may do anything.
    pub is_active: bool,
}

/// A runner of the predecessor that is not deleted. Labels are JSON in a text.
#[derive(Clone, Debug, FromRow)]
pub struct OldRunner {
    /// Id, a UUID.
    pub id: String,
    /// Name on GitHub.
    pub runner_name: String,
    /// GitHub's id.
    pub github_runner_id: Option<i32>,
    /// Runner group.
    pub runner_group_id: i32,
    /// Labels.
    pub labels: String,
    /// Whether it ends after one job.
    pub ephemeral: bool,
    /// Identity of the requester: e-mail, subject or client id.
    pub provisioned_by: String,
    /// Subject of the requester.
    pub oidc_sub: Option<String>,
    /// Id of the team.
    pub team_id: Option<String>,
    /// `pending`, `active` or `offline`.
    pub status: String,
    /// Time at which it appeared on GitHub.
    pub registered_at: Option<NaiveDateTime>,
}

/// A row of the predecessor's audit log.
#[derive(Clone, Debug, FromRow)]
pub struct OldAuditRow {
    /// Ascending id.
    pub id: i32,
    /// Event type.
    pub event_type: String,
    /// Name of the runner.
    pub runner_name: Option<String>,
    /// Id of the runner.
    pub runner_id: Option<String>,
    /// Id of the team.
    pub team_id: Option<String>,
    /// Identity of the requester.
    pub user_identity: String,
    /// Subject of the requester.
    pub oidc_sub: Option<String>,
    /// Address of the client.
    pub request_ip: Option<String>,
    /// User agent.
    pub user_agent: Option<String>,
    /// JSON in a text.
    pub event_data: Option<String>,
    /// Whether it succeeded.
    pub success: bool,
    /// Reason of a failure.
    pub error_message: Option<String>,
    /// Time, in UTC.
    pub timestamp: NaiveDateTime,
}

/// A difference between the tables that are there and those that this release knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaDifference {
    /// A table is missing.
    NoTable(&'static str),
    /// A column of a table is missing.
    NoColumn(&'static str, String),
    /// A table has a column that this release does not know.
    UnknownColumn(&'static str, String),
}

impl Predecessor {
    /// Connects and begins a read-only snapshot.
    ///
    /// # Errors
    /// `Database` if the address cannot be parsed or reached.
    pub async fn connect(url: &Secret) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose())
            .map_err(StoreError::Database)?
            .application_name("runner-token-service import")
            .options([("statement_timeout", "60s"), ("lock_timeout", "5s")]);
        let source = format!("{}/{}", options.get_host(), options.get_database().unwrap_or_default());
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut connection).await?;
        Ok(Self { connection, source })
    }

    /// Returns host and name of the database.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns what differs from the tables that this release knows.
    pub async fn differences(&mut self) -> Result<Vec<SchemaDifference>> {
        let mut differences = Vec::new();
        for &(table, columns) in KNOWN {
            let found: Vec<String> = sqlx::query_scalar(
                "SELECT column_name::text FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = $1",
            )
            .bind(table)
            .fetch_all(&mut self.connection)
            .await?;
            if found.is_empty() {
                differences.push(SchemaDifference::NoTable(table));
                continue;
            }
            let known: BTreeSet<&str> = columns.split_whitespace().collect();
            let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
            let missing =
                known.difference(&found).map(|name| SchemaDifference::NoColumn(table, (*name).to_owned()));
            differences.extend(missing);
            let unknown = found.difference(&known);
            differences
                .extend(unknown.map(|name| SchemaDifference::UnknownColumn(table, (*name).to_owned())));
        }
        Ok(differences)
    }

    async fn rows<R>(&mut self, sql: &'static str) -> Result<Vec<R>>
    where
        R: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        Ok(sqlx::query_as(sql).bind(MAX_ROWS).fetch_all(&mut self.connection).await?)
    }

    /// Returns the teams, by name.
    pub async fn teams(&mut self) -> Result<Vec<OldTeam>> {
        self.rows(
            "SELECT id, name, description, required_labels, optional_label_patterns, max_runners, is_active,
                deactivation_reason FROM teams ORDER BY name LIMIT $1",
        )
        .await
    }

    /// Returns the users, the oldest first.
    pub async fn users(&mut self) -> Result<Vec<OldUser>> {
        self.rows(
            "SELECT id, email, oidc_sub, display_name, is_admin, is_active, can_use_jit FROM users
             ORDER BY created_at, id LIMIT $1",
        )
        .await
    }

    /// Returns the memberships.
    pub async fn members(&mut self) -> Result<Vec<OldMember>> {
        self.rows("SELECT user_id, team_id FROM user_team_memberships ORDER BY joined_at, id LIMIT $1").await
    }

    /// Returns the machine clients, by client id.
    pub async fn clients(&mut self) -> Result<Vec<OldClient>> {
        self.rows(
            "SELECT id, client_id, team_id, description, is_active FROM oauth_clients ORDER BY client_id LIMIT $1",
        )
        .await
    }

    /// Returns the runners that are not deleted, the oldest first.
    pub async fn live_runners(&mut self) -> Result<Vec<OldRunner>> {
        self.rows(
            "SELECT id, runner_name, github_runner_id, runner_group_id, labels, ephemeral, provisioned_by, oidc_sub,
                team_id, status, registered_at FROM runners WHERE status <> 'deleted' ORDER BY created_at, id LIMIT $1",
        )
        .await
    }

    /// Returns at most `limit` rows of the audit log after the row `after`, the oldest first.
    pub async fn audit_rows(&mut self, after: i32, limit: i64) -> Result<Vec<OldAuditRow>> {
        Ok(sqlx::query_as(
            "SELECT id, event_type, runner_name, runner_id, team_id, user_identity, oidc_sub, request_ip, user_agent,
                event_data, success, error_message, timestamp FROM audit_log WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.connection)
        .await?)
    }
}
