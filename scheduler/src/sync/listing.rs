//! Pages of GitHub's runner list, with a page read again only if it has changed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use domain::{InstallationId, RunnerVersion, SeenLabel, SeenRunner};
use github::{GitHub, GitHubError, Listing, Page, RetryAdvice};

use crate::{Parts, StepError, suspension};

/// Runners per page: GitHub's maximum.
const PER_PAGE: u32 = 100;
/// Pages read by one run. Runners beyond them are checked one by one, like runners that a changing list leaves out.
const MAX_PAGES: u32 = 1000;
/// Longest wait for the shared budget. If it would take longer, the run is left to a later time.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Shortest wait for the shared budget.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// Waits for the shared budget in one run.
const MAX_WAITS: u32 = 1000;

/// Pages of the last run with their entity tags; a run changes them in place. A tag is valid only with the same token,
/// so it saves most requests of the runs within one hour.
#[derive(Debug, Default)]
pub struct PageCache {
    pages: BTreeMap<u32, StoredPage>,
}

#[derive(Debug)]
struct StoredPage {
    etag: Option<String>,
    total: u64,
    next: Option<u32>,
    runners: Vec<ListedRunner>,
    /// Ids of the entries that cannot be read.
    unreadable: Vec<i64>,
}

#[derive(Debug)]
struct ListedRunner {
    seen: SeenRunner,
    /// Version of the runner software, once the runner has connected.
    version: Option<String>,
}

impl From<Page> for StoredPage {
    fn from(page: Page) -> Self {
        let runners = page.runners.into_iter().map(ListedRunner::from).collect();
        let unreadable = page.unreadable.into_iter().flatten().collect();
        Self { etag: page.etag, total: page.total_count, next: page.next, runners, unreadable }
    }
}

impl From<github::Runner> for ListedRunner {
    fn from(runner: github::Runner) -> Self {
        let label = |label: github::Label| SeenLabel {
            name: label.name,
            read_only: label.read_only,
            custom: label.custom,
        };
        Self {
            version: runner.version.filter(|text| text.parse::<RunnerVersion>().is_ok()),
            seen: SeenRunner {
                github_id: runner.id,
                name: runner.name,
                online: runner.status.eq_ignore_ascii_case("online"),
                busy: runner.busy,
                runner_group_id: runner.runner_group_id,
                labels: runner.labels.into_iter().map(label).collect(),
            },
        }
    }
}

/// Runners that one run has listed.
#[derive(Debug, Default)]
pub(super) struct Listed<'m> {
    /// Runners by GitHub id.
    pub(super) seen: HashMap<i64, &'m SeenRunner>,
    /// GitHub ids and software versions of runners that have connected.
    pub(super) versions: Vec<(i64, &'m str)>,
    /// Ids of entries that cannot be read: these runners exist, and nothing is concluded about them.
    pub(super) unreadable: HashSet<i64>,
    /// `total_count` of the last page.
    pub(super) total: u64,
    /// Every page arrived, all pages have the same count, and they list that number of different runners.
    pub(super) complete: bool,
    /// Requests sent to GitHub.
    pub(super) requests: u32,
    /// Reason why a page did not arrive; the pages before it may still update rows.
    pub(super) error: Option<String>,
}

/// Pages read, and how the reading ended.
struct Reading {
    pages: Vec<u32>,
    agree: bool,
    error: Option<String>,
}

/// Reads all pages in turn, each through a usable App of the pool. Returns `None` if there is none.
pub(super) async fn read_list<'m>(
    parts: &Parts,
    installation: &InstallationId,
    cache: &'m mut PageCache,
) -> Result<Option<Listed<'m>>, StepError> {
    let Some(reading) = read_all(parts, installation, cache).await? else { return Ok(None) };
    let mut listed = Listed {
        requests: u32::try_from(reading.pages.len()).unwrap_or(u32::MAX),
        error: reading.error,
        ..Listed::default()
    };
    for page in reading.pages.iter().filter_map(|number| cache.pages.get(number)) {
        listed.total = page.total;
        listed.unreadable.extend(&page.unreadable);
        for runner in &page.runners {
            listed.seen.insert(runner.seen.github_id, &runner.seen);
            listed.versions.extend(runner.version.as_deref().map(|text| (runner.seen.github_id, text)));
        }
    }
    let known = listed.seen.len() + listed.unreadable.len();
    let all_seen = u64::try_from(known).is_ok_and(|n| n == listed.total);
    listed.complete = listed.error.is_none() && reading.agree && all_seen;
    // A runner that moved between two pages is on both.
    listed.versions.sort_unstable();
    listed.versions.dedup_by_key(|(id, _)| *id);
    Ok(Some(listed))
}

async fn read_all(
    parts: &Parts,
    installation: &InstallationId,
    cache: &mut PageCache,
) -> Result<Option<Reading>, StepError> {
    let (mut reading, mut number, mut waits) =
        (Reading { pages: Vec::new(), agree: true, error: None }, 1, 0);
    let (mut total, mut tried) = (None, Vec::new());
    loop {
        let usable = parts.installations.usable_app(&parts.queue, installation, &tried).await?;
        // GitHub may have refused all that are left.
        let Some((app, github)) = usable else { return Ok(reading.error.is_some().then_some(reading)) };
        let (count, next) = match read_page(github, number, cache).await {
            Ok(page) => page,
            // The shared budget has room again soon; other calls go first.
            Err(GitHubError::Held { wait } | GitHubError::TokenTooNew { wait, .. })
                if wait <= MAX_WAIT && waits < MAX_WAITS =>
            {
                waits += 1;
                tokio::time::sleep(wait.max(MIN_WAIT)).await;
                continue;
            }
            Err(error) if matches!(error.retry_advice(), RetryAdvice::Wait(_)) => {
                tried.push(app.clone());
                continue;
            }
            Err(GitHubError::Suspended { message, .. }) => {
                suspension::record_suspension(parts, app, &message).await?;
                tried.push(app.clone());
                continue;
            }
            Err(error) => {
                tracing::warn!(installation = %app, number, %error, "a page of the runner list did not arrive");
                reading.error = Some(format!("page {number} did not arrive: {error}"));
                tried.push(app.clone());
                continue;
            }
        };
        reading.error = None;
        reading.pages.push(number);
        reading.agree &= *total.get_or_insert(count) == count;
        match next {
            Some(next) if next > number && next <= MAX_PAGES => number = next,
            next => {
                reading.agree &= next.is_none();
                break;
            }
        }
    }
    cache.pages.retain(|number, _| reading.pages.binary_search(number).is_ok());
    Ok(Some(reading))
}

/// Updates one cached page. Returns its `total_count` and the number of the next page.
async fn read_page(
    github: &GitHub,
    number: u32,
    cache: &mut PageCache,
) -> Result<(u64, Option<u32>), GitHubError> {
    let tag = cache.pages.get(&number).and_then(|page| page.etag.as_deref());
    match github.list_runners(number, PER_PAGE, tag).await? {
        Listing::Page(page) => {
            let page = StoredPage::from(page);
            let read = (page.total, page.next);
            cache.pages.insert(number, page);
            Ok(read)
        }
        // The client returns this only for a request with an entity tag.
        Listing::NotModified => {
            let known = cache.pages.get(&number).ok_or(GitHubError::Argument("no page for this tag"))?;
            Ok((known.total, known.next))
        }
    }
}
