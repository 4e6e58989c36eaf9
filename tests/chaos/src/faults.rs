//! Execution of the fault schedule.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use devstack::{Server, WrongClock};
use github_twin::{Fault, FaultKind};
use nix::sys::signal::Signal;
use sqlx::Row;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use uuid::Uuid;

use crate::{
    action::{Action, Backing, Role, Step, Trouble},
    clocks::check_redis,
    environment::Environment,
    excused_periods::Span,
    log::wall,
    processes::Slot,
};

/// Longest time for which a killed worker's job is watched for its next start.
const MAX_RECOVERY_WATCH: Duration = Duration::from_mins(2);

/// Longest time until PostgreSQL has finished the statements of a killed worker.
const MAX_STATEMENT_TIME: Duration = Duration::from_secs(10);

/// Writes missed by a replica that takes over, as a time.
const MISSED_WRITES: Duration = Duration::from_secs(1);

/// Executed faults and their immediate effects.
#[derive(Debug, Default)]
pub(crate) struct ExecutedFaults {
    /// Faults by kind.
    pub(crate) done: BTreeMap<String, usize>,
    /// Faults that could not be carried out.
    pub(crate) failed: Vec<String>,
    /// Starts, by job and fence, whose worker was killed or frozen.
    pub(crate) deaths: HashSet<(Uuid, i64)>,
    /// From the kill of a worker to the next start, or the end, of each job it ran.
    pub(crate) recoveries: Vec<Span>,
    /// Periods in which a store or the path to it was disturbed.
    pub(crate) disturbed: Vec<Span>,
    /// Periods in which a worker was frozen: its newly claimed jobs wait for the end of another lease.
    pub(crate) frozen: Vec<Span>,
    /// Jobs that were not started again while they were watched.
    pub(crate) abandoned: Vec<Uuid>,
    /// Losses of all Redis data: from the loss until Redis responded again, by the wall clock.
    pub(crate) losses: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Losses of all Redis data, by the monotonic clock of the other periods.
    pub(crate) lost: Vec<Instant>,
}

/// Executor of the faults.
pub(crate) struct FaultInjector {
    environment: Arc<Environment>,
    executed_faults: Mutex<ExecutedFaults>,
    /// One disturbance of a store at a time.
    stores: [tokio::sync::Mutex<()>; 2],
}

impl FaultInjector {
    pub(crate) fn new(environment: Arc<Environment>) -> Arc<Self> {
        Arc::new(Self { environment, executed_faults: Mutex::default(), stores: Default::default() })
    }

    /// Executes the schedule; returns when the last fault is over and everything is up again.
    pub(crate) async fn run(self: &Arc<Self>, steps: Vec<Step>) {
        let start = Instant::now();
        let mut running = JoinSet::new();
        for step in steps {
            sleep_until(start + step.at).await;
            let injector = self.clone();
            running.spawn(async move { injector.execute(step.action).await });
        }
        while running.join_next().await.is_some() {}
    }

    /// Returns the number of faults so far.
    pub(crate) fn count(&self) -> usize {
        self.lock().done.values().sum()
    }

    /// Returns the executed faults.
    pub(crate) fn executed_faults(&self) -> ExecutedFaults {
        std::mem::take(&mut *self.lock())
    }

    async fn execute(self: &Arc<Self>, action: Action) {
        self.environment.log.write(&action);
        let begun = Instant::now();
        let done = match &action {
            Action::Kill { role, which, down } => self.kill(*role, *which, *down).await,
            Action::Freeze { role, which, frozen } => self.freeze(*role, *which, *frozen).await,
            Action::Flush => self.flush().await,
            Action::Restart(backing) => self.restart(*backing).await,
            Action::Clock(seconds) => self.change_clock(*seconds).await,
            Action::Crash => self.crash().await,
            Action::Failover { lasts } => self.failover(*lasts).await,
            Action::Disturb { backing, line, lasts } => {
                let _turn = self.lock_store(*backing).await;
                self.environment.proxy(*backing).set(Some(*line));
                sleep(*lasts).await;
                self.environment.proxy(*backing).set(None);
                Ok(())
            }
            Action::Reset(backing) => {
                self.environment.proxy(*backing).reset();
                Ok(())
            }
            Action::GitHub { trouble, times, ms } => {
                self.add_github_fault(*trouble, *times, *ms);
                Ok(())
            }
            Action::Relief => {
                self.environment.relief();
                Ok(())
            }
        };
        self.environment.log.write(format_args!("over: {action}"));
        let mut executed_faults = self.lock();
        if action.disturbs_a_store() {
            executed_faults.disturbed.push((begun, Instant::now()));
        }
        if matches!(action, Action::Freeze { role: Role::Worker, .. }) {
            executed_faults.frozen.push((begun, Instant::now()));
        }
        *executed_faults.done.entry(action.kind()).or_default() += 1;
        if let Err(error) = done {
            executed_faults.failed.push(format!("{action}: {error:#}"));
        }
    }

    async fn lock_store(&self, backing: Backing) -> tokio::sync::MutexGuard<'_, ()> {
        self.stores[usize::from(backing == Backing::Redis)].lock().await
    }

    fn slot(&self, role: Role, which: usize) -> anyhow::Result<&Slot> {
        self.environment.of(role).nth(which).ok_or_else(|| anyhow::anyhow!("no {} {which}", role.word()))
    }

    async fn kill(self: &Arc<Self>, role: Role, which: usize, down: Duration) -> anyhow::Result<()> {
        let slot = self.slot(role, which)?;
        let _turn = slot.turn.lock().await;
        let (pid, at) = (slot.kill(), Instant::now());
        if let (Role::Worker, Some(pid)) = (role, pid) {
            let orphans = self.jobs_of(pid).await?;
            tokio::spawn(self.clone().recovery(pid, at, orphans));
        }
        sleep(down).await;
        slot.start()
    }

    async fn freeze(&self, role: Role, which: usize, frozen: Duration) -> anyhow::Result<()> {
        let slot = self.slot(role, which)?;
        let _turn = slot.turn.lock().await;
        slot.signal(Signal::SIGSTOP);
        if let (Role::Worker, Some(pid)) = (role, slot.pid()) {
            self.jobs_of(pid).await?;
        }
        sleep(frozen).await;
        if let (Role::Worker, Some(pid)) = (role, slot.pid()) {
            // PostgreSQL has finished the worker's statements meanwhile.
            self.jobs_of(pid).await?;
        }
        slot.signal(Signal::SIGCONT);
        Ok(())
    }

    /// Returns the running jobs of a process that has just died, with their fences, and counts one death for each.
    async fn jobs_of(&self, pid: u32) -> anyhow::Result<HashSet<(Uuid, i64)>> {
        let query =
            "SELECT id, fence FROM jobs WHERE state = 'running' AND started_by LIKE '%-' || $1 || '-%'";
        let ask = || sqlx::query(query).bind(pid.to_string()).fetch_all(&self.environment.sql);
        let rows = loop {
            // PostgreSQL may be restarting.
            match timeout(Duration::from_secs(5), ask()).await {
                Ok(Ok(rows)) => break rows,
                _ => sleep(Duration::from_millis(100)).await,
            }
        };
        let mut jobs = HashSet::with_capacity(rows.len());
        for row in rows {
            jobs.insert((row.try_get(0)?, row.try_get(1)?));
        }
        self.lock().deaths.extend(&jobs);
        Ok(jobs)
    }

    /// Watches until each job of a killed worker was started again or is final. A start that PostgreSQL was executing
    /// at
    /// the kill shows later, so the jobs are read each time.
    async fn recovery(
        self: Arc<Self>,
        pid: u32,
        killed: Instant,
        mut orphans: HashSet<(Uuid, i64)>,
    ) -> anyhow::Result<()> {
        while killed.elapsed() < MAX_STATEMENT_TIME
            || (!orphans.is_empty() && killed.elapsed() < MAX_RECOVERY_WATCH)
        {
            sleep(Duration::from_millis(50)).await;
            let running = self.jobs_of(pid).await?;
            for (job, _) in orphans.difference(&running) {
                self.environment.log.write(format_args!("{job} was taken up after {:?}", killed.elapsed()));
                self.lock().recoveries.push((killed, Instant::now()));
            }
            orphans = running;
        }
        self.lock().abandoned.extend(orphans.into_iter().map(|(id, _)| id));
        Ok(())
    }

    async fn flush(&self) -> anyhow::Result<()> {
        let _turn = self.lock_store(Backing::Redis).await;
        let from = wall();
        let mut connection = self.environment.redis.get_multiplexed_async_connection().await?;
        redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
        self.lost(from);
        Ok(())
    }

    async fn restart(&self, backing: Backing) -> anyhow::Result<()> {
        let _turn = self.lock_store(backing).await;
        let from = wall();
        let server = match backing {
            Backing::Postgres => Server::Postgres,
            Backing::Redis => Server::Redis,
        };
        self.environment.servers(move |stack| stack.restart(server)).await?;
        if backing == Backing::Redis {
            self.lost(from);
        }
        Ok(())
    }

    /// Restarts Redis empty and with another clock.
    async fn change_clock(&self, seconds: i64) -> anyhow::Result<()> {
        let _turn = self.lock_store(Backing::Redis).await;
        let from = wall();
        let restart = move |stack: &mut devstack::Stack| {
            stack.set_clock(WrongClock { server: Server::Redis, seconds })?;
            stack.restart(Server::Redis)
        };
        self.environment.servers(restart).await?;
        self.lost(from);
        // Servers that replace each other share one clock.
        self.environment.standby.restart(seconds)?;
        check_redis(&self.environment.redis, seconds).await
    }

    async fn crash(&self) -> anyhow::Result<()> {
        let _turn = self.lock_store(Backing::Redis).await;
        let from = wall();
        let crash = |stack: &mut devstack::Stack| {
            stack.kill(Server::Redis)?;
            stack.restart(Server::Redis)
        };
        self.environment.servers(crash).await?;
        self.lost(from);
        Ok(())
    }

    /// Makes the standby copy the queue, miss the last second, and take over until it returns the role.
    async fn failover(&self, lasts: Duration) -> anyhow::Result<()> {
        let _turn = self.lock_store(Backing::Redis).await;
        let (environment, standby) = (&self.environment, &self.environment.standby);
        standby.follow(&environment.redis).await?;
        standby.promote().await?;
        let from = wall();
        sleep(MISSED_WRITES).await;
        environment.proxy(Backing::Redis).lead_to(standby.socket.clone());
        standby.demote(&environment.redis).await?;
        self.lost(from);
        sleep(lasts).await;
        let from = wall();
        environment.proxy(Backing::Redis).lead_to(environment.redis_socket());
        standby.give_back(&environment.redis).await?;
        self.lost(from);
        Ok(())
    }

    fn lost(&self, from: DateTime<Utc>) {
        let mut executed_faults = self.lock();
        executed_faults.losses.push((from, wall()));
        executed_faults.lost.push(Instant::now());
    }

    fn add_github_fault(&self, trouble: Trouble, times: u32, ms: u64) {
        let retry_after = Some(ms / 1000);
        let kind = match trouble {
            Trouble::Latency => FaultKind::Latency { ms },
            Trouble::ServerErrors => FaultKind::Status { status: 502 },
            Trouble::TooMany => FaultKind::SecondaryLimit { status: 429, retry_after },
            Trouble::Secondary => FaultKind::SecondaryLimit { status: 403, retry_after },
            Trouble::EffectThenDrop => FaultKind::EffectThenDrop,
            Trouble::LateEffect => FaultKind::LateEffect { ms },
            Trouble::EffectThenStatus => FaultKind::EffectThenStatus { status: 502 },
            Trouble::Drop => FaultKind::Drop,
            Trouble::Exhausted => FaultKind::PrimaryLimit { status: 403, reset_in: None },
            Trouble::TokenExpired => FaultKind::TokenExpired,
        };
        let fault = Fault::new(kind).times(times);
        let anywhere = !matches!(
            trouble,
            Trouble::TooMany
                | Trouble::Secondary
                | Trouble::EffectThenDrop
                | Trouble::LateEffect
                | Trouble::EffectThenStatus
                | Trouble::Drop
        );
        let fault = Fault { path: Some("actions/runners".to_owned()), ..fault };
        self.environment.twin.fault(if anywhere { fault } else { fault.on("POST", "generate-jitconfig") });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ExecutedFaults> {
        self.executed_faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
