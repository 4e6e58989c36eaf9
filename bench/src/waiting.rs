//! Cost of waiting requests: long polls and event streams of jobs that do not move.

use std::{fs, time::Duration};

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::{Body, Bytes},
    client::conn::http1::handshake,
    header::{AUTHORIZATION, HOST},
    http::request,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    environment::{Deployment, Environment},
    http_load::post_json,
    idle,
    process::ServiceProcess,
    report::{Report, Row, Target},
};

/// Number of waiting long polls.
const POLLS: usize = 1_000;
/// Number of waiting event streams.
const STREAMS: usize = 200;
/// Time until all requests wait and PostgreSQL's processes have reported their counters. An idle process reports after
/// 10 s.
const SETTLE: Duration = Duration::from_secs(12);
/// Length of the measurement, also in the quick form: PostgreSQL counts an idle connection's work late, and each waiting
/// request reads its job again every 15 to 30 s. It is shorter than a long poll, which is answered within 25 s.
const MEASURED_TIME: Duration = Duration::from_secs(11);

pub(crate) async fn measure(environment: &Environment, report: &mut Report) -> anyhow::Result<()> {
    let deployment = environment.deployment("waiting", 10)?;
    let mut api = deployment.start_api().await?;
    let (address, callers) = (api.address().await?, deployment.create_callers().await?);
    let mut jobs = Vec::new();
    for caller in &callers {
        jobs.push((caller.clone(), provision(&address, caller).await?));
    }
    let mut waiting = JoinSet::new();
    for nth in 0..POLLS + STREAMS {
        let (caller, job) = jobs[nth % jobs.len()].clone();
        let rest = if nth < POLLS { "?wait=25" } else { "/events" };
        let request = Request::get(format!("/api/v1/jobs/{job}{rest}"));
        let request = request.header(AUTHORIZATION, format!("Bearer {caller}"));
        waiting.spawn(read_to_the_end(address.clone(), request));
    }
    measure_cost(&deployment, &api, report).await?;
    if let Some(ended) = waiting.try_join_next() {
        ended??;
        bail!("a waiting request ended although its job did not move");
    }
    waiting.shutdown().await;
    api.stop().await
}

async fn measure_cost(
    deployment: &Deployment<'_>,
    api: &ServiceProcess,
    report: &mut Report,
) -> anyhow::Result<()> {
    // Another database of the server, so that these queries do not count.
    let mut postgres = PgConnection::connect(&deployment.environment().database_url("postgres")).await?;
    sleep(SETTLE).await;
    let start = Instant::now();
    let transactions_before = idle::transactions(&mut postgres, &deployment.database).await?;
    let cpu_before = cpu_seconds(api.pid()?)?;
    sleep(MEASURED_TIME).await;
    let transactions = idle::transactions(&mut postgres, &deployment.database).await? - transactions_before;
    let cpu = cpu_seconds(api.pid()?)? - cpu_before;
    let seconds = start.elapsed().as_secs_f64();
    let waiters = format!("{POLLS} waiting long polls and {STREAMS} streams");
    let row =
        Row::new(format!("PostgreSQL transactions of {waiters}"), "/s", &[transactions.max(0.0) / seconds]);
    // Each waiting request reads its job and its rights again every 15 to 30 s, in three statements.
    report.push(row.target(Target::AtMost(300.0)));
    let row = Row::new(format!("CPU of the api beside {waiters}"), "% of a core", &[cpu * 100.0 / seconds]);
    report.push(row.target(Target::AtMost(20.0)));
    postgres.close().await?;
    Ok(())
}

/// Returns the seconds of CPU time that a process has used.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    /// Clock ticks per second on Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The process name before the bracket may contain spaces.
    let rest = stat.rsplit_once(')').context("no process")?.1;
    let fields: Vec<f64> =
        rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(fields.iter().sum::<f64>() / TICKS_PER_SECOND)
}

async fn provision(address: &str, token: &str) -> anyhow::Result<String> {
    let body = r#"{"runner_name_prefix":"bench","labels":["self-hosted","linux"]}"#;
    let request = post_json(address, "/api/v1/runners/jit", Some(token));
    let request = request.body(Full::new(Bytes::from(body)))?;
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    let response: Value = serde_json::from_slice(&response)?;
    Ok(response["job_id"].as_str().with_context(|| response.to_string())?.to_owned())
}

/// Sends a request, and reads its response until the server ends it.
pub(crate) async fn read_to_the_end(address: String, request: request::Builder) -> anyhow::Result<()> {
    let request = request.header(HOST, &address).body(Full::new(Bytes::new()))?;
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(&address).await?)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let mut body = response.into_body();
    while !body.is_end_stream() {
        if body.frame().await.transpose()?.is_none() {
            break;
        }
    }
    Ok(())
}
