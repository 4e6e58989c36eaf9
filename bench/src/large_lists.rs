//! Time of each list of a large installation: first pages, deep pages, and filters, for an admin and for members.

use anyhow::bail;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    environment::Environment,
    http_load::{GetRequests, HttpConnection, RequestSource},
    report::{Report, Row, Target, quantile},
    scale::Scale,
};

/// Creates the rows.
const INSERT_ROWS: &str = include_str!("../../scripts/large_lists.sql");
/// Gives the first caller everything to see, the second one two large teams, and the third one a small team.
const ASSIGN_CALLERS: &str = "UPDATE users SET is_admin = true WHERE subject = 'bench-1';
    INSERT INTO team_members (team_id, user_id) SELECT teams.id, users.id FROM teams, users
        WHERE (subject, name) IN (('bench-2', 'large-1'), ('bench-2', 'large-2'))
            OR (subject = 'bench-3' AND name = (SELECT max(name) FROM teams WHERE name LIKE 'large-%'))";
/// Longest p99 of a page, in milliseconds.
const MAX_P99: f64 = 50.0;
/// Filters of the lists that everybody may read. `{deep}` is the middle of the list.
const LISTS: &[(&str, &[&str])] = &[
    (
        "/runners",
        &[
            "",
            "cursor={deep}",
            "status=active",
            "status=deleted",
            "status=deleted&cursor={deep}",
            "ephemeral=false",
        ],
    ),
    (
        "/jobs",
        &[
            "",
            "cursor={deep}",
            "state=queued",
            "state=failed",
            "state=succeeded",
            "kind=register",
            "kind=deprovision",
        ],
    ),
    (
        "/audit-logs",
        &[
            "",
            "cursor={deep}",
            "event_type=runner.refresh",
            "event_type=team.update",
            "user=person-77@example.com",
            "user=nobody",
            "success=false",
            "since={recent}",
            "since={old}",
        ],
    ),
];
/// Filters of the lists for admins, and of one team.
const ADMIN_LISTS: &[(&str, &[&str])] = &[
    ("/runners", &["limit=1000", "team=large-1", "team=large-1&status=deleted", "offset=10000"]),
    ("/jobs", &["limit=1000", "team=large-1", "team=large-1&state=failed", "offset=100000"]),
    ("/audit-logs", &["limit=1000", "team=large-1", "team=large-1&success=false", "offset=100000"]),
    (
        "/admin/security-events",
        &[
            "",
            "cursor={deep}",
            "severity=critical",
            "event_type=label_drift",
            "team=large-1",
            "user=nobody",
            "offset=100000",
        ],
    ),
    ("/admin/users", &["", "cursor={deep}", "active_only=true"]),
    ("/admin/teams", &["", "cursor={deep}"]),
    ("/admin/oauth-clients", &["", "cursor={deep}"]),
];

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("large", 14)?;
    // One caller reads list after list here: what a caller may read is measured elsewhere.
    let mut api = deployment.start_api_with(&[("API_LIST_TIME_PERCENT", "10000")]).await?;
    let (address, tokens) = (api.address().await?, deployment.create_callers().await?);
    let mut postgres = PgConnection::connect(&environment.database_url(&deployment.database)).await?;
    let size = format!("SET bench.runners = {}", scale.large_runners);
    sqlx::query(AssertSqlSafe(size)).execute(&mut postgres).await?;
    sqlx::raw_sql(INSERT_ROWS).execute(&mut postgres).await?;
    // As autovacuum does after many inserts: it lets the lists read indexes alone.
    sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut postgres).await?;
    sqlx::raw_sql(ASSIGN_CALLERS).execute(&mut postgres).await?;
    let middle: Uuid = sqlx::query_scalar(
        "SELECT id FROM audit_log WHERE id >= (SELECT pg_temp.row_id(audit / 2, audit) FROM sizes) ORDER BY id LIMIT 1",
    )
    .fetch_one(&mut postgres)
    .await?;
    let times: Vec<String> = sqlx::query_scalar(
        "SELECT to_char(pg_temp.row_time(audit, audit) - ago, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
         FROM sizes, unnest(ARRAY['1 hour', '45 days']::interval[]) ago ORDER BY ago",
    )
    .fetch_all(&mut postgres)
    .await?;
    let [recent, old] = times.as_slice() else { bail!("no two times") };
    postgres.close().await?;
    let fill = |query: &str| {
        query
            .replace("{deep}", &URL_SAFE_NO_PAD.encode(middle))
            .replace("{recent}", recent)
            .replace("{old}", old)
    };
    for (caller, token, lists) in [
        ("admin", &tokens[0], ADMIN_LISTS),
        ("admin", &tokens[0], LISTS),
        ("member of large teams", &tokens[1], LISTS),
        ("member of a small team", &tokens[2], LISTS),
    ] {
        for (list, query) in
            lists.iter().flat_map(|(list, queries)| queries.iter().map(move |query| (list, query)))
        {
            let path = format!("/api/v1{list}?{}", fill(query));
            let requests = GetRequests { address: address.clone(), token: token.clone(), paths: vec![path] };
            let times = time_requests(&requests, scale.singles).await?;
            let row = Row::new(format!("{caller}: {list}?{query}"), "ms", &[quantile(&times, 0.99)]);
            report.push(row.target(Target::AtMost(MAX_P99)).yardstick("p50", &times));
        }
    }
    api.stop().await
}

/// Sends requests one after the other and returns the time of each in milliseconds.
async fn time_requests(requests: &GetRequests, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut connection = HttpConnection::open(requests.address()).await?;
    let mut times = Vec::new();
    for nth in 0..=count {
        let start = Instant::now();
        connection.send(requests, nth).await?;
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    // The first one opened connections and read cold pages.
    times.remove(0);
    Ok(times)
}
