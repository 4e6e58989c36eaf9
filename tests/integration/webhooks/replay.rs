//! Replay of all payloads: written by hand, in the shape of real ones, and the recorded ones where present.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{builder, process_inbox, send_webhook};

/// Returns the payloads of a folder: `<event>.<anything>.json`.
fn payloads(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let event = path.file_name()?.to_str()?.strip_suffix(".json")?.split('.').next()?.to_owned();
            // Other files do not start with an event name.
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
        let answer = send_webhook(&world, event, Uuid::new_v4(), &body).await;
        assert_eq!(answer.status, 202, "{}: {}", path.display(), answer.text);
    }
    process_inbox(&world).await;
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
async fn payloads_in_the_shapes_of_real_ones_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(replay(root.join("../data/webhooks/real")).await >= 24);
}

/// Replays the recorded payloads. They are not part of the repository; without them, the test above covers the same
/// shapes.
#[tokio::test]
async fn recorded_payloads_beside_the_repository_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/github/webhooks");
    if folder.is_dir() {
        assert!(replay(folder).await >= 20);
    }
}
