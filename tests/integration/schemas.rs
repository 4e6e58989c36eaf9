//! Names of schemas in the OpenAPI description, from which client generators make types.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::alerts::files;

fn description() -> Value {
    serde_json::to_value(api::description()).unwrap()
}

/// Collects the places of enumerations.
fn enumerations(place: &str, value: &Value, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            // A constant is no enumeration.
            if members.get("enum").and_then(Value::as_array).is_some_and(|words| words.len() > 1) {
                found.push(place.to_owned());
            }
            members.iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => return,
    };
    for (name, child) in children {
        enumerations(&format!("{place}/{name}"), child, found);
    }
}

#[test]
fn every_enumeration_has_a_name() {
    let mut found = Vec::new();
    enumerations("", &description(), &mut found);
    let named =
        |place: &String| place.strip_prefix("/components/schemas/").is_some_and(|name| !name.contains('/'));
    assert!(found.iter().filter(|place| named(place)).count() > 10, "{found:?}");
    found.retain(|place| !named(place));
    assert!(found.is_empty(), "generators make a type of each: {found:?}");
}

/// In a change, null clears a value and an omitted member keeps it: a client must not take the one for the other.
#[test]
fn no_member_has_the_default_null() {
    let description = description();
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        for (member, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property.get("default").is_none_or(|default| !default.is_null()), "{name}.{member}");
        }
    }
}

/// Returns the name at the beginning of a text.
fn first_name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Returns the names of the schemas that a source file derives.
fn schema_names(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut names = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let after = lines[at + 1..].iter().take(30);
        if line.starts_with("list_body! {") {
            names.extend(after.clone().find(|line| !line.starts_with("///")).map(|line| first_name(line)));
        }
        if !(line.starts_with("#[derive(") && line.contains("ToSchema")) {
            continue;
        }
        let mut renamed = None;
        for line in after {
            renamed = renamed.or_else(|| line.strip_prefix("#[schema(")?.split("as = ").nth(1));
            let plain =
                line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
            if let Some(item) = plain.strip_prefix("struct ").or_else(|| plain.strip_prefix("enum ")) {
                names.push(first_name(renamed.unwrap_or(item)));
                break;
            }
        }
    }
    // The name is a parameter of the macro that makes lists.
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn no_two_types_have_schemas_of_one_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for path in ["api/src", "crates"].iter().flat_map(|folder| files(&root.join(folder), "rs")) {
        let names = schema_names(&fs::read_to_string(&path).unwrap());
        found.extend(names.into_iter().map(|name| (name, path.display().to_string())));
    }
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let description = description();
    let described = description["components"]["schemas"].as_object().unwrap();
    let seen = described.keys().filter(|name| names.contains(name.as_str())).count();
    assert!(seen * 10 > described.len() * 8, "{seen} of {} schemas were found in the code", described.len());
    found.sort();
    for pair in found.windows(2) {
        assert!(pair[0].0 != pair[1].0, "one schema replaces the other silently: {pair:?}");
    }
}

#[test]
fn schemas_of_one_name_are_found() {
    let twice = "#[derive(Debug, ToSchema)]\n#[schema(as = Pause)]\npub(crate) struct View {\n}\n\
        #[derive(ToSchema)]\nstruct Pause {\n}\nlist_body! {\n    /// A page.\n    Pauses { pauses: Pause }\n}\n";
    assert_eq!(schema_names(twice), ["Pause", "Pause", "Pauses"]);
}
