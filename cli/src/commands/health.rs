//! `rts health`.

use std::time::Duration;

use serde_json::Value;

use crate::{exit::End, output};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Prints `ok` if the response status is a success.
pub(crate) async fn run(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().build()?;
    let answer = client.get(url).send().await?;
    let status = answer.status();
    if status.is_success() {
        output::line("ok");
        return Ok(());
    }
    let body: Value = answer.json().await.unwrap_or_default();
    Err(End::Unavailable(format!("{url} answers {status}{}", failed_checks(&body))).into())
}

fn failed_checks(body: &Value) -> String {
    let checks = body["checks"].as_array().into_iter().flatten();
    let bad = checks
        .filter(|check| check["status"] != "ok")
        .filter_map(|check| Some(format!("{} is {}", check["name"].as_str()?, check["status"].as_str()?)));
    let bad: Vec<_> = bad.collect();
    if bad.is_empty() { String::new() } else { format!(": {}", bad.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::failed_checks;

    #[test]
    fn failing_checks_are_named() {
        let body = json!({ "checks": [
            { "name": "database", "status": "ok" }, { "name": "queue", "status": "unavailable" },
        ] });
        assert_eq!(failed_checks(&body), ": queue is unavailable");
        assert_eq!(failed_checks(&json!(null)), "");
    }
}
