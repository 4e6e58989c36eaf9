//! Contents of the audit rows about changes.

use serde_json::{Map, Value, json};

/// Returns the members of two JSON objects that differ, before and after; `None` if all are equal.
pub(crate) fn differences(before: &Value, after: &Value) -> Option<(Value, Value)> {
    let empty = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let names: Vec<&String> = changed.map(|(name, _)| name).collect();
    let pick = |from: &Map<String, Value>| -> Value {
        names
            .iter()
            .map(|name| ((*name).clone(), from.get(*name).cloned().unwrap_or_default()))
            .collect::<Map<_, _>>()
            .into()
    };
    (!names.is_empty()).then(|| (pick(before), pick(after)))
}

/// Adds the members of `more`, a JSON object, to `details`.
pub(crate) fn extend(details: &mut Value, more: Value) {
    if let (Some(details), Value::Object(more)) = (details.as_object_mut(), more) {
        details.extend(more);
    }
}

/// Returns an admin's comment as a member of an audit row's details.
pub(crate) fn comment(text: Option<&str>) -> Value {
    text.map_or_else(|| json!({}), |text| json!({ "comment": text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_members_that_differ_are_recorded() {
        let (before, after) = (json!({ "a": 1, "b": 2, "c": null }), json!({ "a": 1, "b": 3, "c": [] }));
        let wanted = Some((json!({ "b": 2, "c": null }), json!({ "b": 3, "c": [] })));
        assert_eq!(differences(&before, &after), wanted);
        assert_eq!(differences(&before, &before), None);
    }
}
