//! How much one team may run.

use std::{collections::HashSet, time::Duration};

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::{BudgetSettings, Cancelled, Lease, Place, TeamLoad, Ticket};

use crate::support::{Corner, claimer, delayed, ticket, tickets, unlimited};

async fn capped(team_running: u32) -> Corner {
    Corner::under(&BudgetSettings { team_running, ..unlimited() }).await
}

async fn load(corner: &Corner, team: TeamId) -> (u64, u64) {
    let TeamLoad { waiting, running } =
        corner.spine.team_load(&InstallationId::default(), team).await.unwrap();
    (waiting, running)
}

fn of(tickets: &[Ticket], leases: &[Lease]) -> usize {
    let ids: HashSet<JobId> = tickets.iter().map(|ticket| ticket.job).collect();
    leases.iter().filter(|lease| ids.contains(&lease.job)).count()
}

#[tokio::test]
async fn a_team_runs_no_more_than_it_may_and_the_others_go_on() {
    let corner = capped(5).await;
    let (a, b) = (TeamId::new(), TeamId::new());
    let flood = tickets(300, a);
    corner.spine.enqueue(&flood).await.unwrap();
    let mut held = corner.take(40).await;
    assert_eq!(held.len(), 5);
    let others: Vec<Ticket> = (0..3).map(|_| ticket(b)).chain([Ticket { team: None, ..ticket(b) }]).collect();
    corner.spine.enqueue(&others).await.unwrap();
    let next = corner.take(20).await;
    assert_eq!((of(&others, &next), of(&flood, &next)), (4, 0));
    assert_eq!(load(&corner, a).await, (295, 5));

    assert!(corner.spine.finish(&held.remove(0)).await.unwrap());
    let next = corner.take(5).await;
    assert_eq!((next.len(), of(&flood, &next)), (1, 1));
    assert_eq!(load(&corner, a).await, (294, 5));
    assert_eq!(load(&corner, b).await, (0, 3));
}

#[tokio::test]
async fn a_capped_team_s_backlog_hides_nobody_however_long_it_stands() {
    let corner = capped(2).await;
    let (a, b) = (TeamId::new(), TeamId::new());
    corner.spine.enqueue(&tickets(400, a)).await.unwrap();
    assert_eq!(corner.take(20).await.len(), 2);
    // B's jobs come and go: the clock leaves all of A's ranks behind.
    for _ in 0..50 {
        let jobs = tickets(4, b);
        corner.spine.enqueue(&jobs).await.unwrap();
        let mut done = 0;
        while done < 4 {
            for lease in corner.take(1).await {
                assert_eq!(of(&jobs, std::slice::from_ref(&lease)), 1);
                assert!(corner.spine.finish(&lease).await.unwrap());
                done += 1;
            }
        }
    }
    assert_eq!(load(&corner, a).await, (398, 2));
}

#[tokio::test]
async fn every_job_of_a_capped_team_runs_in_the_end() {
    let corner = capped(3).await;
    let team = TeamId::new();
    let mut all = tickets(90, team);
    for ticket in all.iter_mut().skip(1).step_by(2) {
        ticket.lane = Lane::Drift;
    }
    corner.spine.enqueue(&all).await.unwrap();
    let (claimer, mut seen) = (claimer(), 0);
    while seen < 90 {
        let jobs = corner.spine.claim(&claimer, 10).await.unwrap().jobs;
        assert!(jobs.len() <= 3);
        for lease in jobs {
            assert!(corner.spine.finish(&lease).await.unwrap());
            seen += 1;
        }
    }
    assert_eq!(load(&corner, team).await, (0, 0));
    assert!(corner.take(1).await.is_empty());
    let left: Vec<String> = corner.ask(&["KEYS", &corner.key("[sy]:*")]).await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_job_that_stands_aside_is_still_in_line() {
    let corner = capped(1).await;
    let team = TeamId::new();
    let all = tickets(4, team);
    corner.spine.enqueue(&all).await.unwrap();
    let held = corner.take(3).await.remove(0);
    let stats = corner.spine.stats().await.unwrap();
    assert_eq!(stats.lanes[0].waiting, 3);
    assert_eq!(corner.spine.enqueue(&all).await.unwrap(), 0);
    for (n, ticket) in all[1..].iter().enumerate() {
        let place = corner.spine.standing(ticket.job).await.unwrap().unwrap().place;
        assert_eq!(place, Place::Ready { ahead: n as u64 });
    }
    assert_eq!(corner.spine.cancel(all[1].job).await.unwrap(), Cancelled::Removed);
    assert_eq!(load(&corner, team).await, (2, 1));
    assert!(corner.spine.finish(&held).await.unwrap());
    assert_eq!(corner.take(1).await[0].job, all[2].job, "in the old order");
}

#[tokio::test]
async fn a_lease_that_ran_out_frees_the_team_s_place() {
    let corner = capped(1).await;
    let team = TeamId::new();
    corner.spine.enqueue(&tickets(3, team)).await.unwrap();
    let zombie = corner.take(2).await.remove(0);
    corner.let_pass("l", Lane::Provision).await;
    let heir = corner.take(2).await;
    assert_eq!((heir.len(), heir[0].job), (1, zombie.job));
    assert_eq!(load(&corner, team).await, (2, 1));
}

#[tokio::test]
async fn counts_survive_a_flush_with_the_leases() {
    let corner = capped(9).await;
    let team = TeamId::new();
    corner.spine.enqueue(&tickets(2, team)).await.unwrap();
    let leases = corner.take(2).await;
    corner.flush().await;
    assert_eq!(load(&corner, team).await, (0, 0));
    corner.spine.extend(&leases.iter().collect::<Vec<_>>(), Duration::from_mins(1)).await.unwrap();
    assert_eq!(load(&corner, team).await, (0, 2));
    assert!(corner.spine.snooze(&leases[0], Duration::from_hours(1)).await.unwrap());
    corner.spine.enqueue(&[delayed(team), ticket(team)]).await.unwrap();
    assert_eq!(load(&corner, team).await, (3, 1), "delayed ones wait too");
}

#[tokio::test]
async fn a_lost_hash_leaves_no_place_taken() {
    let corner = capped(1).await;
    let team = TeamId::new();
    corner.spine.enqueue(&tickets(3, team)).await.unwrap();
    let held = corner.take(3).await.remove(0);
    corner.ask::<i64>(&["DEL", &corner.key(&format!("j:{}", held.job))]).await;
    corner.let_pass("l", Lane::Provision).await;
    let mut next = Vec::new();
    for _ in 0..3 {
        next.extend(corner.take(1).await);
    }
    assert_eq!(next.len(), 1);
    assert_ne!(next[0].job, held.job);
}
