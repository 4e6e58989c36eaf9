//! The plan of an application as text.

use serde_json::Value;

use crate::output::{plain, print::line, print::note, scalar};

/// Prints a plan: one line a change, `+` for what is new, `~` for what changes, `-` for what ends.
pub(crate) fn print_plan(plan: &Value) {
    let empty = Vec::new();
    for change in plan["changes"].as_array().unwrap_or(&empty) {
        line(describe(change));
    }
    if let Some(omitted) = plan["omitted"].as_u64().filter(|omitted| *omitted > 0) {
        line(format_args!("… and {omitted} more"));
    }
    for remark in plan["remarks"].as_array().unwrap_or(&empty) {
        note(scalar(remark));
    }
    note(summary(plan));
}

/// Returns one change as a line.
fn describe(change: &Value) -> String {
    let text = |field: &str| plain(change[field].as_str().unwrap_or_default());
    let mark = match change["action"].as_str() {
        Some("create") => '+',
        Some("deactivate" | "remove") => '-',
        Some("adopt") => '=',
        _ => '~',
    };
    let team = match change["subject"].as_str() {
        Some("team") | None => String::new(),
        Some(_) => change["team"].as_str().map(|team| format!(" of {}", plain(team))).unwrap_or_default(),
    };
    let mut described = format!("{mark} {} {}{team}", text("subject"), text("name"));
    if change["action"] == "update" {
        let after = change["after"].as_object().into_iter().flatten();
        let values = after.map(|(name, after)| {
            format!("{}: {} → {}", plain(name), value(&change["before"][name]), value(after))
        });
        described.push_str("  ");
        described.push_str(&values.collect::<Vec<_>>().join(", "));
    }
    described
}

fn value(value: &Value) -> String {
    let text = scalar(value);
    if text.is_empty() { "none".to_owned() } else { text }
}

fn summary(plan: &Value) -> String {
    let counts = plan["counts"].as_object();
    let counted: Vec<String> =
        counts.into_iter().flatten().map(|(action, count)| format!("{count} to {}", plain(action))).collect();
    let unchanged = plan["unchanged"].as_u64().unwrap_or_default();
    if counted.is_empty() {
        return format!("Nothing to change, {unchanged} as wanted.");
    }
    format!("{}, {unchanged} as wanted.", counted.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn change_is_one_line() {
        let update = json!({ "subject": "team", "action": "update", "name": "web", "team": "web",
            "before": { "max_runners": null }, "after": { "max_runners": 3 } });
        assert_eq!(describe(&update), "~ team web  max_runners: none → 3");
        let member = json!({ "subject": "member", "action": "remove", "name": "a@b", "team": "web" });
        assert_eq!(describe(&member), "- member a@b of web");
        assert_eq!(
            summary(&json!({ "counts": { "create": 2 }, "unchanged": 7 })),
            "2 to create, 7 as wanted."
        );
    }
}
