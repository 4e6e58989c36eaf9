//! Cost of waiting requests: long polls and event streams of jobs that do not move.

use std::{fs, time::Duration};

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::{Body, Bytes},
    client::conn::http1::handshake,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    idle,
    part::Part,
    report::{Report, Row, Target},
    world::{Site, World},
};

/// Long polls that wait.
const POLLS: usize = 1_000;
/// Event streams that wait.
const STREAMS: usize = 200;
/// Time until all requests wait and PostgreSQL's processes have reported their counters; an idle one does so after 10
/// s.
const SETTLE: Duration = Duration::from_secs(12);
/// Length of the measurement, also in the quick form: PostgreSQL counts an idle connection's work late, and each wait
/// reads its job again every 15 to 30 s. Shorter than a long poll, which answers after 25 s at the latest.
const MEASURED: Duration = Duration::from_secs(11);

pub(super) async fn measure(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let site = world.site("waiting", 10)?;
    let mut api = site.api().await?;
    let (address, callers) = (api.address().await?, site.callers().await?);
    let mut jobs = Vec::new();
    for caller in &callers {
        jobs.push((caller.clone(), provision(&address, caller).await?));
    }
    let mut waiting = JoinSet::new();
    for nth in 0..POLLS + STREAMS {
        let (caller, job) = jobs[nth % jobs.len()].clone();
        let rest = if nth < POLLS { "?wait=25" } else { "/events" };
        waiting.spawn(wait(address.clone(), format!("/api/v1/jobs/{job}{rest}"), caller));
    }
    watch(&site, &api, report).await?;
    if let Some(ended) = waiting.try_join_next() {
        ended??;
        bail!("a wait ended although its job stood still");
    }
    waiting.shutdown().await;
    api.stop().await
}

async fn watch(site: &Site<'_>, api: &Part, report: &mut Report) -> anyhow::Result<()> {
    // Another database of the server, so that asking does not count.
    let mut postgres = PgConnection::connect(&site.world().database_url("postgres")).await?;
    sleep(SETTLE).await;
    let begun = Instant::now();
    let before = (idle::transactions(&mut postgres, &site.database).await?, processor_time(api.pid()?)?);
    sleep(MEASURED).await;
    let done = idle::transactions(&mut postgres, &site.database).await? - before.0;
    let used = processor_time(api.pid()?)? - before.1;
    let seconds = begun.elapsed().as_secs_f64();
    let who = format!("{POLLS} waiting long polls and {STREAMS} streams");
    let row = Row::new(format!("PostgreSQL transactions of {who}"), "/s", &[done.max(0.0) / seconds]);
    // Each reads its job and its rights again every 15 to 30 s, in three statements.
    report.push(row.target(Target::AtMost(300.0)));
    let row = Row::new(format!("CPU of the api beside {who}"), "% of a core", &[used * 100.0 / seconds]);
    report.push(row.target(Target::AtMost(20.0)));
    postgres.close().await?;
    Ok(())
}

/// Seconds of processor time a process has used.
fn processor_time(pid: u32) -> anyhow::Result<f64> {
    /// Ticks a second; the same on every Linux.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it may hold spaces.
    let rest = stat.rsplit_once(')').context("no process")?.1;
    let fields: Vec<f64> =
        rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(fields.iter().sum::<f64>() / TICKS)
}

async fn provision(address: &str, token: &str) -> anyhow::Result<String> {
    let body = r#"{"runner_name_prefix":"bench","labels":["self-hosted","linux"]}"#;
    let request =
        Request::post("/api/v1/runners/jit").header(HOST, address).header(CONTENT_TYPE, "application/json");
    let request =
        request.header(AUTHORIZATION, format!("Bearer {token}")).body(Full::new(Bytes::from(body)))?;
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["job_id"].as_str().with_context(|| answer.to_string())?.to_owned())
}

/// Asks, and reads until the server ends it.
async fn wait(address: String, path: String, token: String) -> anyhow::Result<()> {
    let request = Request::get(path).header(HOST, &address).header(AUTHORIZATION, format!("Bearer {token}"));
    let request = request.body(Full::new(Bytes::new()))?;
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(&address).await?)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let mut body = answer.into_body();
    while !body.is_end_stream() {
        if body.frame().await.transpose()?.is_none() {
            break;
        }
    }
    Ok(())
}
