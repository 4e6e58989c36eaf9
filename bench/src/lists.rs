//! Requests accepted per second, alone and while one member reads twelve long lists at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use hyper::header::AUTHORIZATION;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::{
    environment::Environment,
    http_load::{self, GetRequests, HttpConnection, PostRequests, RequestSource},
    report::{Report, Row, Target},
    scale::Scale,
};

/// Lists read at the same time.
const READERS: usize = 12;
/// Upper bound on the requests of one closed loop, which ends by its duration.
const MAX_REQUESTS: usize = 100_000;
/// Creates 50,000 audit rows for each team.
const INSERT_ROWS: &str = "INSERT INTO audit_log (id, event_type, team_id, success, event_data)
    SELECT gen_random_uuid(), 'runner.provision', teams.id, true, jsonb_build_object('nth', nth)
    FROM teams, generate_series(1, 50000) nth";
/// Lists of everything, of a filter without an index, and of nothing.
const PATHS: [&str; 3] =
    ["/api/v1/audit-logs", "/api/v1/audit-logs?since=2020-01-01T00:00:00Z", "/api/v1/audit-logs?user=nobody"];

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("listing", 13)?;
    // No worker runs, so GitHub's limits do not decide how much is accepted.
    deployment.queue_without_limits().await?;
    let mut api = deployment.start_api().await?;
    let (address, tokens) = (api.address().await?, deployment.create_callers().await?);
    let mut postgres = PgConnection::connect(&deployment.database_url).await?;
    sqlx::query(INSERT_ROWS).execute(&mut postgres).await?;
    sqlx::query("ANALYZE").execute(&mut postgres).await?;
    postgres.close().await?;
    let provisions = PostRequests::provision(&address, &tokens);
    let token = tokens.into_iter().next().context("no callers")?;
    let pages = Arc::new(GetRequests {
        address,
        headers: vec![(AUTHORIZATION, format!("Bearer {token}"))],
        paths: PATHS.map(str::to_owned).to_vec(),
    });
    let duration = Duration::from_secs(scale.seconds);
    let (mut alone, mut beside, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        http_load::run_closed_loop(&provisions, duration, 500).await?;
        alone.push(http_load::run_closed_loop(&provisions, duration, MAX_REQUESTS).await?);
        let (mut readers, answered) = read_pages(&pages);
        beside.push(http_load::run_closed_loop(&provisions, duration, MAX_REQUESTS).await?);
        readers.shutdown().await;
        let answered = answered.load(Ordering::Relaxed);
        ensure!(answered > 0, "no list was answered");
        listed.push(f64::from(answered) / duration.as_secs_f64());
    }
    api.stop().await?;
    let ratios: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
    report
        .push(Row::new(format!("accepted beside {READERS} lists"), "/s", &beside).yardstick("alone", &alone));
    report.push(Row::new("accepted beside lists, against alone", "×", &ratios).target(Target::AtLeast(0.8)));
    report.push(Row::new("lists answered meanwhile", "/s", &listed));
    Ok(())
}

/// Reads pages until the tasks are shut down. Returns the tasks and the number of pages read so far. A page that is
/// refused because the member reads too many is requested again.
fn read_pages(pages: &Arc<GetRequests>) -> (JoinSet<anyhow::Result<()>>, Arc<AtomicU32>) {
    let (mut readers, answered) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
    for nth in 0..READERS {
        let (pages, answered) = (pages.clone(), answered.clone());
        readers.spawn(async move {
            loop {
                let mut connection = HttpConnection::open(pages.address()).await?;
                while connection.send(pages.as_ref(), nth).await.is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    (readers, answered)
}
