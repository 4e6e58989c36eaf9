//! The alerts in `deploy/prometheus/`: their metrics exist in the code, their runbooks in the documents, and their pages in
//! the dashboard.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn alerts() -> String {
    fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap()
}

/// All Rust sources of the processes.
fn sources() -> String {
    let mut folders: Vec<PathBuf> =
        ["api", "worker", "scheduler", "crates", "cli"].map(|folder| root().join(folder)).into();
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// The names in `text` that begin with `rts_`.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("rts_")).collect()
}

/// The anchor GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn metrics_of_alerts_exist() {
    let (alerts, sources) = (alerts(), sources());
    let metrics = metrics(&alerts);
    assert!(metrics.len() >= 10, "{metrics:?}");
    for metric in metrics {
        assert!(sources.contains(&format!("\"{metric}\"")), "no process has the metric {metric}");
    }
}

#[test]
fn every_alert_has_a_runbook_that_exists() {
    let alerts = alerts();
    let count = |line: &str| alerts.lines().filter(|text| text.trim_start().starts_with(line)).count();
    assert_eq!(count("- alert:"), count("runbook_url:"));
    for line in alerts.lines() {
        let Some(target) = line.trim_start().strip_prefix("runbook_url: ") else { continue };
        let (file, wanted) = target.split_once('#').unwrap();
        let text = fs::read_to_string(root().join(file)).unwrap();
        let mut headings = text.lines().filter(|line| line.starts_with('#'));
        assert!(headings.any(|line| anchor(line.trim_start_matches('#')) == wanted), "{target}");
    }
}

#[test]
fn every_alert_links_to_a_page_of_the_dashboard() {
    let alerts = alerts();
    let links: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim_start().strip_prefix("dashboard: ")).collect();
    assert_eq!(links.len(), alerts.lines().filter(|line| line.trim_start().starts_with("- alert:")).count());
    let pages = api::dashboard_routes();
    for link in links {
        let path = link.split(['?', '#']).next().unwrap();
        assert!(pages.contains(&("GET", path)), "{link} is no page");
    }
}
