//! Signed webhooks: sent in order, recorded, and redelivered on request.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::{
    config::WebhookConfig,
    keys::hex,
    pipeline::Shared,
    routes::accounts::PERSON,
    state::{Installation, State},
    views::{self, stable_id, time},
};

/// Most deliveries kept; older ones can no longer be redelivered.
const MAX_DELIVERIES: usize = 5000;

/// Most deliveries that wait to be sent; more are lost, as in a surge on GitHub.
pub(crate) const MAX_WAITING: usize = 10_000;

/// One attempt to deliver an event.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// Id of this attempt.
    pub id: u64,
    /// Id of the event, equal on every attempt.
    pub guid: String,
    /// Time on the twin's clock.
    pub delivered_at: DateTime<Utc>,
    /// Whether the event was sent before.
    pub redelivery: bool,
    /// Seconds until the response.
    pub duration: f64,
    /// `OK` or a description of the failure.
    pub status: String,
    /// Response status; 502 for a failed connection, 504 for a time-out.
    pub status_code: u16,
    /// Event name, such as `workflow_job`.
    pub event: String,
    /// Action, such as `queued`.
    pub action: String,
    /// Installation of the event.
    pub installation_id: Option<u64>,
    /// Repository of the event.
    pub repository_id: Option<u64>,
    /// Body as sent, which the signature covers.
    pub payload: String,
}

impl Delivery {
    /// Returns the delivery as it appears in the list.
    pub(crate) fn view(&self) -> Value {
        json!({
            "id": self.id, "guid": self.guid, "delivered_at": time(self.delivered_at),
            "redelivery": self.redelivery, "duration": self.duration, "status": self.status,
            "status_code": self.status_code, "event": self.event, "action": self.action,
            "installation_id": self.installation_id, "repository_id": self.repository_id, "throttled_at": null,
        })
    }

    /// Returns the delivery with all fields.
    pub(crate) fn full_view(&self) -> Value {
        let mut view = self.view();
        let payload: Value = serde_json::from_str(&self.payload).unwrap_or_default();
        view["request"] = json!({"headers": {"X-GitHub-Event": self.event}, "payload": payload});
        view["response"] = json!({"headers": {}, "payload": ""});
        view
    }
}

/// Name, action and objects of an event to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) name: &'a str,
    pub(crate) action: &'a str,
    pub(crate) installation_id: Option<u64>,
    pub(crate) repository_id: Option<u64>,
}

/// Message to the sender task.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Send(Box<Delivery>),
    /// Respond once everything before is sent.
    Flush(oneshot::Sender<()>),
}

/// Returns `sha256=` and the HMAC of a body: the value of `X-Hub-Signature-256`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    format!("sha256={}", hex(tag.as_ref()))
}

impl State {
    /// Queues an event; without a webhook it is dropped.
    pub(crate) fn emit(&mut self, event: &Event<'_>, payload: &Value) {
        if self.webhook.is_none() {
            return;
        }
        let delivery = Delivery {
            id: self.next_id(),
            guid: uuid::Uuid::new_v4().to_string(),
            delivered_at: self.now(),
            redelivery: false,
            duration: 0.0,
            status: String::new(),
            status_code: 0,
            event: event.name.to_owned(),
            action: event.action.to_owned(),
            installation_id: event.installation_id,
            repository_id: event.repository_id,
            payload: payload.to_string(),
        };
        drop(self.outbox.try_send(Outgoing::Send(Box::new(delivery))));
    }

    pub(crate) fn announce_installation(&mut self, i: &Installation, action: &str) {
        let payload = json!({
            "action": action, "installation": self.installation_view(i),
            "sender": views::account(&self.base, PERSON, "User"),
        });
        let event = Event { name: "installation", action, installation_id: Some(i.id), repository_id: None };
        self.emit(&event, &payload);
    }

    /// Queues an event again with its original guid; `false` when the delivery is unknown or dropped.
    pub(crate) fn redeliver(&mut self, id: u64) -> bool {
        let Some(found) = self.deliveries.iter().find(|d| d.id == id) else { return false };
        let again = Delivery { redelivery: true, ..found.clone() };
        let again = Delivery { id: self.next_id(), ..again };
        self.outbox.try_send(Outgoing::Send(Box::new(again))).is_ok()
    }
}

/// Sends queued events in order until the twin is dropped.
pub(crate) async fn deliver(shared: Weak<Shared>, mut inbox: mpsc::Receiver<Outgoing>) {
    let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build();
    while let Some(order) = inbox.recv().await {
        let mut delivery = match order {
            Outgoing::Send(delivery) => delivery,
            Outgoing::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        let config = |s: Arc<Shared>| {
            let state = s.lock();
            let of = delivery.installation_id.and_then(|id| state.installation(id));
            (state.webhook.clone(), of.map_or(state.config.app_id, |i| i.app))
        };
        let Some((config, app_id)) = shared.upgrade().map(config) else { return };
        let (Ok(client), Some(config)) = (&client, config) else { continue };
        attempt(client, &config, app_id, &mut delivery).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.lock();
        delivery.delivered_at = state.now();
        if state.deliveries.len() >= MAX_DELIVERIES {
            state.deliveries.pop_front();
        }
        state.deliveries.push_back(*delivery);
    }
}

async fn attempt(client: &reqwest::Client, config: &WebhookConfig, app_id: u64, delivery: &mut Delivery) {
    let begun = Instant::now();
    let sent = client
        .post(&config.url)
        .timeout(config.timeout)
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/twin")
        .header("x-github-event", &delivery.event)
        .header("x-github-delivery", &delivery.guid)
        .header("x-github-hook-id", stable_id(&config.url).to_string())
        .header("x-github-hook-installation-target-id", app_id.to_string())
        .header("x-github-hook-installation-target-type", "integration")
        .header("x-hub-signature-256", signature(&config.secret, delivery.payload.as_bytes()))
        .body(delivery.payload.clone())
        .send()
        .await;
    delivery.duration = begun.elapsed().as_secs_f64();
    (delivery.status_code, delivery.status) = match sent {
        Ok(answer) if answer.status().is_success() => (answer.status().as_u16(), "OK".to_owned()),
        Ok(answer) => (answer.status().as_u16(), "Invalid HTTP Response".to_owned()),
        Err(e) if e.is_timeout() => (504, "timed out".to_owned()),
        Err(_) => (502, "failed to connect to host".to_owned()),
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn signs_like_github() {
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let made = super::signature("It's a Secret to Everybody", b"Hello, World!");
        assert_eq!(made, format!("sha256={hex}"));
    }
}
