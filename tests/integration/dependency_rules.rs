//! Allowed dependencies between crates: the table of docs/architecture.md, enforced.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

/// Crates and the crates they may use. `cli`, `bench` and the tests may use everything.
const TABLE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("runtime", &["domain"]),
    ("devstack", &[]),
    ("dev_http", &[]),
    ("dev_issuer", &["dev_http"]),
    ("github_twin", &["dev_http"]),
    ("client", &["domain"]),
    ("store", &["domain"]),
    ("queue", &["domain"]),
    ("github", &["domain"]),
    ("operations", &["domain", "store", "queue"]),
    ("installations", &["domain", "queue", "github"]),
    ("oidc", &["domain", "runtime"]),
    ("api", &["domain", "store", "queue", "oidc", "operations", "runtime"]),
    ("worker", &["domain", "store", "queue", "github", "installations", "operations", "runtime"]),
    ("scheduler", &["domain", "store", "queue", "github", "installations", "operations", "runtime"]),
];

/// Libraries that only one crate may use.
const EXCLUSIVE_LIBRARIES: &[(&str, &str)] =
    &[("sqlx", "store"), ("redis", "queue"), ("octocrab", "github"), ("askama", "api")];

/// Items of `domain` that the client may use: words of the wire, its files, and the type of its token.
const WIRE_TYPES: &[&str] = &[
    "AuditFormat",
    "CaseEntry",
    "CaseOutcome",
    "Check",
    "FieldError",
    "FilterWords",
    "JIT_CONFIG_VARIABLE",
    "JobKind",
    "JobState",
    "Json",
    "Lane",
    "RunCommands",
    "RunnerStatus",
    "SealedConfig",
    "SealingKeyPair",
    "Secret",
    "TeamsFile",
    "error_chain",
    "escape_pointer",
    "read_json",
    "sealed_config_context",
    "tls_advice",
];

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
        let free = name == "cli"
            || name == "bench"
            || package["manifest_path"].as_str().unwrap().contains("/tests/");
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

/// Returns all Rust source text below a folder.
fn source_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&source_text(&path));
        } else {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn client_uses_only_wire_types_of_the_domain() {
    let text = source_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../client/src"));
    let used = text.split("domain::").skip(1).flat_map(|rest| {
        let list = rest.strip_prefix('{').and_then(|list| list.split('}').next());
        let one = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
        list.or(one).unwrap_or_default().split(',').map(|name| name.trim().to_owned())
    });
    let used: BTreeSet<String> = used.filter(|name| !name.is_empty()).collect();
    let allowed: BTreeSet<String> = WIRE_TYPES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(used, allowed);
}
