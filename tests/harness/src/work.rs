//! Asking for runners and following jobs.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{ApiResponse, Bearer, World, eventually, wait_until};

/// A provision request that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The job.
    pub job: Uuid,
    /// The runner.
    pub runner: Uuid,
    /// Its name as answered.
    pub name: String,
}

/// The plainest body: a generated name behind `prefix`, no labels of its own.
pub fn provision_body(prefix: &str) -> Value {
    json!({ "runner_name_prefix": prefix })
}

impl World {
    /// `POST /runners/jit`, whatever the answer.
    pub async fn jit(&self, who: &(impl Bearer + ?Sized), body: &Value) -> ApiResponse {
        self.post("/runners/jit", who, body).await
    }

    /// Asks for a runner, again while the service is too busy to record the request, and insists on 202.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn provision(&self, who: &(impl Bearer + ?Sized), body: Value) -> Accepted {
        let answer = eventually("the request is recorded", || async {
            let answer = self.jit(who, &body).await;
            (answer.code() != "database_unavailable").then_some(answer)
        });
        let answer = answer.await.assert_status(202);
        Accepted {
            job: id(&answer.body["job_id"]),
            runner: id(&answer.body["runner_id"]),
            name: answer.body["runner_name"].as_str().unwrap().to_owned(),
        }
    }

    /// The job once it is final, by long polls of 5 s each.
    ///
    /// # Panics
    /// When it does not become final.
    pub async fn until_final(&self, who: &(impl Bearer + ?Sized), job: Uuid) -> Value {
        let path = format!("/jobs/{job}?wait=5");
        eventually("a final state", || async {
            let job = self.get(&path, who).await.assert_status(200).body;
            (!job["finished_at"].is_null()).then_some(job)
        })
        .await
    }

    /// Waits until every fault ordered so far has struck as often as it was told to: with latency, the request is
    /// under way then.
    ///
    /// # Panics
    /// When it does not.
    pub async fn fault_consumed(&self) {
        wait_until("the fault strikes", || async { self.twin.control().faults().is_empty() }).await;
    }

    /// The job as it stands.
    pub async fn job(&self, who: &(impl Bearer + ?Sized), job: Uuid) -> Value {
        self.get(&format!("/jobs/{job}"), who).await.assert_status(200).body
    }

    /// `POST /jobs/{id}/credential`, whatever the answer.
    pub async fn credential(&self, who: &(impl Bearer + ?Sized), job: Uuid) -> ApiResponse {
        self.ask("POST", &format!("/jobs/{job}/credential")).by(who).send().await
    }
}

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}
