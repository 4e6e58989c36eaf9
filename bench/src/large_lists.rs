//! Time of each list and page of a large installation, for an admin and for members, and the memory of an export of its
//! audit log.

use anyhow::{Context, ensure};
use http_body_util::BodyExt;
use hyper::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    environment::Environment,
    http_load::{GetRequests, HttpConnection, RequestSource, millis},
    large_installation::LargeInstallation,
    report::{Report, Row, Target, quantile},
    scale::Scale,
};

/// Longest p99 of a list and longest p95 of a page, in milliseconds.
const MAX_TIME: f64 = 50.0;
/// Most memory of the API after an export, in megabytes.
const MAX_MEMORY: f64 = 100.0;
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
            "q=ci-77",
            "q=large-3",
            "q=nothing-has-this",
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
            "q=ci-77",
            "q=person-77",
            "q=nothing-has-this",
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
            "q=ci-77",
            "q=person-77",
            "q=nothing-has-this",
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
    ("/admin/users", &["", "cursor={deep}", "active_only=true", "q=person-77", "q=nothing-has-this"]),
    ("/admin/teams", &["", "cursor={deep}", "q=large-7"]),
    ("/admin/oauth-clients", &["", "cursor={deep}", "q=client-7"]),
    ("/admin/failures", &["since={day}"]),
    ("/admin/verdict", &[""]),
    ("/admin/stats", &[""]),
];
/// Filters that no row matches.
const EMPTY: &[&str] = &["nothing-has-this", "user=nobody", "kind=register", "event_type=team.update"];
/// Pages of the dashboard.
const PAGES: &[&str] = &[
    "/",
    "/runners",
    "/runners?q=ci-77",
    "/runners/{runner}",
    "/jobs",
    "/jobs?state=failed",
    "/jobs?about=ci-77",
    "/jobs/{job}",
    "/failures",
    "/audit",
    "/audit?q=person-77",
    "/security",
    "/teams",
    "/teams/{team}",
    "/people",
    "/people?q=person-77",
    "/people/{person}",
    "/fleet",
    "/budget",
    "/lanes",
    "/workers",
];

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let large = LargeInstallation::start(environment, scale).await?;
    measure_export(&large, report).await?;
    for (who, caller, lists) in [
        ("admin", 0, ADMIN_LISTS),
        ("admin", 0, LISTS),
        ("member of large teams", 1, LISTS),
        ("member of a small team", 2, LISTS),
    ] {
        for (list, query) in
            lists.iter().flat_map(|(list, queries)| queries.iter().map(move |query| (list, query)))
        {
            let name = format!("{list}?{query}");
            let requests = large.list(caller, &name)?;
            let rows = count_rows(&requests).await.with_context(|| name.clone())?;
            let is_empty = EMPTY.iter().any(|filter| query.contains(filter));
            // Members see few rows, and an offset is beyond the end of a small installation.
            let is_known = caller == 0 && !query.contains("offset=");
            ensure!(!is_known || is_empty == (rows == 0), "{name} has {rows} rows");
            let times = time_requests(&requests, scale.singles).await.with_context(|| name.clone())?;
            let row = Row::new(format!("{who}: {name}"), "ms", &[quantile(&times, 0.99)]);
            report.push(row.target(Target::AtMost(MAX_TIME)).yardstick("p50", &times));
        }
    }
    for page in PAGES {
        let times = time_requests(&large.page(page), scale.singles).await.with_context(|| *page)?;
        let row = Row::new(format!("page {page}, p95"), "ms", &[quantile(&times, 0.95)]);
        report.push(row.target(Target::AtMost(MAX_TIME)).yardstick("p50", &times));
    }
    large.api.stop().await
}

/// Returns the number of rows of a page. One without a list counts as one row.
async fn count_rows(requests: &GetRequests) -> anyhow::Result<usize> {
    let mut connection = HttpConnection::open(requests.address()).await?;
    let response = connection.begin(requests.request(0)?).await?;
    let body: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
    let lists = body.as_object().into_iter().flatten().filter_map(|(_, member)| member.as_array());
    Ok(lists.map(Vec::len).sum::<usize>().max(usize::from(body["total"].is_null())))
}

/// Sends requests one after the other and returns the time of each in milliseconds.
async fn time_requests(requests: &GetRequests, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut connection = HttpConnection::open(requests.address()).await?;
    let mut times = Vec::new();
    for nth in 0..=count {
        let start = Instant::now();
        connection.send(requests, nth).await?;
        times.push(millis(start.elapsed()));
    }
    // The first one opened connections and read cold pages.
    times.remove(0);
    Ok(times)
}

/// Reads the whole audit log as JSON lines, and measures the rows a second and the memory of the API.
async fn measure_export(large: &LargeInstallation, report: &mut Report) -> anyhow::Result<()> {
    let requests = large.list(0, "/admin/audit-logs/export?format=jsonl")?;
    let mut connection = HttpConnection::open(requests.address()).await?;
    let start = Instant::now();
    let mut response = connection.begin(requests.request(0)?).await?;
    ensure!(response.status() == StatusCode::OK, "the export answers {}", response.status());
    let mut rows = 0_u32;
    while let Some(frame) = response.frame().await {
        let bytes = frame?.into_data().unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n').count() - 1;
        rows += u32::try_from(lines)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let memory = large.api.peak_memory()?;
    report.push(Row::new("audit log exported", "rows", &[f64::from(rows)]));
    report.push(Row::new("audit rows exported", "/s", &[f64::from(rows) / seconds]));
    let row = Row::new("memory of the api after the export", "MB", &[memory]);
    report.push(row.target(Target::AtMost(MAX_MEMORY)));
    Ok(())
}
