//! The Helm chart: its settings are the service's, and no secret is among them. `./dev validate` renders it, checks what
//! comes out, and lets the service read it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Settings that the chart sets from other values, or that make no sense in a container.
const SET_BY_THE_CHART: &[&str] = &[
    "EVENT_SINK_SECRET_PATHS",
    "GITHUB_APP_PRIVATE_KEY_PATH",
    "GITHUB_TOKEN_PATH",
    "METRICS_LISTEN",
    "OIDC_CLIENT_SECRET_PATH",
    "RTS_CONFIG",
    "RTS_ENV_FILE",
    "SERVICE_HOST",
    "SERVICE_PORT",
    "WORKER_CONCURRENCY",
];

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/runner-token-service")
}

/// Names of all settings, or of the secret ones.
fn settings(secret: bool) -> BTreeSet<&'static str> {
    let all = runtime::config::settings();
    let all = all.iter().flat_map(|(_, settings)| settings.iter());
    all.filter(|one| one.secret || !secret).map(|one| one.name).collect()
}

/// Names of the settings that the values may contain.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let names = &schema["properties"]["settings"]["properties"];
    names.as_object().unwrap().keys().cloned().collect()
}

fn templates() -> String {
    let mut text = String::new();
    for entry in fs::read_dir(chart().join("templates")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

/// Writes the names of the settings into the schema of the values.
fn write_settings(names: &BTreeSet<String>) {
    let path = chart().join("values.schema.json");
    let text = fs::read_to_string(&path).unwrap();
    let start = "rts settings`\",\n      \"additionalProperties\": false,\n      \"properties\": {\n";
    let (before, rest) = text.split_once(start).unwrap();
    let (_, after) = rest.split_once("\n      }\n").unwrap();
    let member = |name: &String| {
        format!("        \"{name}\": {{\n          \"$ref\": \"#/$defs/setting\"\n        }}")
    };
    let members: Vec<String> = names.iter().map(member).collect();
    fs::write(path, format!("{before}{start}{}\n      }}\n{after}", members.join(",\n"))).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn values_take_every_setting_that_is_not_secret_and_no_other() {
    let secret = settings(true);
    let expected: BTreeSet<String> = settings(false)
        .into_iter()
        .filter(|name| !secret.contains(name) && !SET_BY_THE_CHART.contains(name))
        .map(str::to_owned)
        .collect();
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        write_settings(&expected);
    }
    assert_eq!(allowed(), expected, "values.schema.json of the chart is stale: run ./dev fix");
}

#[test]
fn entries_of_the_secret_are_secret_settings() {
    let (secret, templates) = (settings(true), templates());
    let starts = templates.split("rts.secretEnv\" (list . \"").skip(1);
    let names: BTreeSet<&str> = starts.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        assert!(secret.contains(name), "{name} is no secret setting");
    }
}

#[test]
fn every_variable_of_the_templates_is_a_setting() {
    let (settings, templates) = (settings(false), templates());
    let words = templates.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    let names: BTreeSet<&str> = words.filter(|word| word.trim_matches('_').contains('_')).collect();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        assert!(settings.contains(name), "{name} is not a setting");
    }
}

#[test]
fn every_object_of_the_schema_is_closed() {
    let text = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let (mut rest, mut closed) = (vec![&schema], 0);
    while let Some(one) = rest.pop() {
        if let Some(properties) = one["properties"].as_object() {
            assert_eq!(one["additionalProperties"], false, "{one}");
            closed += 1;
            rest.extend(properties.values());
        }
        rest.extend(one["$defs"].as_object().into_iter().flat_map(|all| all.values()));
        rest.extend(one.get("items"));
    }
    assert!(closed >= 25, "{closed}");
}

#[test]
fn readme_and_demo_make_every_entry_of_the_secret() {
    let read = |name: &str| fs::read_to_string(chart().join(name)).unwrap();
    let values = read("values.yaml");
    let keys =
        values.split("\n  keys:\n").nth(1).and_then(|rest| rest.split("\n  settings:").next()).unwrap();
    let keys = keys.lines().filter(|line| !line.trim_start().starts_with('#'));
    let names: Vec<&str> = keys.filter_map(|line| line.split(": ").nth(1)).collect();
    let needed: Vec<&str> = names.iter().copied().filter(|name| *name != "\"\"").collect();
    assert!(names.len() >= 10 && needed.len() >= 7, "{names:?}");
    for file in ["README.md", "examples/values-demo.yaml"] {
        let text = read(file);
        for name in &needed {
            let made =
                ["literal", "file"].iter().any(|kind| text.contains(&format!("--from-{kind}={name}=")));
            assert!(made, "{file} does not make {name}");
        }
    }
}

#[test]
fn chart_has_the_version_of_the_service() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("version: {version}"), format!("appVersion: \"{version}\"")] {
        assert!(text.lines().any(|one| one == line), "{line}");
    }
}

#[test]
fn values_and_schema_have_the_same_members() {
    let text = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let values = fs::read_to_string(chart().join("values.yaml")).unwrap();
    let members: BTreeSet<&str> = values
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split(':').next())
        .collect();
    let known: BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    // Helm adds `global`.
    assert_eq!(members, known.into_iter().filter(|name| *name != "global").collect());
}
