//! Which room may use which: the table of docs/architecture.md, held.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Rooms and the rooms they may use. `cli` and the tests may use everything.
const TABLE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("runtime", &["domain"]),
    ("devstack", &[]),
    ("twin", &[]),
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

/// Libraries that one room alone may use.
const KEPT: &[(&str, &str)] = &[("sqlx", "store"), ("redis", "queue"), ("octocrab", "github")];

/// A room: what it declares to use (tests of its own aside), and whether it may use everything.
struct Room {
    uses: BTreeSet<String>,
    free: bool,
}

fn rooms() -> BTreeMap<String, Room> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let room = |package: &Value| {
        let name = package["name"].as_str().unwrap().to_owned();
        let lasting = package["dependencies"].as_array().unwrap().iter().filter(|used| used["kind"] != "dev");
        let uses = lasting.map(|used| used["name"].as_str().unwrap().to_owned()).collect();
        let free = name == "cli" || package["manifest_path"].as_str().unwrap().contains("/tests/");
        (name, Room { uses, free })
    };
    metadata["packages"].as_array().unwrap().iter().map(room).collect()
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let rooms = rooms();
    let bound: BTreeSet<&str> =
        rooms.iter().filter(|(_, room)| !room.free).map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = TABLE.iter().map(|(room, _)| *room).collect();
    assert_eq!(bound, known, "a new room belongs into the table");
    for (name, may) in TABLE {
        let used = rooms[*name].uses.iter().filter(|used| rooms.contains_key(*used));
        let more: Vec<_> = used.filter(|used| !may.contains(&used.as_str())).collect();
        assert!(more.is_empty(), "{name} must not use {more:?}");
    }
}

#[test]
fn libraries_stay_in_their_room() {
    for (library, home) in KEPT {
        for (name, room) in rooms() {
            let may = name == *home || room.free;
            assert!(may || !room.uses.contains(*library), "{name} must not use {library}");
        }
    }
}
