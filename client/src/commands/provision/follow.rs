//! A job followed to its end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::JobState;
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    connection::WireProblem,
    error::ClientError,
    output::{Progress, scalar},
    session::Session,
};

/// Wait of one look at the job, so that its line changes while it waits.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after an answer that came at once although the job is not final.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);

/// A job that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Final state.
    pub(crate) state: String,
    /// The job as the API answers it.
    pub(crate) document: Value,
}

impl Ended {
    /// Returns the job's failure as an error.
    pub(crate) fn into_result(self) -> Result<(), ClientError> {
        if self.state == JobState::Succeeded.as_str() {
            return Ok(());
        }
        let job = scalar(&self.document["job_id"]);
        let error = &self.document["error"];
        let reason =
            if error.is_null() { String::new() } else { format!(": {}", WireProblem::read(0, error)) };
        Err(ClientError::Failed(format!("job {job} is {}{reason}", self.state)))
    }
}

/// Waits until a job is final.
///
/// # Errors
/// [`ClientError::StillWaiting`] after `timeout`.
pub(crate) async fn until_final(
    session: &Session,
    job: &str,
    timeout: Duration,
) -> Result<Ended, ClientError> {
    until_final_with(session, job, timeout, &mut Progress::new()).await
}

/// Waits until a job is final, and shows its state meanwhile.
///
/// # Errors
/// [`ClientError::StillWaiting`] after `timeout`.
pub(crate) async fn until_final_with(
    session: &Session,
    job: &str,
    timeout: Duration,
    progress: &mut Progress,
) -> Result<Ended, ClientError> {
    let deadline = Instant::now() + timeout;
    loop {
        let asked = Instant::now();
        let wait = LOOK.min(deadline.saturating_duration_since(asked));
        let request = session.client.request(Method::GET, &["jobs", job]).long_poll(wait);
        match session.client.send(request).await {
            Ok(answer) => {
                let state = scalar(&answer.body["state"]);
                if state.parse().is_ok_and(JobState::is_final) {
                    return Ok(Ended { state, document: answer.body });
                }
                progress.show(&describe(&answer.body, Utc::now()));
            }
            Err(error) if error.exit_code() == 3 => progress.show(&format!("waiting: {error}")),
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return Err(ClientError::StillWaiting(format!(
                "job {job} goes on; `rts job watch {job}` follows it"
            )));
        }
        tokio::time::sleep_until((asked + SHORTEST_LOOK).min(deadline)).await;
    }
}

/// Returns the state of a job in a few words.
fn describe(job: &Value, now: DateTime<Utc>) -> String {
    let mut text = scalar(&job["state"]);
    if let Some(reason) = job["blocked_on"].as_str() {
        text = format!("{text}: {}", crate::output::plain(reason));
    }
    let start = job["estimated_start_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
    if let Some(seconds) = start.map(|at| (at - now).num_seconds()).filter(|seconds| *seconds > 0) {
        text = format!("{text} · starts in about {seconds} s");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn waiting_job_is_one_line() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let job = json!({ "state": "queued", "blocked_on": "worker", "estimated_start_at": "2026-01-01T00:00:04Z" });
        assert_eq!(describe(&job, now), "queued: worker · starts in about 4 s");
        assert_eq!(describe(&json!({ "state": "running" }), now), "running");
    }

    #[test]
    fn failed_job_is_an_error_with_its_reason() {
        let document =
            json!({ "job_id": "7", "error": { "code": "github_refused", "detail": "GitHub refused." } });
        let error = Ended { state: "failed".into(), document }.into_result().unwrap_err();
        assert_eq!(error.to_string(), "job 7 is failed: GitHub refused. (github_refused)");
        assert_eq!(error.exit_code(), 1);
    }
}
