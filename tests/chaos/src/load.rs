//! Callers of several teams: they ask, ask again, wait, cancel, collect and remove.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use crate::{
    client::{Answer, Ask, Client},
    people::Person,
    plan::Plan,
};

/// Who starts the operations.
pub(crate) struct Load {
    pub(crate) client: Client,
    seed: u64,
    /// Whether runners can be removed by their teams.
    removable: bool,
}

/// One operation: a runner asked for, and what its caller does then.
struct Operation<'l> {
    load: &'l Load,
    rng: SmallRng,
    person: &'l Person,
    key: String,
    body: Value,
}

impl Load {
    pub(crate) fn new(client: Client, plan: &Plan, removable: bool) -> Arc<Self> {
        Arc::new(Self { client, seed: plan.seed, removable })
    }

    /// Starts all operations, spread evenly over the chaos; returns when every caller is done.
    pub(crate) async fn run(self: &Arc<Self>, plan: &Plan) {
        let start = Instant::now();
        let mut callers = JoinSet::new();
        for nth in 0..plan.operations {
            let (part, whole) = (u32::try_from(nth).unwrap_or(u32::MAX), plan.operations.max(1));
            let gap = plan.chaos / u32::try_from(whole).unwrap_or(u32::MAX);
            sleep_until(start + gap * part).await;
            let load = self.clone();
            callers.spawn(async move { load.operation(nth).run().await });
        }
        while callers.join_next().await.is_some() {}
    }

    fn operation(&self, nth: usize) -> Operation<'_> {
        let mut rng = SmallRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(nth as u64));
        let people = &self.client.stage.people;
        let person = &people[rng.random_range(0..people.len())];
        let team = self.client.stage.teams[person.team].name;
        // Few enough exact names that callers get in each other's way.
        let body = if rng.random_bool(0.25) {
            json!({ "runner_name": format!("exact-{team}-{}", rng.random_range(0..12)) })
        } else {
            json!({ "runner_name_prefix": format!("chaos-{team}") })
        };
        Operation { load: self, rng, person, key: format!("{}-{nth}", self.seed), body }
    }
}

impl Operation<'_> {
    async fn run(mut self) {
        let wait = self.rng.random_bool(0.3).then(|| self.rng.random_range(1..=15));
        self.count(if wait.is_some() { "provision, waiting" } else { "provision" });
        if self.body["runner_name"].is_string() {
            self.count("with an exact name");
        }
        let Some(answer) = self.provision(wait).await else {
            self.load.client.tally.unknown(&self.key);
            return;
        };
        let mut job = self.take(&answer);
        if self.rng.random_bool(0.3) {
            self.count("key sent again");
            sleep(Duration::from_millis(self.rng.random_range(0..3000))).await;
            if let Some(again) = self.provision(None).await {
                job = self.same(job, self.take(&again));
            }
        }
        if let Some(job) = job {
            self.follow_up(job).await;
        }
    }

    fn count(&self, what: &'static str) {
        self.load.client.tally.operation(what);
    }

    async fn provision(&mut self, wait: Option<u8>) -> Option<Answer> {
        let (person, key, body) = (self.person, self.key.clone(), self.body.clone());
        let ask = Ask {
            key: Some(&key),
            wait,
            body: Some(&body),
            ..Ask::new(Method::POST, "/runners/jit".to_owned(), &person.token)
        };
        self.load.client.send(&mut self.rng, &ask).await
    }

    /// The job of an answer that accepted one.
    fn take(&self, answer: &Answer) -> Option<Uuid> {
        let job = matches!(answer.status, 201 | 202).then(|| answer.id("job_id")).flatten()?;
        self.load.client.tally.accepted(&self.key, job);
        if answer.status == 201 {
            self.load.client.tally.config(job, &answer.body);
        }
        Some(job)
    }

    /// A key that was sent twice leads to one job, unless the first was refused and the second was not.
    fn same(&self, first: Option<Uuid>, second: Option<Uuid>) -> Option<Uuid> {
        if let (Some(first), Some(second)) = (first, second)
            && first != second
        {
            self.load.client.tally.broke(format!("key {} led to jobs {first} and {second}", self.key));
        }
        second.or(first)
    }

    async fn follow_up(&mut self, job: Uuid) {
        if self.rng.random_bool(0.12) {
            self.count("cancel");
            sleep(Duration::from_millis(self.rng.random_range(0..2000))).await;
            self.ask(Method::DELETE, format!("/jobs/{job}")).await;
        }
        let Some(status) = self.settled(job).await else { return };
        if status["state"] != "succeeded" {
            return;
        }
        let times = self.rng.random_range(0..=2);
        for _ in 0..times {
            self.count("config fetched");
            let answer = self.ask(Method::POST, format!("/jobs/{job}/credential")).await;
            if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                self.load.client.tally.config(job, &answer.body);
            }
        }
        if self.load.removable && self.rng.random_bool(0.6) {
            self.count("deprovision");
            self.remove(&status).await;
        }
    }

    async fn remove(&mut self, status: &Value) {
        let Some(runner) = status["runner_id"].as_str() else { return };
        let answer = self.ask(Method::DELETE, format!("/runners/{runner}")).await;
        let Some(job) = answer.filter(|answer| answer.status == 202).and_then(|answer| answer.id("job_id"))
        else {
            return;
        };
        self.load.client.tally.accepted(&format!("{} (deprovision)", self.key), job);
        self.settled(job).await;
    }

    /// The job once it is final.
    async fn settled(&mut self, job: Uuid) -> Option<Value> {
        loop {
            let wait = self.rng.random_range(1..=10);
            let answer = self.ask(Method::GET, format!("/jobs/{job}?wait={wait}")).await?;
            if answer.status != 200 {
                let (status, code) = (answer.status, answer.code());
                self.load.client.tally.broke(format!("the status of job {job} was answered {status} {code}"));
                return None;
            }
            if !answer.body["finished_at"].is_null() {
                return Some(answer.body);
            }
        }
    }

    async fn ask(&mut self, method: Method, path: String) -> Option<Answer> {
        let ask = Ask::new(method, path, &self.person.token);
        self.load.client.send(&mut self.rng, &ask).await
    }
}
