//! Delivery of audit rows and security events to operators' sinks by signed webhook.
#![cfg(test)]

mod administration;
mod delivery;
mod failures;
mod processes;
mod receiver;
mod retention;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use domain::{AuditEntry, SecurityEvent, Severity};
use harness::World;
use runtime::config::{Mode, Sources};
use scheduler::{
    Parts,
    events::{self, DeliveryLimits, EventSinks},
};

use self::receiver::Receiver;

/// Key of most receivers.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Key that replaces it.
const NEW_KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A world with one sink, without processes that write rows.
struct Scene {
    world: World,
    receiver: Receiver,
}

impl Scene {
    /// Returns a scene whose sink has a stream for rows that are written from now on.
    async fn new() -> Self {
        let scene =
            Self { world: World::builder().workers(0).start().await, receiver: Receiver::start().await };
        scene.step(&scene.parts()).await;
        scene
    }

    /// Returns the settings of a sink of events about tests, with the given types.
    fn settings(&self, types: &str) -> Sources {
        Sources::empty(Mode::Production)
            .set("EVENT_SINK_URL", &self.receiver.url)
            .set("EVENT_SINK_SECRET_PATHS", self.key_file("key", KEY).display().to_string())
            .set("EVENT_SINK_TYPES", types)
            .set("EVENT_SOURCE", "https://runners.example/")
    }

    /// Writes a file with a key.
    fn key_file(&self, name: &str, key: &str) -> PathBuf {
        let path = self.world.folder().join(name);
        fs::write(&path, format!("{key}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Returns the parts of a scheduler with these settings and limits.
    fn parts_with(&self, settings: &Sources, limits: DeliveryLimits) -> Parts {
        let sinks = EventSinks::new(settings.section().unwrap(), limits, &settings.section().unwrap());
        Parts { event_sinks: sinks.unwrap(), ..self.world.scheduler_parts() }
    }

    /// Returns the parts of a scheduler that tries again at once, and gives up after three refusals.
    fn parts(&self) -> Parts {
        self.parts_with(&self.settings("rts.audit.test.*,rts.security.test_*"), hasty())
    }

    async fn step(&self, parts: &Parts) -> u64 {
        events::run(parts.clone()).await.unwrap()
    }

    /// Runs the step until `is_done`. Transactions of other databases on the server delay rows.
    async fn step_until(&self, parts: &Parts, what: &str, is_done: impl Fn() -> bool) {
        harness::wait_until(what, || async {
            self.step(parts).await;
            is_done()
        })
        .await;
    }

    /// Runs the step until the receiver has accepted this many events.
    async fn deliver(&self, parts: &Parts, count: usize) {
        let what = format!("{count} events are accepted");
        self.step_until(parts, &what, || self.receiver.accepted().len() >= count).await;
    }

    async fn write(&self, event_type: &'static str) {
        let entry = AuditEntry::service(event_type);
        self.world.store().conn().await.unwrap().audit().write(&entry).await.unwrap();
    }

    async fn alarm(&self, event_type: &'static str, severity: Severity) {
        let event = SecurityEvent { event_type, severity, action_taken: "refused" };
        let data = serde_json::json!({ "why": "a test" });
        let entry = AuditEntry { data, identity: Some("eve".to_owned()), ..AuditEntry::service(event_type) };
        self.world.store().conn().await.unwrap().audit().alarm(&event, &entry).await.unwrap();
    }

    /// Returns the ids of the rows of tests, in the order of the chain.
    async fn chained(&self) -> Vec<String> {
        let ids = "SELECT id::text FROM audit_log WHERE event_type LIKE 'test.%' ORDER BY transaction_id, id";
        sqlx::query_scalar(ids).fetch_all(self.world.sql()).await.unwrap()
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.world.sql()).await.unwrap();
    }
}

/// Returns limits of a scheduler that tries again at once, and gives up after three refusals.
fn hasty() -> DeliveryLimits {
    DeliveryLimits { first_pause: Duration::ZERO, max_refusals: 3, ..DeliveryLimits::default() }
}
