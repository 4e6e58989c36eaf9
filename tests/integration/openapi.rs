//! The OpenAPI description: true, complete, and equal to the checked-in file.

use std::{collections::BTreeSet, fs, path::PathBuf};

use domain::ProblemCode;
use harness::{ApiRequest, World};
use serde_json::{Value, json};

/// Calls of the contract, each of which must be described.
const CALLS: &[&str] = &[
    "post /api/v1/runners/jit",
    "post /api/v1/runners/provision",
    "get /api/v1/runners",
    "get /api/v1/runners/{runner_id}",
    "delete /api/v1/runners/{runner_id}",
    "post /api/v1/runners/{runner_id}/refresh",
    "get /api/v1/jobs",
    "get /api/v1/jobs/{job_id}",
    "delete /api/v1/jobs/{job_id}",
    "get /api/v1/jobs/{job_id}/events",
    "post /api/v1/jobs/{job_id}/credential",
    "get /api/v1/auth/me",
    "get /api/v1/auth/my-label-policy",
    "get /api/v1/teams/my-teams",
    "get /api/v1/audit-logs",
    "get /api/v1/admin/teams",
    "post /api/v1/admin/teams",
    "get /api/v1/admin/teams/{team_id}",
    "patch /api/v1/admin/teams/{team_id}",
    "get /api/v1/admin/teams/{team_id}/members",
    "post /api/v1/admin/teams/{team_id}/members",
    "delete /api/v1/admin/teams/{team_id}/members/{user_id}",
    "get /api/v1/admin/users",
    "post /api/v1/admin/users",
    "get /api/v1/admin/oauth-clients",
    "post /api/v1/admin/oauth-clients",
    "get /api/v1/admin/security-events",
    "get /api/v1/admin/sync/status",
    "post /api/v1/admin/sync/trigger",
    "get /api/v1/admin/runners/unmanaged",
    "get /api/v1/admin/runners/versions",
    "get /api/v1/admin/queues",
    "post /api/v1/admin/queues/{lane}/pause",
    "post /api/v1/admin/queues/{lane}/resume",
    "get /api/v1/admin/budget",
    "get /api/v1/admin/workers",
    "post /api/v1/admin/workers/{name}/drain",
    "post /api/v1/admin/installations/{installation}/pause",
    "post /api/v1/admin/installations/{installation}/resume",
    "get /api/v1/admin/verdict",
    "get /api/v1/admin/flow",
    "get /api/v1/admin/failures",
    "post /api/v1/admin/jobs/{job_id}/retry",
    "post /api/v1/admin/jobs/{job_id}/discard",
    "post /api/v1/admin/security-events/{event_id}/acknowledge",
    "post /api/v1/webhooks/github",
    "get /health/live",
    "get /health/ready",
    "get /health",
    "get /metrics",
];

/// An id without a resource.
const MISSING_ID: &str = "00000000-0000-0000-0000-000000000000";

fn checked_in() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json"))
}

fn description() -> Value {
    serde_json::to_value(api::description()).unwrap()
}

/// Returns method, path and operation of every call.
fn calls(description: &Value) -> Vec<(String, String, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (method.clone(), path.clone(), operation))
        })
        .filter(|(method, ..)| ["get", "post", "put", "patch", "delete"].contains(&method.as_str()))
        .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn checked_in_openapi_document_is_fresh() {
    let fresh = serde_json::to_string_pretty(&api::description()).unwrap() + "\n";
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        fs::write(checked_in(), &fresh).unwrap();
    }
    let kept = fs::read_to_string(checked_in()).unwrap_or_default();
    assert!(kept == fresh, "docs/openapi.json is stale: UPDATE_OPENAPI=1 ./dev test -p integration openapi");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn checked_in_schema_of_teams_files_is_fresh() {
    let schema = api::teams_schema();
    let fresh = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/teams.json"));
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &fresh).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == fresh,
        "docs/schemas/teams.json is stale: UPDATE_OPENAPI=1 ./dev test -p integration openapi"
    );
    let definitions = schema["$defs"].as_object().unwrap();
    let text = schema.to_string();
    for (start, mark) in text.match_indices("\"#/") {
        let name = text[start + mark.len()..].split('"').next().unwrap();
        let known = name.strip_prefix("$defs/").is_some_and(|name| definitions.contains_key(name));
        assert!(known, "{name} is defined");
    }
}

#[test]
fn every_call_of_the_contract_is_described() {
    let description = description();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let described: BTreeSet<String> =
        calls(&description).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let missing: Vec<_> = CALLS.iter().filter(|call| !described.contains(**call)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_call_documents_itself_and_its_responses() {
    let description = description();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in calls(&description) {
        let call = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{call}: no summary");
        let about = operation["description"].as_str().unwrap_or_default();
        assert!(about.len() > 10 && about != operation["summary"], "{call}: no description");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{call}: {id} is not unique");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{call}: no successful response");
        let public = operation["security"] == json!([{}]);
        if path.starts_with("/api/v1/") && !public {
            for status in ["401", "403", "429", "500", "503"] {
                let content = &answers[status]["content"]["application/problem+json"];
                assert!(content.is_object(), "{call}: {status} is not described");
            }
        }
    }
}

#[test]
fn provision_body_has_exactly_one_way_to_name_the_runner() {
    let description = description();
    let schemas = &description["components"]["schemas"];
    let refs: Vec<&str> = schemas["ProvisionBody"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["$ref"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(refs, ["ProvisionByName", "ProvisionByPrefix"]);
    for (schema, given, other) in [
        ("ProvisionByName", "runner_name", "runner_name_prefix"),
        ("ProvisionByPrefix", "runner_name_prefix", "runner_name"),
    ] {
        let body = &schemas[schema];
        assert_eq!(body["required"], json!([given]));
        assert_eq!(body["additionalProperties"], false);
        let members = &body["properties"];
        assert_eq!((&members[given]["type"], &members[given]["minLength"]), (&json!("string"), &json!(1)));
        assert_eq!(members[other]["type"], "null");
        assert_eq!(members["runner_group_id"]["minimum"], 1);
    }
}

#[test]
fn credential_kinds_have_a_discriminator() {
    let description = description();
    let schemas = &description["components"]["schemas"];
    let discriminator = &schemas["Handout"]["discriminator"];
    assert_eq!(discriminator["propertyName"], "kind");
    for (word, schema) in [("jit_config", "Credential"), ("registration_token", "RegistrationToken")] {
        assert_eq!(discriminator["mapping"][word], format!("#/components/schemas/{schema}"));
        assert_eq!(schemas[schema]["properties"]["kind"]["enum"], json!([word]));
        assert!(schemas[schema]["required"].as_array().unwrap().contains(&json!("kind")));
    }
}

#[tokio::test]
async fn answers_over_a_public_https_address_demand_https_from_browsers() {
    let header = "strict-transport-security";
    let world = World::builder().workers(0).public_url("https://runners.example").start().await;
    for path in ["/health/live", "/api/v1/auth/me", "/nowhere"] {
        let answer = world.request("GET", path).send().await;
        assert_eq!(answer.header(header), "max-age=31536000", "{path}");
    }
    for builder in [World::builder(), World::builder().public_url("http://127.0.0.1:8080")] {
        let world = builder.workers(0).start().await;
        let answer = world.request("GET", "/health/live").send().await;
        assert!(answer.headers.get(header).is_none());
    }
}

#[test]
fn every_problem_code_is_described() {
    let description = description();
    let words = &description["components"]["schemas"]["ProblemCode"]["enum"];
    let all: Vec<&str> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(*words, json!(all));
}

/// Returns a request to a described call, about resources that do not exist.
fn request_missing(world: &World, method: &str, path: &str) -> ApiRequest {
    let real = path.replace("{lane}", "provision");
    let real: Vec<&str> =
        real.split('/').map(|part| if part.starts_with('{') { MISSING_ID } else { part }).collect();
    world.request(&method.to_uppercase(), &real.join("/")).json(&json!({}))
}

#[tokio::test]
async fn every_call_but_the_public_ones_needs_a_token() {
    let world = World::builder().workers(0).start().await;
    let mut public = Vec::new();
    for (method, path, operation) in calls(&description()) {
        if operation["security"].as_array().is_some_and(|ways| ways.contains(&json!({}))) {
            public.push(path);
        } else {
            request_missing(&world, &method, &path).send().await.refused(401, "unauthenticated");
        }
    }
    let known = [
        "/api/v1/auth/config",
        "/api/v1/runners/tickets/redeem",
        "/api/v1/webhooks/github",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
    ];
    assert_eq!(public, known, "what is public is known to be so");
}

#[tokio::test]
async fn description_and_its_viewer_are_served_locally() {
    let world = World::builder().workers(0).start().await;
    let served = world.request("GET", "/openapi.json").send().await.assert_status(200);
    assert_eq!(served.body, description());
    for path in ["/docs/", "/docs/index.html", "/docs/swagger-initializer.js", "/docs/swagger-ui.css"] {
        let page = world.request("GET", path).send().await.assert_status(200);
        for way in
            ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url: \"http", "@import", "url(http"]
        {
            assert!(!page.text.contains(way), "{path} loads {way}");
        }
    }
    let start = world.request("GET", "/docs/swagger-initializer.js").send().await.assert_status(200);
    assert!(start.text.contains("/openapi.json"));
}
