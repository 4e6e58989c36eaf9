//! Property test: after any order of calls every job is in exactly one place.

use std::{collections::BTreeMap, time::Duration};

use domain::{InstallationId, JobId, Lane, TeamId};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use queue::{BudgetSettings, Cancelled, JobPlace, Lease, LeaseToken, Ticket};

use crate::support::{TestQueue, claimer, delayed, ticket, unlimited};

const JOBS: usize = 6;
const LONG: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Enqueue { job: usize, later: bool },
    Claim { want: usize },
    Finish { lease: usize },
    Snooze { lease: usize },
    Release { lease: usize },
    Extend { lease: usize },
    Cancel { job: usize },
    LeasesEnd,
    DelaysEnd,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let lease = || 0..JOBS;
    prop_oneof![
        6 => (0..JOBS, any::<bool>()).prop_map(|(job, later)| Step::Enqueue { job, later }),
        6 => (1..4_usize).prop_map(|want| Step::Claim { want }),
        2 => lease().prop_map(|lease| Step::Finish { lease }),
        2 => lease().prop_map(|lease| Step::Snooze { lease }),
        2 => lease().prop_map(|lease| Step::Release { lease }),
        2 => lease().prop_map(|lease| Step::Extend { lease }),
        2 => (0..JOBS).prop_map(|job| Step::Cancel { job }),
        1 => Just(Step::LeasesEnd),
        1 => Just(Step::DelaysEnd),
        1 => Just(Step::Flush),
    ]
}

fn capped(cap: usize) -> BudgetSettings {
    BudgetSettings { team_running: u32::try_from(cap).unwrap(), ..unlimited() }
}

/// Place of a job in the model.
#[derive(Clone, Debug, PartialEq)]
enum At {
    Ready,
    Delayed { due: bool },
    Leased { token: LeaseToken, ended: bool },
}

struct Model {
    test: TestQueue,
    team: TeamId,
    /// Maximum number of the team's running jobs.
    cap: usize,
    tickets: Vec<Ticket>,
    at: BTreeMap<JobId, At>,
    rescues: BTreeMap<JobId, u32>,
    /// Leases that a holder has not settled. The holder may have lost them unnoticed.
    held: Vec<Lease>,
    claimer: queue::Claimer,
}

impl Model {
    async fn new(cap: usize) -> Self {
        let team = TeamId::new();
        let lane = |n: usize| if n.is_multiple_of(2) { Lane::Provision } else { Lane::Drift };
        let age = |n: usize| Duration::from_mins(if n.is_multiple_of(3) { 20 } else { 0 });
        let left = |n: usize| Duration::from_mins(15).saturating_sub(age(n));
        let tickets = (0..JOBS)
            .map(|n| Ticket { lane: lane(n), age: age(n), time_left: left(n), ..ticket(team) })
            .collect();
        Self {
            test: TestQueue::with_budget(&capped(cap)).await,
            team,
            cap,
            tickets,
            at: BTreeMap::new(),
            rescues: BTreeMap::new(),
            held: Vec::new(),
            claimer: claimer(),
        }
    }

    fn lease(&mut self, index: usize) -> Option<Lease> {
        (index < self.held.len()).then(|| self.held[index].clone())
    }

    fn owns(&self, lease: &Lease) -> bool {
        matches!(self.at.get(&lease.job), Some(At::Leased { token, .. }) if *token == lease.token)
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Enqueue { job, later } => self.enqueue(job, later).await,
            Step::Claim { want } => self.claim(want).await,
            Step::Finish { lease } | Step::Snooze { lease } | Step::Release { lease } => {
                if let Some(lease) = self.lease(lease) {
                    self.settle(step, &lease).await;
                }
            }
            Step::Extend { lease } => {
                if let Some(lease) = self.lease(lease) {
                    self.extend(&lease).await;
                }
            }
            Step::Cancel { job } => self.cancel(job).await,
            Step::LeasesEnd => {
                self.make_due("leased").await;
                for at in self.at.values_mut() {
                    if let At::Leased { ended, .. } = at {
                        *ended = true;
                    }
                }
            }
            Step::DelaysEnd => {
                self.make_due("delayed").await;
                for at in self.at.values_mut() {
                    if let At::Delayed { due } = at {
                        *due = true;
                    }
                }
            }
            Step::Flush => {
                self.test.flush().await;
                self.test.limit(&capped(self.cap)).await;
                self.at.clear();
                self.rescues.clear();
            }
        }
    }

    async fn make_due(&self, kind: &str) {
        for lane in Lane::ALL {
            self.test.make_due(kind, *lane).await;
        }
    }

    async fn enqueue(&mut self, job: usize, later: bool) {
        let mut ticket = self.tickets[job].clone();
        if later {
            ticket.delay = delayed(TeamId::new()).delay;
        }
        let placed = self.test.queue.enqueue(std::slice::from_ref(&ticket)).await.unwrap();
        assert_eq!(placed == 1, !self.at.contains_key(&ticket.job));
        let place = if later { At::Delayed { due: false } } else { At::Ready };
        self.at.entry(ticket.job).or_insert(place);
    }

    async fn claim(&mut self, want: usize) {
        for (job, at) in &mut self.at {
            if let At::Leased { ended: true, .. } = at {
                *self.rescues.entry(*job).or_default() += 1;
                *at = At::Ready;
            }
            if *at == (At::Delayed { due: true }) {
                *at = At::Ready;
            }
        }
        let ready = self.at.values().filter(|at| **at == At::Ready).count();
        let jobs = self.test.queue.claim(&self.claimer, want).await.unwrap().jobs;
        let running = self.at.values().filter(|at| matches!(at, At::Leased { .. })).count();
        assert_eq!(jobs.len(), ready.min(want).min(self.cap.saturating_sub(running)));
        for lease in jobs {
            assert_eq!(lease.rescues, self.rescues.get(&lease.job).copied().unwrap_or(0));
            let held = At::Leased { token: lease.token.clone(), ended: false };
            assert_eq!(self.at.insert(lease.job, held), Some(At::Ready));
            self.held.push(lease);
        }
    }

    async fn settle(&mut self, step: Step, lease: &Lease) {
        let ours = self.owns(lease);
        let queue = &self.test.queue;
        let (answer, next) = match step {
            Step::Finish { .. } => (queue.finish(lease).await, None),
            Step::Snooze { .. } => (queue.snooze(lease, LONG).await, Some(At::Delayed { due: false })),
            _ => (queue.release(lease).await, Some(At::Ready)),
        };
        assert_eq!(answer.unwrap(), ours);
        if ours {
            self.at.remove(&lease.job);
            if !matches!(step, Step::Release { .. }) {
                self.rescues.remove(&lease.job);
            }
            if let Some(at) = next {
                self.at.insert(lease.job, at);
            }
        }
        self.held.retain(|held| held.token != lease.token || held.job != lease.job);
    }

    async fn extend(&mut self, lease: &Lease) {
        let known = self.at.contains_key(&lease.job);
        let ours = self.owns(lease) || !known;
        let lost = self.test.queue.extend(&[lease], LONG).await.unwrap();
        assert_eq!(lost.is_empty(), ours);
        if ours {
            let held = At::Leased { token: lease.token.clone(), ended: false };
            self.at.insert(lease.job, held);
            if !known {
                self.rescues.insert(lease.job, lease.rescues);
            }
        } else {
            self.held.retain(|held| held.token != lease.token || held.job != lease.job);
        }
    }

    async fn cancel(&mut self, job: usize) {
        let job = self.tickets[job].job;
        let expected = match self.at.get(&job) {
            None => Cancelled::Unknown,
            Some(At::Leased { .. }) => Cancelled::Leased,
            Some(_) => Cancelled::Removed,
        };
        assert_eq!(self.test.queue.cancel(job).await.unwrap(), expected);
        if expected == Cancelled::Removed {
            self.at.remove(&job);
            self.rescues.remove(&job);
        }
    }

    /// Checks that the hashes match the model and that the sets hold exactly its jobs.
    async fn check(&self) {
        let mut counts = [0_u64; 3];
        for ticket in &self.tickets {
            let place = self.test.queue.position(ticket.job).await.unwrap().map(|standing| standing.place);
            match (self.at.get(&ticket.job), place) {
                (None, None) => {}
                (Some(At::Ready), Some(JobPlace::Ready { .. })) => counts[0] += 1,
                (Some(At::Delayed { .. }), Some(JobPlace::Delayed { .. })) => counts[1] += 1,
                (Some(At::Leased { .. }), Some(JobPlace::Leased)) => counts[2] += 1,
                other => panic!("{other:?}"),
            }
        }
        let lanes = self.test.queue.stats().await.unwrap().lanes;
        let sum = |of: fn(&queue::LaneStats) -> u64| lanes.iter().map(of).sum::<u64>();
        assert_eq!(counts, [sum(|l| l.waiting), sum(|l| l.delayed), sum(|l| l.running)]);
        let load = self.test.queue.team_load(&InstallationId::default(), self.team).await.unwrap();
        assert_eq!((load.waiting, load.running), (counts[0] + counts[1], counts[2]));
        let [mut all, mut first, mut overdue, mut aside] = [0; 4];
        for lane in Lane::ALL {
            all += self.size(&format!("accepted:default:{lane}")).await;
            first += self.size(&format!("ready:default:{lane}")).await;
            overdue += self.size(&format!("overdue:default:{lane}")).await;
            aside += self.size(&format!("aside:default:{lane}:{}", self.team)).await;
        }
        assert_eq!(
            (all, first + aside, overdue),
            (counts[0], counts[0], first),
            "the indexes hold the ready jobs"
        );
    }

    async fn size(&self, key: &str) -> u64 {
        self.test.ask(&["ZCARD", &self.test.key(key)]).await
    }
}

#[test]
fn every_job_is_in_exactly_one_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(any::<bool>(), vec(step(), 1..40)), |(tight, steps)| {
            runtime.block_on(async {
                let mut model = Model::new(if tight { 2 } else { 1_000 }).await;
                for step in steps {
                    model.apply(step).await;
                    model.check().await;
                }
            });
            Ok(())
        })
        .unwrap();
}
