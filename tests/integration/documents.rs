//! The documents: every link, path and function of the repository that they name exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders whose paths are written from the root of the repository.
const FOLDERS: &[&str] = &[
    "actions",
    "api",
    "cli",
    "client",
    "clients",
    "crates",
    "deploy",
    "docs",
    "migrations",
    "scheduler",
    "scripts",
    "tests",
    "worker",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All Markdown files, with their folder and text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root()];
    let mut documents = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                documents.push((path, text));
            }
        }
    }
    assert!(documents.len() > 20, "{}", documents.len());
    documents
}

/// The targets of `[text](target)`, code blocks left out.
fn links(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    let targets = outside.flat_map(|part| part.split("](").skip(1));
    targets.filter_map(|rest| rest.split(')').next()).collect()
}

/// What stands in single backticks, code blocks left out.
fn code(text: &str) -> Vec<&str> {
    text.split("```").step_by(2).flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The anchor a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == wanted)
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in documents() {
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let leads = target.exists()
                && (wanted.is_empty() || has_anchor(&fs::read_to_string(&target).unwrap(), wanted));
            if !leads {
                faults.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn paths_of_the_repository_exist() {
    let mut faults = Vec::new();
    for (path, text) in documents() {
        for word in code(&text) {
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let first = word.split('/').next().unwrap_or_default();
            if plain && word.contains('/') && FOLDERS.contains(&first) && !root().join(word).exists() {
                faults.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn functions_named_beside_a_file_are_in_it() {
    let mut found = 0;
    for (path, text) in documents() {
        for sentence in text.split("` in `").collect::<Vec<_>>().windows(2) {
            let name = sentence[0].rsplit('`').next().unwrap_or_default();
            let file = sentence[1].split('`').next().unwrap_or_default();
            if Path::new(file).extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let code = fs::read_to_string(root().join(file)).unwrap();
            assert!(code.contains(&format!("fn {name}(")), "{}: {name} in {file}", path.display());
            found += 1;
        }
    }
    assert!(found >= 5, "only {found} functions are named beside their file");
}
