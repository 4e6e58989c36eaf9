//! Leases: expiry, renewal, return and repetition.

use std::{collections::HashSet, time::Duration};

use domain::{JobId, Lane, TeamId};
use queue::{Cancelled, Claimer, JobPlace, Queue, QueueConfig, QueueError};

use crate::support::{Line, Server, TestQueue, claimer, delayed, ticket, tickets};

#[tokio::test]
async fn expired_lease_is_taken_back_once_and_counted() {
    let test = TestQueue::new().await;
    test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    let zombie = test.take(1).await.remove(0);
    assert!(test.take(1).await.is_empty(), "a leased job has one owner");
    test.make_due("leased", Lane::Provision).await;

    let (one, two) = (claimer(), claimer());
    let (a, b) = tokio::join!(test.queue.claim(&one, 5), test.queue.claim(&two, 5));
    let mut jobs = [a.unwrap().jobs, b.unwrap().jobs].concat();
    assert_eq!(jobs.len(), 1);
    let heir = jobs.remove(0);
    assert_eq!((heir.job, heir.rescues, heir.claims), (zombie.job, 1, 2));

    assert!(!heir.was_given_back());

    assert!(!test.queue.finish(&zombie).await.unwrap(), "a late finish is refused");
    assert!(!test.queue.release(&zombie).await.unwrap());
    assert_eq!(test.queue.extend(&[&zombie], Duration::from_mins(1)).await.unwrap(), [zombie.job]);
    assert!(test.queue.release(&heir).await.unwrap());
    let heir = test.take(1).await.remove(0);
    assert!(!heir.was_given_back(), "it may never have been started");
    assert!(test.queue.snooze(&heir, Duration::ZERO).await.unwrap());
    let heir = test.take(1).await.remove(0);
    assert!(heir.was_given_back(), "its holder responded");
    assert!(test.queue.finish(&heir).await.unwrap());
    assert!(!test.queue.finish(&heir).await.unwrap(), "only once");
}

#[tokio::test]
async fn lease_expires_in_real_time() {
    let test = TestQueue::new().await;
    test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    let short = Claimer::new("short", Duration::from_millis(5));
    assert_eq!(test.queue.claim(&short, 1).await.unwrap().jobs.len(), 1);
    let heir = loop {
        if let Some(lease) = test.take(1).await.pop() {
            break lease;
        }
    };
    assert_eq!(heir.rescues, 1);
}

#[tokio::test]
async fn renewed_lease_stays() {
    let test = TestQueue::new().await;
    test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    let lease = test.take(1).await.remove(0);
    test.make_due("leased", Lane::Provision).await;
    assert!(test.queue.extend(&[&lease], Duration::from_mins(1)).await.unwrap().is_empty());
    assert!(test.take(1).await.is_empty());
    assert!(test.queue.finish(&lease).await.unwrap());
}

#[tokio::test]
async fn leases_come_back_after_a_flush() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    test.queue.enqueue(&tickets(3, TeamId::new())).await.unwrap();
    test.queue.mark_epoch().await.unwrap();
    assert!(test.queue.epoch().await.unwrap().is_some());
    let leases = test.take(2).await;
    test.ask::<String>(&["FLUSHALL"]).await;
    assert_eq!(test.queue.epoch().await.unwrap(), None, "the worker learns of the loss");

    let both: Vec<_> = leases.iter().collect();
    assert!(test.queue.extend(&both, Duration::from_mins(1)).await.unwrap().is_empty());
    let jobs: Vec<JobId> = leases.iter().map(|lease| lease.job).collect();
    assert_eq!(test.queue.leased(&jobs).await.unwrap(), jobs);
    assert!(test.take(1).await.is_empty(), "no other worker gets them");
    assert!(test.queue.release(&leases[0]).await.unwrap());
    assert_eq!(test.take(1).await[0].job, leases[0].job);
    assert!(test.queue.finish(&leases[1]).await.unwrap());
}

#[tokio::test]
async fn lost_result_of_a_claim_is_returned_again() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let line = Line::to(&server);
    test.queue.enqueue(&tickets(4, TeamId::new())).await.unwrap();
    let hasty = QueueConfig {
        call_timeout: Duration::from_millis(200),
        ..QueueConfig::new(line.url(), test.namespace.as_str())
    };
    let hasty = Queue::connect(&hasty).unwrap();
    let running =
        async || test.queue.stats().await.unwrap().lanes.iter().map(|lane| lane.running).sum::<u64>();
    // The script is loaded into Redis before its results are dropped.
    test.queue.claim(&claimer(), 1).await.unwrap();
    hasty.ping().await.unwrap();
    let claimer = claimer();
    line.swallow_answers(true);
    assert!(matches!(hasty.claim(&claimer, 2).await, Err(QueueError::Timeout)));
    assert_eq!(running().await, 3, "the claim took effect");

    line.swallow_answers(false);
    let again = loop {
        // The connection attempt without a response must end first.
        match hasty.claim(&claimer, 2).await {
            Ok(claim) => break claim.jobs,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((again.len(), running().await), (2, 3), "the same two, and no more");
    assert_eq!(hasty.claim(&claimer, 4).await.unwrap().jobs.len(), 1, "later claims get the other jobs");
    assert!(hasty.finish(&again[0]).await.unwrap());
}

#[tokio::test]
async fn job_is_enqueued_once_in_any_place() {
    let test = TestQueue::new().await;
    let team = TeamId::new();
    let (waiting, late, held) = (ticket(team), delayed(team), ticket(TeamId::new()));
    test.queue.enqueue(std::slice::from_ref(&held)).await.unwrap();
    let lease = test.take(1).await.remove(0);
    let all = [waiting.clone(), late.clone(), held.clone(), waiting.clone()];
    assert_eq!(test.queue.enqueue(&all).await.unwrap(), 2);
    assert_eq!(test.queue.enqueue(&all).await.unwrap(), 0);

    let place = async |job| test.queue.position(job).await.unwrap().map(|standing| standing.place);
    assert_eq!(place(waiting.job).await, Some(JobPlace::Ready { ahead: 0 }));
    assert!(
        matches!(place(late.job).await, Some(JobPlace::Delayed { due_in }) if due_in > Duration::from_mins(50))
    );
    assert_eq!(place(held.job).await, Some(JobPlace::Leased));
    assert_eq!(place(JobId::new()).await, None);
    assert!(test.queue.finish(&lease).await.unwrap());
    assert_eq!(test.queue.unknown(&[waiting.job, held.job, late.job]).await.unwrap(), [held.job]);
}

#[tokio::test]
async fn queued_jobs_can_be_cancelled() {
    let test = TestQueue::new().await;
    let team = TeamId::new();
    let (waiting, late, held) = (ticket(team), delayed(team), ticket(TeamId::new()));
    test.queue.enqueue(std::slice::from_ref(&held)).await.unwrap();
    let lease = test.take(1).await.remove(0);
    test.queue.enqueue(&[waiting.clone(), late.clone()]).await.unwrap();
    assert_eq!(test.queue.cancel(waiting.job).await.unwrap(), Cancelled::Removed);
    assert_eq!(test.queue.cancel(late.job).await.unwrap(), Cancelled::Removed);
    assert_eq!(test.queue.cancel(held.job).await.unwrap(), Cancelled::Leased);
    assert_eq!(test.queue.cancel(waiting.job).await.unwrap(), Cancelled::Unknown);
    assert!(test.take(1).await.is_empty());
    assert!(test.queue.finish(&lease).await.unwrap());
}

#[tokio::test]
async fn thousands_of_jobs_may_fall_due_at_once() {
    let test = TestQueue::new().await;
    let team = TeamId::new();
    let late: Vec<_> = (0..9_500).map(|_| delayed(team)).collect();
    test.queue.enqueue(&late).await.unwrap();
    let claimer = claimer();
    let idle = test.queue.claim(&claimer, 100).await.unwrap();
    assert!(idle.jobs.is_empty() && idle.wait > Duration::from_secs(1));
    test.make_due("delayed", Lane::Provision).await;
    let mut seen = HashSet::new();
    loop {
        let claim = test.queue.claim(&claimer, 100).await.unwrap();
        seen.extend(claim.jobs.iter().map(|lease| lease.job));
        if claim.jobs.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 9_500);
}

#[tokio::test]
async fn wait_ends_with_the_next_event() {
    let test = TestQueue::new().await;
    let claimer = Claimer::new("short", Duration::from_millis(900));
    test.queue.enqueue(&[ticket(TeamId::new())]).await.unwrap();
    assert_eq!(test.queue.claim(&claimer, 1).await.unwrap().wait, Duration::ZERO, "more may be ready");
    let wait = test.queue.claim(&claimer, 1).await.unwrap().wait;
    assert!(wait <= Duration::from_millis(900), "a lease ends before long: {wait:?}");
}

#[tokio::test]
async fn finished_jobs_leave_no_keys() {
    let test = TestQueue::new().await;
    test.queue.enqueue(&tickets(10, TeamId::new())).await.unwrap();
    for lease in test.take(10).await {
        assert!(test.queue.finish(&lease).await.unwrap());
    }
    let claim = test.queue.claim(&claimer(), 1).await.unwrap();
    assert!(claim.jobs.is_empty());
    assert!(test.queue.stats().await.unwrap().lanes.is_empty());
    let mut left: Vec<String> = test.ask(&["KEYS", &test.key("*")]).await;
    left.retain(|key| !key.contains("}:claim:") && !key.contains("}:budget:"));
    left.sort();
    assert_eq!(
        left,
        [test.key("sites"), test.key("wakeup")],
        "settings, a bounded list, the wake-up and last claims that expire"
    );
}

#[tokio::test]
async fn idle_claim_is_cheap() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let claimer = claimer();
    test.queue.claim(&claimer, 1).await.unwrap();
    test.ask::<String>(&["CONFIG", "RESETSTAT"]).await;
    let claim = test.queue.claim(&claimer, 1).await.unwrap();
    assert_eq!(claim.wait, Duration::from_secs(5));
    let stats: String = test.ask(&["INFO", "commandstats"]).await;
    let named = ["evalsha", "del", "time", "get", "zrange"];
    for line in stats.lines().filter(|line| line.starts_with("cmdstat_")) {
        let own = ["config", "info", "client", "hello", "select"].iter().any(|name| line.contains(name));
        let known = named.iter().any(|name| line.starts_with(&format!("cmdstat_{name}:calls=1,")));
        assert!(own || known, "{line}");
    }
}

#[tokio::test]
async fn queue_connects_after_a_start_without_redis() {
    let mut server = Server::start().await;
    let url = server.url();
    server.kill();
    let queue = Queue::connect(&QueueConfig::new(url, "late")).unwrap();
    assert!(queue.ping().await.unwrap_err().is_transient());
    server.restart().await;
    queue.ping().await.unwrap();
    assert_eq!(queue.enqueue(&[ticket(TeamId::new())]).await.unwrap(), 1);
}

#[test]
fn address_is_checked_and_never_repeated() {
    let bad = Queue::connect(&QueueConfig::new("ftp://user:secret@host", "x")).unwrap_err();
    assert!(!format!("{bad:?} {bad}").contains("secret"));
    assert!(Queue::connect(&QueueConfig::new("redis://host", "a}b")).is_err());
    assert!(!format!("{:?}", QueueConfig::new("redis://:secret@host", "x")).contains("secret"));
}
