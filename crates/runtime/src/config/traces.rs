//! Settings of exported traces, under OpenTelemetry's own names.

use std::collections::HashMap;

use url::Url;

use super::{
    ConfigError, Mode, Section, Setting, Sources,
    parse::{is_loopback, short_text, web_url},
};
use crate::trace::Sampler;

/// Most headers, and most attributes.
const MAX_PAIRS: usize = 50;

const ENDPOINT: Setting = Setting::new(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "an http or https URL without user or fragment",
    "A collector that takes traces by OTLP over HTTP at `/v1/traces`. Without it no trace is exported.",
);
const TRACES_ENDPOINT: Setting = Setting::new(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "an http or https URL without user or fragment",
    "The whole address for traces, instead of OTEL_EXPORTER_OTLP_ENDPOINT.",
);
const HEADERS: Setting = Setting::new(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "up to 50 pairs name=value, values percent-encoded; over http to another machine none",
    "Headers of each export, such as the collector's token.",
)
.secret()
.list();
const SERVICE: Setting =
    Setting::new("OTEL_SERVICE_NAME", "a text of 1 to 200 characters", "Name of the service in traces.")
        .or("runner-token-service");
const ATTRIBUTES: Setting = Setting::new(
    "OTEL_RESOURCE_ATTRIBUTES",
    "up to 50 pairs name=value, values percent-encoded",
    "Attributes of every process in traces, such as deployment.environment.name=production.",
)
.list();
const SAMPLER: Setting = Setting::new(
    "OTEL_TRACES_SAMPLER",
    "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio",
    "Which traces are exported. What failed is exported too, except with `always_off`.",
)
.or("parentbased_traceidratio");
const RATIO: Setting = Setting::new(
    "OTEL_TRACES_SAMPLER_ARG",
    "a number from 0 to 1",
    "Part of the traces that a sampler with `traceidratio` exports.",
)
.or("0.01");

/// Settings of exported traces.
#[derive(Clone)]
pub struct TracesConfig {
    /// Address of the collector; `None` exports nothing.
    pub endpoint: Option<Url>,
    /// Headers of each export. They may hold a token.
    pub headers: HashMap<String, String>,
    /// Name of the service.
    pub service: String,
    /// Further attributes of the process.
    pub attributes: Vec<(String, String)>,
    /// Choice of exported traces.
    pub sampler: Sampler,
}

impl std::fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoint = self.endpoint.as_ref().map(Url::as_str);
        f.debug_struct("TracesConfig").field("endpoint", &endpoint).finish_non_exhaustive()
    }
}

impl Section for TracesConfig {
    const TITLE: &'static str = "Traces";
    const SETTINGS: &'static [Setting] =
        &[ENDPOINT, TRACES_ENDPOINT, HEADERS, SERVICE, ATTRIBUTES, SAMPLER, RATIO];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let base = sources.optional(&ENDPOINT, |text| web_url(text).and_then(|url| traces_of(&url)))?;
        let endpoint = sources.optional(&TRACES_ENDPOINT, web_url)?.or(base);
        let headers = sources.items(&HEADERS, MAX_PAIRS, pair)?;
        if let (Some(url), Some(given), false) = (&endpoint, sources.given(&HEADERS)?, headers.is_empty()) {
            let exposed = url.scheme() == "http" && !is_loopback(url);
            if exposed && sources.mode() == Mode::Production {
                return Err(given.refuse("none, since the collector's address is http on another machine"));
            }
        }
        let ratio = sources.value(&RATIO, ratio)?;
        Ok(Self {
            endpoint,
            headers: headers.into_iter().collect(),
            service: sources.value(&SERVICE, |text| short_text(text, 200))?,
            attributes: sources.items(&ATTRIBUTES, MAX_PAIRS, pair)?,
            sampler: sources.value(&SAMPLER, |text| Sampler::parse(text, ratio))?,
        })
    }
}

/// Returns the address for traces below a collector's base address.
fn traces_of(base: &Url) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "traces"]);
    Some(url)
}

fn ratio(text: &str) -> Option<f64> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
}

/// Reads `name=value` with a percent-encoded value.
fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let name = short_text(name.trim(), 200)?;
    Some((name, short_text(&decode(value.trim())?, 2_000)?))
}

/// Decodes percent-encoded text; a `+` stays as it is.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &[(&str, &str)]) -> Result<TracesConfig, ConfigError> {
        let empty = Sources::empty(Mode::Production);
        settings.iter().fold(empty, |sources, (name, value)| sources.set(name, *value)).section()
    }

    fn endpoint(settings: &[(&str, &str)]) -> Option<String> {
        load(settings).unwrap().endpoint.map(String::from)
    }

    #[test]
    fn endpoint_of_traces_is_below_the_base_or_given_whole() {
        let (base, whole) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        assert_eq!(endpoint(&[]), None);
        assert_eq!(endpoint(&[(base, "http://c:4318")]).as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(endpoint(&[(base, "https://c/otlp/")]).as_deref(), Some("https://c/otlp/v1/traces"));
        let both = [(base, "http://c:4318"), (whole, "http://d/in")];
        assert_eq!(endpoint(&both).as_deref(), Some("http://d/in"));
        for bad in ["c:4318", "ftp://c", "http://u:p@c", "grpc://c"] {
            assert!(load(&[(base, bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_decoded_hidden_and_never_sent_in_clear() {
        let (base, headers) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS");
        let text = "authorization=Bearer%20hunter2, x-tenant=a+b";
        let config = load(&[(base, "https://c"), (headers, text)]).unwrap();
        assert_eq!(
            (config.headers["authorization"].as_str(), config.headers["x-tenant"].as_str()),
            ("Bearer hunter2", "a+b")
        );
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(load(&[(base, "http://127.0.0.1:4318"), (headers, text)]).is_ok());
        let refused = load(&[(base, "http://c:4318"), (headers, text)]).unwrap_err().to_string();
        assert!(refused.contains(headers) && !refused.contains("hunter2"), "{refused}");
        for bad in ["hunter2", "a=%2", "a=%zz", "=b", "a="] {
            let refused = load(&[(headers, bad)]).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{bad}: {refused}");
        }
    }

    #[test]
    fn samplers_have_the_standard_names() {
        for name in
            ["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off"]
        {
            assert!(load(&[("OTEL_TRACES_SAMPLER", name)]).is_ok(), "{name}");
        }
        assert!(load(&[("OTEL_TRACES_SAMPLER", "jaeger_remote")]).is_err());
        for bad in ["2", "-1", "NaN", "x"] {
            assert!(load(&[("OTEL_TRACES_SAMPLER_ARG", bad)]).is_err(), "{bad}");
        }
    }
}
