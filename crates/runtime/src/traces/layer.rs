//! Layer that turns chosen spans of the log into exported spans.

use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{Link, SpanContext, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::sync::mpsc::{Sender, error::TrySendError};
use tracing::{
    Metadata, Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    exporter,
    rules::{self, Fields, Rule},
};
use crate::{
    clock::Clock,
    trace::{Sampler, TraceContext},
};

/// Longest value of an attribute, in characters.
const MAX_VALUE: usize = 200;

/// Whether this process exports traces.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// Place of a span in its trace.
#[derive(Clone, Copy, Debug)]
pub struct SpanPlace {
    /// Context of the span itself.
    pub own: TraceContext,
    /// Context of its parent in another process.
    pub parent: Option<TraceContext>,
    /// Whether the parent is linked too: it has ended long before.
    pub linked: bool,
}

/// Sets the place of a span that has just been made, if this process exports traces.
pub fn place(span: &Span, place: SpanPlace) {
    if !ENABLED.load(Ordering::Relaxed) {
        return;
    }
    span.with_subscriber(|(id, dispatch)| {
        let Some(data) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) else {
            return;
        };
        if let Some(open) = data.extensions_mut().get_mut::<OpenSpan>() {
            open.place = place;
            open.parent_is_remote = true;
        }
    });
}

/// A span that has not ended.
#[derive(Debug)]
struct OpenSpan {
    rule: &'static Rule,
    place: SpanPlace,
    parent_is_remote: bool,
    began: (SystemTime, Instant),
    fields: Fields,
}

/// Collects the spans that [`rules`] lists, and queues each for its export when it ends.
pub struct SpanLayer {
    ended: Sender<SpanData>,
    sampler: Sampler,
    scope: InstrumentationScope,
}

impl fmt::Debug for SpanLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanLayer")
    }
}

impl SpanLayer {
    pub(super) fn new(ended: Sender<SpanData>, sampler: Sampler) -> Self {
        ENABLED.store(true, Ordering::Relaxed);
        let scope =
            InstrumentationScope::builder("runner-token-service").with_version(env!("CARGO_PKG_VERSION"));
        Self { ended, sampler, scope: scope.build() }
    }

    /// Returns whether the layer needs a span or an event.
    pub(crate) fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && rules::rule(metadata.name(), metadata.target()).is_some()
    }

    fn export(&self, open: OpenSpan) {
        let failure = open.rule.failure(&open.fields);
        let own = open.place.own;
        if !own.sampled() && (failure.is_none() || self.sampler.exports_nothing()) {
            return;
        }
        match self.ended.try_send(self.data(open, failure)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => exporter::count_dropped("queue", 1),
        }
    }

    fn data(&self, open: OpenSpan, failure: Option<String>) -> SpanData {
        let OpenSpan { rule, place, parent_is_remote, began: (start_time, began), fields } = open;
        let name = Cow::Owned(rule.title(&fields));
        let constants = rule.constants.iter().map(|(name, value)| KeyValue::new(*name, *value));
        let own = fields
            .into_iter()
            .filter_map(|(field, value)| Some(KeyValue::new(rule.attribute(field)?, value)));
        let error = failure.clone().map(|failure| KeyValue::new("error.type", failure));
        let mut links = SpanLinks::default();
        if let Some(parent) = place.parent.filter(|_| place.linked) {
            links.links.push(Link::new(context(parent, true), Vec::new(), 0));
        }
        SpanData {
            span_context: context(place.own, false),
            parent_span_id: place
                .parent
                .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span_bytes())),
            parent_span_is_remote: parent_is_remote && place.parent.is_some(),
            span_kind: rule.kind.clone(),
            name,
            start_time,
            end_time: start_time + began.elapsed(),
            attributes: constants.chain(own).chain(error).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: failure.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn context(place: TraceContext, is_remote: bool) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes(place.trace_bytes()), SpanId::from_bytes(place.span_bytes()));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, TraceState::NONE)
}

/// Returns the place of a span that nothing has placed: below the exported span around it, or in a trace of its own.
fn inherited<'s, S>(span: &SpanRef<'s, S>) -> SpanPlace
where
    S: LookupSpan<'s>,
{
    let around = span
        .scope()
        .skip(1)
        .find_map(|outer| outer.extensions().get::<OpenSpan>().map(|open| open.place.own));
    let own = around.map_or_else(TraceContext::generate, TraceContext::child);
    SpanPlace { own, parent: around, linked: false }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        let Some(rule) = rules::rule(metadata.name(), metadata.target()) else { return };
        let Some(span) = context.span(id) else { return };
        let mut open = OpenSpan {
            rule,
            place: inherited(&span),
            parent_is_remote: false,
            began: (Clock::System.now().into(), Instant::now()),
            fields: Fields::new(),
        };
        attributes.record(&mut FieldVisitor { rule, fields: &mut open.fields });
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<OpenSpan>() {
            values.record(&mut FieldVisitor { rule: open.rule, fields: &mut open.fields });
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let open = context.span(&id).and_then(|span| span.extensions_mut().remove::<OpenSpan>());
        if let Some(open) = open {
            self.export(open);
        }
    }
}

/// Keeps the values of listed fields. A field that is recorded again has its newest value.
struct FieldVisitor<'f> {
    rule: &'static Rule,
    fields: &'f mut Fields,
}

impl FieldVisitor<'_> {
    fn keep(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        if self.rule.exports(field.name()) {
            self.fields.retain(|(name, _)| *name != field.name());
            self.fields.push((field.name(), value()));
        }
    }
}

impl Visit for FieldVisitor<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, || i64::try_from(value).unwrap_or(i64::MAX).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, || value.chars().take(MAX_VALUE).collect::<String>().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, || format!("{value:?}").chars().take(MAX_VALUE).collect::<String>().into());
    }
}
