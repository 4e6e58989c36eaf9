//! Plan of a run: faults, times and operations, all derived from a seed.

use std::{ops::Range, path::PathBuf, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    action::{Action, Step},
    clocks::Clocks,
    fault_schedule::FaultSchedule,
};

/// Number of APIs.
pub(crate) const APIS: usize = 2;
/// Number of workers.
pub(crate) const WORKERS: usize = 3;
/// Number of schedulers.
pub(crate) const SCHEDULERS: usize = 2;
/// Approximate operations of one story: request, refresh, collect, use, remove.
const OPERATIONS_EACH: usize = 4;
/// Runners that one team requests at once when the rush begins: about GitHub's limits for its duration, beside the
/// remaining work of the faults and the other teams.
pub(crate) const FLOOD: usize = 85;
/// Time from the end of the faults until the last loss of the queue: longer than the longest pause GitHub demands, so
/// that none is lost with it.
const PAUSE_BEFORE_LAST_LOSS: Duration = Duration::from_secs(3);
/// No story starts within this time before the end: the queued work is enough.
const IDLE_END: Duration = Duration::from_secs(12);
/// Time after that loss and its one burst until GitHub's minute starts anew.
const PAUSE_AFTER_LAST_LOSS: Duration = Duration::from_secs(5);

/// Size of a run. During the chaos everything fails. During the rush there is more work than GitHub allows and
/// processes
/// fail, but the queue is not lost, so no excess request is excused.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seed of the faults, their times and the operations.
    pub seed: u64,
    /// Duration of the chaos.
    pub chaos: Duration,
    /// Duration of the rush. More than a minute, so that GitHub's limit of one minute is used up.
    pub rush: Duration,
    /// Approximate number of operations.
    pub operations: usize,
    /// Mean time between faults.
    pub pace: Duration,
    /// Longest time until everything is settled after the last fault.
    pub quiet: Duration,
    /// Lease of the workers, whole seconds.
    pub lease: Duration,
    /// Folder of PostgreSQL's server programs; `None` searches for it.
    pub pg_bin: Option<PathBuf>,
    /// Redis or Valkey server program; `None` searches for it.
    pub redis_bin: Option<PathBuf>,
    /// The `rts` to run; `None` uses the one beside this program, built first.
    pub rts: Option<PathBuf>,
    /// Whether GitHub sends webhooks. Every third seed sends none, and everything must be found without them.
    pub webhooks: bool,
    /// Clock errors of the stores at the start.
    pub clocks: Clocks,
    /// Receives a progress message every few seconds.
    pub progress: Option<fn(&str)>,
}

impl Plan {
    /// Returns a plan short enough for every test run: two to three minutes.
    pub fn bounded(seed: u64) -> Self {
        Self {
            seed,
            chaos: Duration::from_secs(50),
            rush: Duration::from_secs(67),
            operations: 275 * OPERATIONS_EACH,
            pace: Duration::from_millis(850),
            quiet: Duration::from_mins(1),
            lease: Duration::from_secs(3),
            pg_bin: None,
            redis_bin: None,
            rts: None,
            webhooks: !seed.is_multiple_of(3),
            clocks: Clocks::draw(seed),
            progress: None,
        }
    }

    /// Returns a plan of the given size, two minutes at least.
    pub fn long(minutes: u64, operations: usize, seed: u64) -> Self {
        let bounded = Self::bounded(seed);
        Self {
            chaos: Duration::from_mins(minutes).saturating_sub(bounded.rush).max(bounded.chaos),
            operations,
            pace: Duration::from_millis(if minutes > 2 { 1500 } else { 850 }),
            quiet: Duration::from_mins(3),
            ..bounded
        }
    }

    /// Returns the faults in order; equal plans give equal schedules.
    pub fn schedule(&self) -> Vec<Step> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let mut steps = Vec::new();
        let begin = Duration::from_secs(1);
        steps.extend(self.draw_faults(FaultSchedule::of_everything(), begin..self.chaos, &mut rng));
        // GitHub's faults end, and its reduced rate is reset: it would take an hour to grow again.
        steps.push(Step { at: self.chaos, action: Action::Relief });
        steps.push(Step { at: self.rush_at(), action: Action::Flush });
        let rush_faults_at = self.rush_at() + PAUSE_AFTER_LAST_LOSS;
        steps.push(Step { at: rush_faults_at, action: Action::Relief });
        steps.extend(self.draw_faults(FaultSchedule::of_processes(), rush_faults_at..self.all(), &mut rng));
        steps
    }

    fn draw_faults(&self, mut deck: FaultSchedule, times: Range<Duration>, rng: &mut SmallRng) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut at = times.start;
        while at < times.end {
            steps.push(Step { at, action: deck.deal(rng, self.lease) });
            at += self.pace.mul_f64(rng.random_range(0.4..1.6));
        }
        steps
    }
}

impl Plan {
    /// Returns the duration of faults and operations.
    pub fn all(&self) -> Duration {
        self.chaos + self.rush
    }

    /// Returns the time after which no story starts, so that the last ones can finish.
    pub(crate) fn calls(&self) -> Duration {
        self.all().saturating_sub(IDLE_END)
    }

    /// Returns the time at which one team floods the queue.
    pub(crate) fn rush_at(&self) -> Duration {
        self.chaos + PAUSE_BEFORE_LAST_LOSS
    }

    /// Returns the number of sequential stories.
    pub(crate) fn stories(&self) -> usize {
        (self.operations / OPERATIONS_EACH).saturating_sub(FLOOD).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn kinds(steps: &[Step]) -> BTreeSet<String> {
        steps.iter().map(|step| step.action.kind()).collect()
    }

    #[test]
    fn plan_is_determined_by_its_seed() {
        let plan = Plan::bounded(7);
        assert_eq!(plan.schedule(), plan.schedule());
        assert_ne!(plan.schedule(), Plan::bounded(8).schedule());
    }

    #[test]
    fn bounded_run_sees_every_fault() {
        let all = kinds(&Plan::long(30, 1, 1).schedule());
        assert_eq!(all.len(), 29);
        for seed in 0..20 {
            assert_eq!(kinds(&Plan::bounded(seed).schedule()), all, "seed {seed}");
            assert_eq!(kinds(&Plan::long(2, 1, seed).schedule()), all, "seed {seed}");
        }
    }

    #[test]
    fn nothing_is_lost_in_the_last_full_minute() {
        for seed in 0..20 {
            let plan = Plan::bounded(seed);
            let steps = plan.schedule();
            let loss = steps.iter().rev().find(|step| step.action.loses_the_queue()).unwrap();
            assert_eq!(loss.at, plan.rush_at());
            assert!(loss.at + Duration::from_secs(62) < plan.all());
        }
    }
}
