//! Conditions of a verdict, in order. Each returns its sentence if it holds.

use std::time::Duration;

use super::{
    VerdictCode,
    picture::{
        BreakerPicture, BudgetPicture, PauseCause, PausePicture, PauseScope, Picture, QueuePicture,
        TeamPicture,
    },
    sentence::marked,
    text::{help_of_workers, jobs_wait, queue_away, quote, span, time_after},
};
use crate::InstallationId;

/// Age of the oldest job from which full slots are reported.
const SLOW_START: Duration = Duration::from_secs(10);
/// Age of the oldest job from which a standstill is reported.
const STUCK_AFTER: Duration = Duration::from_mins(1);
/// Part of a limit that counts as used up, in percent: the budget keeps a margin.
const USED_UP_PERCENT: u64 = 95;
/// Part of the waiting jobs that makes one team the cause, in percent.
const TEAM_PERCENT: u64 = 80;
/// Number of waiting jobs from which one team can be the cause.
const MIN_TEAM_WAITING: u64 = 10;
/// Intervals without a sync run after which it counts as late.
const SYNC_INTERVALS: u32 = 3;

type Sentence = Option<String>;
type Condition = fn(&Picture, &QueuePicture) -> Sentence;

/// Returns the first condition that holds, with its sentence.
pub(super) fn first(picture: &Picture) -> (VerdictCode, String) {
    if !picture.database_answers {
        let sentence = "The database does not answer; no request is accepted.";
        return (VerdictCode::DatabaseAway, sentence.to_owned());
    }
    let Some(queue) = &picture.queue else {
        return (VerdictCode::QueueAway, queue_away(picture));
    };
    let conditions: [(VerdictCode, Condition); 16] = [
        (VerdictCode::InstallationSuspended, suspended),
        (VerdictCode::OperatorNeeded, operator_needed),
        (VerdictCode::GithubOutage, outage),
        (VerdictCode::Paused, paused),
        (VerdictCode::SecondaryLimit, secondary_limit),
        (VerdictCode::WindowEmpty, window_empty),
        (VerdictCode::NoWorker, no_worker),
        (VerdictCode::NoCredential, no_credential),
        (VerdictCode::MinuteLimit, minute_limit),
        (VerdictCode::SlotsFull, slots_full),
        (VerdictCode::TeamLimit, team_limit),
        (VerdictCode::Stuck, stuck),
        (VerdictCode::AppUnusable, app_unusable),
        (VerdictCode::RemovalsHeld, removals_held),
        (VerdictCode::SyncBehind, sync_behind),
        (VerdictCode::NoLeader, no_leader),
    ];
    let found = conditions.into_iter().find_map(|(code, check)| Some((code, check(picture, queue)?)));
    found.unwrap_or_else(|| (VerdictCode::Moving, moving(picture, queue)))
}

/// Returns the name of the installation or team that a verdict is about, where a page shows only that one.
pub(super) fn subject(picture: &Picture, code: VerdictCode) -> Option<String> {
    let queue = picture.queue.as_ref()?;
    match code {
        VerdictCode::NoCredential => lacking(picture, queue).map(|(name, _)| name.to_string()),
        VerdictCode::TeamLimit => held_by_itself(queue).map(|team| team.team.clone()),
        _ => None,
    }
}

/// Whether neither GitHub nor an operator's fault keeps the App from working.
fn is_usable(picture: &Picture, app: &InstallationId) -> bool {
    picture.installations.iter().all(|one| one.installation != *app)
}

/// Returns the pool of an installation if another App of it works.
fn goes_on<'a>(
    picture: &Picture,
    queue: &'a QueuePicture,
    name: &InstallationId,
) -> Option<&'a InstallationId> {
    queue.pool_goes_on_with(name, |app| is_usable(picture, app))
}

fn suspended(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let stops = |name: &InstallationId| goes_on(picture, queue, name).is_none();
    let one = picture.installations.iter().find(|one| one.suspended && stops(&one.installation))?;
    let waits = jobs_wait(queue.unstarted(&one.installation));
    Some(format!("GitHub has suspended the installation {}; {waits}.", one.installation))
}

fn operator_needed(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let stops = |name: &InstallationId| goes_on(picture, queue, name).is_none();
    let one = picture.installations.iter().find(|one| one.refusal.is_some() && stops(&one.installation))?;
    let refusal = quote(one.refusal.as_deref()?);
    let name = &one.installation;
    Some(format!("GitHub refuses the calls of installation {name} until an operator acts: {refusal}"))
}

fn app_unusable(picture: &Picture, queue: &QueuePicture) -> Sentence {
    picture.installations.iter().find_map(|one| {
        let (name, pool) = (&one.installation, goes_on(picture, queue, &one.installation)?);
        Some(match &one.refusal {
            Some(refusal) if !one.suspended => format!(
                "Jobs move; GitHub refuses the calls of App {name} of pool {pool} until an operator acts: {}",
                quote(refusal)
            ),
            _ => format!("Jobs move; GitHub has suspended App {name} of pool {pool}, and the others go on."),
        })
    })
}

fn outage(picture: &Picture, queue: &QueuePicture) -> Sentence {
    queue.budgets.iter().find_map(|budget| {
        let next = match budget.breaker {
            BreakerPicture::Closed => return None,
            BreakerPicture::Open(left) => format!("one job tries again in {}", span(left)),
            BreakerPicture::HalfOpen => "one job tries again now".to_owned(),
        };
        let name = &budget.installation;
        let alone = goes_on(picture, queue, name).is_none();
        alone.then(|| format!("GitHub does not answer properly for installation {name}; {next}."))
    })
}

fn pauses_by(queue: &QueuePicture, cause: PauseCause) -> impl Iterator<Item = &PausePicture> {
    queue.pauses.iter().filter(move |pause| pause.cause == cause)
}

fn paused(picture: &Picture, queue: &QueuePicture) -> Sentence {
    pauses_by(queue, PauseCause::Admin).find_map(|pause| {
        let (object, waiting) = match &pause.scope {
            PauseScope::Installation(name) => (format!("installation {name}"), queue.waiting(Some(name))),
            PauseScope::Lane(lane) => {
                let lanes = queue.lanes.iter().filter(|one| one.lane == *lane);
                (format!("the {lane} lane"), lanes.map(|one| one.waiting).sum())
            }
        };
        if waiting == 0 {
            return None;
        }
        let by = pause.by.as_deref().map_or_else(|| "An admin".to_owned(), quote);
        let reason = pause.reason.as_deref().map(|reason| format!(" (“{}”)", quote(reason)));
        let (reason, until) = (reason.unwrap_or_default(), time_after(picture, pause.left));
        Some(format!("{by} paused {object} until {until}{reason}; {}.", jobs_wait(waiting)))
    })
}

fn secondary_limit(picture: &Picture, queue: &QueuePicture) -> Sentence {
    pauses_by(queue, PauseCause::SecondaryLimit).find_map(|pause| {
        let PauseScope::Installation(name) = &pause.scope else { return None };
        if goes_on(picture, queue, name).is_some() {
            return None;
        }
        let budget = queue.budgets.iter().find(|budget| budget.installation == *name);
        let writes = budget.map_or_else(String::new, |budget| {
            format!("; then {} writes a minute are allowed", budget.writes_per_minute)
        });
        let until = time_after(picture, pause.left);
        Some(format!("GitHub's secondary limit stops installation {name} until {until}{writes}."))
    })
}

fn window_empty(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let held = pauses_by(queue, PauseCause::Window).find_map(|pause| match &pause.scope {
        PauseScope::Installation(name) if goes_on(picture, queue, name).is_none() => Some((name, pause.left)),
        PauseScope::Installation(_) | PauseScope::Lane(_) => None,
    });
    let empty = || {
        queue.budgets.iter().find_map(|budget| {
            let window = budget.windows.iter().find(|window| window.remaining == 0)?;
            let alone = goes_on(picture, queue, &budget.installation).is_none();
            alone.then_some((&budget.installation, window.reset_in))
        })
    };
    let (name, left) = held.or_else(empty)?;
    let until = time_after(picture, left);
    Some(format!("GitHub's hourly window of installation {name} is used up until {until}."))
}

fn no_worker(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let waiting = queue.waiting(None);
    if waiting == 0 || picture.workers.iter().any(|worker| worker.takes_jobs) {
        return None;
    }
    let waits = jobs_wait(waiting);
    let last = picture.workers.iter().max_by_key(|worker| worker.heartbeat_at);
    Some(last.map_or_else(
        || format!("No worker was seen in the last hour, and {waits}."),
        |last| {
            let seen = marked(last.heartbeat_at);
            format!(
                "No worker takes jobs, and {waits}; the last one seen is {} at {seen}.",
                quote(&last.name)
            )
        },
    ))
}

/// Returns an installation with jobs of which no live worker has the credential, and the number of those workers.
fn lacking<'q>(picture: &Picture, queue: &'q QueuePicture) -> Option<(&'q InstallationId, usize)> {
    let live: Vec<_> = picture.workers.iter().filter(|worker| worker.takes_jobs).collect();
    let name = queue.lanes.iter().map(|lane| &lane.installation).find(|name| {
        let lacks = |known: &Vec<String>| !known.iter().any(|known| known == name.as_str());
        !live.is_empty()
            && queue.unstarted(name) > 0
            && live.iter().all(|worker| worker.installations.as_ref().is_some_and(lacks))
    })?;
    Some((name, live.len()))
}

fn no_credential(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let (name, workers) = lacking(picture, queue)?;
    let waits = jobs_wait(queue.unstarted(name));
    Some(format!("None of the {workers} live workers has the credential of installation {name}; {waits}."))
}

fn is_used_up(used: u64, limit: Option<u64>) -> Option<u64> {
    limit.filter(|limit| used.saturating_mul(100) >= limit.saturating_mul(USED_UP_PERCENT))
}

fn minute_limit(picture: &Picture, queue: &QueuePicture) -> Sentence {
    queue.budgets.iter().find_map(|budget| {
        let (name, pool) = (&budget.installation, &budget.pool);
        let used = used_limit(budget)?;
        let mut others = queue.budgets.iter().filter(|other| {
            other.pool == *pool && other.installation != *name && is_usable(picture, &other.installation)
        });
        // The first App of a pool counts the registrations of all.
        let all = is_used_up(budget.registrations, budget.registrations_limit).is_some()
            || others.all(|other| used_limit(other).is_some());
        if !all || queue.waiting(Some(pool)) == 0 {
            return None;
        }
        let oldest = span(queue.oldest(Some(pool)));
        Some(format!("Installation {name} is at GitHub's limit: {used}; the oldest job waits {oldest}."))
    })
}

fn used_limit(budget: &BudgetPicture) -> Option<String> {
    let points = budget.points.as_ref().and_then(|(endpoint, used)| {
        let limit = is_used_up(*used, budget.points_limit)?;
        Some(format!("{used} of {limit} points on {endpoint} in this minute"))
    });
    points.or_else(|| {
        let limit = is_used_up(budget.registrations, budget.registrations_limit)?;
        Some(format!("{} of {limit} registrations in five minutes", budget.registrations))
    })
}

/// Returns the number of slots of all workers that take jobs, and whether all are busy.
fn slots(picture: &Picture, queue: &QueuePicture) -> (u64, bool) {
    let live = picture.workers.iter().filter(|worker| worker.takes_jobs);
    let slots = live.map(|worker| worker.slots).sum();
    (slots, queue.lanes.iter().map(|lane| lane.running).sum::<u64>() >= slots)
}

fn slots_full(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let ((slots, full), oldest) = (slots(picture, queue), queue.oldest(None));
    (slots > 0 && full && oldest > SLOW_START).then(|| {
        let (oldest, live) =
            (span(oldest), picture.workers.iter().filter(|worker| worker.takes_jobs).count());
        let more = picture.workers_wanted().unwrap_or_default().saturating_sub(live as u64);
        let help = help_of_workers(more);
        format!("All {slots} slots are busy, and the oldest job waits {oldest}; {help}.")
    })
}

/// Returns a team that has most of the waiting jobs, which its own limit holds.
fn held_by_itself(queue: &QueuePicture) -> Option<&TeamPicture> {
    queue.teams.iter().find(|one| {
        let all = queue.unstarted(&one.installation);
        let most = one.waiting.saturating_mul(100) > all.saturating_mul(TEAM_PERCENT);
        let own = one.held.saturating_mul(2) > one.waiting;
        most && own && one.waiting >= MIN_TEAM_WAITING
    })
}

fn team_limit(_: &Picture, queue: &QueuePicture) -> Sentence {
    let one = held_by_itself(queue)?;
    let (team, waiting, all) = (quote(&one.team), one.waiting, queue.unstarted(&one.installation));
    Some(format!("Team {team} has {waiting} of the {all} waiting jobs, and its own limit holds them."))
}

fn stuck(picture: &Picture, queue: &QueuePicture) -> Sentence {
    let held: u64 = queue.teams.iter().map(|team| team.held_in_all).sum();
    let free = queue.waiting(None).saturating_sub(held);
    let (slots, full) = slots(picture, queue);
    let stands = free > 0
        && slots > 0
        && !full
        && !picture.moved_lately
        && queue.pauses.is_empty()
        && queue.oldest(None) >= STUCK_AFTER;
    stands.then(|| {
        format!("{free} jobs could start, but none has started or ended for a minute; restart a worker.")
    })
}

fn removals_held(picture: &Picture, _: &QueuePicture) -> Sentence {
    let one = picture.syncs.iter().find(|sync| sync.held > 0)?;
    let (held, name) = (one.held, &one.installation);
    Some(format!("Jobs move; {held} removals of installation {name} wait for an admin's approval."))
}

fn sync_behind(picture: &Picture, _: &QueuePicture) -> Sentence {
    picture.syncs.iter().find_map(|sync| {
        let age = (picture.at - sync.last?).to_std().ok()?;
        let name = &sync.installation;
        (age > sync.interval * SYNC_INTERVALS).then(|| {
            let age = span(age);
            format!("Jobs move; installation {name} was last compared with GitHub {age} ago.")
        })
    })
}

fn no_leader(picture: &Picture, _: &QueuePicture) -> Sentence {
    match &picture.leader {
        Some(leader) if leader.leads => None,
        Some(leader) => {
            let since = marked(leader.renewed_at);
            Some(format!("No scheduler leads since {since}; no sync runs, and nothing is cleaned up."))
        }
        None => Some("No scheduler has ever led; start one with `rts scheduler`.".to_owned()),
    }
}

fn moving(picture: &Picture, queue: &QueuePicture) -> String {
    let ended = picture.ended_last_minute;
    let waits = match queue.waiting(None) {
        0 => "no job waits".to_owned(),
        _ => format!("the oldest job waits {}", span(queue.oldest(None))),
    };
    let windows = queue.budgets.iter().flat_map(|budget| &budget.windows);
    let lowest = windows.filter(|window| window.limit > 0).min_by_key(|w| w.remaining * 1000 / w.limit);
    let left = lowest.map(|window| {
        let percent = window.remaining * 100 / window.limit;
        format!(", and GitHub has {percent} % left until {}", time_after(picture, window.reset_in))
    });
    format!("Jobs move: {ended} ended in the last minute, {waits}{}.", left.unwrap_or_default())
}
