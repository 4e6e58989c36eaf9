//! Every payload there is, ours and the real ones.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{builder, look, send};

/// Payloads of a folder: `<event>.<anything>.json`. None when the folder is absent, which `./dev test` says.
fn payloads(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let event = path.file_name()?.to_str()?.strip_suffix(".json")?.split('.').next()?.to_owned();
            // What is not a payload does not bear the name of an event.
            event.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then_some((event, path))
        })
        .collect();
    all.sort();
    all
}

async fn replay(folder: PathBuf) -> usize {
    let world = builder().start().await;
    let all = payloads(&folder);
    for (event, path) in &all {
        let body = std::fs::read(path).unwrap();
        let answer = send(&world, event, Uuid::new_v4(), &body).await;
        assert_eq!(answer.status, 202, "{}: {}", path.display(), answer.text);
    }
    look(&world).await;
    let odd = "SELECT count(*) FROM webhook_inbox WHERE state NOT IN ('processed', 'ignored')";
    assert_eq!(world.count(odd).await, 0, "{}", folder.display());
    assert_eq!(world.count("SELECT count(*) FROM security_events").await, 0);
    all.len()
}

#[tokio::test]
async fn our_payloads_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(replay(root.join("../data/webhooks")).await >= 10);
}

#[tokio::test]
async fn real_payloads_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../../shared/github/webhooks");
    let expected = if folder.is_dir() { 20 } else { 0 };
    assert!(replay(folder).await >= expected);
}
