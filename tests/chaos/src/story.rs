//! One runner from its request to its end, as its caller goes about it.

use std::time::Duration;

use github_twin::{Conclusion, RunnerChange};
use rand::{RngExt, rngs::SmallRng};
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    choices::Choices,
    client::{Answer, Ask, Client},
    people::Person,
};

/// A runner asked for, and what its caller does then.
pub(crate) struct Story<'l> {
    pub(crate) client: &'l Client,
    /// Everything that is decided.
    pub(crate) choices: Choices,
    /// How it waits and retries.
    pub(crate) patience: SmallRng,
    pub(crate) person: &'l Person,
    pub(crate) id: String,
    pub(crate) body: Value,
}

impl Story<'_> {
    /// All of it.
    pub(crate) async fn run(mut self) {
        let keyed = self.choices.keyed;
        self.count(if keyed { "provision" } else { "provision without a key" });
        let Some(answer) = self.provision(self.choices.wait).await else {
            if keyed {
                self.client.tally.unknown(&self.id);
            }
            return;
        };
        let mut job = self.take(&answer);
        if let Some(after) = self.choices.again.filter(|_| keyed) {
            self.count("provision, key sent again");
            sleep(after).await;
            if let Some(again) = self.provision(None).await {
                job = self.same(job, self.take(&again));
            }
        }
        if let Some(job) = job {
            self.follow_up(job).await;
        }
    }

    fn count(&self, what: &'static str) {
        self.client.tally.operation(what);
    }

    async fn provision(&mut self, wait: Option<u8>) -> Option<Answer> {
        let (person, key, body) = (self.person, self.id.clone(), self.body.clone());
        let ask = Ask {
            key: self.choices.keyed.then_some(key.as_str()),
            wait,
            body: Some(&body),
            once: !self.choices.keyed,
            ..Ask::new(Method::POST, "/runners/jit".to_owned(), &person.token)
        };
        self.client.send(&mut self.patience, &ask).await
    }

    /// The job of an answer that accepted one.
    fn take(&self, answer: &Answer) -> Option<Uuid> {
        let job = matches!(answer.status, 201 | 202).then(|| answer.id("job_id")).flatten()?;
        self.accepted("provision", job);
        if answer.status == 201 {
            self.client.tally.config(job, &answer.body, &self.client.needles);
        }
        Some(job)
    }

    fn accepted(&self, what: &str, job: Uuid) {
        let key = if what == "provision" && self.choices.keyed {
            self.id.clone()
        } else {
            format!("{} {what}", self.id)
        };
        self.client.tally.accepted(&key, job);
    }

    /// A key that was sent twice leads to one job, unless the first was refused and the second was not.
    fn same(&self, first: Option<Uuid>, second: Option<Uuid>) -> Option<Uuid> {
        if let (Some(first), Some(second)) = (first, second)
            && first != second
        {
            self.client.tally.broke(format!("key {} led to jobs {first} and {second}", self.id));
        }
        second.or(first)
    }

    async fn follow_up(&mut self, job: Uuid) {
        if let Some(seconds) = self.choices.hurry {
            self.hurry(job, seconds).await;
        }
        if let Some(after) = self.choices.cancel {
            self.count("cancel");
            sleep(after).await;
            self.ask(Method::DELETE, format!("/jobs/{job}")).await;
        }
        let Some(status) = self.settled(job).await else { return };
        if let Some(nth) = self.choices.stranger {
            self.intrude(job, nth).await;
        }
        let (true, Some(runner)) = (status["state"] == "succeeded", status["runner_id"].as_str()) else {
            return;
        };
        self.collect(job).await;
        let name = status["runner_name"].as_str().unwrap_or_default();
        let workflow = if self.choices.works { self.work(name) } else { None };
        self.part(runner, workflow).await;
    }

    async fn collect(&mut self, job: Uuid) {
        for _ in 0..self.choices.fetches {
            self.count("config fetched");
            let answer = self.ask(Method::POST, format!("/jobs/{job}/credential")).await;
            if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                self.client.tally.config(job, &answer.body, &self.client.needles);
            }
        }
    }

    /// The runner is looked at and removed while its workflow job ends.
    async fn part(&mut self, runner: &str, workflow: Option<u64>) {
        if self.choices.refreshes {
            self.count("refresh");
            self.order("refresh", Method::POST, format!("/runners/{runner}/refresh")).await;
        }
        let commands = self.client.stage.twin.control();
        let removal = async {
            if self.choices.removes {
                self.count("deprovision");
                self.order("deprovision", Method::DELETE, format!("/runners/{runner}")).await;
            }
        };
        let end = async {
            if let Some(workflow) = workflow {
                sleep(Duration::from_secs(2)).await;
                // Somebody else may have ended it.
                let _ = commands.complete_job(workflow, Conclusion::Success);
            }
        };
        tokio::join!(removal, end);
    }

    /// The job has little time from now on.
    async fn hurry(&mut self, job: Uuid, seconds: f64) {
        self.count("deadline brought forward");
        let query = "UPDATE jobs SET deadline_at = now() + make_interval(secs => $2)
             WHERE id = $1 AND finished_at IS NULL";
        // Postgres may be away: then it has as much time as any.
        let _ = sqlx::query(query).bind(job).bind(seconds).execute(&self.client.stage.sql).await;
    }

    /// Somebody else wants the config.
    async fn intrude(&mut self, job: Uuid, nth: usize) {
        self.count("config asked for by a stranger");
        let stage = &self.client.stage;
        let stranger = stage.people.get(nth).unwrap_or(&stage.root);
        if stranger.token == self.person.token {
            return;
        }
        let ask = Ask::new(Method::POST, format!("/jobs/{job}/credential"), &stranger.token);
        if let Some(answer) = self.client.send(&mut self.patience, &ask).await {
            self.client.tally.intruded(job, &answer);
        }
    }

    /// The runner goes online and takes a workflow job, of which webhooks tell.
    fn work(&mut self, name: &str) -> Option<u64> {
        let commands = self.client.stage.twin.control();
        let runner = commands.runners().into_iter().find(|runner| runner.name == name)?;
        commands.set_runner(runner.id, RunnerChange::online()).ok()?;
        let workflow = commands.queue_job("acme/web", &[]).ok()?;
        commands.start_job(workflow.id, runner.id).ok()?;
        self.count("workflow job");
        Some(workflow.id)
    }

    /// Something to be done about a runner, and its end.
    async fn order(&mut self, what: &str, method: Method, path: String) {
        let answer = self.ask(method, path).await;
        let Some(job) = answer.filter(|answer| answer.status == 202).and_then(|answer| answer.id("job_id"))
        else {
            return;
        };
        self.client.tally.joined(what, job);
        self.settled(job).await;
    }

    /// The job once it is final.
    async fn settled(&mut self, job: Uuid) -> Option<Value> {
        loop {
            let wait = self.patience.random_range(1..=10);
            let answer = self.ask(Method::GET, format!("/jobs/{job}?wait={wait}")).await?;
            if answer.status != 200 {
                let (status, code) = (answer.status, answer.code());
                self.client.tally.broke(format!("the status of job {job} was answered {status} {code}"));
                return None;
            }
            if !answer.body["finished_at"].is_null() {
                return Some(answer.body);
            }
        }
    }

    async fn ask(&mut self, method: Method, path: String) -> Option<Answer> {
        let ask = Ask::new(method, path, &self.person.token);
        self.client.send(&mut self.patience, &ask).await
    }
}
