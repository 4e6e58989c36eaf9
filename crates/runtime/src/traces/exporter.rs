//! Task that exports spans in batches. A collector that is away costs dropped spans, and nothing else.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::mpsc::Receiver,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::TracesError;
use crate::{
    config::{OutgoingConfig, TracesConfig},
    http_client,
};

/// Most spans of one export.
const BATCH: usize = 512;
/// Longest time a span waits for its export while the collector answers.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts spans that were not exported: `queue` is full, or the collector did not take them (`export`).
pub(super) fn count_dropped(reason: &'static str, spans: usize) {
    metrics::counter!("rts_trace_spans_dropped_total", "reason" => reason)
        .increment(u64::try_from(spans).unwrap_or(u64::MAX));
}

pub(super) fn build(
    endpoint: &Url,
    config: &TracesConfig,
    outgoing: &OutgoingConfig,
    part: &'static str,
) -> Result<SpanExporter, TracesError> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(http_client(Some(outgoing), CONNECT_TIMEOUT, EXPORT_TIMEOUT)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.as_str())
        .with_timeout(EXPORT_TIMEOUT)
        .with_headers(config.headers.clone())
        .build()?;
    let given = config.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let own = [KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("rts.part", part)];
    let resource = Resource::builder_empty()
        .with_attributes(own.into_iter().chain(given))
        .with_service_name(config.service.clone())
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

/// Exports what `spans` brings until `end`, and then what is left.
pub(super) async fn run(exporter: SpanExporter, mut spans: Receiver<SpanData>, end: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut batch, mut answers) = (Vec::with_capacity(BATCH), true);
    loop {
        let room = BATCH - batch.len();
        let due = tokio::select! {
            received = spans.recv_many(&mut batch, room) => received == 0 || batch.len() >= BATCH,
            _ = ticks.tick() => !batch.is_empty(),
            () = end.cancelled() => break,
        };
        if due && !batch.is_empty() {
            answers = export(&exporter, std::mem::take(&mut batch), answers).await;
        } else if due {
            return;
        }
    }
    spans.close();
    while let Ok(span) = spans.try_recv() {
        batch.push(span);
        if batch.len() >= BATCH {
            answers = export(&exporter, std::mem::take(&mut batch), answers).await;
        }
    }
    if !batch.is_empty() {
        export(&exporter, batch, answers).await;
    }
}

/// Exports one batch. Returns whether the collector took it; only a change is logged.
async fn export(exporter: &SpanExporter, batch: Vec<SpanData>, answered: bool) -> bool {
    let spans = batch.len();
    let failure = match timeout(EXPORT_TIMEOUT, exporter.export(batch)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    };
    let Some(failure) = failure else {
        if !answered {
            tracing::info!("the collector takes traces again");
        }
        return true;
    };
    count_dropped("export", spans);
    if answered {
        let failure: String = failure.chars().take(300).collect();
        tracing::warn!(failure, "the collector does not take traces; they are dropped until it does");
    }
    false
}
