//! A collector that keeps the spans it gets by OTLP over HTTP.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message;

use crate::client::serve;

/// A span as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) name: String,
    /// Part of the service that sent it.
    pub(super) part: String,
    pub(super) trace: String,
    pub(super) id: String,
    /// Id of the parent span, or an empty text.
    pub(super) parent: String,
    /// Ids of linked spans.
    pub(super) links: Vec<String>,
    pub(super) kind: i32,
    pub(super) attributes: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub(super) failed: bool,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Received>,
    bodies: Vec<u8>,
    tokens: Vec<String>,
}

/// The collector. It takes every export.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    pub(super) url: String,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let app = Router::new().route("/v1/traces", post(receive)).with_state(kept.clone());
        Self { url: serve(app).await, kept }
    }

    /// Returns all spans so far.
    pub(super) fn spans(&self) -> Vec<Received> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// Returns the spans of one trace with this name.
    pub(super) fn named(&self, trace: &str, name: &str) -> Vec<Received> {
        self.spans().into_iter().filter(|span| span.trace == trace && span.name == name).collect()
    }

    /// Returns everything that arrived, as text.
    pub(super) fn everything(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap().bodies).into_owned()
    }

    /// Returns the `authorization` headers.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.kept.lock().unwrap().tokens.clone()
    }
}

async fn receive(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut kept = kept.lock().unwrap();
    kept.bodies.extend_from_slice(&body);
    kept.tokens.extend(headers.get("authorization").map(|token| token.to_str().unwrap().to_owned()));
    for group in request.resource_spans {
        let resource = texts(&group.resource.unwrap().attributes);
        let part = resource["rts.part"].clone();
        assert_eq!(resource["service.name"], "runner-token-service");
        assert_eq!(resource["deployment.environment.name"], "a test");
        let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        kept.spans.extend(spans.map(|span| received(span, &part)));
    }
}

fn received(span: Span, part: &str) -> Received {
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
    Received {
        name: span.name,
        part: part.to_owned(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        kind: span.kind,
        attributes: texts(&span.attributes),
        failed: span.status.is_some_and(|status| status.code == 2),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{}: {other:?}", pair.key),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
