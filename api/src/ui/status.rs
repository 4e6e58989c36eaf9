//! Verdict and strip: the state of the service on top of every operator's page.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Picture, QueuePicture, SentencePart, VerdictCode, VerdictLevel};
use url::form_urlencoded::Serializer;

use super::{
    format::{count, number, span},
    level,
    snapshot::Snapshot,
};

/// Age of the oldest job from which its cell is marked.
const SLOW_START: Duration = Duration::from_secs(10);
/// Part of a window that marks its cell, in percent.
const LOW_WINDOW: u64 = 10;

/// State of the service on top of a page.
#[derive(Debug)]
pub(crate) struct Status {
    /// Level of the verdict.
    pub(crate) level: VerdictLevel,
    /// Word of the level.
    pub(crate) word: &'static str,
    /// Shape of the level.
    pub(crate) shape: &'static str,
    /// The verdict, with its times as parts of their own.
    pub(crate) sentence: Vec<SentencePart>,
    /// Page with the facts behind it.
    pub(crate) link: String,
    /// Security events that no admin has acknowledged.
    pub(crate) notice: Option<String>,
    /// Numbers of the strip.
    pub(crate) cells: Vec<Cell>,
    /// Time of the data.
    pub(crate) as_of: DateTime<Utc>,
}

/// One number of the strip.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) detail: String,
    pub(crate) link: &'static str,
    /// Whether the number needs attention.
    pub(crate) is_bad: bool,
}

impl Status {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let verdict = &snapshot.verdict;
        let level = verdict.level();
        Self {
            level,
            word: level::word(level),
            shape: level::shape(level),
            sentence: verdict.parts.clone(),
            link: link(snapshot),
            notice: verdict.notice.clone(),
            cells: cells(snapshot),
            as_of: snapshot.picture.at,
        }
    }

    /// Returns the URL of the icon of the browser's tab.
    pub(crate) fn favicon(&self) -> &'static str {
        super::assets::favicon(self.level)
    }
}

/// Returns the page with the facts behind the verdict: of its installation or team, if it is about one.
fn link(snapshot: &Snapshot) -> String {
    let verdict = &snapshot.verdict;
    let page = level::page(verdict.code);
    let Some(subject) = &verdict.subject else { return page.to_owned() };
    match verdict.code {
        VerdictCode::NoCredential => {
            let query = Serializer::new(String::new()).append_pair("without", subject).finish();
            format!("{page}?{query}")
        }
        VerdictCode::TeamLimit => {
            let team = snapshot.teams.iter().find(|team| team.name == *subject);
            team.map_or_else(|| page.to_owned(), |team| format!("/teams/{}", team.id))
        }
        _ => page.to_owned(),
    }
}

fn cells(snapshot: &Snapshot) -> Vec<Cell> {
    let picture = &snapshot.picture;
    if !picture.database_answers {
        return Vec::new();
    }
    let mut cells = Vec::new();
    if let Some(queue) = &picture.queue {
        cells.push(oldest(queue));
        cells.push(waiting(queue));
        cells.push(running(picture, queue));
    }
    if let Some(failed) = snapshot.failed_last_hour {
        let detail = "jobs in the last hour".to_owned();
        let (label, link) = ("Failed", "/failures?since=1h");
        cells.push(Cell { label, value: number(failed), detail, link, is_bad: failed > 0 });
    }
    cells.extend(picture.queue.as_ref().and_then(window));
    cells.push(fleet(picture));
    cells
}

fn oldest(queue: &QueuePicture) -> Cell {
    let oldest = queue.lanes.iter().filter(|lane| lane.waiting > 0).max_by_key(|lane| lane.oldest);
    let age = oldest.map_or(Duration::ZERO, |lane| lane.oldest);
    let detail = oldest
        .map_or_else(|| "nothing waits".to_owned(), |lane| format!("{}, {}", lane.lane, lane.installation));
    Cell { label: "Oldest waits", value: span(age), detail, link: "/lanes", is_bad: age > SLOW_START }
}

fn waiting(queue: &QueuePicture) -> Cell {
    let waiting: u64 = queue.lanes.iter().map(|lane| lane.waiting).sum();
    let delayed: u64 = queue.lanes.iter().map(|lane| lane.delayed).sum();
    let detail = format!("{} not due yet", number(delayed));
    Cell { label: "Waiting", value: number(waiting), detail, link: "/jobs?state=queued", is_bad: false }
}

fn running(picture: &Picture, queue: &QueuePicture) -> Cell {
    let running: u64 = queue.lanes.iter().map(|lane| lane.running).sum();
    let live: Vec<_> = picture.workers.iter().filter(|worker| worker.takes_jobs).collect();
    let slots: u64 = live.iter().map(|worker| worker.slots).sum();
    let workers = u64::try_from(live.len()).unwrap_or(u64::MAX);
    let value = format!("{} of {}", number(running), number(slots));
    let detail = format!("slots, {}", count(workers, "worker", "workers"));
    Cell { label: "Running", value, detail, link: "/workers", is_bad: workers == 0 }
}

/// Returns the hourly window with the smallest part left.
fn window(queue: &QueuePicture) -> Option<Cell> {
    let windows = queue.budgets.iter().flat_map(|budget| &budget.windows).filter(|window| window.limit > 0);
    let least = windows.min_by_key(|window| window.remaining * 1000 / window.limit)?;
    let percent = least.remaining * 100 / least.limit;
    Some(Cell {
        label: "GitHub budget",
        value: format!("{percent} %"),
        detail: format!("{} left, new in {}", number(least.remaining), span(least.reset_in)),
        link: "/budget",
        is_bad: percent < LOW_WINDOW,
    })
}

fn fleet(picture: &Picture) -> Cell {
    let held: u64 = picture.syncs.iter().map(|sync| sync.held).sum();
    let seen = picture.syncs.iter().filter_map(|sync| sync.last).min();
    let value = seen.map_or_else(|| "never".to_owned(), |seen| format!("{} ago", span(picture.at - seen)));
    let detail = if held > 0 {
        format!("{} held", count(held, "removal", "removals"))
    } else {
        "compared with GitHub".to_owned()
    };
    Cell { label: "Fleet seen", value, detail, link: "/fleet", is_bad: held > 0 }
}
