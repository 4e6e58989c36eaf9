//! The OpenAPI description, made from the code.

use std::collections::BTreeMap;

use domain::{
    BlockedOn, DriftResponse, JobKind, JobState, Lane, ProblemCode, RunnerStatus, Severity, VersionState,
};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        ContentBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Ref, RefOr, Response, ResponseBuilder,
        Schema, SchemaFormat,
        extensions::Extensions,
        path::ParameterIn,
        schema::{SchemaType, Type},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::{credential::CredentialKind, error::ProblemBody};

fn words<'w>(words: impl Iterator<Item = &'w str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

fn schema(object: ObjectBuilder) -> Schema {
    Schema::Object(object.build())
}

macro_rules! word_schemas {
    ($($name:ident: $type:ident),+ $(,)?) => {
        $(pub(crate) fn $name() -> Schema { schema(words($type::ALL.iter().map(|word| word.as_str()))) })+
    };
}

word_schemas! {
    job_kind: JobKind,
    job_state: JobState,
    lane: Lane,
    runner_status: RunnerStatus,
    severity: Severity,
    drift_response: DriftResponse,
    version_state: VersionState,
}

pub(crate) fn blocked_on() -> Schema {
    words_or_null(BlockedOn::ALL.iter().map(|word| word.as_str()))
}

pub(crate) fn drift_response_or_null() -> Schema {
    words_or_null(DriftResponse::ALL.iter().map(|word| word.as_str()))
}

fn words_or_null<'w>(words: impl Iterator<Item = &'w str>) -> Schema {
    let or_null = SchemaType::from_iter([Type::String, Type::Null]);
    let words = words.map(Value::from).chain([Value::Null]);
    schema(ObjectBuilder::new().schema_type(or_null).enum_values(Some(words)))
}

/// Answers of every call that needs a token.
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
    ProblemCode::KeysUnavailable,
];

/// The problem answers a call may give, by status.
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

/// Declares the problems a call may answer with, besides those every call has.
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

/// Gives every call an id of its own, made of its method and path: the names of handlers repeat.
pub(crate) fn name_calls(description: &mut utoipa::openapi::OpenApi) {
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

/// Adds what the declarations of parameters cannot say: the words and formats of filters, the form of headers, and that an
/// empty query value is no value.
pub(crate) fn refine_parameters(description: &mut utoipa::openapi::OpenApi) {
    for (path, calls) in &mut description.paths.paths {
        let calls = [&mut calls.get, &mut calls.post, &mut calls.patch, &mut calls.put, &mut calls.delete];
        for parameter in calls.into_iter().flatten().filter_map(|call| call.parameters.as_mut()).flatten() {
            let RefOr::T(parameter) = parameter else { continue };
            if let Some(schema) = known_schema(path, &parameter.name) {
                parameter.schema = Some(schema.into());
            }
            if parameter.parameter_in == ParameterIn::Query {
                parameter.extensions = Some(Extensions::from_iter([("allowEmptyValue", true)]));
            }
        }
    }
}

fn known_schema(path: &str, parameter: &str) -> Option<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    Some(match (path.trim_start_matches("/api/v1"), parameter) {
        ("/jobs", "state") => job_state(),
        ("/jobs", "kind") => job_kind(),
        ("/runners", "status") => runner_status(),
        ("/admin/security-events", "severity") => severity(),
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

/// Replaces the body of a provision request by two, of which each has one way to name the runner: generators of clients
/// understand "exactly one of two members" in no other form.
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

/// A text that is always the same.
pub(crate) fn jit_config() -> Schema {
    schema(words(std::iter::once(CredentialKind::JitConfig.as_str())))
}

/// A text that is always the same.
pub(crate) fn registration_token() -> Schema {
    schema(words(std::iter::once(CredentialKind::RegistrationToken.as_str())))
}

/// What the routes do not say themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Runner Token Service",
        description = "Hands out GitHub self-hosted runners without handing out GitHub credentials.\n\n\
            Ask for a runner with `POST /api/v1/runners/jit`, follow the job at the `Location` of the answer, and fetch \
            the config once with `POST /api/v1/jobs/{job_id}/credential`; or send `Prefer: wait=25` and have it all in \
            one answer. Errors are problem documents (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "Where this description was read")),
    components(schemas(ProblemBody)),
    modifiers(&Bearer),
    security(("token" = [])),
    tags(
        (name = "runners", description = "Ask for runners and look at them."),
        (name = "jobs", description = "Follow, cancel and collect."),
        (name = "me", description = "Who you are and what you may do."),
        (name = "audit", description = "What was done and tried."),
        (name = "admin", description = "For admins: teams, people, machine clients, security events."),
        (name = "webhooks", description = "For GitHub."),
        (name = "health", description = "For probes and Prometheus."),
    ),
)]
pub(crate) struct Description;
