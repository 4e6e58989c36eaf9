//! A tenant that repeats its most expensive requests as fast as they are answered.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{client::Ask, load::Load};

/// Time between two requests of one abuser.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// Number of concurrent abusers.
pub(crate) const ABUSERS: u64 = 2;

/// Repeats refreshes, refused requests, large lists and look-ups until `end`.
pub(crate) async fn abuse(load: Arc<Load>, seed: u64, end: Instant) {
    let client = &load.client;
    let token = client.environment.abuser.token.as_str();
    let mut rng = SmallRng::seed_from_u64(seed);
    let wish = json!({ "runner_name_prefix": "greedy" });
    let refused = json!({ "runner_name_prefix": "greedy", "labels": ["not-ours"] });
    let mut runner: Option<Uuid> = None;
    for nth in 0_u64.. {
        if Instant::now() >= end {
            break;
        }
        client.responses.record_operation("abuse");
        let own = runner.map(|id| format!("/runners/{id}/refresh"));
        let ask = |method, path: &str| Ask { once: true, ..Ask::new(method, path.to_owned(), token) };
        let ask = match (nth % 5, own) {
            (_, None) => Ask { body: Some(&wish), ..ask(Method::POST, "/runners/jit") },
            (0 | 1, Some(path)) => ask(Method::POST, &path),
            (2, _) => ask(Method::GET, "/runners?limit=1000"),
            (3, _) => ask(Method::GET, "/audit-logs?limit=1000"),
            _ => Ask { body: Some(&refused), ..ask(Method::POST, "/runners/jit") },
        };
        let answer = client.send(&mut rng, &ask).await;
        if runner.is_none()
            && let Some(answer) = answer
        {
            if let Some(job) = answer.id("job_id") {
                client.responses.record_shared_job("abuse", job);
            }
            runner = answer.id("runner_id");
        }
        sleep(REQUEST_INTERVAL).await;
    }
}
