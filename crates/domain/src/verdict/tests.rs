//! Every condition of a verdict, its order and its sentence.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::{InstallationId, Lane};

fn now() -> DateTime<Utc> {
    "2026-11-28T03:12:00Z".parse().unwrap()
}

fn acme() -> InstallationId {
    "acme".parse().unwrap()
}

/// Returns a service in which jobs move.
fn good() -> Picture {
    Picture {
        at: now(),
        database_answers: true,
        queue: Some(QueuePicture {
            lanes: vec![LanePicture {
                installation: acme(),
                lane: Lane::Provision,
                waiting: 41,
                delayed: 0,
                running: 3,
                oldest: Duration::from_millis(600),
            }],
            budgets: vec![BudgetPicture {
                installation: acme(),
                pool: acme(),
                breaker: BreakerPicture::Closed,
                windows: vec![WindowPicture {
                    resource: "core".to_owned(),
                    limit: 5000,
                    remaining: 3050,
                    reset_in: Duration::from_mins(29),
                }],
                points: Some(("generate-jitconfig".to_owned(), 645)),
                points_limit: Some(900),
                registrations: 12,
                registrations_limit: Some(1500),
                writes_per_minute: 90,
            }],
            ..QueuePicture::default()
        }),
        queue_away_for: None,
        installations: Vec::new(),
        workers: vec![worker("worker-3", true)],
        moved_lately: true,
        syncs: vec![sync(TimeDelta::minutes(2), 0)],
        leader: Some(LeaderPicture { leads: true, renewed_at: now() }),
        ended_last_minute: 214,
        events: UnacknowledgedEvents::default(),
    }
}

fn worker(name: &str, takes_jobs: bool) -> WorkerPicture {
    WorkerPicture {
        name: name.to_owned(),
        heartbeat_at: now() - TimeDelta::minutes(14),
        takes_jobs,
        slots: 8,
        installations: Some(vec!["acme".to_owned()]),
    }
}

fn sync(age: TimeDelta, held: u64) -> SyncPicture {
    let (installation, interval) = ("acme".to_owned(), Duration::from_mins(5));
    SyncPicture { installation, interval, last: Some(now() - age), held }
}

fn queue(picture: &mut Picture) -> &mut QueuePicture {
    picture.queue.as_mut().unwrap()
}

fn pause(scope: PauseScope, cause: PauseCause) -> PausePicture {
    PausePicture { scope, cause, left: Duration::from_mins(18), by: None, reason: None }
}

fn pause_acme(picture: &mut Picture, cause: PauseCause) {
    queue(picture).pauses.push(pause(PauseScope::Installation(acme()), cause));
}

/// Returns an installation that GitHub refuses with these words, or has suspended.
fn unusable(installation: InstallationId, refusal: Option<&str>) -> InstallationPicture {
    InstallationPicture { installation, suspended: refusal.is_none(), refusal: refusal.map(str::to_owned) }
}

fn suspend_one_of_a_pool(picture: &mut Picture) {
    let pool: InstallationId = "games".parse().unwrap();
    let installation: InstallationId = "games-2".parse().unwrap();
    let budgets = &mut queue(picture).budgets;
    for app in [&pool, &installation] {
        let (installation, pool) = (app.clone(), pool.clone());
        budgets.push(BudgetPicture { installation, pool, ..budgets[0].clone() });
    }
    picture.installations.push(unusable(installation, None));
}

/// Returns the picture of a service in which this condition holds and no earlier one.
fn picture_of(code: VerdictCode) -> Picture {
    let mut picture = good();
    match code {
        VerdictCode::DatabaseAway => picture.database_answers = false,
        VerdictCode::QueueAway => {
            (picture.queue, picture.queue_away_for) = (None, Some(Duration::from_secs(605)));
        }
        VerdictCode::InstallationSuspended => {
            picture.installations.push(unusable(acme(), None));
        }
        VerdictCode::OperatorNeeded => {
            let refusal = "GitHub refused with 403: Resource not accessible";
            picture.installations.push(unusable(acme(), Some(refusal)));
        }
        VerdictCode::GithubOutage => {
            queue(&mut picture).budgets[0].breaker = BreakerPicture::Open(Duration::from_secs(30));
        }
        VerdictCode::Paused => queue(&mut picture).pauses.push(PausePicture {
            by: Some("ada@example.com".to_owned()),
            reason: Some("rolling out 2.4".to_owned()),
            ..pause(PauseScope::Lane(Lane::Provision), PauseCause::Admin)
        }),
        VerdictCode::SecondaryLimit => pause_acme(&mut picture, PauseCause::SecondaryLimit),
        VerdictCode::WindowEmpty => queue(&mut picture).budgets[0].windows[0].remaining = 0,
        VerdictCode::NoWorker => picture.workers = vec![worker("worker-7", false)],
        VerdictCode::NoCredential => picture.workers[0].installations = Some(vec!["games".to_owned()]),
        VerdictCode::MinuteLimit => {
            queue(&mut picture).budgets[0].points = Some(("generate-jitconfig".to_owned(), 890));
        }
        VerdictCode::SlotsFull => {
            let lane = &mut queue(&mut picture).lanes[0];
            (lane.running, lane.oldest) = (8, Duration::from_secs(48));
        }
        VerdictCode::TeamLimit => {
            let (installation, team) = (acme(), "games-ci".to_owned());
            let (waiting, held, held_in_all) = (40, 39, 39);
            queue(&mut picture).teams.push(TeamPicture { installation, team, waiting, held, held_in_all });
        }
        VerdictCode::Stuck => {
            picture.moved_lately = false;
            queue(&mut picture).lanes[0].oldest = Duration::from_secs(61);
        }
        VerdictCode::AppUnusable => suspend_one_of_a_pool(&mut picture),
        VerdictCode::RemovalsHeld => picture.syncs = vec![sync(TimeDelta::minutes(2), 37)],
        VerdictCode::SyncBehind => picture.syncs = vec![sync(TimeDelta::minutes(22), 0)],
        VerdictCode::NoLeader => {
            let renewed_at = now() - TimeDelta::minutes(11);
            picture.leader = Some(LeaderPicture { leads: false, renewed_at });
        }
        VerdictCode::Moving => {}
    }
    picture
}

#[test]
fn each_condition_is_found_with_its_level_and_sentence() {
    let mut told = Vec::new();
    for code in VerdictCode::ALL {
        let verdict = Verdict::of(&picture_of(*code));
        assert_eq!(verdict.code, *code, "{}", verdict.sentence);
        assert_eq!(verdict.notice, None);
        let subject = match code {
            VerdictCode::NoCredential => Some("acme"),
            VerdictCode::TeamLimit => Some("games-ci"),
            _ => None,
        };
        assert_eq!(verdict.subject.as_deref(), subject);
        told.push(format!("{:7} {code}: {}\n", verdict.level().as_str(), verdict.sentence));
    }
    let wanted = "\
stopped database_away: The database does not answer; no request is accepted.
stopped queue_away: Redis does not answer since 03:01 UTC; requests are accepted, but no job starts.
stopped installation_suspended: GitHub has suspended the installation acme; 41 jobs wait.
stopped operator_needed: GitHub refuses the calls of installation acme until an operator acts: GitHub refused with 403: Resource not accessible
slow    github_outage: GitHub does not answer properly for installation acme; one job tries again in 30 s.
slow    paused: ada@example.com paused the provision lane until 03:30 UTC (“rolling out 2.4”); 41 jobs wait.
slow    secondary_limit: GitHub's secondary limit stops installation acme until 03:30 UTC; then 90 writes a minute are allowed.
slow    window_empty: GitHub's hourly window of installation acme is used up until 03:41 UTC.
stopped no_worker: No worker takes jobs, and 41 jobs wait; the last one seen is worker-7 at 02:58 UTC.
stopped no_credential: None of the 1 live workers has the credential of installation acme; 41 jobs wait.
slow    minute_limit: Installation acme is at GitHub's limit: 890 of 900 points on generate-jitconfig in this minute; the oldest job waits 0.6 s.
slow    slots_full: All 8 slots are busy, and the oldest job waits 48 s; about 2 more workers would help.
note    team_limit: Team games-ci has 40 of the 41 waiting jobs, and its own limit holds them.
stopped stuck: 41 jobs could start, but none has started or ended for a minute; restart a worker.
note    app_unusable: Jobs move; GitHub has suspended App games-2 of pool games, and the others go on.
note    removals_held: Jobs move; 37 removals of installation acme wait for an admin's approval.
note    sync_behind: Jobs move; installation acme was last compared with GitHub 22 min ago.
slow    no_leader: No scheduler leads since 03:01 UTC; no sync runs, and nothing is cleaned up.
ok      moving: Jobs move: 214 ended in the last minute, the oldest job waits 0.6 s, and GitHub has 61 % left until 03:41 UTC.
";
    assert_eq!(told.concat(), wanted);
}

/// Adds the facts of one picture to another.
fn merge(all: &mut Picture, one: Picture) {
    let Some(queue) = one.queue else {
        all.queue = None;
        return;
    };
    all.database_answers &= one.database_answers;
    all.installations.extend(one.installations);
    all.moved_lately &= one.moved_lately;
    all.syncs.extend(one.syncs);
    if one.leader.as_ref().is_some_and(|leader| !leader.leads) {
        all.leader = one.leader;
    }
    if one.workers != good().workers {
        all.workers = one.workers;
    }
    let usual = good().queue.unwrap();
    if let Some(kept) = &mut all.queue {
        kept.pauses.extend(queue.pauses);
        kept.teams.extend(queue.teams);
        if queue.lanes != usual.lanes {
            kept.lanes = queue.lanes;
        }
        if queue.budgets != usual.budgets {
            kept.budgets.extend(queue.budgets);
        }
    }
}

#[test]
fn earlier_condition_wins_over_every_later_one() {
    let codes = VerdictCode::ALL;
    for (nth, first) in codes.iter().enumerate() {
        for later in &codes[nth + 1..] {
            let mut both = picture_of(*later);
            merge(&mut both, picture_of(*first));
            assert_eq!(Verdict::of(&both).code, *first, "{first} with {later}");
        }
    }
}

#[test]
fn pause_without_waiting_jobs_is_no_reason() {
    let mut picture = picture_of(VerdictCode::Paused);
    queue(&mut picture).pauses[0].scope = PauseScope::Lane(Lane::Drift);
    assert_eq!(Verdict::of(&picture).code, VerdictCode::Moving);
    pause_acme(&mut picture, PauseCause::Admin);
    let verdict = Verdict::of(&picture);
    assert_eq!(verdict.sentence, "An admin paused installation acme until 03:30 UTC; 41 jobs wait.");
    let mut held = good();
    pause_acme(&mut held, PauseCause::Window);
    assert_eq!(Verdict::of(&held).code, VerdictCode::WindowEmpty);
}

#[test]
fn jobs_held_by_their_teams_are_not_stuck() {
    let mut picture = picture_of(VerdictCode::Stuck);
    let team = TeamPicture {
        installation: acme(),
        team: "games-ci".to_owned(),
        waiting: 20,
        held: 20,
        held_in_all: 41,
    };
    queue(&mut picture).teams.push(team);
    assert_eq!(Verdict::of(&picture).code, VerdictCode::Moving);
}

#[test]
fn worker_that_does_not_name_its_installations_counts_for_all() {
    let mut picture = picture_of(VerdictCode::NoCredential);
    picture.workers.push(WorkerPicture { installations: None, ..worker("old", true) });
    assert_eq!(Verdict::of(&picture).code, VerdictCode::Moving);
    let mut idle = picture_of(VerdictCode::NoWorker);
    queue(&mut idle).lanes[0].waiting = 0;
    assert_eq!(Verdict::of(&idle).code, VerdictCode::Moving, "no job waits");
}

#[test]
fn unacknowledged_events_are_a_second_sentence() {
    let notice = |critical, high| {
        let events = UnacknowledgedEvents { critical, high };
        Verdict::of(&Picture { events, ..good() }).notice.unwrap_or_default()
    };
    assert_eq!(notice(0, 0), "");
    assert_eq!(notice(1, 0), "1 critical security event waits for an admin's acknowledgement.");
    assert_eq!(notice(2, 3), "2 critical and 3 high security events wait for an admin's acknowledgement.");
}

#[test]
fn texts_from_outside_are_shortened_to_one_line() {
    let mut picture = picture_of(VerdictCode::OperatorNeeded);
    picture.installations[0].refusal = Some(format!("a\nb{}", "x".repeat(500)));
    let sentence = Verdict::of(&picture).sentence;
    assert!(sentence.contains("a bxxx") && sentence.ends_with('…') && sentence.len() < 260, "{sentence}");
}
