//! Limits on the running jobs of one team.

use std::{collections::HashSet, time::Duration};

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::{BudgetSettings, Cancelled, JobPlace, Lease, TeamLoad, Ticket};

use crate::support::{TestQueue, claimer, delayed, ticket, tickets, unlimited};

async fn capped(team_running: u32) -> TestQueue {
    TestQueue::with_budget(&BudgetSettings { team_running, ..unlimited() }).await
}

async fn load(test: &TestQueue, team: TeamId) -> (u64, u64) {
    let TeamLoad { waiting, running } = test.queue.team_load(&InstallationId::default(), team).await.unwrap();
    (waiting, running)
}

fn of(tickets: &[Ticket], leases: &[Lease]) -> usize {
    let ids: HashSet<JobId> = tickets.iter().map(|ticket| ticket.job).collect();
    leases.iter().filter(|lease| ids.contains(&lease.job)).count()
}

#[tokio::test]
async fn team_at_its_maximum_delays_no_other_team() {
    let test = capped(5).await;
    let (a, b) = (TeamId::new(), TeamId::new());
    let flood = tickets(300, a);
    test.queue.enqueue(&flood).await.unwrap();
    let mut held = test.take(40).await;
    assert_eq!(held.len(), 5);
    let others: Vec<Ticket> = (0..3).map(|_| ticket(b)).chain([Ticket { team: None, ..ticket(b) }]).collect();
    test.queue.enqueue(&others).await.unwrap();
    let next = test.take(20).await;
    assert_eq!((of(&others, &next), of(&flood, &next)), (4, 0));
    assert_eq!(load(&test, a).await, (295, 5));

    assert!(test.queue.finish(&held.remove(0)).await.unwrap());
    let next = test.take(5).await;
    assert_eq!((next.len(), of(&flood, &next)), (1, 1));
    assert_eq!(load(&test, a).await, (294, 5));
    assert_eq!(load(&test, b).await, (0, 3));
}

#[tokio::test]
async fn backlog_of_a_capped_team_delays_no_other_team() {
    let test = capped(2).await;
    let (a, b) = (TeamId::new(), TeamId::new());
    test.queue.enqueue(&tickets(400, a)).await.unwrap();
    assert_eq!(test.take(20).await.len(), 2);
    // B's jobs come and go: the lane's clock passes all of A's ranks.
    for _ in 0..50 {
        let jobs = tickets(4, b);
        test.queue.enqueue(&jobs).await.unwrap();
        let mut done = 0;
        while done < 4 {
            for lease in test.take(1).await {
                assert_eq!(of(&jobs, std::slice::from_ref(&lease)), 1);
                assert!(test.queue.finish(&lease).await.unwrap());
                done += 1;
            }
        }
    }
    assert_eq!(load(&test, a).await, (398, 2));
}

#[tokio::test]
async fn every_job_of_a_capped_team_runs_in_the_end() {
    let test = capped(3).await;
    let team = TeamId::new();
    let mut all = tickets(90, team);
    for ticket in all.iter_mut().skip(1).step_by(2) {
        ticket.lane = Lane::Drift;
    }
    test.queue.enqueue(&all).await.unwrap();
    let (claimer, mut seen) = (claimer(), 0);
    while seen < 90 {
        let jobs = test.queue.claim(&claimer, 10).await.unwrap().jobs;
        assert!(jobs.len() <= 3);
        for lease in jobs {
            assert!(test.queue.finish(&lease).await.unwrap());
            seen += 1;
        }
    }
    assert_eq!(load(&test, team).await, (0, 0));
    assert!(test.take(1).await.is_empty());
    let left: Vec<String> = test.ask(&["KEYS", &test.key("[ac][so][iu]*:*")]).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn job_set_aside_keeps_its_position() {
    let test = capped(1).await;
    let team = TeamId::new();
    let all = tickets(4, team);
    test.queue.enqueue(&all).await.unwrap();
    let held = test.take(3).await.remove(0);
    let stats = test.queue.stats().await.unwrap();
    assert_eq!(stats.lanes[0].waiting, 3);
    assert_eq!(test.queue.enqueue(&all).await.unwrap(), 0);
    for (n, ticket) in all[1..].iter().enumerate() {
        let place = test.queue.position(ticket.job).await.unwrap().unwrap().place;
        assert_eq!(place, JobPlace::Ready { ahead: n as u64 });
    }
    assert_eq!(test.queue.cancel(all[1].job).await.unwrap(), Cancelled::Removed);
    assert_eq!(load(&test, team).await, (2, 1));
    assert!(test.queue.finish(&held).await.unwrap());
    assert_eq!(test.take(1).await[0].job, all[2].job, "in the old order");
}

#[tokio::test]
async fn expired_lease_frees_the_team_s_slot() {
    let test = capped(1).await;
    let team = TeamId::new();
    test.queue.enqueue(&tickets(3, team)).await.unwrap();
    let zombie = test.take(2).await.remove(0);
    test.make_due("leased", Lane::Provision).await;
    let heir = test.take(2).await;
    assert_eq!((heir.len(), heir[0].job), (1, zombie.job));
    assert_eq!(load(&test, team).await, (2, 1));
}

#[tokio::test]
async fn counts_survive_a_flush_with_the_leases() {
    let test = capped(9).await;
    let team = TeamId::new();
    test.queue.enqueue(&tickets(2, team)).await.unwrap();
    let leases = test.take(2).await;
    test.flush().await;
    assert_eq!(load(&test, team).await, (0, 0));
    test.queue.extend(&leases.iter().collect::<Vec<_>>(), Duration::from_mins(1)).await.unwrap();
    assert_eq!(load(&test, team).await, (0, 2));
    assert!(test.queue.snooze(&leases[0], Duration::from_hours(1)).await.unwrap());
    test.queue.enqueue(&[delayed(team), ticket(team)]).await.unwrap();
    assert_eq!(load(&test, team).await, (3, 1), "delayed ones wait too");
}

#[tokio::test]
async fn lost_job_hash_frees_the_team_s_slot() {
    let test = capped(1).await;
    let team = TeamId::new();
    test.queue.enqueue(&tickets(3, team)).await.unwrap();
    let held = test.take(3).await.remove(0);
    test.ask::<i64>(&["DEL", &test.key(&format!("job:{}", held.job))]).await;
    test.make_due("leased", Lane::Provision).await;
    let mut next = Vec::new();
    for _ in 0..3 {
        next.extend(test.take(1).await);
    }
    assert_eq!(next.len(), 1);
    assert_ne!(next[0].job, held.job);
}
