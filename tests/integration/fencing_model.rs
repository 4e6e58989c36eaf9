//! Model test of fencing: several workers start, finish, release and lose the same jobs in random order, and the rows
//! must match a small model.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    BlockedOn, CallId, CallState, InstallationId, Job, JobId, JobParams, JobState, MAX_RESCUES, Problem,
    RequestedName,
};
use harness::Database;
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};
use sqlx::PgPool;
use store::{Counter, Intent, NewJob, Postponement, Store};
use uuid::Uuid;

const JOBS: usize = 2;
const WORKERS: [&str; 3] = ["one", "two", "three"];

/// One random operation. `start` is the index of a start, newest last; most starts are outdated when used.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start { job: usize, worker: usize, given_back: bool },
    Intend { start: usize },
    Deliver { start: usize },
    Fail { start: usize },
    Postpone { start: usize, count_as: bool },
    Release { start: usize },
    Cancel { job: usize },
    DeadlinePasses { job: usize, long_ago: bool },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let (job, start) = (|| 0..JOBS, || 0..6_usize);
    prop_oneof![
        8 => (job(), 0..WORKERS.len(), any::<bool>())
            .prop_map(|(job, worker, given_back)| Step::Start { job, worker, given_back }),
        4 => start().prop_map(|start| Step::Intend { start }),
        4 => start().prop_map(|start| Step::Deliver { start }),
        1 => start().prop_map(|start| Step::Fail { start }),
        4 => (start(), any::<bool>()).prop_map(|(start, count_as)| Step::Postpone { start, count_as }),
        2 => start().prop_map(|start| Step::Release { start }),
        1 => job().prop_map(|job| Step::Cancel { job }),
        1 => (job(), any::<bool>()).prop_map(|(job, long_ago)| Step::DeadlinePasses { job, long_ago }),
        1 => Just(Step::Expire),
    ]
}

/// The compared columns of a row.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Row {
    state: String,
    fence: i64,
    attempts: i32,
    snoozes: i32,
    rescues: i32,
    started_by: Option<String>,
}

impl Row {
    fn is_final(&self) -> bool {
        self.state != "queued" && self.state != "running"
    }
}

/// One start as its worker remembers it, and the GitHub call it has recorded.
struct Start {
    job: Job,
    intent: Option<Intent>,
}

struct Model<'a> {
    store: &'a Store,
    sql: &'a PgPool,
    jobs: Vec<JobId>,
    rows: BTreeMap<JobId, Row>,
    /// Progress of the deadline: 0 ahead, 1 just passed, 2 passed long ago.
    late: BTreeMap<JobId, u8>,
    given_back: BTreeMap<JobId, i64>,
    starts: Vec<Start>,
    generation: i16,
}

impl<'a> Model<'a> {
    async fn new(store: &'a Store, sql: &'a PgPool) -> Self {
        let (mut jobs, mut rows) = (Vec::new(), BTreeMap::new());
        for _ in 0..JOBS {
            let job = NewJob {
                id: JobId::new(),
                installation: InstallationId::default(),
                team: None,
                requester: None,
                runner: None,
                call: None,
                params: JobParams::Provision { name: requested_name(), work_folder: "_work".to_owned() },
                trace: None,
            };
            store.conn().await.unwrap().jobs().insert(&job).await.unwrap();
            let (state, started_by) = ("queued".to_owned(), None);
            jobs.push(job.id);
            rows.insert(job.id, Row { state, fence: 0, attempts: 0, snoozes: 0, rescues: 0, started_by });
        }
        let (late, given_back) = (BTreeMap::new(), BTreeMap::new());
        Self { store, sql, jobs, rows, late, given_back, starts: Vec::new(), generation: 0 }
    }

    /// Returns whether this start is the newest running one, the only one whose writes take effect.
    fn is_current(&self, job: &Job) -> bool {
        self.rows[&job.id].state == "running" && self.rows[&job.id].fence == job.fence
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Start { job, worker, given_back } => {
                self.start(self.jobs[job], WORKERS[worker], given_back).await;
            }
            Step::Cancel { job } => self.cancel(self.jobs[job]).await,
            Step::DeadlinePasses { job, long_ago } => self.pass_deadline(self.jobs[job], long_ago).await,
            Step::Expire => self.expire().await,
            Step::Intend { start }
            | Step::Deliver { start }
            | Step::Fail { start }
            | Step::Postpone { start, .. }
            | Step::Release { start } => {
                if let Some(nth) = self.starts.len().checked_sub(start + 1) {
                    self.speak(step, nth).await;
                }
            }
        }
    }

    async fn start(&mut self, id: JobId, worker: &str, given_back: bool) {
        let started = self.store.conn().await.unwrap().jobs().start(id, worker, given_back).await.unwrap();
        let row = self.rows.get_mut(&id).unwrap();
        assert_eq!(started.is_none(), row.is_final());
        let Some(job) = started else { return };
        let is_alive = given_back || row.started_by.as_deref() == Some(worker);
        // After the last rescue a start only records that the job is poisoned.
        let counter = match (row.state.as_str(), is_alive || row.rescues >= MAX_RESCUES) {
            ("queued", _) => &mut row.attempts,
            (_, true) => &mut row.snoozes,
            (_, false) => &mut row.rescues,
        };
        *counter += 1;
        row.fence += 1;
        (row.state, row.started_by) = ("running".to_owned(), Some(worker.to_owned()));
        self.starts.push(Start { job, intent: None });
    }

    async fn speak(&mut self, step: Step, nth: usize) {
        let job = self.starts[nth].job.clone();
        let counts = self.is_current(&job);
        let mut conn = self.store.conn().await.unwrap();
        let answer = match step {
            Step::Intend { .. } => {
                drop(conn);
                self.record_intent(&job, nth).await
            }
            Step::Deliver { .. } => {
                drop(conn);
                self.deliver(&job, nth).await
            }
            Step::Fail { .. } => conn.jobs().finish(&job, JobState::Failed, None).await.unwrap(),
            Step::Postpone { count_as, .. } => {
                let count_as = if count_as { Counter::Attempt } else { Counter::Snooze };
                let (delay, why) = (TimeDelta::zero(), BlockedOn::Retry);
                let postponement = Postponement { delay, why, count_as, failure: None };
                conn.jobs().postpone(&job, &postponement).await.unwrap()
            }
            _ => conn.jobs().release(&job).await.unwrap(),
        };
        assert_eq!(answer, counts, "{step:?}");
        if counts {
            self.apply_effect(step, job.id);
        }
    }

    /// Applies an effective step to the model's row.
    fn apply_effect(&mut self, step: Step, id: JobId) {
        let row = self.rows.get_mut(&id).unwrap();
        let (state, attempt, snooze) = match step {
            Step::Deliver { .. } => ("succeeded", 0, 0),
            Step::Fail { .. } => ("failed", 0, 0),
            Step::Postpone { count_as: true, .. } => ("queued", 0, 0),
            Step::Postpone { .. } => ("queued", 1, 1),
            Step::Release { .. } => ("queued", 1, 0),
            _ => return,
        };
        row.state = state.to_owned();
        row.attempts -= attempt;
        row.snoozes += snooze;
        *self.given_back.entry(id).or_default() += i64::from(attempt - snooze);
    }

    async fn record_intent(&mut self, job: &Job, nth: usize) -> bool {
        self.generation += 1;
        let runner_name = requested_name().name(job.id, self.generation);
        let intent = Intent {
            id: CallId::new(),
            app: job.installation.clone(),
            generation: self.generation,
            runner_name,
        };
        let mut tx = self.store.begin().await.unwrap();
        let ours = tx.github_calls().record_intent(job, &intent).await.unwrap();
        tx.commit().await.unwrap();
        self.starts[nth].intent = ours.then_some(intent);
        ours
    }

    /// Delivers a result as a worker does; records the call first if that has not happened.
    async fn deliver(&mut self, job: &Job, nth: usize) -> bool {
        if self.starts[nth].intent.is_none() && !self.record_intent(job, nth).await {
            return false;
        }
        let intent = self.starts[nth].intent.clone().unwrap();
        let mut tx = self.store.begin().await.unwrap();
        let ours = tx.jobs().finish(job, JobState::Succeeded, None).await.unwrap()
            && tx.github_calls().conclude(intent.id, CallState::Delivered, Some(1), None).await.unwrap();
        if ours {
            tx.commit().await.unwrap();
        }
        ours
    }

    async fn cancel(&mut self, id: JobId) {
        let cancelled = self.store.conn().await.unwrap().jobs().cancel(id).await.unwrap();
        let row = self.rows.get_mut(&id).unwrap();
        assert_eq!(cancelled.is_some(), row.state == "queued");
        if cancelled.is_some() {
            row.state = "cancelled".to_owned();
        }
    }

    async fn pass_deadline(&mut self, id: JobId, long_ago: bool) {
        let ago = if long_ago { 90.0 } else { 30.0 };
        let sql = "UPDATE jobs SET deadline_at = least(deadline_at, now() - make_interval(secs => $2)) WHERE id = $1";
        sqlx::query(sql).bind(id.uuid()).bind(ago).execute(self.sql).await.unwrap();
        let late = self.late.entry(id).or_default();
        *late = (*late).max(1 + u8::from(long_ago));
    }

    async fn expire(&mut self) {
        let (problem, grace) = (Problem::job_expired(), TimeDelta::minutes(1));
        let over = self.store.conn().await.unwrap().jobs().expire(&problem, grace, 1_000).await.unwrap();
        for (id, row) in &mut self.rows {
            let late = self.late.get(id).copied().unwrap_or(0);
            let due = (row.state == "queued" && late > 0) || (row.state == "running" && late > 1);
            assert_eq!(over.iter().any(|job| job.id == *id), due);
            if due {
                row.state = "expired".to_owned();
            }
        }
    }

    async fn check(&self) {
        for (id, row) in &self.rows {
            let sql = "SELECT state, fence, attempts, snoozes, rescues, started_by FROM jobs WHERE id = $1";
            let found: Row = sqlx::query_as(sql).bind(id.uuid()).fetch_one(self.sql).await.unwrap();
            assert_eq!(found, *row);
            let starts = i64::from(row.attempts + row.snoozes + row.rescues);
            let given_back = self.given_back.get(id).copied().unwrap_or(0);
            assert_eq!(starts + given_back, row.fence, "every start counts once");
            assert!(row.attempts >= 0 && row.rescues <= MAX_RESCUES, "{row:?}");
            assert_eq!(delivered(self.sql, id.uuid()).await, i64::from(row.state == "succeeded"));
        }
    }
}

async fn delivered(sql: &PgPool, job: Uuid) -> i64 {
    let count = "SELECT count(*) FROM github_calls WHERE job_id = $1 AND state = 'delivered'";
    sqlx::query_scalar(count).bind(job).fetch_one(sql).await.unwrap()
}

fn requested_name() -> RequestedName {
    RequestedName::Prefix("ci".to_owned())
}

async fn prepare_database() -> (Database, Store, PgPool) {
    let database = harness::copy_of().await;
    let (store, sql) = (database.store(3), database.pool());
    store.conn().await.unwrap().installations().ensure(&[InstallationId::default()]).await.unwrap();
    (database, store, sql)
}

#[test]
fn rows_match_the_fencing_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (database, store, sql) = runtime.block_on(prepare_database());
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(step(), 1..40), |steps| {
            runtime.block_on(async {
                let mut model = Model::new(&store, &sql).await;
                for step in steps {
                    model.apply(step).await;
                    model.check().await;
                }
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(database.remove());
}
