//! Reading all pages, each only if it has changed.

use std::{collections::HashMap, time::Duration};

use domain::{InstallationId, RunnerVersion, SeenLabel, SeenRunner};
use github::{GitHub, GitHubError, Listing, Page, Verdict};

use crate::{Parts, StepError};

/// Runners of a page: GitHub's most.
const PER_PAGE: u32 = 100;
/// More pages than this are not read, and the pass is not complete.
const MOST_PAGES: u32 = 1000;
/// Longest wait for room in the shared budget; when it takes longer, the pass is left to another time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shortest such wait.
const SHORTEST: Duration = Duration::from_millis(20);
/// Most such waits of one pass.
const MOST_TURNS: u32 = 1000;

/// The pages of the last pass with their entity tags. A tag is worth something only with the same token, so this saves
/// most of what passes within one hour cost.
#[derive(Debug, Default)]
pub struct Memory {
    pages: HashMap<u32, Page>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// By GitHub's id.
    pub(super) seen: HashMap<i64, SeenRunner>,
    /// The runner software of those that have been connected, by GitHub's id.
    pub(super) versions: HashMap<i64, String>,
    /// `total_count` of the pages.
    pub(super) total: u64,
    /// Every page arrived, all tell the same count, and so many different runners were on them.
    pub(super) complete: bool,
    /// Requests made.
    pub(super) requests: u32,
    /// Why a page did not arrive; what came before it may still update rows.
    pub(super) error: Option<String>,
}

/// Reads all pages, one after the other; before each it is looked whether GitHub wants to be left alone. None: it does.
pub(super) async fn all(
    parts: &Parts,
    (installation, github): (&InstallationId, &GitHub),
    memory: &mut Memory,
) -> Result<Option<Listed>, StepError> {
    let (mut listed, mut agree, mut number, mut turns) = (Listed::default(), true, 1, MOST_TURNS);
    let mut fresh = HashMap::new();
    loop {
        if fleet::resting(&parts.spine, installation).await? {
            return Ok(None);
        }
        let page = match read(github, number, memory).await {
            Ok(page) => page,
            // The shared budget has room again soon: others go first meanwhile.
            Err(GitHubError::Held { wait, .. }) if wait <= PATIENCE && turns > 0 => {
                turns -= 1;
                tokio::time::sleep(wait.max(SHORTEST)).await;
                continue;
            }
            Err(error) if matches!(error.verdict(), Verdict::Wait(_)) => return Ok(None),
            Err(error) => {
                tracing::warn!(%installation, number, %error, "a page of the fleet did not arrive");
                listed.error = Some(format!("page {number} did not arrive: {error}"));
                return Ok(Some(listed));
            }
        };
        listed.requests += 1;
        agree &= number == 1 || page.total_count == listed.total;
        listed.total = page.total_count;
        listed.seen.extend(page.runners.iter().map(|runner| (runner.id, seen(runner))));
        listed.versions.extend(page.runners.iter().filter_map(|runner| Some((runner.id, version(runner)?))));
        let next = page.next;
        fresh.insert(number, page);
        match next {
            Some(next) if next <= MOST_PAGES => number = next,
            Some(_) => {
                agree = false;
                break;
            }
            None => break,
        }
    }
    memory.pages = fresh;
    listed.complete = agree && u64::try_from(listed.seen.len()).is_ok_and(|n| n == listed.total);
    Ok(Some(listed))
}

async fn read(github: &GitHub, number: u32, memory: &Memory) -> Result<Page, GitHubError> {
    let known = memory.pages.get(&number);
    let tag = known.and_then(|page| page.etag.as_deref());
    match (github.list_runners(number, PER_PAGE, tag).await?, known) {
        (Listing::Page(page), _) => Ok(page),
        (Listing::NotModified, Some(known)) => Ok(known.clone()),
        // The client answers so only to a request with a tag.
        (Listing::NotModified, None) => Err(GitHubError::Argument("no page for this tag")),
    }
}

/// What it tells of its software, if that is what a version looks like.
fn version(runner: &github::Runner) -> Option<String> {
    runner.version.clone().filter(|text| text.parse::<RunnerVersion>().is_ok())
}

fn seen(runner: &github::Runner) -> SeenRunner {
    let label = |label: &github::Label| SeenLabel {
        name: label.name.clone(),
        read_only: label.read_only,
        custom: label.custom,
    };
    SeenRunner {
        github_id: runner.id,
        name: runner.name.clone(),
        online: runner.status.eq_ignore_ascii_case("online"),
        busy: runner.busy,
        runner_group_id: runner.runner_group_id,
        labels: runner.labels.iter().map(label).collect(),
    }
}
