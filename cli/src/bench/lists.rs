//! Accepting beside lists: requests for runners a second, alone and while one member reads long lists twelve at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, HOST},
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{
    Scale,
    load::{self, Ask, Line, Requests},
    report::{Report, Row, Target},
    world::World,
};

/// Lists read at once.
const READERS: usize = 12;
/// Most requests of one closed loop.
const MOST: usize = 100_000;
/// Rows to list, of all teams in turn.
const ROWS: &str = "INSERT INTO audit_log (id, event_type, team_id, success, event_data)
    SELECT gen_random_uuid(), 'runner.provision', teams.id, true, jsonb_build_object('nth', nth)
    FROM teams, generate_series(1, 50000) nth";
/// What is listed: everything, what no index finds, and nothing.
const PATHS: [&str; 3] =
    ["/api/v1/audit-logs", "/api/v1/audit-logs?since=2020-01-01T00:00:00Z", "/api/v1/audit-logs?user=nobody"];

/// Pages of the audit log, as one member sees it.
struct Pages {
    address: String,
    token: String,
}

impl Requests for Pages {
    fn address(&self) -> &str {
        &self.address
    }

    fn expects(&self) -> StatusCode {
        StatusCode::OK
    }

    fn request(&self, nth: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::get(PATHS[nth % PATHS.len()]).header(HOST, &self.address);
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        Ok(request.body(Full::new(Bytes::new()))?)
    }
}

pub(super) async fn measure(world: &World, scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("listing", 13)?;
    // No worker: what GitHub allows must not decide how much is accepted.
    site.queue().await?;
    let mut api = site.api().await?;
    let (address, tokens) = (api.address().await?, site.callers().await?);
    let mut postgres = PgConnection::connect(&world.database_url(&site.database)).await?;
    sqlx::query(ROWS).execute(&mut postgres).await?;
    sqlx::query("ANALYZE").execute(&mut postgres).await?;
    postgres.close().await?;
    let provisions = Ask::provision(&address, &tokens);
    let token = tokens.into_iter().next().context("no callers")?;
    let pages = Arc::new(Pages { address, token });
    let time = Duration::from_secs(scale.seconds);
    let (mut alone, mut beside, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        load::closed_loop(&provisions, time, 500).await?;
        alone.push(load::closed_loop(&provisions, time, MOST).await?);
        let (mut readers, answered) = read(&pages);
        beside.push(load::closed_loop(&provisions, time, MOST).await?);
        readers.shutdown().await;
        let answered = answered.load(Ordering::Relaxed);
        ensure!(answered > 0, "no list was answered");
        listed.push(f64::from(answered) / time.as_secs_f64());
    }
    api.stop().await?;
    let ratios: Vec<f64> = beside.iter().zip(&alone).map(|(beside, alone)| beside / alone).collect();
    report
        .push(Row::new(format!("accepted beside {READERS} lists"), "/s", &beside).yardstick("alone", &alone));
    report.push(Row::new("the same against alone", "×", &ratios).target(Target::AtLeast(0.8)));
    report.push(Row::new("lists answered meanwhile", "/s", &listed));
    Ok(())
}

/// Reads pages without end; the number counts those that were answered. A page refused because too many are read is
/// asked for again.
fn read(pages: &Arc<Pages>) -> (JoinSet<anyhow::Result<()>>, Arc<AtomicU32>) {
    let (mut readers, answered) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
    for nth in 0..READERS {
        let (pages, answered) = (pages.clone(), answered.clone());
        readers.spawn(async move {
            loop {
                let mut line = Line::open(pages.address()).await?;
                while line.send(pages.as_ref(), nth).await.is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    (readers, answered)
}
