//! Property test of probes: after any end of a probe the next one is sent at once, except for a crashed worker's.

use std::time::Duration;

use domain::{InstallationId, Lane, TeamId};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use queue::{Availability, BudgetSettings, Call, Claimer, End, Lease, Permit, Prepaid, Reason, Settle};

use crate::support::{TestQueue, claimer, tickets};

const JOBS: usize = 6;
const LONG: Duration = Duration::from_hours(1);
const GET: Call = Call { endpoint: "runners", write: false, registers: false, urgent: true };
const JIT: Call = Call { endpoint: "generate-jitconfig", write: true, registers: true, urgent: false };

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim,
    Send { lease: usize },
    Answer { lease: usize, health: Availability },
    Settle { lease: usize, end: Settle },
    Die,
    SendForNoJob,
    AnswerForNoJob { health: Availability },
    LeaveForNoJob { sent: bool },
    Pause(Reason),
    SlowDown,
    Resume(Reason),
    DelaysEnd,
}

fn health() -> impl Strategy<Value = Availability> {
    prop_oneof![Just(Availability::Good), Just(Availability::Bad)]
}

fn step() -> impl Strategy<Value = Step> {
    let lease = || 0..JOBS;
    let reason =
        || prop_oneof![Just(Reason::Budget), Just(Reason::GithubOutage), Just(Reason::SecondaryLimit)];
    let end = prop_oneof![Just(Settle::Snooze(LONG)), Just(Settle::Release)];
    prop_oneof![
        6 => Just(Step::Claim),
        5 => lease().prop_map(|lease| Step::Send { lease }),
        5 => (lease(), health()).prop_map(|(lease, health)| Step::Answer { lease, health }),
        5 => (lease(), end).prop_map(|(lease, end)| Step::Settle { lease, end }),
        1 => Just(Step::Die),
        3 => Just(Step::SendForNoJob),
        2 => health().prop_map(|health| Step::AnswerForNoJob { health }),
        2 => any::<bool>().prop_map(|sent| Step::LeaveForNoJob { sent }),
        3 => reason().prop_map(Step::Pause),
        1 => Just(Step::SlowDown),
        4 => reason().prop_map(Step::Resume),
        2 => Just(Step::DelaysEnd),
    ]
}

/// A job that a worker holds, and whether its request is in flight.
struct Held {
    lease: Lease,
    sent: bool,
    answered: bool,
}

struct Model {
    test: TestQueue,
    home: InstallationId,
    claimer: Claimer,
    held: Vec<Held>,
    /// Requests in flight that belong to no job.
    free: usize,
    deaths: usize,
}

impl Model {
    /// Limits under which a lost probe delays the test beyond its time limit. The responses name no window, so a
    /// request that counts as in flight for ever is detected as well.
    async fn new() -> Self {
        let day = Duration::from_hours(24);
        let budget = BudgetSettings {
            points_per_minute: 1_000_000,
            registrations: 1_000_000,
            probe: day,
            ..BudgetSettings::default()
        };
        let test = TestQueue::with_budget(&budget).await;
        test.queue.enqueue(&tickets(JOBS, TeamId::new())).await.unwrap();
        let home = InstallationId::default();
        Self { test, home, claimer: claimer(), held: Vec::new(), free: 0, deaths: 0 }
    }

    async fn apply(&mut self, step: Step) {
        let queue = self.test.queue.clone();
        match step {
            Step::Claim => {
                for lease in queue.claim(&self.claimer, 2).await.unwrap().jobs {
                    self.held.push(Held { lease, sent: false, answered: false });
                }
            }
            Step::Send { lease } => self.send(lease).await,
            Step::Answer { lease, health } => {
                let under_way = self.held.get_mut(lease).filter(|held| held.sent && !held.answered);
                if let Some(held) = under_way {
                    held.answered = true;
                    self.answer(JIT.endpoint, health).await;
                }
            }
            Step::Settle { lease, end } => self.settle(lease, end).await,
            Step::Die => self.die().await,
            Step::SendForNoJob => {
                self.free += usize::from(queue.permit(&self.home, &GET).await.unwrap() == Permit::Granted);
            }
            Step::AnswerForNoJob { health } if self.free > 0 => {
                self.free -= 1;
                self.answer(GET.endpoint, health).await;
            }
            Step::LeaveForNoJob { sent } if self.free > 0 => {
                self.free -= 1;
                queue.end_request(&self.home, GET.endpoint, End::Left { sent }).await.unwrap();
            }
            Step::AnswerForNoJob { .. } | Step::LeaveForNoJob { .. } => {}
            Step::Pause(reason) => drop(queue.pause(&self.home, LONG, reason).await.unwrap()),
            Step::SlowDown => drop(queue.slow_down(&self.home, LONG).await.unwrap()),
            Step::Resume(reason) => queue.resume(&self.home, reason).await.unwrap(),
            Step::DelaysEnd => self.test.make_due("delayed", Lane::Provision).await,
        }
    }

    async fn send(&mut self, lease: usize) {
        let Some(held) = self.held.get_mut(lease).filter(|held| !held.sent) else { return };
        let (job, prepaid) = (held.lease.job, Prepaid::ThisCall { ago: Duration::ZERO });
        let permit = self.test.queue.permit_job(&self.home, &JIT, job, prepaid).await.unwrap();
        held.sent = permit == Permit::Granted;
    }

    async fn answer(&self, endpoint: &'static str, health: Availability) {
        self.test.queue.record_outcome(&self.home, health).await.unwrap();
        self.test.queue.end_request(&self.home, endpoint, End::Silent).await.unwrap();
    }

    async fn settle(&mut self, lease: usize, end: Settle) {
        if lease >= self.held.len() {
            return;
        }
        let held = self.held.remove(lease);
        let queue = &self.test.queue;
        if held.sent && !held.answered {
            queue.end_request(&self.home, JIT.endpoint, End::Left { sent: true }).await.unwrap();
        }
        let ours = if held.sent {
            queue.settle(&[(held.lease, end)]).await.unwrap()[0]
        } else {
            queue.settle_unsent(&held.lease, end).await.unwrap()
        };
        assert!(ours);
    }

    /// Every worker crashes: its leases end, and its requests stay unreported. They count as in flight for a while, so
    /// only few workers may crash.
    async fn die(&mut self) {
        let silent = self.held.iter().filter(|held| !held.answered).count();
        if self.deaths + silent > 5 {
            return;
        }
        self.deaths += silent;
        self.held.clear();
        self.test.make_due("leased", Lane::Provision).await;
        // A claim takes the jobs back, although it may start no new one.
        self.apply_claim().await;
    }

    async fn apply_claim(&mut self) {
        for lease in self.test.queue.claim(&self.claimer, 1).await.unwrap().jobs {
            self.held.push(Held { lease, sent: false, answered: false });
        }
    }

    /// Checks that the model knows the holder of the probe.
    async fn check(&self) {
        let view = self.test.queue.budget().await.unwrap();
        let waits = view[0].probe.is_some_and(|left| !left.is_zero());
        let no_request = self.held.is_empty() && self.free == 0;
        assert!(!(waits && no_request), "the probe that delays the others has no request");
    }

    /// All open requests end well: one job starts first at once, and after its response all the others.
    async fn recover(mut self) {
        while !self.held.is_empty() {
            self.settle(0, Settle::Release).await;
        }
        while self.free > 0 {
            self.apply(Step::LeaveForNoJob { sent: true }).await;
        }
        for reason in Reason::ALL {
            self.apply(Step::Resume(reason)).await;
        }
        self.apply(Step::DelaysEnd).await;
        self.apply_claim().await;
        assert_eq!(self.held.len(), 1, "the next probe goes at once");
        self.send(0).await;
        assert!(self.held[0].sent, "the probe does not wait for itself");
        self.held[0].answered = true;
        self.answer(JIT.endpoint, Availability::Good).await;
        let others = self.test.queue.claim(&self.claimer, JOBS).await.unwrap().jobs.len();
        assert_eq!(others, (JOBS - 1).min(10 - self.deaths), "the other jobs follow the probe");
    }
}

#[test]
fn probe_of_any_end_is_followed_by_the_next() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(step(), 1..40), |steps| {
            runtime.block_on(async {
                let mut model = Model::new().await;
                for step in steps {
                    model.apply(step).await;
                    model.check().await;
                }
                model.recover().await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn answers_without_headers_end_their_requests() {
    let quick = BudgetSettings { points_per_minute: 1_000_000, ..BudgetSettings::default() };
    let test = TestQueue::with_budget(&quick).await;
    let home = InstallationId::default();
    for _ in 0..40 {
        assert_eq!(test.queue.permit(&home, &GET).await.unwrap(), Permit::Granted);
        test.queue.record_outcome(&home, Availability::Good).await.unwrap();
        test.queue.end_request(&home, GET.endpoint, End::Silent).await.unwrap();
    }
}

#[tokio::test]
async fn unsent_request_of_a_job_is_refunded() {
    let day = Duration::from_hours(24);
    let slow = BudgetSettings { minute: day, registrations_period: day, ..BudgetSettings::default() };
    let test = TestQueue::with_budget(&slow).await;
    test.queue.enqueue(&tickets(1, TeamId::new())).await.unwrap();
    for _ in 0..40 {
        let lease = test.queue.claim(&claimer(), 1).await.unwrap().jobs.remove(0);
        assert!(test.queue.settle_unsent(&lease, Settle::Release).await.unwrap());
    }
    let view = test.queue.budget().await.unwrap().remove(0);
    assert_eq!((view.registrations_used, view.points[0].used), (0, 0));
}

#[tokio::test]
async fn github_without_limits_is_called_at_full_speed_until_it_reports_one() {
    let day = Duration::from_hours(24);
    let slow = BudgetSettings { minute: day, registrations_period: day, ..BudgetSettings::default() };
    let test = TestQueue::with_budget(&slow).await;
    let home = InstallationId::default();
    assert!(test.queue.set_unlimited(&home).await.unwrap(), "news");
    assert!(!test.queue.set_unlimited(&home).await.unwrap(), "known");
    test.queue.enqueue(&tickets(80, TeamId::new())).await.unwrap();
    assert_eq!(test.queue.claim(&claimer(), 40).await.unwrap().jobs.len(), 40);
    let named = queue::Observation {
        endpoint: None,
        resource: "core".to_owned(),
        limit: 5_000,
        remaining: 4_000,
        reset_in: LONG,
        reset: 1_800_000_000,
    };
    test.queue.observe(&home, &named).await.unwrap();
    assert!(test.queue.set_unlimited(&home).await.unwrap(), "a response has reported a limit since");
}
