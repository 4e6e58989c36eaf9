//! Helpers that request runners and follow their jobs.

use std::net::SocketAddr;

use github_twin::{Fault, FaultKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{ApiRequest, ApiResponse, Bearer, World, eventually, wait_until};

/// An accepted provision request.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Id of the job.
    pub job: Uuid,
    /// Id of the runner.
    pub runner: Uuid,
    /// Runner name in the response.
    pub name: String,
}

/// Returns the smallest valid body: a generated name with `prefix`, no extra labels.
pub fn provision_body(prefix: &str) -> Value {
    json!({ "runner_name_prefix": prefix })
}

impl World {
    /// Sends `POST /runners/jit` and returns the response of any status.
    pub async fn jit(&self, who: &(impl Bearer + ?Sized), body: &Value) -> ApiResponse {
        self.post("/runners/jit", who, body).await
    }

    /// Requests a runner and expects 202. Retries while the service is too busy to record the request.
    ///
    /// # Panics
    /// When the service refuses the request.
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

    /// Returns the job once it is final, by long polls of 5 s each.
    ///
    /// # Panics
    /// When the job does not become final in time.
    pub async fn until_final(&self, who: &(impl Bearer + ?Sized), job: Uuid) -> Value {
        until_final(|| self.ask("GET", &format!("/jobs/{job}?wait=5")).by(who)).await
    }

    /// Returns the job once it is final, as [`Self::until_final`] does, by an API process other than the world's own.
    ///
    /// # Panics
    /// When the job does not become final in time.
    pub async fn until_final_at(
        &self,
        address: SocketAddr,
        who: &(impl Bearer + ?Sized),
        job: Uuid,
    ) -> Value {
        until_final(|| self.ask_at(address, "GET", &format!("/jobs/{job}?wait=5"), who)).await
    }

    /// Waits until every configured fault has been applied as often as configured. A request delayed by a latency fault
    /// is in flight then.
    ///
    /// # Panics
    /// When a fault is not used up in time.
    pub async fn fault_consumed(&self) {
        wait_until("the fault is used", || async { self.twin.control().faults().is_empty() }).await;
    }

    /// Makes GitHub refuse the next runner with this message.
    pub fn refuse_next_runner(&self, message: &str) {
        let body = Some(json!({ "message": message }));
        let refusal = FaultKind::Answer { status: 422, headers: Vec::new(), body };
        self.twin.fault(Fault::once("POST", "generate-jitconfig", refusal));
    }

    /// Returns the current state of the job.
    pub async fn job(&self, who: &(impl Bearer + ?Sized), job: Uuid) -> Value {
        self.get(&format!("/jobs/{job}"), who).await.assert_status(200).body
    }

    /// Sends `POST /jobs/{id}/credential` and returns the response of any status.
    pub async fn credential(&self, who: &(impl Bearer + ?Sized), job: Uuid) -> ApiResponse {
        self.ask("POST", &format!("/jobs/{job}/credential")).by(who).send().await
    }
}

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

/// Sends the request for a job until the job is final.
async fn until_final(ask: impl Fn() -> ApiRequest) -> Value {
    eventually("a final state", || async {
        let job = ask().send().await.assert_status(200).body;
        (!job["finished_at"].is_null()).then_some(job)
    })
    .await
}
