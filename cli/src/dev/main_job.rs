//! The provisioning of one runner as any caller would do it: over HTTP, with a token.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{demo_users, environment::Environment};
use crate::{exit::End, output};

/// Time limit for the whole job.
const MAX_JOB_TIME: Duration = Duration::from_secs(90);

/// Fields of a job response that are used here.
#[derive(Deserialize)]
struct Job {
    state: String,
    blocked_on: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Accepted {
    job_id: String,
    runner_name: String,
    /// Missing if the job ended within the server's default wait.
    status_url: Option<String>,
}

impl Accepted {
    fn status_url(&self) -> String {
        self.status_url.clone().unwrap_or_else(|| format!("/api/v1/jobs/{}", self.job_id))
    }
}

#[derive(Deserialize)]
struct Credential {
    runner_name: String,
    encoded_jit_config: String,
    labels: Vec<String>,
}

/// HTTP client with a caller's token.
struct Caller<'s> {
    client: reqwest::Client,
    api: &'s str,
    token: String,
}

/// Requests a runner, follows its job and fetches the config. Prints each step with its time.
pub(super) async fn run(environment: &Environment) -> anyhow::Result<()> {
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(40)).no_proxy().pool_max_idle_per_host(1);
    let token = environment.issuer.person_token(demo_users::DEMO)?;
    let caller = Caller { client: client.build()?, api: &environment.api, token };
    output::line("\nThe main job: a runner for the team \"demo\", asked for by demo@example.com");
    let limit = tokio::time::timeout(MAX_JOB_TIME, caller.provision()).await;
    limit.map_err(|_| End::Unavailable(format!("it did not end within {} s", MAX_JOB_TIME.as_secs())))?
}

impl Caller<'_> {
    async fn provision(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let body = json!({ "runner_name_prefix": "demo", "labels": ["self-hosted", "linux", "gpu-large"] });
        let request = self.client.post(format!("{}/api/v1/runners/jit", self.api)).json(&body);
        let request = request.header("Prefer", "respond-async");
        let accepted: Accepted = self.send(request).await?;
        let answered = begun.elapsed().as_secs_f64() * 1e3;
        step(Duration::ZERO, "accepted", &format!("job {}, answered in {answered:.1} ms", accepted.job_id));
        let job = self.follow(&accepted.status_url()).await?;
        let since =
            |at: DateTime<Utc>| (at - job.created_at).max(TimeDelta::zero()).to_std().unwrap_or_default();
        if let Some(at) = job.started_at {
            step(since(at), "running", &accepted.runner_name);
        }
        let end = job.finished_at.map_or_else(|| begun.elapsed(), since);
        if job.state != "succeeded" {
            step(end, &job.state, "");
            return Err(End::Refused(why(&job)).into());
        }
        step(end, "succeeded", "");
        let url = format!("{}/api/v1/jobs/{}/credential", self.api, accepted.job_id);
        let credential: Credential = self.send(self.client.post(url)).await?;
        step(begun.elapsed(), "config fetched", &format!("labels {}", credential.labels.join(", ")));
        let blob = shorten(&credential.encoded_jit_config);
        output::line(format_args!(
            "  start {} with: ACTIONS_RUNNER_INPUT_JITCONFIG={blob} ./run.sh",
            credential.runner_name
        ));
        Ok(())
    }

    async fn follow(&self, status_url: &str) -> anyhow::Result<Job> {
        let mut shown = None;
        loop {
            let request = self.client.get(format!("{}{status_url}?wait=5", self.api));
            let job: Job = self.send(request).await?;
            if !matches!(job.state.as_str(), "queued" | "running") {
                return Ok(job);
            }
            if shown != job.blocked_on {
                output::line(format_args!(
                    "  {} (waits for: {})",
                    job.state,
                    job.blocked_on.as_deref().unwrap_or("its end")
                ));
                shown = job.blocked_on;
            }
        }
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().await.context("the API answered something unexpected");
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        Err(End::Refused(format!("the API answered {status}: {}", text(&problem))).into())
    }
}

fn step(time: Duration, what: &str, more: &str) {
    output::line(format!("  +{:>8.1} ms  {what:<15} {more}", time.as_secs_f64() * 1e3).trim_end());
}

fn why(job: &Job) -> String {
    format!("the job {}: {}", job.state, job.error.as_ref().map(text).unwrap_or_default())
}

fn text(problem: &Value) -> String {
    let word = |name: &str| problem[name].as_str().unwrap_or_default();
    format!("{} {}", word("code"), word("detail")).trim().to_owned()
}

/// Shortens a config to its first characters: configs are secret, even those of the twin.
fn shorten(blob: &str) -> String {
    let start: String = blob.chars().take(8).collect();
    format!("{start}… ({} characters)", blob.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_always_shortened() {
        let shown = shorten(&"x".repeat(2000));
        assert_eq!(shown, "xxxxxxxx… (2000 characters)");
    }

    #[test]
    fn problem_is_printed_as_code_and_sentence() {
        let problem = json!({ "code": "quota_exceeded", "detail": "No more.", "status": 403 });
        assert_eq!(text(&problem), "quota_exceeded No more.");
        assert_eq!(text(&Value::Null), "");
    }
}
