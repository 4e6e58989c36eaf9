//! The labels of all metrics: each has a bounded set of values, and every metric is documented.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::alerts::files;

/// Every label, with the reason why its values are bounded.
const LABELS: [(&str, &str); 28] = [
    ("answer", "two words"),
    ("chain", "two chains"),
    ("code", "problem codes and verdict codes"),
    ("endpoint", "endpoints that the program names"),
    ("installation", "names in the settings, at most 1,000"),
    ("issuer", "names in the settings"),
    ("kind", "kinds of jobs"),
    ("lane", "three lanes"),
    ("level", "levels of a verdict"),
    ("method", "known methods, others are folded"),
    ("operation", "calls that the program makes"),
    ("outcome", "words of the program"),
    ("part", "the parts of the program"),
    ("place", "three places"),
    ("pool", "names in the settings, at most 1,000"),
    ("reason", "kinds of pauses, waits, refused connections and dropped spans, never an admin's words"),
    ("resource", "GitHub's names of windows, at most 2,000 series"),
    ("route", "routes of the program, others are `none`"),
    ("severity", "four severities"),
    ("sink", "names in the settings"),
    ("state", "states of jobs, slots, deliveries and connections"),
    ("status", "statuses of HTTP and of runners"),
    ("status_class", "classes of HTTP statuses"),
    ("step", "steps of the scheduler"),
    ("store", "two stores"),
    ("task", "tasks of the program"),
    ("type", "types of security events, each a constant of the program"),
    ("version", "versions of the program, at most 20"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Rust sources of the processes, without their tests.
fn sources() -> Vec<(PathBuf, String)> {
    let folders = ["api/src", "worker/src", "scheduler/src", "crates", "cli/src"];
    let files = folders.iter().flat_map(|folder| files(&root().join(folder), "rs"));
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            (path, code)
        })
        .collect()
}

/// Beginnings of statements that name labels.
const STATEMENTS: [&str; 4] = ["metrics::", "gauges.", "labels = [", "let installation = ("];

/// Returns whether a text has the form of a label's name.
fn is_label(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Labels of the metrics of a file: `"name" => value` in macros, and `("name", value)` in lists of labels.
fn labels_of(code: &str) -> BTreeSet<&str> {
    let starts = STATEMENTS.iter().flat_map(|start| code.match_indices(start).map(|(at, _)| at));
    let statements = starts.map(|at| &code[at..code[at..].find(';').map_or(code.len(), |end| at + end)]);
    let mut labels = BTreeSet::new();
    for statement in statements {
        let pieces: Vec<&str> = statement.split('"').collect();
        for quoted in (1..pieces.len()).step_by(2) {
            let (before, word) = (pieces[quoted - 1], pieces[quoted]);
            let after = pieces.get(quoted + 1).copied().unwrap_or_default();
            let in_list = before.ends_with('(') && !before.ends_with("!(") && after.starts_with(", ");
            let is_call =
                before.ends_with("count(") || before.ends_with("set(") || before.ends_with("set_known(");
            if is_label(word) && !is_call && (after.trim_start().starts_with("=>") || in_list) {
                labels.insert(word);
            }
        }
    }
    labels
}

/// Names of the metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('"').filter(|word| word.starts_with("rts_") && word.len() > 4);
    quoted.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')).collect()
}

#[test]
fn labels_of_all_metrics_are_bounded() {
    let known: BTreeMap<&str, &str> = LABELS.into();
    let mut seen = BTreeSet::new();
    for (path, code) in sources() {
        if metrics_in(&code).is_empty() {
            continue;
        }
        for label in labels_of(&code) {
            assert!(known.contains_key(label), "{}: say why label `{label}` is bounded", path.display());
            seen.insert(label.to_owned());
        }
    }
    let unused: Vec<_> = known.keys().filter(|label| !seen.contains(**label)).collect();
    assert!(unused.is_empty(), "no metric has {unused:?}");
    for personal in ["runner", "job", "team", "user", "identity", "address", "path", "name", "label"] {
        assert!(!known.contains_key(personal), "{personal} grows without bound");
    }
}

#[test]
fn every_metric_is_documented() {
    let documents = ["monitoring.md", "events.md", "deploy.md"];
    let text: String = documents
        .iter()
        .map(|file| fs::read_to_string(root().join("docs/operations").join(file)).unwrap())
        .collect();
    let missing: BTreeSet<String> = sources()
        .iter()
        .flat_map(|(_, code)| metrics_in(code).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .filter(|metric| !text.contains(metric.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/operations/monitoring.md lacks {missing:?}");
}
