//! Who holds what, and what becomes of it.

use std::{collections::HashSet, time::Duration};

use domain::{JobId, Lane, TeamId};
use queue::{Cancelled, Claimer, Place, QueueError, Spine, SpineConfig};

use crate::support::{Corner, Line, Server, claimer, delayed, ticket, tickets};

#[tokio::test]
async fn an_expired_lease_is_taken_back_once_and_counted() {
    let corner = Corner::new().await;
    corner.spine.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    let zombie = corner.take(1).await.remove(0);
    assert!(corner.take(1).await.is_empty(), "a held job is nobody else's");
    corner.let_pass("l", Lane::Provision).await;

    let (one, two) = (claimer(), claimer());
    let (a, b) = tokio::join!(corner.spine.claim(&one, 5), corner.spine.claim(&two, 5));
    let mut jobs = [a.unwrap().jobs, b.unwrap().jobs].concat();
    assert_eq!(jobs.len(), 1);
    let heir = jobs.remove(0);
    assert_eq!((heir.job, heir.rescues, heir.claims), (zombie.job, 1, 2));

    assert!(!heir.was_given_back());

    assert!(!corner.spine.finish(&zombie).await.unwrap(), "a late finish is refused");
    assert!(!corner.spine.release(&zombie).await.unwrap());
    assert_eq!(corner.spine.extend(&[&zombie], Duration::from_mins(1)).await.unwrap(), [zombie.job]);
    assert!(corner.spine.release(&heir).await.unwrap());
    let heir = corner.take(1).await.remove(0);
    assert!(!heir.was_given_back(), "it may never have been started");
    assert!(corner.spine.snooze(&heir, Duration::ZERO).await.unwrap());
    let heir = corner.take(1).await.remove(0);
    assert!(heir.was_given_back(), "its holder answered");
    assert!(corner.spine.finish(&heir).await.unwrap());
    assert!(!corner.spine.finish(&heir).await.unwrap(), "only once");
}

#[tokio::test]
async fn real_time_ends_a_lease_too() {
    let corner = Corner::new().await;
    corner.spine.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    let short = Claimer::new("short", Duration::from_millis(5));
    assert_eq!(corner.spine.claim(&short, 1).await.unwrap().jobs.len(), 1);
    let heir = loop {
        if let Some(lease) = corner.take(1).await.pop() {
            break lease;
        }
    };
    assert_eq!(heir.rescues, 1);
}

#[tokio::test]
async fn a_renewed_lease_stays() {
    let corner = Corner::new().await;
    corner.spine.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    let lease = corner.take(1).await.remove(0);
    corner.let_pass("l", Lane::Provision).await;
    assert!(corner.spine.extend(&[&lease], Duration::from_mins(1)).await.unwrap().is_empty());
    assert!(corner.take(1).await.is_empty());
    assert!(corner.spine.finish(&lease).await.unwrap());
}

#[tokio::test]
async fn leases_come_back_after_a_flush() {
    let server = Server::start().await;
    let corner = Corner::at(server.url()).await;
    corner.spine.enqueue(&tickets(3, TeamId::new())).await.unwrap();
    corner.spine.mark_epoch().await.unwrap();
    assert!(corner.spine.epoch().await.unwrap().is_some());
    let leases = corner.take(2).await;
    corner.ask::<String>(&["FLUSHALL"]).await;
    assert_eq!(corner.spine.epoch().await.unwrap(), None, "the loss shows");

    let both: Vec<_> = leases.iter().collect();
    assert!(corner.spine.extend(&both, Duration::from_mins(1)).await.unwrap().is_empty());
    let jobs: Vec<JobId> = leases.iter().map(|lease| lease.job).collect();
    assert_eq!(corner.spine.leased(&jobs).await.unwrap(), jobs);
    assert!(corner.take(1).await.is_empty(), "nobody else gets them");
    assert!(corner.spine.release(&leases[0]).await.unwrap());
    assert_eq!(corner.take(1).await[0].job, leases[0].job);
    assert!(corner.spine.finish(&leases[1]).await.unwrap());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again() {
    let server = Server::start().await;
    let corner = Corner::at(server.url()).await;
    let line = Line::to(&server);
    corner.spine.enqueue(&tickets(4, TeamId::new())).await.unwrap();
    let hasty = SpineConfig {
        call_timeout: Duration::from_millis(200),
        ..SpineConfig::new(line.url(), corner.namespace.as_str())
    };
    let hasty = Spine::connect(&hasty).unwrap();
    let running =
        async || corner.spine.stats().await.unwrap().lanes.iter().map(|lane| lane.running).sum::<u64>();
    // Redis gets to know the script before its answers are swallowed.
    corner.spine.claim(&claimer(), 1).await.unwrap();
    hasty.ping().await.unwrap();
    let claimer = claimer();
    line.swallow_answers(true);
    assert!(matches!(hasty.claim(&claimer, 2).await, Err(QueueError::Timeout)));
    assert_eq!(running().await, 3, "the claim happened");

    line.swallow_answers(false);
    let again = loop {
        // The attempt to connect that went unanswered has to end first.
        match hasty.claim(&claimer, 2).await {
            Ok(claim) => break claim.jobs,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((again.len(), running().await), (2, 3), "the same two, and no more");
    assert_eq!(hasty.claim(&claimer, 4).await.unwrap().jobs.len(), 1, "then it goes on");
    assert!(hasty.finish(&again[0]).await.unwrap());
}

#[tokio::test]
async fn a_job_is_put_in_once_wherever_it_is() {
    let corner = Corner::new().await;
    let team = TeamId::new();
    let (waiting, late, held) = (ticket(team), delayed(team), ticket(TeamId::new()));
    corner.spine.enqueue(std::slice::from_ref(&held)).await.unwrap();
    let lease = corner.take(1).await.remove(0);
    let all = [waiting.clone(), late.clone(), held.clone(), waiting.clone()];
    assert_eq!(corner.spine.enqueue(&all).await.unwrap(), 2);
    assert_eq!(corner.spine.enqueue(&all).await.unwrap(), 0);

    let place = async |job| corner.spine.standing(job).await.unwrap().map(|standing| standing.place);
    assert_eq!(place(waiting.job).await, Some(Place::Ready { ahead: 0 }));
    assert!(
        matches!(place(late.job).await, Some(Place::Delayed { due_in }) if due_in > Duration::from_mins(50))
    );
    assert_eq!(place(held.job).await, Some(Place::Leased));
    assert_eq!(place(JobId::new()).await, None);
    assert!(corner.spine.finish(&lease).await.unwrap());
    assert_eq!(corner.spine.unknown(&[waiting.job, held.job, late.job]).await.unwrap(), [held.job]);
}

#[tokio::test]
async fn what_waits_can_be_cancelled() {
    let corner = Corner::new().await;
    let team = TeamId::new();
    let (waiting, late, held) = (ticket(team), delayed(team), ticket(TeamId::new()));
    corner.spine.enqueue(std::slice::from_ref(&held)).await.unwrap();
    let lease = corner.take(1).await.remove(0);
    corner.spine.enqueue(&[waiting.clone(), late.clone()]).await.unwrap();
    assert_eq!(corner.spine.cancel(waiting.job).await.unwrap(), Cancelled::Removed);
    assert_eq!(corner.spine.cancel(late.job).await.unwrap(), Cancelled::Removed);
    assert_eq!(corner.spine.cancel(held.job).await.unwrap(), Cancelled::Leased);
    assert_eq!(corner.spine.cancel(waiting.job).await.unwrap(), Cancelled::Unknown);
    assert!(corner.take(1).await.is_empty());
    assert!(corner.spine.finish(&lease).await.unwrap());
}

#[tokio::test]
async fn thousands_of_jobs_may_fall_due_at_once() {
    let corner = Corner::new().await;
    let team = TeamId::new();
    let late: Vec<_> = (0..9_500).map(|_| delayed(team)).collect();
    corner.spine.enqueue(&late).await.unwrap();
    let claimer = claimer();
    let idle = corner.spine.claim(&claimer, 100).await.unwrap();
    assert!(idle.jobs.is_empty() && idle.wait > Duration::from_secs(1));
    corner.let_pass("d", Lane::Provision).await;
    let mut seen = HashSet::new();
    loop {
        let claim = corner.spine.claim(&claimer, 100).await.unwrap();
        seen.extend(claim.jobs.iter().map(|lease| lease.job));
        if claim.jobs.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 9_500);
}

#[tokio::test]
async fn the_wait_ends_with_the_next_event() {
    let corner = Corner::new().await;
    let claimer = Claimer::new("short", Duration::from_millis(900));
    corner.spine.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    assert_eq!(corner.spine.claim(&claimer, 1).await.unwrap().wait, Duration::ZERO, "more may be ready");
    let wait = corner.spine.claim(&claimer, 1).await.unwrap().wait;
    assert!(wait <= Duration::from_millis(900), "a lease ends before long: {wait:?}");
}

#[tokio::test]
async fn nothing_is_left_of_finished_work() {
    let corner = Corner::new().await;
    corner.spine.enqueue(&tickets(10, TeamId::new())).await.unwrap();
    for lease in corner.take(10).await {
        assert!(corner.spine.finish(&lease).await.unwrap());
    }
    let claim = corner.spine.claim(&claimer(), 1).await.unwrap();
    assert!(claim.jobs.is_empty());
    assert!(corner.spine.stats().await.unwrap().lanes.is_empty());
    let mut left: Vec<String> = corner.ask(&["KEYS", &corner.key("*")]).await;
    left.retain(|key| !key.contains("}:c:") && !key.contains("}:b:"));
    left.sort();
    assert_eq!(
        left,
        [corner.key("sites"), corner.key("w")],
        "settings, a bounded list, the bell and last answers that expire"
    );
}

#[tokio::test]
async fn an_idle_claim_is_cheap() {
    let server = Server::start().await;
    let corner = Corner::at(server.url()).await;
    let claimer = claimer();
    corner.spine.claim(&claimer, 1).await.unwrap();
    corner.ask::<String>(&["CONFIG", "RESETSTAT"]).await;
    let claim = corner.spine.claim(&claimer, 1).await.unwrap();
    assert_eq!(claim.wait, Duration::from_secs(5));
    let stats: String = corner.ask(&["INFO", "commandstats"]).await;
    let named = ["evalsha", "del", "time", "get", "zrange"];
    for line in stats.lines().filter(|line| line.starts_with("cmdstat_")) {
        let own = ["config", "info", "client", "hello", "select"].iter().any(|name| line.contains(name));
        let known = named.iter().any(|name| line.starts_with(&format!("cmdstat_{name}:calls=1,")));
        assert!(own || known, "{line}");
    }
}

#[tokio::test]
async fn a_redis_that_is_down_is_no_reason_not_to_start() {
    let mut server = Server::start().await;
    let url = server.url();
    server.kill();
    let spine = Spine::connect(&SpineConfig::new(url, "late")).unwrap();
    assert!(spine.ping().await.unwrap_err().is_transient());
    server.restart().await;
    spine.ping().await.unwrap();
    assert_eq!(spine.enqueue(&[ticket(TeamId::new())]).await.unwrap(), 1);
}

#[test]
fn an_address_is_checked_and_never_repeated() {
    let bad = Spine::connect(&SpineConfig::new("ftp://user:secret@host", "x")).unwrap_err();
    assert!(!format!("{bad:?} {bad}").contains("secret"));
    assert!(Spine::connect(&SpineConfig::new("redis://host", "a}b")).is_err());
    assert!(!format!("{:?}", SpineConfig::new("redis://:secret@host", "x")).contains("secret"));
}
