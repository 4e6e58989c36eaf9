//! Logs and metrics of a process.

use std::{fmt, panic::PanicHookInfo, time::Duration};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, LogFormat},
    series::BoundedRecorder,
    traces::SpanLayer,
};

/// Buckets of histograms named `*_seconds`: from a Redis round trip to a slow sync run.
const SECONDS_BUCKETS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
];

/// Interval at which histograms are drained if metrics are not scraped.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Reason telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be parsed, although the configuration accepted it.
    #[error("the log filter is not valid")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process already has a logger.
    #[error("logging is already set up")]
    Logger(#[from] tracing_subscriber::util::TryInitError),
    /// The recorder cannot be built, or the process already has one.
    #[error("metrics cannot be set up: {0}")]
    Metrics(String),
}

impl From<BuildError> for TelemetryError {
    fn from(error: BuildError) -> Self {
        Self::Metrics(error.to_string())
    }
}

/// Metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Returns a recorder that is not installed, and its metrics; for tests with `metrics::with_local_recorder`.
    ///
    /// # Errors
    /// [`TelemetryError::Metrics`] if the recorder cannot be built.
    pub fn local() -> Result<(BoundedRecorder, Self), TelemetryError> {
        let recorder = builder()?.build_recorder();
        let metrics = Self(recorder.handle());
        Ok((BoundedRecorder::new(recorder), metrics))
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Drains histograms every 5 s until draining, so that memory stays bounded if metrics are not scraped.
    pub async fn upkeep(&self, draining: &CancellationToken) {
        let mut tick = tokio::time::interval(UPKEEP_INTERVAL);
        while !draining.is_cancelled() {
            tokio::select! {
                _ = tick.tick() => self.0.run_upkeep(),
                () = draining.cancelled() => {}
            }
        }
    }
}

/// Sets up logs on stderr, the panic hook and metrics; once per process. `part` is the process's name in
/// `rts_build_info{version, part}`: `api`, `worker`, `scheduler`, `dev`, …. `spans` collects spans for their export,
/// independent of the log's level.
///
/// # Errors
/// [`TelemetryError`] if the filter is invalid or the process already has a logger or recorder.
pub fn init(
    config: &LogConfig,
    part: &'static str,
    spans: Option<SpanLayer>,
) -> Result<Metrics, TelemetryError> {
    match spans {
        None => logs(config)?,
        Some(spans) => {
            let spans = spans.with_filter(filter_fn(SpanLayer::wants));
            let lines = lines(config).with_filter(EnvFilter::try_new(&config.level)?);
            tracing_subscriber::registry().with(lines).with(spans).try_init()?;
        }
    }
    std::panic::set_hook(Box::new(log_panic));
    let (recorder, metrics) = Metrics::local()?;
    metrics::set_global_recorder(recorder).map_err(|error| TelemetryError::Metrics(error.to_string()))?;
    metrics::gauge!("rts_build_info", "version" => env!("CARGO_PKG_VERSION"), "part" => part).set(1.0);
    Ok(metrics)
}

/// Sets up logs without metrics, for short commands.
///
/// # Errors
/// [`TelemetryError`] if the filter is invalid or the process already has a logger.
pub fn logs(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.level)?;
    tracing_subscriber::registry().with(filter).with(lines(config)).try_init()?;
    Ok(())
}

/// Returns the layer that writes log lines to stderr.
fn lines<S>(config: &LogConfig) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
        LogFormat::Pretty => lines.with_target(false).boxed(),
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)
}

/// Logs a panic as one line with its location and text, without a backtrace.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text: String = info.payload_as_str().unwrap_or("no text").chars().take(500).collect();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(place, thread, panic = text, "panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_histogram_with_buckets() {
        let (recorder, shown) = Metrics::local().unwrap();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("rts_http_request_seconds", "route" => "/health").record(0.03);
            metrics::counter!("rts_jobs_total").increment(2);
        });
        let text = shown.render();
        assert!(text.contains(r#"rts_http_request_seconds_bucket{route="/health",le="0.05"} 1"#), "{text}");
        assert!(text.contains("rts_jobs_total 2"), "{text}");
    }

    #[test]
    fn second_setup_is_refused_without_a_panic() {
        let config = LogConfig { level: "info".to_owned(), format: LogFormat::Json };
        init(&config, "test", None).unwrap();
        assert!(init(&config, "test", None).is_err());
    }

    #[tokio::test]
    async fn upkeep_ends_with_draining() {
        let (_recorder, metrics) = Metrics::local().unwrap();
        let draining = CancellationToken::new();
        draining.cancel();
        metrics.upkeep(&draining).await;
    }
}
