//! `rts top`: lanes, budgets, workers and running jobs in a terminal.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::{
    budget::describe_windows,
    nouns::{BUDGET, JOB, LANE, WORKER},
    values::duration,
};
use crate::{
    error::ClientError,
    output::{Noun, Size, fit, print::line, render, scalar, show_repeatedly},
    session::Session,
};

/// Most running jobs that are fetched.
const MAX_JOBS: usize = 50;

/// Arguments of `rts top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Time between two looks.
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = duration)]
    interval: Duration,
    /// Print once and end, as it does where stdout is no terminal.
    #[arg(long)]
    once: bool,
}

/// Answers that one frame shows.
#[derive(Debug, Default)]
struct Board {
    verdict: Value,
    lanes: Value,
    budgets: Value,
    workers: Value,
    jobs: Value,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, args: &TopArgs) -> Result<(), ClientError> {
    if args.once || !io::stdout().is_terminal() {
        let board = look(session).await?;
        line(draw(&board, &session.client.url.host(), None, Utc::now()));
        return Ok(());
    }
    show_repeatedly(args.interval, async |size| {
        let board = look(session).await?;
        Ok(draw(&board, &session.client.url.host(), Some(size), Utc::now()))
    })
    .await
}

async fn look(session: &Session) -> Result<Board, ClientError> {
    let running = session.client.request(Method::GET, JOB.path);
    let running = running.query("state", Some("running")).query("limit", Some(MAX_JOBS));
    let (verdict, lanes, budgets, workers, jobs) = tokio::try_join!(
        session.get(&["admin", "verdict"]),
        session.get(LANE.path),
        session.get(BUDGET.path),
        session.get(WORKER.path),
        session.client.send(running),
    )?;
    Ok(Board { verdict, lanes, budgets, workers, jobs: jobs.body })
}

/// Returns a frame. With a size, no line is wider and no frame is higher.
fn draw(board: &Board, service: &str, size: Option<Size>, now: DateTime<Utc>) -> String {
    let width = size.map(|size| size.width);
    let mut lines = vec![format!("{service}   {}   Ctrl-C ends", now.format("%Y-%m-%d %H:%M:%S UTC"))];
    lines.push(scalar(&board.verdict["sentence"]));
    for pause in board.lanes["pauses"].as_array().into_iter().flatten() {
        lines.push(super::lane::describe_pause(pause));
    }
    let mut section = |title: &str, noun: &Noun, answer: &Value| {
        let items = answer[noun.key].as_array().cloned().unwrap_or_default();
        lines.push(String::new());
        lines.push(format!("{title} ({})", items.len()));
        if !items.is_empty() {
            lines.extend(render(&items, noun.columns, false, width, now).lines().map(str::to_owned));
        }
    };
    section("LANES", &LANE, &board.lanes);
    section("WORKERS", &WORKER, &board.workers);
    section("RUNNING JOBS", &JOB, &board.jobs);
    lines.push(String::new());
    lines.push("BUDGETS".to_owned());
    let budgets = board.budgets["budgets"].as_array().into_iter().flatten();
    lines.extend(budgets.flat_map(|budget| {
        let breaker = format!("{}: breaker {}", scalar(&budget["installation"]), scalar(&budget["breaker"]));
        [vec![breaker], describe_windows(budget)].concat()
    }));
    match size {
        Some(size) => fit(lines, size),
        None => lines.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn board() -> Board {
        let job = |number: usize| json!({ "job_id": format!("job-{number}"), "kind": "provision", "state": "running" });
        Board {
            verdict: json!({ "sentence": "Jobs move." }),
            lanes: json!({
                "lanes": [{ "installation": "default", "lane": "provision", "waiting": 3, "delayed": 0, "running": 1 }],
                "pauses": [{ "lane": "drift", "reason": "admin", "seconds_left": 60 }],
            }),
            budgets: json!({ "budgets": [{
                "installation": "default", "breaker": "closed",
                "windows": [{ "resource": "core", "remaining": 41, "limit": 5000, "reset_in_seconds": 9 }],
            }] }),
            workers: json!({ "workers": [{ "name": "worker-1\u{1b}[2J", "alive": true }] }),
            jobs: json!({ "jobs": (0..40).map(job).collect::<Vec<_>>() }),
        }
    }

    #[test]
    fn frame_shows_every_part() {
        let frame = draw(&board(), "runners.example.com", None, Utc::now());
        for part in [
            "Jobs move.",
            "LANES (1)",
            "drift is paused",
            "WORKERS (1)",
            "RUNNING JOBS (40)",
            "job-39",
            "core: 41 of 5000 left",
        ] {
            assert!(frame.contains(part), "{part}: {frame}");
        }
    }

    #[test]
    fn frame_fits_the_terminal_and_has_no_escapes() {
        let frame = draw(&board(), "runners.example.com", Some(Size { width: 60, height: 20 }), Utc::now());
        assert_eq!(frame.lines().count(), 20, "{frame}");
        assert!(frame.lines().all(|line| line.chars().count() <= 60), "{frame}");
        assert!(!frame.contains('\u{1b}'), "{frame}");
    }
}
