//! Scaling signal: what waiting jobs wait for, and how many workers GitHub's limits can keep busy.
//!
//! The depth of the queue is no such signal: a few slots use up an installation's limits, so a backlog that waits for
//! GitHub needs no further worker.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    BlockedOn, BreakerPicture, BudgetPicture, InstallationId, Lane, LanePicture, PauseCause, PausePicture,
    PauseScope, Picture, QueuePicture,
};

/// Time for which starts are counted: about the interval at which an autoscaler reads the signal.
const HORIZON: Duration = Duration::from_secs(10);
/// Most workers that are asked for.
const MAX_WORKERS: u64 = 4096;
/// Most jobs of one installation that GitHub lets run at once, with a margin.
const MAX_RUNNING: u64 = 80;
/// Points of a request that writes.
const WRITE_POINTS: u64 = 5;
/// Largest burst of writes ahead of their even pace.
const MAX_BURST: u64 = 4;
/// Period of the limit on registrations.
const REGISTRATION_PERIOD: Duration = Duration::from_mins(5);
/// Part of the hourly window that is reserved for removals, in percent.
const RESERVE_PERCENT: u64 = 10;
/// Hourly window that all jobs use unless GitHub names another one for registrations.
const CORE: &str = "core";
/// Hourly window that GitHub may use for registrations.
const REGISTRATIONS: &str = "actions_runner_registration";
/// Reasons in the order in which a lane's jobs are divided among them.
const REASONS: [BlockedOn; 4] =
    [BlockedOn::Worker, BlockedOn::Budget, BlockedOn::Paused, BlockedOn::GithubOutage];

/// Waiting jobs of one lane that wait for one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingJobs {
    /// The installation.
    pub installation: InstallationId,
    /// The lane.
    pub lane: Lane,
    /// The thing: `worker`, `budget`, `paused` or `github_outage`.
    pub reason: BlockedOn,
    /// Number of jobs.
    pub jobs: u64,
}

/// The scaling signal of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scaling {
    /// Waiting jobs of every lane by what they wait for, four rows a lane. Jobs wait for a `worker` if they could start
    /// within 10 s; further jobs wait for the `budget`, which includes their teams' shares of it.
    pub waiting: Vec<WaitingJobs>,
    /// Jobs that workers hold.
    pub running: u64,
}

impl Scaling {
    /// Returns the number of workers with `slots` slots each that running jobs and the starts of the next 10 s can
    /// keep busy, from 1 to 4,096. Jobs that wait for anything but a worker do not raise it.
    pub fn workers_wanted(&self, slots: u64) -> u64 {
        let startable = self.waiting.iter().filter(|row| row.reason == BlockedOn::Worker).map(|row| row.jobs);
        let busy = self.running.saturating_add(startable.sum());
        busy.div_ceil(slots.max(1)).clamp(1, MAX_WORKERS)
    }
}

impl Picture {
    /// Returns the number of workers like those that take jobs now which the next 10 s can keep busy; `None` while no
    /// worker takes jobs or the queue is not known.
    pub fn workers_wanted(&self) -> Option<u64> {
        let live = || self.workers.iter().filter(|worker| worker.takes_jobs);
        let slots = live().map(|worker| worker.slots).sum::<u64>().checked_div(live().count() as u64)?;
        Some(self.queue.as_ref()?.scaling().workers_wanted(slots))
    }
}

impl QueuePicture {
    /// Returns the scaling signal.
    pub fn scaling(&self) -> Scaling {
        let index = Index::of(self);
        let mut waiting = Vec::with_capacity(self.lanes.len() * REASONS.len());
        for (installation, lanes) in &index.lanes {
            index.divide(installation, lanes, &mut waiting);
        }
        Scaling { waiting, running: self.lanes.iter().map(|lane| lane.running).sum() }
    }

    /// Returns the causes of the pauses of one App.
    pub(crate) fn causes(&self, app: &InstallationId) -> impl Iterator<Item = PauseCause> {
        let here = move |pause: &&PausePicture| matches!(&pause.scope, PauseScope::Installation(name) if name == app);
        self.pauses.iter().filter(here).map(|pause| pause.cause)
    }
}

/// Facts of a picture by installation, so that each row is read once.
#[derive(Debug, Default)]
struct Index<'p> {
    lanes: BTreeMap<&'p InstallationId, Vec<&'p LanePicture>>,
    /// Budgets by App.
    budgets: BTreeMap<&'p InstallationId, &'p BudgetPicture>,
    /// Apps by pool; an installation that is alone is a pool of one.
    pools: BTreeMap<&'p InstallationId, Vec<&'p BudgetPicture>>,
    /// Causes of the pauses by App.
    causes: BTreeMap<&'p InstallationId, Vec<PauseCause>>,
    paused_lanes: Vec<Lane>,
    /// Jobs that wait for their teams' limits.
    held: BTreeMap<&'p InstallationId, u64>,
}

impl<'p> Index<'p> {
    fn of(picture: &'p QueuePicture) -> Self {
        let mut index = Self::default();
        for lane in &picture.lanes {
            index.lanes.entry(&lane.installation).or_default().push(lane);
        }
        for budget in &picture.budgets {
            index.budgets.insert(&budget.installation, budget);
            index.pools.entry(&budget.pool).or_default().push(budget);
        }
        for pause in &picture.pauses {
            match &pause.scope {
                PauseScope::Installation(app) => index.causes.entry(app).or_default().push(pause.cause),
                PauseScope::Lane(lane) => index.paused_lanes.push(*lane),
            }
        }
        index.held = picture.teams.iter().map(|team| (&team.installation, team.held_in_all)).collect();
        index
    }

    fn divide(&self, installation: &InstallationId, lanes: &[&LanePicture], rows: &mut Vec<WaitingJobs>) {
        let mut allowance = self.allowance(installation, lanes);
        let halted = self.halted(installation);
        for lane in lanes {
            let paused = self.paused_lanes.contains(&lane.lane);
            let halted = halted.or(paused.then_some(BlockedOn::Paused));
            let startable = if halted.is_some() { 0 } else { allowance.take(lane.lane, lane.waiting) };
            let rest = halted.unwrap_or(BlockedOn::Budget);
            rows.extend(REASONS.map(|reason| WaitingJobs {
                installation: installation.clone(),
                lane: lane.lane,
                reason,
                jobs: match reason {
                    BlockedOn::Worker => startable,
                    reason if reason == rest => lane.waiting - startable,
                    _ => 0,
                },
            }));
        }
    }

    /// Returns the reason why no job of an installation starts, if there is one. In an App pool, every App has one.
    fn halted(&self, installation: &InstallationId) -> Option<BlockedOn> {
        if self.causes(installation).contains(&PauseCause::Admin) {
            return Some(BlockedOn::Paused);
        }
        let own = self.app_halted(installation)?;
        let mut further =
            self.apps(installation).iter().filter(|budget| budget.installation != *installation);
        further.all(|budget| self.app_halted(&budget.installation).is_some()).then_some(own)
    }

    /// Returns the reason why one App starts no job, if there is one.
    fn app_halted(&self, app: &InstallationId) -> Option<BlockedOn> {
        let causes = self.causes(app);
        let open = self.budgets.get(app).is_some_and(|budget| budget.breaker != BreakerPicture::Closed);
        let operator = [PauseCause::Admin, PauseCause::Suspended, PauseCause::Refused];
        if causes.iter().any(|cause| operator.contains(cause)) {
            Some(BlockedOn::Paused)
        } else if open || causes.contains(&PauseCause::Outage) {
            Some(BlockedOn::GithubOutage)
        } else {
            (!causes.is_empty()).then_some(BlockedOn::Budget)
        }
    }

    fn causes(&self, app: &InstallationId) -> &[PauseCause] {
        self.causes.get(app).map_or(&[], Vec::as_slice)
    }

    /// Returns the budgets of the Apps of a pool.
    fn apps(&self, pool: &InstallationId) -> &[&'p BudgetPicture] {
        self.pools.get(pool).map_or(&[], Vec::as_slice)
    }

    fn allowance(&self, installation: &InstallationId, lanes: &[&LanePicture]) -> Allowance {
        let running = lanes.iter().map(|lane| lane.running).sum();
        let waiting: u64 = lanes.iter().map(|lane| lane.waiting).sum();
        let free = waiting.saturating_sub(self.held.get(installation).copied().unwrap_or_default());
        let is_usable = |app: &&&BudgetPicture| self.app_halted(&app.installation).is_none();
        let usable: Vec<&BudgetPicture> = self.apps(installation).iter().filter(is_usable).copied().collect();
        let sums = usable.iter().map(|app| Allowance::of(app)).reduce(Allowance::plus);
        let mut allowance = sums.unwrap_or_else(Allowance::unlimited);
        // The first App of a pool has the registrations of the organization.
        let first = self.apps(installation).iter().find(|app| app.installation == *installation);
        allowance.registrations = first.map_or(u64::MAX, |app| Allowance::of(app).registrations);
        let most = MAX_RUNNING.saturating_mul(usable.len().max(1) as u64);
        allowance.jobs = free.min(most.saturating_sub(running));
        allowance
    }
}

/// Starts that one installation's limits allow in the next 10 s.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    jobs: u64,
    writes: u64,
    /// Jobs of one lane: each lane uses an endpoint of its own.
    points: u64,
    registrations: u64,
    /// Requests left in the hourly window, reserve included.
    window: u64,
    /// Part of the hourly window that only removals may use.
    reserve: u64,
    registration_window: u64,
}

impl Allowance {
    const fn unlimited() -> Self {
        Self {
            jobs: u64::MAX,
            writes: u64::MAX,
            points: u64::MAX,
            registrations: u64::MAX,
            window: u64::MAX,
            reserve: 0,
            registration_window: u64::MAX,
        }
    }

    fn of(budget: &BudgetPicture) -> Self {
        let Some(points) = budget.points_limit else { return Self::unlimited() };
        let window = |resource: &str| {
            let soon = |reset: Duration| reset <= HORIZON;
            let known = budget.windows.iter().find(|window| window.resource == resource);
            known.filter(|window| !soon(window.reset_in))
        };
        let (core, own) = (window(CORE), window(REGISTRATIONS));
        let minute = Duration::from_mins(1);
        Self {
            jobs: u64::MAX,
            writes: within(budget.writes_per_minute, minute).max(1),
            points: within(points, minute) / WRITE_POINTS + MAX_BURST,
            registrations: budget
                .registrations_limit
                .map_or(u64::MAX, |limit| within(limit, REGISTRATION_PERIOD) + MAX_BURST),
            window: core.map_or(u64::MAX, |window| window.remaining),
            reserve: core.map_or(0, |window| window.limit * RESERVE_PERCENT / 100),
            registration_window: own.map_or(u64::MAX, |window| window.remaining),
        }
    }

    /// Returns the starts that two Apps allow together.
    const fn plus(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_add(other.jobs),
            writes: self.writes.saturating_add(other.writes),
            points: self.points.saturating_add(other.points),
            registrations: self.registrations.saturating_add(other.registrations),
            window: self.window.saturating_add(other.window),
            reserve: self.reserve.saturating_add(other.reserve),
            registration_window: self.registration_window.saturating_add(other.registration_window),
        }
    }

    /// Takes the starts of a lane with this many waiting jobs, and returns how many those are.
    fn take(&mut self, lane: Lane, waiting: u64) -> u64 {
        let unreserved = self.window.saturating_sub(self.reserve);
        let mut starts = waiting.min(self.jobs);
        let window = if lane == Lane::Deprovision { self.window } else { unreserved };
        starts = match lane {
            Lane::Provision => {
                let own = self.registration_window.min(self.registrations);
                starts.min(own).min(self.writes).min(self.points).min(window)
            }
            Lane::Deprovision => starts.min(self.writes).min(self.points).min(window),
            Lane::Drift => starts.min(self.points.saturating_mul(WRITE_POINTS)).min(window),
        };
        self.jobs -= starts;
        self.window = self.window.saturating_sub(starts);
        if lane != Lane::Drift {
            self.writes = self.writes.saturating_sub(starts);
        }
        starts
    }
}

/// Returns the part of a limit per `period` that falls into the next 10 s.
fn within(limit: u64, period: Duration) -> u64 {
    limit.saturating_mul(HORIZON.as_secs()).div_ceil(period.as_secs())
}

#[cfg(test)]
mod tests;
