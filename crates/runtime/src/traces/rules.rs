//! The spans that are exported, and their fields that become attributes.
//!
//! The list is closed: paths, names of runners, people and teams, labels, configs and tokens are in no listed field.

use opentelemetry::{Value, trace::SpanKind};

/// Rule for spans with one name.
#[derive(Debug)]
pub(super) struct Rule {
    /// Name of the span, as in `info_span!`.
    name: &'static str,
    /// Crate whose span it is.
    krate: &'static str,
    /// Role of the span.
    pub(super) kind: SpanKind,
    /// Beginning of the exported name; the values of `title` follow.
    prefix: &'static str,
    /// Fields whose values form the exported name.
    title: &'static [&'static str],
    /// Attributes with a fixed value.
    pub(super) constants: &'static [(&'static str, &'static str)],
    /// Fields with the names of their attributes, by semantic conventions where there are some.
    fields: &'static [(&'static str, &'static str)],
    /// Condition under which the span failed.
    failure: Failure,
}

/// Condition under which a span failed.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// The HTTP status is 500 or more.
    ServerStatus,
    /// There is no HTTP status, or it is 500 or more.
    NoAnswer,
    /// The job's state is `failed` or `expired`.
    JobState,
}

static RULES: [Rule; 3] = [
    Rule {
        name: "request",
        krate: "api",
        kind: SpanKind::Server,
        prefix: "",
        title: &["method", "route"],
        constants: &[],
        fields: &[
            ("method", "http.request.method"),
            ("route", "http.route"),
            ("status", "http.response.status_code"),
            ("request_id", "rts.request_id"),
            ("job", "messaging.message.id"),
        ],
        failure: Failure::ServerStatus,
    },
    Rule {
        name: "job",
        krate: "worker",
        kind: SpanKind::Consumer,
        prefix: "process ",
        title: &["kind"],
        constants: &[("messaging.operation.type", "process"), ("messaging.system", "runner-token-service")],
        fields: &[
            ("job", "messaging.message.id"),
            ("lane", "messaging.destination.name"),
            ("kind", "rts.job.kind"),
            ("fence", "rts.job.start"),
            ("state", "rts.job.state"),
        ],
        failure: Failure::JobState,
    },
    Rule {
        name: "github",
        krate: "github",
        kind: SpanKind::Client,
        prefix: "",
        title: &["method", "operation"],
        constants: &[],
        fields: &[
            ("method", "http.request.method"),
            ("operation", "rts.github.operation"),
            ("status", "http.response.status_code"),
            ("github_request_id", "rts.github.request_id"),
        ],
        failure: Failure::NoAnswer,
    },
];

/// Values of the fields of one span.
pub(super) type Fields = Vec<(&'static str, Value)>;

/// Returns the rule for a span by its name and its target.
pub(super) fn rule(name: &str, target: &str) -> Option<&'static Rule> {
    let krate = target.split("::").next().unwrap_or_default();
    RULES.iter().find(|rule| rule.name == name && rule.krate == krate)
}

impl Rule {
    /// Returns whether a field becomes an attribute.
    pub(super) fn exports(&self, field: &str) -> bool {
        self.attribute(field).is_some()
    }

    /// Returns the name of a field's attribute.
    pub(super) fn attribute(&self, field: &str) -> Option<&'static str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, attribute)| *attribute)
    }

    /// Returns the exported name.
    pub(super) fn title(&self, fields: &Fields) -> String {
        let words = self.title.iter().filter_map(|name| value(fields, name));
        let words: Vec<String> = words.map(ToString::to_string).collect();
        format!("{}{}", self.prefix, words.join(" "))
    }

    /// Returns the type of the failure if the span failed.
    pub(super) fn failure(&self, fields: &Fields) -> Option<String> {
        let status = value(fields, "status");
        let server_error = status.filter(|status| matches!(status, Value::I64(500..)));
        match self.failure {
            Failure::NoAnswer if status.is_none() => Some("no_answer".to_owned()),
            Failure::ServerStatus | Failure::NoAnswer => server_error.map(ToString::to_string),
            Failure::JobState => value(fields, "state")
                .map(ToString::to_string)
                .filter(|state| matches!(state.as_str(), "failed" | "expired")),
        }
    }
}

fn value<'f>(fields: &'f Fields, name: &str) -> Option<&'f Value> {
    fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_exports_a_free_text() {
        for rule in &RULES {
            for field in
                ["path", "caller", "team", "labels", "runner", "name", "client_request_id", "identity"]
            {
                assert!(!rule.exports(field), "{}: {field}", rule.name);
            }
        }
        assert!(rule("request", "api::layers").is_some() && rule("request", "hyper::proto").is_none());
    }

    #[test]
    fn failures_are_told_from_refusals() {
        let (request, job, github) = (&RULES[0], &RULES[1], &RULES[2]);
        let status = |status: i64| vec![("status", Value::from(status))];
        let state = |state: &'static str| vec![("state", Value::from(state))];
        assert_eq!(request.failure(&status(503)).as_deref(), Some("503"));
        assert_eq!((request.failure(&status(422)), request.failure(&Vec::new())), (None, None));
        assert_eq!(github.failure(&Vec::new()).as_deref(), Some("no_answer"));
        assert_eq!(github.failure(&status(404)), None);
        assert_eq!(job.failure(&state("expired")).as_deref(), Some("expired"));
        assert_eq!((job.failure(&state("queued")), job.failure(&state("cancelled"))), (None, None));
    }
}
