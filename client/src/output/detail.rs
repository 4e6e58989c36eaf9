//! One thing with all its members, for people.

use serde_json::{Map, Value};

use super::{plain, scalar, table::lay_out};

/// Most rows of a list inside the thing.
const MAX_ROWS: usize = 50;

/// Returns one line for each member; lists of objects follow as tables of their own.
pub(crate) fn detail(thing: &Value) -> String {
    let Value::Object(members) = thing else { return scalar(thing) };
    let mut lines = Vec::new();
    let simple: Vec<_> = members.iter().filter(|(_, value)| !is_table(value)).collect();
    let width = simple.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in simple {
        if !value.is_null() {
            lines.push(format!("{:width$}  {}", plain(name), scalar(value)).trim_end().to_owned());
        }
    }
    for (name, value) in members.iter().filter(|(_, value)| is_table(value)) {
        let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
        lines.push(String::new());
        lines.push(format!("{}:", plain(name)));
        lines.extend(table(rows));
    }
    lines.join("\n")
}

fn is_table(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.first().is_some_and(Value::is_object))
}

/// Returns the lines of a table whose columns are the members that any row has a value for.
fn table(rows: &[Value]) -> Vec<String> {
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).take(MAX_ROWS).collect();
    let mut names: Vec<&String> = Vec::new();
    for object in &objects {
        for (name, value) in *object {
            if !value.is_null() && !value.is_object() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let header = names.iter().map(|name| plain(name).to_uppercase()).collect();
    let cells = |object: &&Map<String, Value>| {
        names.iter().map(|name| object.get(*name).map(scalar).unwrap_or_default()).collect()
    };
    let laid_out = lay_out(header, objects.iter().map(cells), None);
    let mut lines: Vec<String> =
        laid_out.iter().map(|line| format!("  {line}").trim_end().to_owned()).collect();
    if rows.len() > objects.len() {
        lines.push(format!("  and {} more; -o json shows all", rows.len() - objects.len()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_lines_and_lists_are_tables() {
        let text = detail(&json!({
            "name": "ci-1", "busy": false, "labels": ["a", "b"], "team": null,
            "events": [{ "at": "now", "by": null }, { "at": "then", "by": "ada" }],
        }));
        let expected = "busy    no\nlabels  a,b\nname    ci-1\n\nevents:\n  AT    BY\n  now\n  then  ada";
        assert_eq!(text, expected);
    }
}
