//! JSON Schema of teams files, made from their types.

use axum::{Json, http::header, response::IntoResponse};
use domain::TeamsFile;
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// Returns the JSON Schema (2020-12) of teams files.
pub(crate) fn teams_schema() -> Value {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    TeamsFile::schemas(&mut parts);
    let definitions: Map<String, Value> =
        parts.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let mut whole = json!(TeamsFile::schema());
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        whole.insert("title".to_owned(), json!("Teams file of the Runner Token Service"));
        whole.insert("$defs".to_owned(), definitions.into());
    }
    point_at_definitions(&mut whole);
    whole
}

/// Makes references into an OpenAPI description references into the schema itself.
fn point_at_definitions(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("#/components/schemas/") {
                *text = format!("#/$defs/{name}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(point_at_definitions),
        Value::Object(fields) => fields.values_mut().for_each(point_at_definitions),
        _ => {}
    }
}

/// Serves the schema at `/schemas/teams.json`, where editors fetch it without a token.
pub(crate) async fn serve_schema() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "public, max-age=3600")], Json(teams_schema()))
}
