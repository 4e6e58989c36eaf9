//! Time to plan and to apply teams files with a thousand teams.

use anyhow::ensure;
use http_body_util::{BodyExt, Full};
use hyper::{StatusCode, body::Bytes};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use crate::{
    environment::Environment,
    http_load::{HttpConnection, post_json},
    report::{Report, Row, Target},
    scale::Scale,
};

/// Teams of the files, each with three people and a machine client.
const TEAMS: usize = 1_000;
/// Teams of one document.
const TEAMS_PER_DOCUMENT: usize = 50;
/// Longest time of one application, in seconds.
const MAX_SECONDS: f64 = 10.0;

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    let deployment = environment.deployment("applying", 16)?;
    let mut api = deployment.start_api().await?;
    let (address, tokens) = (api.address().await?, deployment.create_callers().await?);
    let mut postgres = PgConnection::connect(&deployment.database_url).await?;
    sqlx::query("UPDATE users SET is_admin = true WHERE subject = 'bench-1'").execute(&mut postgres).await?;
    postgres.close().await?;
    let mut connection = HttpConnection::open(&address).await?;
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..scale.repetitions {
        let owner = format!("bench-{round}");
        // A plan, its application, the same files again, and files in which every team has changed.
        for (nth, (weight, dry_run)) in
            [(1, true), (1, false), (1, false), (2, false)].into_iter().enumerate()
        {
            let body = json!({ "owner": owner, "dry_run": dry_run, "documents": documents(round, weight) });
            let request = post_json(&address, "/api/v1/admin/apply", Some(&tokens[0]))
                .body(Full::new(Bytes::from(serde_json::to_vec(&body)?)))?;
            let start = Instant::now();
            let response = connection.begin(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            times[nth].push(start.elapsed().as_secs_f64());
            let text = || String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
            ensure!(status == StatusCode::OK, "the application answers {status}: {}", text());
            let changes: usize = match nth {
                2 => 0,
                3 => TEAMS,
                _ => TEAMS * 8,
            };
            ensure!(change_count(&body)? == changes, "not {changes} changes: {}", text());
        }
    }
    api.stop().await?;
    for (what, times) in ["planning", "applying", "applying again", "changing"].iter().zip(&times) {
        let row = Row::new(format!("{what} {TEAMS} teams"), "s", times);
        report.push(row.target(Target::AtMost(MAX_SECONDS)));
    }
    Ok(())
}

/// Returns the documents of one round.
fn documents(round: usize, weight: u8) -> Vec<Value> {
    let numbers: Vec<usize> = (1..=TEAMS).collect();
    let document = |numbers: &[usize]| {
        let (mut people, mut teams) = (Vec::new(), Vec::new());
        for n in numbers {
            let emails: Vec<String> = (1..=3).map(|k| format!("p{round}-{n}-{k}@example.com")).collect();
            people.extend(emails.iter().map(|email| json!({ "email": email })));
            let name = format!("team-{round}-{n}");
            teams.push(json!({
                "name": name,
                "required_labels": [name],
                "optional_label_patterns": ["glob:gpu-*", "arm64"],
                "max_runners": 100,
                "weight": weight,
                "members": emails,
                "clients": [{ "client_id": format!("client-{round}-{n}") }],
            }));
        }
        json!({ "people": people, "teams": teams })
    };
    numbers.chunks(TEAMS_PER_DOCUMENT).map(document).collect()
}

/// Returns the number of changes of an answer.
fn change_count(body: &[u8]) -> anyhow::Result<usize> {
    let plan: Value = serde_json::from_slice(body)?;
    let counts = plan["counts"].as_object().map(|counts| counts.values().filter_map(Value::as_u64).sum());
    Ok(usize::try_from(counts.unwrap_or(0_u64))?)
}
