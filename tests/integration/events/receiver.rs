//! A receiver of webhooks that answers by a script and keeps what it gets.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

use crate::client::serve;

/// One request to the receiver.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    /// Status of the answer.
    pub(super) status: u16,
}

impl Received {
    /// Returns the CloudEvent.
    pub(super) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn event_type(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }

    /// Returns whether one of the signatures is that of a key (`whsec_` and base64), by another implementation of
    /// HMAC-SHA256 than that of the service.
    pub(super) fn is_signed_with(&self, key: &str) -> bool {
        let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
        let (id, time) = (&self.headers["webhook-id"], &self.headers["webhook-timestamp"]);
        let signed = format!("{id}.{time}.{}", self.body);
        let key = EncodingKey::from_secret(&key);
        let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        let expected = format!("v1,{}", STANDARD.encode(URL_SAFE_NO_PAD.decode(mac).unwrap()));
        self.headers["webhook-signature"].split(' ').any(|signature| signature == expected)
    }
}

/// An answer of the script.
#[derive(Clone, Debug)]
pub(super) struct Answer(pub(super) u16, pub(super) Vec<(&'static str, String)>, pub(super) usize);

#[derive(Debug, Default)]
struct Script {
    received: Vec<Received>,
    next: VecDeque<Answer>,
    refused: BTreeMap<String, u16>,
    away: Option<u16>,
}

/// The receiver. It accepts what its script does not refuse.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) url: String,
    script: Arc<Mutex<Script>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let url = serve(Router::new().fallback(receive).with_state(script.clone())).await + "/hook";
        Self { url, script }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap())
    }

    /// Answers the next requests with these.
    pub(super) fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.with(|script| script.next.extend(answers));
    }

    /// Refuses events of a type with this status, or accepts them again.
    pub(super) fn refuse(&self, event_type: &str, status: Option<u16>) {
        self.with(|script| match status {
            Some(status) => script.refused.insert(event_type.to_owned(), status),
            None => script.refused.remove(event_type),
        });
    }

    /// Answers everything with this status, or works again.
    pub(super) fn set_away(&self, status: Option<u16>) {
        self.with(|script| script.away = status);
    }

    /// Returns all requests so far.
    pub(super) fn received(&self) -> Vec<Received> {
        self.with(|script| script.received.clone())
    }

    /// Returns the ids of the events that were accepted, in order.
    pub(super) fn accepted(&self) -> Vec<String> {
        let accepted =
            |received: &Received| (received.status == 204).then(|| received.headers["webhook-id"].clone());
        self.received().iter().filter_map(accepted).collect()
    }
}

async fn receive(State(script): State<Arc<Mutex<Script>>>, headers: HeaderMap, body: Bytes) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut received =
        Received { headers: headers.collect(), body: String::from_utf8(body.to_vec()).unwrap(), status: 0 };
    let mut script = script.lock().unwrap();
    let by_type = script.refused.get(&received.event_type()).copied();
    let answer = match script.next.pop_front() {
        Some(answer) => answer,
        None => Answer(script.away.or(by_type).unwrap_or(204), Vec::new(), 0),
    };
    received.status = answer.0;
    script.received.push(received);
    let mut response = (StatusCode::from_u16(answer.0).unwrap(), "x".repeat(answer.2)).into_response();
    for (name, value) in answer.1 {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
