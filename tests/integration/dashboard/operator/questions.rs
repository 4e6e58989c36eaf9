//! Eight questions at three in the morning: each is answered within two clicks from the page that the alarm links to. Two of
//! them come from a person who calls, and begin on the board or at the refused requests.

use domain::{ActionTaken, AuditEntry, SecurityEvent, Severity};
use github_twin::{Fault, FaultKind};
use harness::{ApiResponse, World, eventually, provision_body};
use serde_json::json;

use super::{Night, words_of};
use crate::alerts;

/// A walk from the page of an alarm, which counts its clicks.
struct Walk<'n> {
    night: &'n Night,
    page: ApiResponse,
    clicks: u8,
}

impl<'n> Walk<'n> {
    async fn from(night: &'n Night, path: &str) -> Self {
        Self { night, page: night.admin.get(path).await.assert_status(200), clicks: 0 }
    }

    /// Opens the page that an alert of `deploy/` links to.
    async fn from_alert(night: &'n Night, alert: &str, path: &str) -> Self {
        assert_eq!(alerts::page_of(alert), path, "{alert}");
        Self::from(night, path).await
    }

    /// Sends a text by the search of the page, as one click.
    async fn find(self, text: &str) -> Self {
        assert!(self.page.text.contains(r#"action="/search""#), "{}", self.text());
        let found = self.night.admin.get(&format!("/search?q={text}")).await.assert_status(303);
        let page = self.night.admin.get(found.header("location")).await.assert_status(200);
        Self { page, clicks: self.clicks + 1, ..self }
    }

    /// Follows the first link of the page that begins with this path.
    async fn click(self, path: &str) -> Self {
        let start = format!(r#"href="{path}"#);
        let (_, rest) =
            self.page.text.split_once(&start).unwrap_or_else(|| panic!("no link to {path}: {}", self.text()));
        let rest = rest.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&");
        let page = self.night.admin.get(&format!("{path}{rest}")).await.assert_status(200);
        Self { page, clicks: self.clicks + 1, ..self }
    }

    /// Checks that the page says all of this, at most two clicks from the alarm.
    fn reads(self, parts: &[&str]) -> Self {
        let text = self.text();
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing: {text}");
        }
        assert!(self.clicks <= 2);
        self
    }

    /// Returns the words of the whole page, its frame included.
    fn text(&self) -> String {
        words_of(&self.page.text)
    }
}

#[tokio::test]
async fn jobs_that_wait_are_explained_by_the_pause_that_holds_them() {
    let night = Night::with(World::builder().workers(0)).await;
    night.world.provision(&night.ada, provision_body("ci")).await;
    let form = [("seconds", "900"), ("reason", "rolling out 2.4")];
    night.press("/lanes/provision/pause", &form).await;
    eventually("the verdict is the pause", || async {
        let board = night.admin.get("/").await.assert_status(200);
        board.text.contains("rolling out 2.4").then_some(())
    })
    .await;
    let walk = Walk::from_alert(&night, "RtsJobsWait", "/").await.reads(&["paused", "1 job"]);
    Walk::from(&night, "/jobs").await.reads(&["queued: the end of a pause"]);
    walk.click("/lanes").await.reads(&[
        "paused by root@example.com",
        "rolling out 2.4",
        "Resume provisioning",
    ]);
}

#[tokio::test]
async fn rising_failures_lead_to_an_example_with_its_call_and_advice() {
    let night = Night::with(World::builder().workers(1)).await;
    night.refused_by_github("Resource not accessible by integration").await;
    let walk = Walk::from_alert(&night, "RtsJobsFail", "/failures?since=1h").await;
    let walk = walk.reads(&["github_refused", "Resource not accessible", "1 job", "What to do:"]);
    walk.click("/jobs/").await.reads(&[
        "Resource not accessible",
        "Calls to GitHub",
        "refused",
        "What to do:",
    ]);
}

#[tokio::test]
async fn runner_that_never_came_is_found_by_its_name_and_leads_to_its_job() {
    let night = Night::with(World::builder().workers(1)).await;
    let asked = night.world.provision(&night.ada, provision_body("ci")).await;
    night.world.until_final(&night.ada, asked.job).await;
    night.world.credential(&night.ada, asked.job).await.assert_status(200);
    let board = || Walk::from(&night, "/");
    let runner = board().await.find(&asked.name).await.reads(&[&asked.name, "pending", "config handed out"]);
    runner.click("/jobs/").await.reads(&["Worker worker-0.", "The job succeeded."]);
    let request = "SELECT request_id FROM audit_log WHERE job_id = $1 AND event_type = 'runner.provision'";
    let request = night.world.text(request, asked.job).await;
    for id in [asked.job.to_string(), asked.runner.to_string(), request] {
        board().await.find(&id).await.reads(&[&asked.name]);
    }
    // A stranger's name and id lead to an empty list.
    let outsider = night.world.sign_in(&night.world.user("eve", &[]).await).await;
    for text in [&asked.name, &asked.job.to_string()] {
        let found = outsider.get(&format!("/search?q={text}")).await.assert_status(303);
        assert_eq!(found.header("location"), format!("/runners?q={text}"));
    }
}

#[tokio::test]
async fn refused_request_leads_to_the_rule_that_refused_it_and_to_the_policy() {
    let night = Night::with(World::builder().workers(0)).await;
    let body = json!({ "runner_name_prefix": "ci", "labels": ["quantum-7"] });
    night.world.jit(&night.ada, &body).await.refused(403, "label_policy_violation");
    let walk =
        Walk::from(&night, "/audit?success=false").await.reads(&["runner.provision", "refused or failed"]);
    let rule = walk.click("/explain?").await.reads(&["quantum-7", "Labels", "Admins may change this"]);
    rule.click("/teams/").await.reads(&["red", "Also allowed", "Edit the policy…"]);
}

#[tokio::test]
async fn held_removals_are_shown_with_the_runners_they_concern() {
    let night = Night::with(World::builder().workers(0)).await;
    sqlx::query(super::fleet::HELD).execute(night.world.sql()).await.unwrap();
    let walk = Walk::from_alert(&night, "RtsRemovalsHeld", "/fleet").await.reads(&["7 removals are held."]);
    walk.click("/fleet/default/removals")
        .await
        .reads(&["If somebody renamed the organisation", "Type 7 to approve"]);
}

#[tokio::test]
async fn critical_security_event_tells_its_story_and_is_acknowledged() {
    let night = Night::with(World::builder().workers(0)).await;
    let event = SecurityEvent {
        event_type: "sync_blast_radius",
        severity: Severity::Critical,
        action_taken: ActionTaken::Held.as_str(),
    };
    let entry = AuditEntry { data: json!({ "removals": 37 }), ..AuditEntry::service("sync.held") };
    let mut tx = night.world.store().begin().await.unwrap();
    tx.audit().alarm(&event, &entry).await.unwrap();
    tx.commit().await.unwrap();
    let walk = Walk::from_alert(&night, "RtsSecurityCritical", "/security")
        .await
        .reads(&["sync_blast_radius", "critical"]);
    walk.click("/security/0").await.reads(&["37", "Acknowledge"]);
}

#[tokio::test]
async fn worker_that_dies_again_and_again_leads_to_the_job_that_kills_it() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    world.twin.fault(Fault::once("POST", "generate-jitconfig", FaultKind::Latency { ms: 20_000 }));
    let asked = world.provision(&night.ada, provision_body("ci")).await;
    world.keep_running(world.start_worker());
    eventually("the worker runs the job", || async {
        let page = night.admin.get("/workers").await.assert_status(200);
        page.text.contains(&format!("/jobs/{}", asked.job)).then_some(())
    })
    .await;
    world.change("UPDATE jobs SET rescues = 2 WHERE id = $1", asked.job).await;
    let walk = Walk::from_alert(&night, "RtsNoWorker", "/workers").await.reads(&["worker-0", "0.1.0"]);
    walk.click("/jobs/").await.reads(&["A worker runs it.", "Rescues 2 of 3"]);
}

#[tokio::test]
async fn budget_that_runs_low_names_its_top_spenders() {
    let night = Night::with(World::builder().workers(1)).await;
    night.use_budget().await;
    let walk = Walk::from_alert(&night, "RtsWindowExhausts", "/budget").await.reads(&[
        "requests left, opens in",
        "Used by team",
        "red",
    ]);
    walk.click("/teams/").await.reads(&["red"]);
}
