//! A large installation: its rows, which take ten minutes to make, and the callers who read them.

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hyper::header::{ACCEPT, AUTHORIZATION, COOKIE};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    environment::{Deployment, Environment},
    http_load::GetRequests,
    output,
    process::ServiceProcess,
    scale::Scale,
};

/// Creates the rows.
const INSERT_ROWS: &str = include_str!("../../scripts/large_lists.sql");
/// Gives the first caller everything to see, the second one two large teams, and the third one a small team.
const ASSIGN_CALLERS: &str = "UPDATE users SET is_admin = true WHERE subject = 'bench-1';
    INSERT INTO team_members (team_id, user_id) SELECT teams.id, users.id FROM teams, users
        WHERE (subject, name) IN (('bench-2', 'large-1'), ('bench-2', 'large-2'))
            OR (subject = 'bench-3' AND name = (SELECT max(name) FROM teams WHERE name LIKE 'large-%'))";
/// Signs the first caller in to the dashboard, with the cookie `bench`.
const SIGN_IN: &str = "DELETE FROM sessions;
    INSERT INTO sessions (id, id_hash, user_id, issuer, subject, expires_at)
    SELECT gen_random_uuid(), sha256('bench'), id, issuer, subject, now() + interval '12 hours'
    FROM users WHERE subject = 'bench-1'";

/// An API process on the rows of a large installation.
pub(crate) struct LargeInstallation {
    pub(crate) api: ServiceProcess,
    address: String,
    tokens: Vec<String>,
    /// Values of the placeholders in paths.
    places: Vec<(&'static str, String)>,
}

impl LargeInstallation {
    /// Starts the API on the rows, which are made if the database has none.
    pub(crate) async fn start(environment: &Environment, scale: Scale) -> anyhow::Result<Self> {
        let deployment = environment.large_deployment()?;
        let mut api = start_api(&deployment).await?;
        let mut postgres = PgConnection::connect(&deployment.database_url).await?;
        if !exists(&mut postgres, "SELECT EXISTS (SELECT FROM teams WHERE name = 'large-1')").await? {
            output::print_progress(format_args!("making {} runners and more …", scale.large_runners));
            let size = format!("SET bench.runners = {}", scale.large_runners);
            sqlx::query(AssertSqlSafe(size)).execute(&mut postgres).await?;
            sqlx::raw_sql(INSERT_ROWS).execute(&mut postgres).await?;
            // As autovacuum does after many inserts: it lets the lists read indexes alone.
            sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut postgres).await?;
        }
        let tokens =
            if exists(&mut postgres, "SELECT EXISTS (SELECT FROM teams WHERE name = 'bench-1')").await? {
                deployment.take_over_callers(&mut postgres).await?
            } else {
                let tokens = deployment.create_callers().await?;
                sqlx::raw_sql(ASSIGN_CALLERS).execute(&mut postgres).await?;
                tokens
            };
        sqlx::raw_sql(SIGN_IN).execute(&mut postgres).await?;
        let places = find_places(&mut postgres).await?;
        postgres.close().await?;
        let address = api.address().await?;
        Ok(Self { api, address, tokens, places })
    }

    /// Returns requests of the nth caller for one list of the API.
    pub(crate) fn list(&self, caller: usize, path: &str) -> anyhow::Result<GetRequests> {
        let token = self.tokens.get(caller).context("no such caller")?;
        Ok(GetRequests {
            address: self.address.clone(),
            headers: vec![(AUTHORIZATION, format!("Bearer {token}"))],
            paths: vec![format!("/api/v1{}", self.fill(path))],
        })
    }

    /// Returns requests of the admin's browser for one page of the dashboard.
    pub(crate) fn page(&self, path: &str) -> GetRequests {
        GetRequests {
            address: self.address.clone(),
            headers: vec![(COOKIE, "__Host-rts=bench".to_owned()), (ACCEPT, "text/html".to_owned())],
            paths: vec![self.fill(path)],
        }
    }

    fn fill(&self, path: &str) -> String {
        self.places.iter().fold(path.to_owned(), |path, (place, value)| path.replace(place, value))
    }
}

async fn exists(postgres: &mut PgConnection, query: &'static str) -> anyhow::Result<bool> {
    Ok(sqlx::query_scalar(query).fetch_one(postgres).await?)
}

async fn start_api(deployment: &Deployment<'_>) -> anyhow::Result<ServiceProcess> {
    // One caller reads list after list here: what a caller may read is measured elsewhere.
    deployment.start_api_with(&[("API_LIST_TIME_PERCENT", "10000")]).await
}

/// Returns the values of the placeholders: the middle of the lists, times before the newest row, and rows.
async fn find_places(postgres: &mut PgConnection) -> anyhow::Result<Vec<(&'static str, String)>> {
    // The measurement itself writes rows, from other addresses.
    let newest: (Uuid, DateTime<Utc>) = sqlx::query_as(
        "SELECT id, \"timestamp\" FROM audit_log WHERE request_ip = '192.0.2.7' ORDER BY id DESC LIMIT 1",
    )
    .fetch_one(&mut *postgres)
    .await?;
    let oldest: Uuid =
        sqlx::query_scalar("SELECT id FROM audit_log ORDER BY id LIMIT 1").fetch_one(&mut *postgres).await?;
    ensure!(oldest < newest.0, "the audit log is empty");
    let middle = Uuid::from_u128(u128::midpoint(oldest.as_u128(), newest.0.as_u128()));
    let before = |age: TimeDelta| (newest.1 - age).to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut places = vec![
        ("{deep}", URL_SAFE_NO_PAD.encode(middle)),
        ("{recent}", before(TimeDelta::hours(1))),
        ("{day}", before(TimeDelta::days(1))),
        ("{old}", before(TimeDelta::days(45))),
    ];
    for (place, query) in [
        ("{team}", "SELECT id FROM teams WHERE name = 'large-1'"),
        (
            "{job}",
            "SELECT id FROM jobs WHERE kind = 'provision' AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1",
        ),
        ("{runner}", "SELECT id FROM runners WHERE status = 'active' ORDER BY id DESC LIMIT 1"),
        ("{person}", "SELECT id FROM users WHERE subject = 'person-77'"),
    ] {
        let id: Uuid = sqlx::query_scalar(query).fetch_one(&mut *postgres).await?;
        places.push((place, id.to_string()));
    }
    Ok(places)
}
