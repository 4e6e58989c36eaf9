//! Allowed dependencies between crates: the table of docs/architecture.md, enforced.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Crates and the crates they may use. `cli` and the tests may use everything.
const TABLE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("runtime", &["domain"]),
    ("devstack", &[]),
    ("github_twin", &[]),
    ("store", &["domain"]),
    ("queue", &["domain"]),
    ("github", &["domain"]),
    ("operations", &["domain", "store", "queue"]),
    ("installations", &["domain", "queue", "github"]),
    ("oidc", &["domain", "runtime"]),
    ("api", &["domain", "store", "queue", "oidc", "operations", "runtime"]),
    ("worker", &["domain", "store", "queue", "github", "installations", "runtime"]),
    ("scheduler", &["domain", "store", "queue", "github", "installations", "operations", "runtime"]),
];

/// Libraries that only one crate may use.
const EXCLUSIVE_LIBRARIES: &[(&str, &str)] = &[("sqlx", "store"), ("redis", "queue"), ("octocrab", "github")];

/// A crate: its declared dependencies, without dev-dependencies, and whether it may use everything.
struct Member {
    uses: BTreeSet<String>,
    free: bool,
}

fn members() -> BTreeMap<String, Member> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let member = |package: &Value| {
        let name = package["name"].as_str().unwrap().to_owned();
        let lasting = package["dependencies"].as_array().unwrap().iter().filter(|used| used["kind"] != "dev");
        let uses = lasting.map(|used| used["name"].as_str().unwrap().to_owned()).collect();
        let free = name == "cli" || package["manifest_path"].as_str().unwrap().contains("/tests/");
        (name, Member { uses, free })
    };
    metadata["packages"].as_array().unwrap().iter().map(member).collect()
}

#[test]
fn crates_use_only_allowed_crates() {
    let members = members();
    let bound: BTreeSet<&str> =
        members.iter().filter(|(_, member)| !member.free).map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = TABLE.iter().map(|(member, _)| *member).collect();
    assert_eq!(bound, known, "a new crate belongs into the table");
    for (name, may) in TABLE {
        let used = members[*name].uses.iter().filter(|used| members.contains_key(*used));
        let more: Vec<_> = used.filter(|used| !may.contains(&used.as_str())).collect();
        assert!(more.is_empty(), "{name} must not use {more:?}");
    }
}

#[test]
fn restricted_libraries_are_used_by_one_crate() {
    for (library, home) in EXCLUSIVE_LIBRARIES {
        for (name, member) in members() {
            let may = name == *home || member.free;
            assert!(may || !member.uses.contains(*library), "{name} must not use {library}");
        }
    }
}
