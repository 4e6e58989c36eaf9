//! OpenAPI description, generated from the code.

mod enumerations;

use std::collections::BTreeMap;

use domain::ProblemCode;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        ContentBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Ref, RefOr, Response, ResponseBuilder,
        Schema, SchemaFormat,
        extensions::Extensions,
        path::ParameterIn,
        schema::Type,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use self::enumerations::Enumerations;
pub(crate) use self::enumerations::{
    audit_chain, audit_format, batch_action, batch_state_or_null, blocked_on, check_kind, drift_response,
    drift_response_or_null, event_delivery_state, incident_kind, incident_state, jit_config, job_event,
    job_kind, job_state, lane, problem_code, registration_token, runner_status, sealed_jit_config, severity,
    ticket_state, verdict_code, verdict_level, version_state,
};
use crate::error::ProblemBody;

/// Problem codes of every call that needs a token.
pub(crate) const COMMON: &[ProblemCode] = &[
    ProblemCode::Unauthenticated,
    ProblemCode::InvalidToken,
    ProblemCode::TokenExpired,
    ProblemCode::UnknownPrincipal,
    ProblemCode::Inactive,
    ProblemCode::TeamInactive,
    ProblemCode::ReadOnly,
    ProblemCode::RequestTimeout,
    ProblemCode::RateLimited,
    ProblemCode::InternalError,
    ProblemCode::DatabaseUnavailable,
    ProblemCode::NewerVersion,
    ProblemCode::KeysUnavailable,
];

/// Returns the problem responses of a call, by status.
pub(crate) fn problem_responses(groups: &[&[ProblemCode]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in groups.iter().copied().flatten() {
        let codes = by_status.entry(code.status()).or_default();
        if !codes.contains(&code.as_str()) {
            codes.push(code.as_str());
        }
    }
    let body = || {
        let problem = Ref::from_schema_name(ProblemBody::name());
        ContentBuilder::new().schema(Some(problem)).build()
    };
    by_status
        .into_iter()
        .map(|(status, codes)| {
            let response = ResponseBuilder::new()
                .description(format!("`{}`", codes.join("`, `")))
                .content("application/problem+json", body());
            (status.to_string(), response.build().into())
        })
        .collect()
}

/// Declares the problem responses of a call, in addition to those of every call.
macro_rules! problems {
    ($($name:ident: $($code:ident),* ;)+) => {$(
        pub(crate) struct $name;
        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
                $crate::openapi::problem_responses(&[$crate::openapi::COMMON, &[$(domain::ProblemCode::$code),*]])
            }
        }
    )+};
}
pub(crate) use problems;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.bearer_format = Some("JWT".to_owned());
        http.description = Some("An OIDC token of a trusted issuer.".to_owned());
        description
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(http));
    }
}

/// Gives every call a unique operation id made of its method and path. Handler names repeat.
pub(crate) fn set_operation_ids(description: &mut utoipa::openapi::OpenApi) {
    for (path, calls) in &mut description.paths.paths {
        let path = path.trim_start_matches("/api/v1");
        let words: Vec<&str> = path.split(['/', '{', '}', '-']).filter(|word| !word.is_empty()).collect();
        let by_method = [
            ("get", &mut calls.get),
            ("post", &mut calls.post),
            ("put", &mut calls.put),
            ("patch", &mut calls.patch),
            ("delete", &mut calls.delete),
        ];
        for (method, call) in by_method {
            if let Some(call) = call {
                call.operation_id = Some(format!("{method}_{}", words.join("_")));
            }
        }
    }
}

/// Adds what declarations of parameters cannot express: enumerations and formats of filters, formats of headers, and
/// that an empty query value is no value.
pub(crate) fn refine_parameters(description: &mut utoipa::openapi::OpenApi) {
    for (path, calls) in &mut description.paths.paths {
        let calls = [&mut calls.get, &mut calls.post, &mut calls.patch, &mut calls.put, &mut calls.delete];
        for parameter in calls.into_iter().flatten().filter_map(|call| call.parameters.as_mut()).flatten() {
            let RefOr::T(parameter) = parameter else { continue };
            if let Some(schema) = known_schema(path, &parameter.name) {
                parameter.schema = Some(schema);
            }
            if parameter.parameter_in == ParameterIn::Query {
                parameter.extensions = Some(Extensions::from_iter([("allowEmptyValue", true)]));
            }
        }
    }
}

fn known_schema(path: &str, parameter: &str) -> Option<RefOr<Schema>> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let schema = |object: ObjectBuilder| Schema::Object(object.build()).into();
    Some(match (path.trim_start_matches("/api/v1"), parameter) {
        ("/jobs", "state") => job_state(),
        ("/jobs", "kind") => job_kind(),
        ("/runners", "status") => runner_status(),
        ("/runners/tickets", "state") => ticket_state(),
        ("/admin/event-deliveries", "state") => event_delivery_state(),
        ("/admin/security-events" | "/admin/teams/{team_id}/security-events", "severity") => severity(),
        (_, "since" | "until") => {
            schema(text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))))
        }
        (_, "Prefer") => schema(text()),
        (_, "Idempotency-Key") => {
            schema(text().min_length(Some(1)).max_length(Some(255)).pattern(Some("^[!-~]+$")))
        }
        _ => return None,
    })
}

/// Removes defaults that are null. They come from members that may be left out, and there null is another wish: it clears
/// the value. A generated client would send it.
pub(crate) fn drop_null_defaults(description: &mut utoipa::openapi::OpenApi) {
    let schemas = description.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    for schema in schemas {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        for property in object.properties.values_mut() {
            let default = match property {
                RefOr::T(Schema::Object(member)) => &mut member.default,
                RefOr::T(Schema::Array(member)) => &mut member.default,
                RefOr::T(Schema::OneOf(member)) => &mut member.default,
                _ => continue,
            };
            if default.as_ref().is_some_and(serde_json::Value::is_null) {
                *default = None;
            }
        }
    }
}

/// Replaces the provision body by two variants, each with one way to name the runner. Client generators understand
/// "exactly one of two members" in no other form.
pub(crate) fn split_provision_body(description: &mut utoipa::openapi::OpenApi) {
    const NAMES: [&str; 2] = ["runner_name", "runner_name_prefix"];
    let Some(components) = &mut description.components else { return };
    let Some(RefOr::T(Schema::Object(whole))) = components.schemas.get("ProvisionBody").cloned() else {
        return;
    };
    let mut either = OneOfBuilder::new().description(whole.description.clone());
    for (name, given) in [("ProvisionByName", NAMES[0]), ("ProvisionByPrefix", NAMES[1])] {
        let mut body = whole.clone();
        body.required.push(given.to_owned());
        for member in NAMES {
            if let Some(RefOr::T(Schema::Object(property))) = body.properties.get_mut(member) {
                let kind = if member == given { Type::String } else { Type::Null };
                property.schema_type = kind.into();
                if member != given {
                    (property.example, property.min_length, property.max_length) = (None, None, None);
                }
            }
        }
        components.schemas.insert(name.to_owned(), Schema::Object(body).into());
        either = either.item(Ref::from_schema_name(name));
    }
    components.schemas.insert("ProvisionBody".to_owned(), Schema::OneOf(either.build()).into());
}

/// Parts of the description that the routes do not declare.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Runner Token Service",
        description = "Hands out GitHub self-hosted runners without handing out GitHub credentials.\n\n\
            Request a runner with `POST /api/v1/runners/jit`, follow the job at the `Location` of the response, and fetch \
            the config once with `POST /api/v1/jobs/{job_id}/credential`; or send `Prefer: wait=25` and get the \
            config in one response. Errors are problem documents (RFC 9457) with a stable `code`.\n\n\
            Within `v1`, members and values are added and none is removed. A request with an old name is answered with \
            `Deprecation` and `Sunset`; the name works until then.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "The server of this description")),
    components(schemas(ProblemBody)),
    modifiers(&Bearer, &Enumerations),
    security(("token" = [])),
    tags(
        (name = "runners", description = "Request, show and remove runners."),
        (name = "tickets", description = "Claim tickets: runners of machines that do not run yet."),
        (name = "jobs", description = "Follow and cancel jobs, fetch credentials."),
        (name = "me", description = "Identity, teams and label policy of the caller."),
        (name = "auth", description = "Where programs sign people in."),
        (name = "audit", description = "Audit log."),
        (name = "admin", description = "For admins: teams, users, machine clients, security events, queue and sync runs."),
        (name = "webhooks", description = "For GitHub."),
        (name = "health", description = "For probes and Prometheus."),
    ),
)]
pub(crate) struct Description;
