//! The HTTP client of the sinks.

use std::time::Duration;

use domain::{CLOUD_EVENT_MEDIA_TYPE, WebhookKey, error_chain, sign_webhook};
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use runtime::{config::OutgoingConfig, http_client};
use url::Url;

use super::message::Message;

/// Time limit of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read, so that its connection can be used again.
const MAX_ANSWER: usize = 8 * 1024;
/// Longest pause that a sink can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Most characters of a reason.
const MAX_REASON: usize = 200;

/// Client of the sinks.
pub(super) struct Sender(Client);

/// A delivery that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether the sink refused this message, instead of being away or busy.
    pub(super) refused: bool,
    /// Status of the answer; `None` if there was none.
    pub(super) status: Option<u16>,
    /// Reason, without the URL.
    pub(super) reason: String,
    /// Time for which the sink asks to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    /// Returns the failure of a delivery that was not tried.
    pub(super) fn without_request(reason: &str) -> Self {
        Self { refused: false, status: None, reason: reason.to_owned(), retry_after: None }
    }
}

impl Sender {
    /// Builds the client. Without redirects, a message goes to the configured URL alone.
    pub(super) fn new(outgoing: &OutgoingConfig, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self(http_client(Some(outgoing), CONNECT_TIMEOUT, timeout)?))
    }

    /// Sends one message, signed at `timestamp` (seconds since 1970). Any status of 2xx accepts it.
    pub(super) async fn send(
        &self,
        url: &Url,
        keys: &[WebhookKey],
        message: &Message,
        timestamp: i64,
    ) -> Result<(), Failure> {
        if keys.is_empty() {
            return Err(Failure::without_request(
                "a key file of the sink cannot be read, or others can read it",
            ));
        }
        let id = message.id.to_string();
        let signature = sign_webhook(keys, &id, timestamp, &message.body);
        let request = self
            .0
            .post(url.clone())
            .header(CONTENT_TYPE, CLOUD_EVENT_MEDIA_TYPE)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.clone());
        match request.send().await {
            Ok(answer) => judge(answer).await,
            Err(error) => Err(Failure::without_request(&reason(error))),
        }
    }
}

async fn judge(mut answer: Response) -> Result<(), Failure> {
    let status = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut read = 0;
    while read <= MAX_ANSWER
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        read += chunk.len();
    }
    if status.is_success() {
        return Ok(());
    }
    let away = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let reason = if status.is_redirection() {
        format!("the sink answered {}; redirects are not followed", status.as_u16())
    } else {
        format!("the sink answered {}", status.as_u16())
    };
    let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    Err(Failure { refused: !away, status: Some(status.as_u16()), reason, retry_after })
}

/// Returns why there was no answer. The URL may hold a token, so it is left out.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "the sink did not answer in time".to_owned();
    }
    let what = if error.is_connect() { "no connection to the sink" } else { "the request failed" };
    let chain = error_chain(&error.without_url());
    format!("{what}: {chain}").chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}
