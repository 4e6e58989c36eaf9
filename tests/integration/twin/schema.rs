//! A validator for the part of JSON Schema used by GitHub's API description.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// API description: paths, statuses, schemas.
pub(super) struct Contract {
    doc: Value,
    /// Whether this is GitHub's complete description, which nests schemas deeper than the copy in this repository.
    whole: bool,
}

fn read(path: PathBuf) -> Option<Value> {
    Some(serde_json::from_slice(&std::fs::read(path).ok()?).unwrap())
}

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|d| d.join("tests/data/github").is_dir()).unwrap()
}

fn beside_the_repository(file: &str) -> PathBuf {
    root().join("../shared/github").join(file)
}

/// Returns payloads with the structure of real ones: the copy in this repository, and the original if present.
///
/// # Panics
/// When the copy is missing.
pub(super) fn real_payloads(file: &str) -> Vec<Value> {
    let own = read(root().join("tests/data/webhooks/real").join(file));
    let own = own.unwrap_or_else(|| panic!("no payload {file}"));
    std::iter::once(own).chain(read(beside_the_repository("webhooks").join(file))).collect()
}

impl Contract {
    /// Returns the copy in this repository.
    pub(super) fn own() -> Self {
        Self { doc: read(root().join("tests/data/github/contract.json")).unwrap(), whole: false }
    }

    /// Returns GitHub's complete description, or `None` if it is not present.
    pub(super) fn whole() -> Option<Self> {
        read(beside_the_repository("openapi-runners.json")).map(|doc| Self { doc, whole: true })
    }

    /// Returns every (template, method, status) of the copy.
    pub(super) fn all(&self) -> Vec<(String, String, u16)> {
        let mut all = Vec::new();
        for (path, methods) in self.doc["paths"].as_object().unwrap() {
            for (method, statuses) in methods.as_object().unwrap() {
                for status in statuses.as_object().unwrap().keys() {
                    all.push((path.clone(), method.to_uppercase(), status.parse().unwrap()));
                }
            }
        }
        all
    }

    /// Returns the violations of a body, or `None` if the description does not have this status.
    pub(super) fn check(
        &self,
        template: &str,
        method: &str,
        status: u16,
        body: &Value,
    ) -> Option<Vec<String>> {
        let method = method.to_lowercase();
        let operation = &self.doc["paths"][template][&method];
        let responses = if self.whole { &operation["responses"] } else { operation };
        let response = self.resolve(responses.get(status.to_string())?);
        let schema = if self.whole { &response["content"]["application/json"]["schema"] } else { response };
        let mut faults = Vec::new();
        if schema.is_null() {
            if !body.is_null() {
                faults.push("a body where none belongs".to_owned());
            }
        } else {
            self.walk(schema, body, "", &mut faults);
        }
        Some(faults)
    }

    fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(path) = value.get("$ref").and_then(Value::as_str) {
            value = self.doc.pointer(path.trim_start_matches('#')).unwrap();
        }
        value
    }

    fn walk(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = self.resolve(schema);
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[key].as_array() {
                let fits = |s: &Value| {
                    let mut found = Vec::new();
                    self.walk(s, value, at, &mut found);
                    found.is_empty()
                };
                if !choices.iter().any(fits) {
                    faults.push(format!("{at}: fits none of {key}"));
                }
            }
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.walk(part, value, at, faults);
        }
        if let Some(wanted) = schema["type"].as_str().filter(|t| !is(t, value)) {
            faults.push(format!("{at}: not {wanted}: {value}"));
            return;
        }
        if let Some(allowed) = schema["enum"].as_array().filter(|all| !all.contains(value)) {
            faults.push(format!("{at}: {value} is none of {allowed:?}"));
        }
        if !well_formed(schema["format"].as_str().unwrap_or(""), value) {
            faults.push(format!("{at}: {value} is no {}", schema["format"]));
        }
        self.walk_parts(schema, value, at, faults);
    }

    fn walk_parts(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(items) = schema.get("items") {
                self.walk(items, item, &format!("{at}/{i}"), faults);
            }
        }
        let Some(object) = value.as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                faults.push(format!("{at}/{name}: missing"));
            }
        }
        for (name, inner) in object {
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(known), _) => self.walk(known, inner, &format!("{at}/{name}"), faults),
                (None, Some(Value::Bool(false))) => faults.push(format!("{at}/{name}: unknown")),
                (None, Some(other)) if other.is_object() => {
                    self.walk(other, inner, &format!("{at}/{name}"), faults);
                }
                _ => {}
            }
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type {other}"),
    }
}

fn well_formed(format: &str, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return true };
    match format {
        "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "date" => text.parse::<chrono::NaiveDate>().is_ok(),
        "uri" => text.starts_with("http://") || text.starts_with("https://"),
        _ => true,
    }
}

/// Checks that every key of `ours` exists in `real` with a value of the same type; null matches any type.
pub(super) fn same_shape(ours: &Value, real: &Value, at: &str, faults: &mut Vec<String>) {
    match (ours, real) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, inner) in a {
                match b.get(name) {
                    Some(other) => same_shape(inner, other, &format!("{at}/{name}"), faults),
                    None => faults.push(format!("{at}/{name}")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for item in a {
                if let Some(other) = b.first() {
                    same_shape(item, other, &format!("{at}/0"), faults);
                }
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => {
            faults.push(format!("{at}: {a} is not like {b}"));
        }
        _ => {}
    }
}

#[test]
fn schema_validator_finds_violations() {
    let contract = Contract::own();
    let path = "/orgs/{org}/actions/runners/{runner_id}";
    let check = |v: Value| contract.check(path, "GET", 200, &v).unwrap();
    let good = serde_json::json!({"id": 1, "name": "a", "os": "linux", "status": "online", "busy": false, "labels": []});
    assert!(check(good.clone()).is_empty());
    for (key, wrong) in
        [("id", Value::from("1")), ("busy", Value::Null), ("labels", serde_json::json!([{"id": 1}]))]
    {
        let mut bad = good.clone();
        bad[key] = wrong;
        assert_eq!(check(bad).len(), 1, "{key}");
    }
    assert!(contract.check(path, "GET", 418, &good).is_none());
}
