//! Export of traces by OTLP: a few spans of the log, with ids from `traceparent`, to a collector.
//!
//! A trace context stays the only source of ids, so that logs, rows and exported spans agree. Only the spans and fields
//! that [`rules`] lists leave the process; nothing else of a span does. The decision falls at a span's end: a
//! span that failed is exported although its trace is not sampled.

mod exporter;
mod layer;
mod rules;

use std::time::Duration;

use opentelemetry_otlp::ExporterBuildError;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::layer::{SpanLayer, SpanPlace, place};
use crate::{
    config::{OutgoingConfig, TracesConfig},
    trace,
};

/// Most spans that wait for their export; further ones are dropped and counted.
const QUEUE: usize = 2_048;

/// Reason traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client cannot be built.
    #[error("the HTTP client of the trace exporter cannot be built")]
    Client(#[from] reqwest::Error),
    /// The exporter refuses its settings.
    #[error("the trace exporter cannot be built")]
    Exporter(#[from] ExporterBuildError),
}

/// The running export of a process.
#[derive(Debug)]
pub struct Traces {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Traces {
    /// Starts the export, and returns it with the layer that collects spans; `None` without a collector. Must be called
    /// within a tokio runtime. `part` is the process's name.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn start(
        config: &TracesConfig,
        outgoing: &OutgoingConfig,
        part: &'static str,
    ) -> Result<Option<(Self, SpanLayer)>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let exporter = exporter::build(endpoint, config, outgoing, part)?;
        trace::set_sampler(config.sampler);
        let (sender, spans) = mpsc::channel(QUEUE);
        let end = CancellationToken::new();
        let task = tokio::spawn(exporter::run(exporter, spans, end.clone()));
        Ok(Some((Self { end, task }, SpanLayer::new(sender, config.sampler))))
    }

    /// Exports what is left and ends, within `limit`.
    pub async fn end(self, limit: Duration) {
        self.end.cancel();
        if timeout(limit, self.task).await.is_err() {
            tracing::warn!("the last traces could not be exported in time");
        }
    }
}
