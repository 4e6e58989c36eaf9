//! One runner from its request to its end, driven by its caller.

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

/// A requested runner and the further actions of its caller.
pub(crate) struct Story<'l> {
    pub(crate) client: &'l Client,
    /// All decisions.
    pub(crate) choices: Choices,
    /// Random generator for waits and retries.
    pub(crate) patience: SmallRng,
    pub(crate) person: &'l Person,
    pub(crate) id: String,
    pub(crate) body: Value,
}

impl Story<'_> {
    /// Runs the whole story.
    pub(crate) async fn run(mut self) {
        let keyed = self.choices.keyed;
        self.count(if keyed { "provision" } else { "provision without a key" });
        let Some(answer) = self.provision(self.choices.wait).await else {
            if keyed {
                self.client.responses.record_unknown_key(&self.id);
            }
            return;
        };
        let mut job = self.accepted_job(&answer);
        if let Some(after) = self.choices.again.filter(|_| keyed) {
            self.count("provision, key sent again");
            sleep(after).await;
            if let Some(again) = self.provision(None).await {
                job = self.check_same_job(job, self.accepted_job(&again));
            }
        }
        if let Some(job) = job {
            self.follow_up(job).await;
        }
    }

    fn count(&self, what: &'static str) {
        self.client.responses.record_operation(what);
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

    /// Returns the job of an accepting response.
    fn accepted_job(&self, answer: &Answer) -> Option<Uuid> {
        let job = matches!(answer.status, 201 | 202).then(|| answer.id("job_id")).flatten()?;
        self.accepted("provision", job);
        if answer.status == 201 {
            self.client.responses.record_config(job, &answer.body, &self.client.needles);
        }
        Some(job)
    }

    fn accepted(&self, what: &str, job: Uuid) {
        let key = if what == "provision" && self.choices.keyed {
            self.id.clone()
        } else {
            format!("{} {what}", self.id)
        };
        self.client.responses.record_accepted(&key, job);
    }

    /// Checks that a key sent twice leads to one job, unless the first request was refused and the second was not.
    fn check_same_job(&self, first: Option<Uuid>, second: Option<Uuid>) -> Option<Uuid> {
        if let (Some(first), Some(second)) = (first, second)
            && first != second
        {
            self.client
                .responses
                .record_violation(format!("key {} led to jobs {first} and {second}", self.id));
        }
        second.or(first)
    }

    async fn follow_up(&mut self, job: Uuid) {
        if let Some(seconds) = self.choices.hurry {
            self.shorten_deadline(job, seconds).await;
        }
        if let Some(after) = self.choices.cancel {
            self.count("cancel");
            sleep(after).await;
            self.request(Method::DELETE, format!("/jobs/{job}")).await;
        }
        let Some(status) = self.until_final(job).await else { return };
        if let Some(nth) = self.choices.stranger {
            self.fetch_as_stranger(job, nth).await;
        }
        let (true, Some(runner)) = (status["state"] == "succeeded", status["runner_id"].as_str()) else {
            return;
        };
        self.collect(job).await;
        let name = status["runner_name"].as_str().unwrap_or_default();
        let workflow = if self.choices.works { self.run_workflow_job(name) } else { None };
        self.use_and_remove(runner, workflow).await;
    }

    async fn collect(&mut self, job: Uuid) {
        for _ in 0..self.choices.fetches {
            self.count("config fetched");
            let answer = self.request(Method::POST, format!("/jobs/{job}/credential")).await;
            if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                self.client.responses.record_config(job, &answer.body, &self.client.needles);
            }
        }
    }

    /// Refreshes and removes the runner while its workflow job ends.
    async fn use_and_remove(&mut self, runner: &str, workflow: Option<u64>) {
        if self.choices.refreshes {
            self.count("refresh");
            self.run_runner_job("refresh", Method::POST, format!("/runners/{runner}/refresh")).await;
        }
        let commands = self.client.environment.twin.control();
        let removal = async {
            if self.choices.removes {
                self.count("deprovision");
                self.run_runner_job("deprovision", Method::DELETE, format!("/runners/{runner}")).await;
            }
        };
        let end = async {
            if let Some(workflow) = workflow {
                sleep(Duration::from_secs(2)).await;
                // Another party may have ended it.
                let _ = commands.complete_job(workflow, Conclusion::Success);
            }
        };
        tokio::join!(removal, end);
    }

    /// Shortens the job's deadline.
    async fn shorten_deadline(&mut self, job: Uuid, seconds: f64) {
        self.count("deadline brought forward");
        let query = "UPDATE jobs SET deadline_at = now() + make_interval(secs => $2)
             WHERE id = $1 AND finished_at IS NULL";
        // If PostgreSQL is down, the job keeps its deadline.
        let _ = sqlx::query(query).bind(job).bind(seconds).execute(&self.client.environment.sql).await;
    }

    /// Requests the config as an unauthorised caller.
    async fn fetch_as_stranger(&mut self, job: Uuid, nth: usize) {
        self.count("config asked for by a stranger");
        let environment = &self.client.environment;
        let stranger = environment.people.get(nth).unwrap_or(&environment.root);
        if stranger.token == self.person.token {
            return;
        }
        let ask = Ask::new(Method::POST, format!("/jobs/{job}/credential"), &stranger.token);
        if let Some(answer) = self.client.send(&mut self.patience, &ask).await {
            self.client.responses.record_stranger_response(job, &answer);
        }
    }

    /// Sets the runner online and gives it a workflow job, which triggers webhooks.
    fn run_workflow_job(&mut self, name: &str) -> Option<u64> {
        let commands = self.client.environment.twin.control();
        let runner = commands.runners().into_iter().find(|runner| runner.name == name)?;
        commands.set_runner(runner.id, RunnerChange::online()).ok()?;
        let workflow = commands.queue_job("acme/web", &[]).ok()?;
        commands.start_job(workflow.id, runner.id).ok()?;
        self.count("workflow job");
        Some(workflow.id)
    }

    /// Requests a job for a runner and waits for its end.
    async fn run_runner_job(&mut self, what: &str, method: Method, path: String) {
        let answer = self.request(method, path).await;
        let Some(job) = answer.filter(|answer| answer.status == 202).and_then(|answer| answer.id("job_id"))
        else {
            return;
        };
        self.client.responses.record_shared_job(what, job);
        self.until_final(job).await;
    }

    /// Returns the job once it is final.
    async fn until_final(&mut self, job: Uuid) -> Option<Value> {
        loop {
            let wait = self.patience.random_range(1..=10);
            let answer = self.request(Method::GET, format!("/jobs/{job}?wait={wait}")).await?;
            if answer.status != 200 {
                let (status, code) = (answer.status, answer.code());
                self.client
                    .responses
                    .record_violation(format!("the status of job {job} was answered {status} {code}"));
                return None;
            }
            if !answer.body["finished_at"].is_null() {
                return Some(answer.body);
            }
        }
    }

    async fn request(&mut self, method: Method, path: String) -> Option<Answer> {
        let ask = Ask::new(method, path, &self.person.token);
        self.client.send(&mut self.patience, &ask).await
    }
}
