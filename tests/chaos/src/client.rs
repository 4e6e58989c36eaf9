//! A well-behaved caller, which repeats a request with the same key until it knows the outcome.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, rngs::SmallRng};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{canary_search::CanarySearch, environment::Environment, response_counts::ResponseCounts};

/// One request, to be sent until its outcome is known.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) token: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) wait: Option<u8>,
    pub(crate) body: Option<&'a Value>,
    /// Whether to give up after an unclear response, because a retry could act twice.
    pub(crate) once: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, path: String, token: &'a str) -> Self {
        Self { method, path, token, key: None, wait: None, body: None, once: false }
    }
}

/// A response that decides the outcome.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self, name: &str) -> Option<uuid::Uuid> {
        self.body[name].as_str()?.parse().ok()
    }
}

/// Sends requests and counts the responses.
pub(crate) struct Client {
    pub(crate) environment: Arc<Environment>,
    pub(crate) responses: ResponseCounts,
    /// Time after which requests are not repeated.
    pub(crate) until: Instant,
    pub(crate) needles: CanarySearch,
}

impl Client {
    pub(crate) fn new(environment: Arc<Environment>, until: Instant) -> Self {
        let needles = CanarySearch::of(&environment.canary);
        Self { environment, responses: ResponseCounts::default(), until, needles }
    }

    /// Sends until a response decides the outcome, or returns `None` when the time is up. The number of draws depends
    /// on the
    /// machine's speed, so `rng` is used for nothing else.
    pub(crate) async fn send(&self, rng: &mut SmallRng, ask: &Ask<'_>) -> Option<Answer> {
        while Instant::now() < self.until {
            let pause = match self.once(rng.random_range(0..2), ask).await {
                Ok(Heard::Settled(answer)) => return Some(answer),
                Ok(Heard::Again(after)) => after,
                Err(error) => {
                    self.responses.record_hangup(&error);
                    if ask.once && !error.is_connect() {
                        self.responses.record_unclear();
                        return None;
                    }
                    Duration::ZERO
                }
            };
            let pause = pause.clamp(Duration::from_millis(100), Duration::from_secs(2));
            sleep(pause.mul_f64(rng.random_range(0.75..1.25))).await;
        }
        None
    }

    async fn once(&self, api: usize, ask: &Ask<'_>) -> reqwest::Result<Heard> {
        let url = format!("{}/api/v1{}", self.environment.api(api), ask.path);
        let mut request = self.environment.client.request(ask.method.clone(), url).bearer_auth(ask.token);
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(wait) = ask.wait {
            request = request.header("prefer", format!("wait={wait}"));
        }
        if let Some(body) = ask.body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await?;
        let answer = Answer { status, body: serde_json::from_str(&text).unwrap_or_default() };
        // The only responses that may contain the config.
        let collects = ask.path.ends_with("/credential") || ask.path == "/runners/jit";
        if !(collects && matches!(status, 200 | 201)) && self.needles.in_text(&text) {
            self.responses
                .record_leak(format!("{} {} answered {status} with the canary", ask.method, ask.path));
        }
        self.responses.record_response(ask, &answer);
        Ok(match status {
            503 if ask.once && answer.code() == "database_unavailable" => Heard::Settled(answer),
            408 | 429 | 500 | 503 if !final_problem(answer.code()) => {
                Heard::Again(Duration::from_secs(after.unwrap_or(0)))
            }
            _ => Heard::Settled(answer),
        })
    }
}

enum Heard {
    Settled(Answer),
    Again(Duration),
}

/// Returns whether the problem is the job's result: a retry with the same key changes nothing.
fn final_problem(code: &str) -> bool {
    matches!(code, "github_unavailable" | "github_refused" | "internal_error") || code.starts_with("job_")
}
