//! Alerts, rules, boards and autoscaling in `deploy/`: their metrics and labels exist in the code, their runbooks in the
//! documents, and their pages in the dashboard. `./dev validate` checks their syntax and runs the alerts' own tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Labels that Prometheus, Kubernetes or a query adds.
const ADDED_LABELS: &[&str] = &["instance", "le", "namespace"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> String {
    read("deploy/prometheus/alerts.yaml")
}

/// Returns the page of the dashboard that an alert links to.
pub(crate) fn page_of(alert: &str) -> String {
    let alerts = alerts();
    let (_, rest) = alerts.split_once(&format!("- alert: {alert}\n")).unwrap_or_else(|| panic!("no {alert}"));
    let (_, page) = rest.split_once("dashboard_url: ").expect("a page");
    page.lines().next().unwrap().to_owned()
}

/// The values of a member of the alerts, in order.
fn members<'a>(alerts: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("{name}: ");
    alerts
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(&start))
        .collect()
}

/// Files with the given extension below a folder.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found
}

/// All Rust sources of the processes, without their tests.
fn sources() -> String {
    let folders = ["api", "worker", "scheduler", "crates", "cli"].map(|folder| root().join(folder));
    let all = folders.iter().flat_map(|folder| files(folder, "rs"));
    let root = root();
    let own = all.filter(|path| !path.strip_prefix(&root).unwrap().to_string_lossy().contains("tests"));
    own.map(|path| {
        let text = fs::read_to_string(path).unwrap();
        text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
    })
    .collect()
}

fn boards() -> Vec<(String, Value)> {
    let mut boards: Vec<_> = files(&root().join("deploy/grafana"), "json")
        .into_iter()
        .map(|path| {
            let board = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), board)
        })
        .collect();
    boards.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        boards.iter().map(|one| one.0.as_str()).collect::<Vec<_>>(),
        ["fleet.json", "github.json", "service.json"]
    );
    boards
}

/// The queries of a board's panels and annotations.
fn queries(board: &Value) -> Vec<String> {
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let all = targets.chain(board["annotations"]["list"].as_array().unwrap());
    all.map(|one| one["expr"].as_str().unwrap().to_owned()).collect()
}

/// All text with queries in it: rules, alerts, boards, autoscaling.
fn promql() -> String {
    let mut text = alerts() + &read("deploy/prometheus/rules.yaml");
    for path in ["deploy/keda/scheduler.yaml", "deploy/keda/prometheus.yaml"] {
        text += &read(path);
    }
    text += &read("deploy/helm/runner-token-service/templates/autoscaling.yaml");
    for (_, board) in boards() {
        let variables = board["templating"]["list"].as_array().unwrap().iter();
        let lists = variables.filter_map(|variable| variable["definition"].as_str().map(str::to_owned));
        text += &(queries(&board).into_iter().chain(lists).collect::<Vec<_>>().join("\n") + "\n");
    }
    text
}

/// Metrics in a text, each with the labels by which it is selected: `rts_x{a="b"}`.
fn metrics(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    let mut rest = text;
    while let Some(start) = rest.find("rts_") {
        let (before, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
        let (name, after) = tail.split_at(end);
        rest = after;
        // A variable of the boards.
        if before.ends_with(['{', '$']) {
            continue;
        }
        let name = ["_bucket", "_count", "_sum"].iter().fold(name, |name, end| name.trim_end_matches(end));
        let labels = found.entry(name.to_owned()).or_default();
        if let Some(selector) = after.strip_prefix('{').and_then(|text| text.split('}').next()) {
            labels.extend(label_names(selector));
        }
    }
    found
}

/// The labels of a selector. A comma inside a value is not used here.
fn label_names(selector: &str) -> impl Iterator<Item = String> + '_ {
    let matchers = selector.split(", ").flat_map(|part| part.split(','));
    matchers.filter_map(|part| part.split(['=', '!']).next()).map(|name| name.trim().to_owned())
}

/// The labels in `by (…)`, `on (…)` and the legends `{{…}}`.
fn grouped_labels(text: &str) -> BTreeSet<String> {
    let lists = ["by (", "on ("].into_iter().flat_map(|start| text.split(start).skip(1));
    let inside = lists.filter_map(|rest| rest.split(')').next()).flat_map(|list| list.split(','));
    inside.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The anchor GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The labels that the monitoring page lists for each metric: `rts_x{a,b}`.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = read("docs/operations/monitoring.md");
    let section = page.split("\n## Metrics\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `rts_"));
    let mut found = BTreeMap::new();
    for cell in rows.filter_map(|row| row.split('|').nth(1)) {
        let mut labels = BTreeSet::new();
        for name in cell.split('`').filter(|part| part.starts_with("rts_")) {
            let (name, list) = name.split_once('{').unwrap_or((name, "}"));
            let list = list.trim_end_matches('}');
            // `{…}` repeats the labels before.
            if list != "…" {
                labels = list.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
            }
            found.insert(name.to_owned(), labels.clone());
        }
    }
    found
}

#[test]
fn metrics_of_alerts_boards_and_autoscaling_exist() {
    let sources = sources();
    let metrics = metrics(&promql());
    assert!(metrics.len() >= 40, "{metrics:?}");
    for metric in metrics.keys() {
        assert!(sources.contains(&format!("\"{metric}\"")), "no process has the metric {metric}");
    }
}

#[test]
fn labels_of_alerts_boards_and_autoscaling_are_documented_and_exist() {
    let (text, sources, documented) = (promql(), sources(), documented());
    assert!(documented.len() >= 40, "{documented:?}");
    let known: BTreeSet<&String> = documented.values().flatten().collect();
    for (metric, labels) in metrics(&text) {
        let own = documented.get(&metric).unwrap_or_else(|| panic!("monitoring.md does not list {metric}"));
        for label in labels.iter().filter(|label| !ADDED_LABELS.contains(&label.as_str())) {
            assert!(own.contains(label), "{metric} has no label {label}, says monitoring.md");
        }
    }
    for label in grouped_labels(&text).iter().filter(|label| !ADDED_LABELS.contains(&label.as_str())) {
        assert!(known.contains(label), "no metric of monitoring.md has the label {label}");
    }
    for label in known {
        assert!(sources.contains(&format!("\"{label}\"")), "no process sets the label {label}");
    }
}

#[test]
fn every_alert_has_a_runbook_of_its_own() {
    let alerts = alerts();
    let (names, books) = (members(&alerts, "alert"), members(&alerts, "runbook_url"));
    assert!(names.len() >= 30 && names.len() == books.len());
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    let page = read("docs/operations/alerts.md");
    let headings: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    for (name, book) in names.iter().zip(books) {
        assert_eq!(book, format!("docs/operations/alerts.md#{}", name.to_lowercase()));
        assert!(headings.contains(&name.to_lowercase()), "no section for {name}");
    }
    assert_eq!(headings.len(), names.len(), "a section without an alert");
}

#[test]
fn every_alert_is_tested() {
    let tests =
        read("deploy/prometheus/tests/alerts.yaml") + &read("deploy/prometheus/tests/slow_alerts.yaml");
    let fired: BTreeSet<&str> = tests
        .split("  - name: ")
        .filter(|test| test.contains("exp_labels"))
        .filter_map(|test| members(test, "alertname").first().copied())
        .collect();
    for name in members(&alerts(), "alert") {
        assert!(fired.contains(name), "no test lets {name} fire");
    }
}

#[test]
fn alerts_and_boards_link_to_pages_of_the_dashboard() {
    let alerts = alerts();
    let links = members(&alerts, "dashboard_url");
    assert_eq!(links.len(), members(&alerts, "alert").len());
    let mut links: Vec<String> = links.into_iter().map(str::to_owned).collect();
    for (_, board) in boards() {
        let panels = board["panels"].as_array().unwrap().iter().filter_map(|panel| panel["links"].as_array());
        let all = panels.flatten().chain(board["links"].as_array().unwrap());
        let urls = all.filter_map(|link| link["url"].as_str().filter(|url| !url.is_empty()));
        links.extend(urls.map(|url| url.strip_prefix("${rts_url}").unwrap().to_owned()));
    }
    assert!(links.len() > 60, "{}", links.len());
    let pages = api::dashboard_routes();
    for link in links {
        let path = link.split(['?', '#']).next().unwrap();
        assert!(pages.contains(&("GET", path)), "{link} is no page");
        if let Some((_, anchor)) = link.split_once('#') {
            let id = format!("id=\"{anchor}\"");
            let templates = files(&root().join("api/templates"), "html");
            let there = templates.iter().any(|path| fs::read_to_string(path).unwrap().contains(&id));
            assert!(there, "{link}: no page has {id}");
        }
    }
}

#[test]
fn steps_in_alerts_are_steps_of_the_scheduler() {
    let (alerts, sources) = (alerts(), sources());
    let mut count = 0;
    for list in alerts.split("step=~\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        for step in list.split('|') {
            assert!(sources.contains(&format!("\"{step}\"")), "the scheduler has no step {step}");
            count += 1;
        }
    }
    assert!(count >= 15, "{count}");
}
