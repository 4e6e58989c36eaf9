//! Deliveries of the App's webhook. GitHub keeps them for three days and never redelivers by itself.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::{
    call::Call,
    client::GitHub,
    error::GitHubError,
    headers,
    lenient::{Elements, optional},
    path::encode,
};

/// One attempt to deliver one event.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Delivery {
    /// Id of the attempt, as [`GitHub::redeliver_hook`] expects it.
    pub id: i64,
    /// Id of the event, equal for all attempts (`X-GitHub-Delivery`).
    pub guid: String,
    /// Time of the attempt.
    pub delivered_at: DateTime<Utc>,
    /// Whether this is not the first attempt.
    pub redelivery: bool,
    /// `OK`, or the failure.
    pub status: String,
    /// Status code of the receiver's response.
    pub status_code: i64,
    /// The event.
    pub event: String,
    /// Its action.
    #[serde(default, deserialize_with = "optional")]
    pub action: Option<String>,
}

/// One page of deliveries, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Deliveries {
    /// The attempts.
    pub deliveries: Vec<Delivery>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

impl GitHub {
    /// Returns one page (`per_page` 1 to 100) of the failed delivery attempts (status 400 to 599), starting at
    /// `cursor`.
    pub async fn list_failed_hook_deliveries(
        &self,
        cursor: Option<&str>,
        per_page: u32,
    ) -> Result<Deliveries, GitHubError> {
        let mut path = format!("/app/hook/deliveries?status=failure&per_page={}", per_page.clamp(1, 100));
        if let Some(cursor) = cursor {
            path = format!("{path}&cursor={}", encode(cursor));
        }
        let call = Call::get("list_hook_deliveries", path);
        let reply = self.call_as_app(&call).await?;
        Ok(Deliveries {
            deliveries: call.parse::<Elements<Delivery>>(&reply)?.readable(call.operation),
            next_cursor: headers::next_param(&reply.headers, "cursor"),
        })
    }

    /// Asks GitHub to deliver the event once more (202).
    pub async fn redeliver_hook(&self, delivery_id: i64) -> Result<(), GitHubError> {
        let path = format!("/app/hook/deliveries/{delivery_id}/attempts");
        self.call_as_app(&Call::post("redeliver_hook", path)).await.map(drop)
    }
}
