//! What is done to the service, and when: all of it follows from a seed.

use std::{path::PathBuf, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    action::{Action, Step},
    clocks::Clocks,
    fault_schedule::FaultSchedule,
};

/// How many processes of each kind there are.
pub(crate) const APIS: usize = 2;
/// Workers.
pub(crate) const WORKERS: usize = 3;
/// Schedulers.
pub(crate) const SCHEDULERS: usize = 2;
/// Operations of one story, about: a runner is asked for, looked at, collected, used, removed.
const OPERATIONS_EACH: usize = 4;
/// Runners one team asks for at once when the rush begins: about what GitHub's limits let through while it lasts, beside
/// what is left from the chaos and what the others ask for.
pub(crate) const FLOOD: usize = 85;
/// From the end of the chaos until the queue is lost for the last time: longer than the longest pause GitHub asks for, so
/// that none is lost with it.
const BREATH: Duration = Duration::from_secs(3);
/// Nobody begins so shortly before the end: what is queued by then is enough.
const LAST_CALL: Duration = Duration::from_secs(12);
/// After that loss, and its one burst, GitHub's minute begins anew.
const ANEW: Duration = Duration::from_secs(5);

/// The size of a run: a chaos, in which everything fails, and then a rush, in which there is more to do than GitHub allows,
/// processes fail on, and the queue is not lost: nothing excuses a request too many.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Faults, their times and the operations follow from it.
    pub seed: u64,
    /// How long everything fails.
    pub chaos: Duration,
    /// How long there is too much to do afterwards. More than a minute, so that one minute of GitHub's limit is used up.
    pub rush: Duration,
    /// How many operations, about.
    pub operations: usize,
    /// Mean time between faults.
    pub pace: Duration,
    /// Longest time until everything is settled once the faults are over.
    pub quiet: Duration,
    /// Leases of the workers, whole seconds.
    pub lease: Duration,
    /// Folder of PostgreSQL's server programs; `None`: looked for.
    pub pg_bin: Option<PathBuf>,
    /// The Redis or Valkey server program; `None`: looked for.
    pub redis_bin: Option<PathBuf>,
    /// The `rts` to run; `None`: the one beside this program, brought up to date.
    pub rts: Option<PathBuf>,
    /// Whether GitHub sends webhooks: with every third seed it sends none, and everything must be found without them.
    pub webhooks: bool,
    /// What the stores' clocks are wrong by when the run begins.
    pub clocks: Clocks,
    /// Hears every few seconds how far the run is.
    pub progress: Option<fn(&str)>,
}

impl Plan {
    /// Small enough for every test run: two minutes, three at most.
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

    /// As long and as many as wanted. Two minutes at least.
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

    /// The faults in their order; the same for the same plan.
    pub fn schedule(&self) -> Vec<Step> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let mut steps = Vec::new();
        let begin = Duration::from_secs(1);
        self.deal(FaultSchedule::of_everything(), (begin, self.chaos), &mut rng, &mut steps);
        // GitHub's mishaps end, and what slowed us down is forgotten: it would take an hour to grow again.
        steps.push(Step { at: self.chaos, action: Action::Relief });
        steps.push(Step { at: self.rush_at(), action: Action::Flush });
        let anew = self.rush_at() + ANEW;
        steps.push(Step { at: anew, action: Action::Relief });
        self.deal(FaultSchedule::of_processes(), (anew, self.all()), &mut rng, &mut steps);
        steps
    }

    fn deal(
        &self,
        mut deck: FaultSchedule,
        (mut at, end): (Duration, Duration),
        rng: &mut SmallRng,
        steps: &mut Vec<Step>,
    ) {
        while at < end {
            steps.push(Step { at, action: deck.deal(rng, self.lease) });
            at += self.pace.mul_f64(rng.random_range(0.4..1.6));
        }
    }
}

impl Plan {
    /// How long faults strike and operations arrive.
    pub fn all(&self) -> Duration {
        self.chaos + self.rush
    }

    /// Until when callers begin; who began last has some time to end.
    pub(crate) fn calls(&self) -> Duration {
        self.all().saturating_sub(LAST_CALL)
    }

    /// When one team floods the queue.
    pub(crate) fn rush_at(&self) -> Duration {
        self.chaos + BREATH
    }

    /// How many runners are asked for, one after the other.
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
    fn a_seed_says_it_all() {
        let plan = Plan::bounded(7);
        assert_eq!(plan.schedule(), plan.schedule());
        assert_ne!(plan.schedule(), Plan::bounded(8).schedule());
    }

    #[test]
    fn a_bounded_run_sees_every_fault() {
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
