//! Cost of open tabs of the dashboard: live streams of admins who look at the board of an installation at rest.

use std::time::Duration;

use anyhow::{bail, ensure};
use chrono::TimeDelta;
use domain::{Origin, Principal, Secret, UserId, sha256_hex};
use hyper::{Request, header::COOKIE};
use store::{NewSession, Store, UserDraft};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

use crate::{
    environment::{Deployment, Environment},
    idle::{self, Load},
    process::ServiceProcess,
    report::{Report, Row, Target},
    waiting,
};

/// Admins whose tabs are open: one person may keep only so many streams.
const ADMINS: usize = 20;
/// Open tabs.
const TABS: usize = 200;
/// Time between two tabs that are opened.
const OPENING_INTERVAL: Duration = Duration::from_millis(50);
/// Time until all streams have their first picture and PostgreSQL's processes have reported their counters.
const SETTLE: Duration = Duration::from_secs(12);
/// Length of each measurement. Each stream checks its session every 30 s.
const MEASURED_TIME: Duration = Duration::from_secs(31);

/// What the API used in one second.
struct Cost {
    transactions: f64,
    commands: f64,
    cpu_percent: f64,
}

pub(crate) async fn measure(environment: &Environment, report: &mut Report) -> anyhow::Result<()> {
    let deployment = environment.deployment("tabs", 15)?;
    let mut api = deployment.start_api().await?;
    let address = api.address().await?;
    let cookies = sign_in_admins(&deployment).await?;
    let mut tabs = JoinSet::new();
    open(&mut tabs, &address, &cookies, 1).await;
    let one = measure_cost(&deployment, &api).await?;
    open(&mut tabs, &address, &cookies, TABS - 1).await;
    let all = measure_cost(&deployment, &api).await?;
    if let Some(ended) = tabs.try_join_next() {
        ended??;
        bail!("a stream ended before its time");
    }
    ensure!(tabs.len() == TABS, "{} streams are open", tabs.len());
    tabs.shutdown().await;
    for (name, unit, one, all, most) in [
        // The session of each stream is read again every 30 s, in two statements.
        ("PostgreSQL transactions", "/s", one.transactions, all.transactions, 40.0),
        ("Redis commands", "/s", one.commands, all.commands, 40.0),
        ("CPU of the api", "% of a core", one.cpu_percent, all.cpu_percent, 10.0),
    ] {
        report.push(Row::new(format!("{name} with 1 live tab"), unit, &[one]));
        let row = Row::new(format!("{name} with {TABS} live tabs"), unit, &[all]);
        report.push(row.target(Target::AtMost(most)));
    }
    api.stop().await
}

/// Returns the session cookie of each of the admins.
async fn sign_in_admins(deployment: &Deployment<'_>) -> anyhow::Result<Vec<String>> {
    let store = Store::new(&Secret::new(deployment.database_url.as_str()), 2)?;
    let mut cookies = Vec::new();
    for nth in 0..ADMINS {
        let (id, subject, cookie) =
            (UserId::new(), format!("admin-{nth}"), Uuid::new_v4().simple().to_string());
        let principal = Principal::new(deployment.issuer_url(), subject.as_str());
        let draft = UserDraft {
            issuer: Some(principal.issuer.clone()),
            subject: Some(subject),
            is_admin: true,
            ..UserDraft::default()
        };
        let mut connection = store.conn().await?;
        connection.users().insert(id, &draft).await?;
        let session = NewSession {
            id: Uuid::now_v7(),
            hash: &hash(&cookie)?,
            user: id,
            principal: &principal,
            life: TimeDelta::hours(1),
            origin: &Origin::default(),
        };
        connection.sessions().insert(&session).await?;
        cookies.push(cookie);
    }
    store.close().await;
    Ok(cookies)
}

/// Returns the SHA-256 of a cookie, as the table of sessions has it.
fn hash(cookie: &str) -> anyhow::Result<Vec<u8>> {
    let hex = sha256_hex(cookie.as_bytes());
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    Ok(bytes.collect::<Result<_, _>>()?)
}

/// Opens tabs one after another, as people do: a page does not wait long for the database.
async fn open(tabs: &mut JoinSet<anyhow::Result<()>>, address: &str, cookies: &[String], number: usize) {
    for nth in 0..number {
        let cookie = format!("__Host-rts={}", cookies[nth % cookies.len()]);
        let request = Request::get("/live?board=true").header(COOKIE, cookie);
        tabs.spawn(waiting::read_to_the_end(address.to_owned(), request));
        sleep(OPENING_INTERVAL).await;
    }
}

async fn measure_cost(deployment: &Deployment<'_>, api: &ServiceProcess) -> anyhow::Result<Cost> {
    sleep(SETTLE).await;
    let cpu = waiting::cpu_seconds(api.pid()?)?;
    let Load { commands, transactions, seconds } = idle::load(deployment, MEASURED_TIME).await?;
    let cpu = waiting::cpu_seconds(api.pid()?)? - cpu;
    Ok(Cost { transactions, commands, cpu_percent: cpu * 100.0 / seconds })
}
