//! `rts top`: lanes, budgets, workers and running jobs in a terminal.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    nouns::{BUDGET, JOB, LANE, WORKER},
    overview::describe_windows,
    values::duration,
};
use crate::{
    error::ClientError,
    output::{Noun, plain, print::line, render, scalar},
    session::Session,
};

/// Most running jobs that are fetched.
const MAX_JOBS: usize = 50;
/// Shortest time between two looks, which keeps the command far below a caller's rate.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Size of a terminal that does not tell its own.
const DEFAULT_SIZE: (u16, u16) = (100, 40);

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

/// The terminal's second screen, which is left at the end.
struct Screen;

impl Screen {
    /// Switches to the second screen and hides the cursor.
    fn enter() -> Self {
        print_raw("\u{1b}[?1049h\u{1b}[?25l");
        Self
    }

    /// Shows a frame from the first line on.
    fn show(frame: &str) {
        let lines: Vec<String> = frame.lines().map(|line| format!("{line}\u{1b}[K")).collect();
        print_raw(&format!("\u{1b}[H{}\u{1b}[J", lines.join("\r\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print_raw("\u{1b}[?25h\u{1b}[?1049l");
    }
}

fn print_raw(text: &str) {
    let mut stdout = io::stdout().lock();
    // A terminal that is gone ends the program by a signal.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Runs the command.
pub(crate) async fn run(session: &Session, args: &TopArgs) -> Result<(), ClientError> {
    if args.once || !io::stdout().is_terminal() {
        let board = look(session).await?;
        line(draw(&board, &session.client.url.host(), None, Utc::now()));
        return Ok(());
    }
    let fault = |error: io::Error| ClientError::Failed(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut ticks = tokio::time::interval(args.interval.max(MIN_INTERVAL));
    let _screen = Screen::enter();
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let looked = tokio::select! {
            looked = look(session) => looked,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let size = terminal_size::terminal_size().map_or(DEFAULT_SIZE, |(width, height)| (width.0, height.0));
        match looked {
            Ok(board) => Screen::show(&draw(&board, &session.client.url.host(), Some(size), Utc::now())),
            Err(error) if error.exit_code() == 3 => Screen::show(&format!("{error}; the next look is soon")),
            Err(error) => return Err(error),
        }
    }
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
fn draw(board: &Board, service: &str, size: Option<(u16, u16)>, now: DateTime<Utc>) -> String {
    let width = size.map(|(width, _)| width);
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
    fit(lines, size).join("\n")
}

/// Cuts lines and frame to the size of the terminal.
fn fit(lines: Vec<String>, size: Option<(u16, u16)>) -> Vec<String> {
    let Some((width, height)) = size else { return lines };
    let cut = |line: String| plain(&line).chars().take(usize::from(width)).collect();
    let mut fitting: Vec<String> = lines.into_iter().map(cut).collect();
    fitting.truncate(usize::from(height).max(1));
    fitting
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
        let frame = draw(&board(), "runners.example.com", Some((60, 20)), Utc::now());
        assert_eq!(frame.lines().count(), 20, "{frame}");
        assert!(frame.lines().all(|line| line.chars().count() <= 60), "{frame}");
        assert!(!frame.contains('\u{1b}'), "{frame}");
    }
}
