//! The schedule, carried out.

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

/// Longest time a killed worker's job is watched for its next start.
const WATCH: Duration = Duration::from_mins(2);

/// Longest time until PostgreSQL has done what a worker asked for before it was killed.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// What a replica that takes over has not heard of.
const MISSED: Duration = Duration::from_secs(1);

/// What was done, and what followed at once.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// Faults by kind.
    pub(crate) done: BTreeMap<String, usize>,
    /// Faults that could not be carried out.
    pub(crate) failed: Vec<String>,
    /// Starts, by job and fence, whose worker was killed or frozen.
    pub(crate) deaths: HashSet<(Uuid, i64)>,
    /// From kill -9 of a worker to the next start, or the end, of each job it ran.
    pub(crate) recoveries: Vec<Span>,
    /// When a store or the path to it was disturbed.
    pub(crate) disturbed: Vec<Span>,
    /// When a worker was frozen: what it had just claimed waits for the end of another lease.
    pub(crate) frozen: Vec<Span>,
    /// Jobs that were not taken up again while they were watched.
    pub(crate) abandoned: Vec<Uuid>,
    /// When Redis lost everything: from, until it answered again.
    pub(crate) losses: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// The same by the clock of the other spans.
    pub(crate) lost: Vec<Instant>,
}

/// Who carries the faults out.
pub(crate) struct Hand {
    stage: Arc<Environment>,
    deeds: Mutex<Deeds>,
    /// One disturbance of a store at a time.
    stores: [tokio::sync::Mutex<()>; 2],
}

impl Hand {
    pub(crate) fn new(stage: Arc<Environment>) -> Arc<Self> {
        Arc::new(Self { stage, deeds: Mutex::default(), stores: Default::default() })
    }

    /// Carries the schedule out; returns when the last fault is over and everything is up again.
    pub(crate) async fn run(self: &Arc<Self>, steps: Vec<Step>) {
        let start = Instant::now();
        let mut under_way = JoinSet::new();
        for step in steps {
            sleep_until(start + step.at).await;
            let hand = self.clone();
            under_way.spawn(async move { hand.act(step.action).await });
        }
        while under_way.join_next().await.is_some() {}
    }

    /// How many faults so far.
    pub(crate) fn count(&self) -> usize {
        self.lock().done.values().sum()
    }

    /// What was done.
    pub(crate) fn deeds(&self) -> Deeds {
        std::mem::take(&mut *self.lock())
    }

    async fn act(self: &Arc<Self>, action: Action) {
        self.stage.log.note(&action);
        let begun = Instant::now();
        let done = match &action {
            Action::Kill { role, which, down } => self.kill(*role, *which, *down).await,
            Action::Freeze { role, which, frozen } => self.freeze(*role, *which, *frozen).await,
            Action::Flush => self.flush().await,
            Action::Restart(backing) => self.restart(*backing).await,
            Action::Clock(seconds) => self.clock(*seconds).await,
            Action::Crash => self.crash().await,
            Action::Failover { lasts } => self.failover(*lasts).await,
            Action::Disturb { backing, line, lasts } => {
                let _turn = self.turn(*backing).await;
                self.stage.proxy(*backing).set(Some(*line));
                sleep(*lasts).await;
                self.stage.proxy(*backing).set(None);
                Ok(())
            }
            Action::Reset(backing) => {
                self.stage.proxy(*backing).reset();
                Ok(())
            }
            Action::GitHub { trouble, times, ms } => {
                self.trouble(*trouble, *times, *ms);
                Ok(())
            }
            Action::Relief => {
                self.stage.relief();
                Ok(())
            }
        };
        self.stage.log.note(format_args!("over: {action}"));
        let mut deeds = self.lock();
        if action.disturbs_a_store() {
            deeds.disturbed.push((begun, Instant::now()));
        }
        if matches!(action, Action::Freeze { role: Role::Worker, .. }) {
            deeds.frozen.push((begun, Instant::now()));
        }
        *deeds.done.entry(action.kind()).or_default() += 1;
        if let Err(error) = done {
            deeds.failed.push(format!("{action}: {error:#}"));
        }
    }

    async fn turn(&self, backing: Backing) -> tokio::sync::MutexGuard<'_, ()> {
        self.stores[usize::from(backing == Backing::Redis)].lock().await
    }

    fn slot(&self, role: Role, which: usize) -> anyhow::Result<&Slot> {
        self.stage.of(role).nth(which).ok_or_else(|| anyhow::anyhow!("no {} {which}", role.word()))
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
            // What it had asked PostgreSQL for was done meanwhile.
            self.jobs_of(pid).await?;
        }
        slot.signal(Signal::SIGCONT);
        Ok(())
    }

    /// The jobs that run in a process that has just died, with their fences; counted as one death each.
    async fn jobs_of(&self, pid: u32) -> anyhow::Result<HashSet<(Uuid, i64)>> {
        let query =
            "SELECT id, fence FROM jobs WHERE state = 'running' AND started_by LIKE '%-' || $1 || '-%'";
        let ask = || sqlx::query(query).bind(pid.to_string()).fetch_all(&self.stage.sql);
        let rows = loop {
            // Postgres may be restarting.
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

    /// Watches until each job of a killed worker was started again, or is final. A start that PostgreSQL had under way
    /// at the kill shows later, so the jobs are looked up each time.
    async fn recovery(
        self: Arc<Self>,
        pid: u32,
        killed: Instant,
        mut orphans: HashSet<(Uuid, i64)>,
    ) -> anyhow::Result<()> {
        while killed.elapsed() < UNDER_WAY || (!orphans.is_empty() && killed.elapsed() < WATCH) {
            sleep(Duration::from_millis(50)).await;
            let running = self.jobs_of(pid).await?;
            for (job, _) in orphans.difference(&running) {
                self.stage.log.note(format_args!("{job} was taken up after {:?}", killed.elapsed()));
                self.lock().recoveries.push((killed, Instant::now()));
            }
            orphans = running;
        }
        self.lock().abandoned.extend(orphans.into_iter().map(|(id, _)| id));
        Ok(())
    }

    async fn flush(&self) -> anyhow::Result<()> {
        let _turn = self.turn(Backing::Redis).await;
        let from = wall();
        let mut connection = self.stage.redis.get_multiplexed_async_connection().await?;
        redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
        self.lost(from);
        Ok(())
    }

    async fn restart(&self, backing: Backing) -> anyhow::Result<()> {
        let _turn = self.turn(backing).await;
        let from = wall();
        let server = match backing {
            Backing::Postgres => Server::Postgres,
            Backing::Redis => Server::Redis,
        };
        self.stage.servers(move |stack| stack.restart(server)).await?;
        if backing == Backing::Redis {
            self.lost(from);
        }
        Ok(())
    }

    /// Redis forgets everything, the time included.
    async fn clock(&self, seconds: i64) -> anyhow::Result<()> {
        let _turn = self.turn(Backing::Redis).await;
        let from = wall();
        let restart = move |stack: &mut devstack::Stack| {
            stack.set_clock(WrongClock { server: Server::Redis, seconds })?;
            stack.restart(Server::Redis)
        };
        self.stage.servers(restart).await?;
        self.lost(from);
        // Servers that replace each other have the same clock.
        self.stage.standby.restart(seconds)?;
        check_redis(&self.stage.redis, seconds).await
    }

    async fn crash(&self) -> anyhow::Result<()> {
        let _turn = self.turn(Backing::Redis).await;
        let from = wall();
        let crash = |stack: &mut devstack::Stack| {
            stack.kill(Server::Redis)?;
            stack.restart(Server::Redis)
        };
        self.stage.servers(crash).await?;
        self.lost(from);
        Ok(())
    }

    /// The standby copies the queue, misses the last second, and takes over until it gives back.
    async fn failover(&self, lasts: Duration) -> anyhow::Result<()> {
        let _turn = self.turn(Backing::Redis).await;
        let (stage, standby) = (&self.stage, &self.stage.standby);
        standby.follow(&stage.redis).await?;
        standby.promote().await?;
        let from = wall();
        sleep(MISSED).await;
        stage.proxy(Backing::Redis).lead_to(standby.socket.clone());
        standby.demote(&stage.redis).await?;
        self.lost(from);
        sleep(lasts).await;
        let from = wall();
        stage.proxy(Backing::Redis).lead_to(stage.redis_socket());
        standby.give_back(&stage.redis).await?;
        self.lost(from);
        Ok(())
    }

    fn lost(&self, from: DateTime<Utc>) {
        let mut deeds = self.lock();
        deeds.losses.push((from, wall()));
        deeds.lost.push(Instant::now());
    }

    fn trouble(&self, trouble: Trouble, times: u32, ms: u64) {
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
        self.stage.twin.fault(if anywhere { fault } else { fault.on("POST", "generate-jitconfig") });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Deeds> {
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
