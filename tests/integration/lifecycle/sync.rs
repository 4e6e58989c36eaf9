//! One sync pass over all runners, and the conclusions it may draw.

use chrono::TimeDelta;
use domain::InstallationId;
use github_twin::{Fault, FaultKind, RunnerChange};
use harness::wait_until;
use queue::Reason;
use serde_json::json;
use sqlx::Connection;

use super::{LIST, ONE, Scene};

#[tokio::test]
async fn managed_runner_is_found_on_the_last_page_of_unmanaged_ones() {
    let scene = Scene::new().await;
    scene.add_unmanaged("theirs", 350);
    let runner = scene.runner().await;
    scene.world.twin.control().clear_ledger();

    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.listed, passed.requests), ("ok", 351, 4));
    assert_eq!(scene.count_requests("GET", LIST), 4);
    assert_eq!(
        scene.status(&runner).await,
        "pending",
        "GitHub reports a runner that was never online as offline"
    );
    scene.change_on_github(&runner, RunnerChange::online());
    assert_eq!(scene.run_sync().await.changed, 1);
    assert_eq!(scene.status(&runner).await, "active");
    scene.change_on_github(&runner, RunnerChange::offline());
    scene.run_sync().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.run_sync().await;

    let trail = scene.status_history(&runner).await;
    let expected = [
        "- requested api",
        "requested pending job",
        "pending active sync",
        "active offline sync",
        "offline active sync",
    ];
    assert_eq!(trail, expected);
    let others =
        scene.world.get("/admin/runners/unmanaged?limit=1000", &scene.root).await.assert_status(200).body;
    assert_eq!(others["total"], 350);
    assert!(others["runners"].as_array().unwrap().iter().all(|row| row["labels"][0] == "theirs"));
    scene.world.get("/admin/runners/unmanaged", &scene.ada).await.refused(403, "admin_required");
    assert_eq!((scene.count_deletions(), scene.count_requests("GET", ONE)), (0, 0));
}

#[tokio::test]
async fn config_is_emptied_once_its_runner_is_online() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.run_sync().await;
    assert_eq!(scene.world.count("SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL").await, 0);
    scene.world.credential(&scene.ada, runner.job).await.refused(410, "credential_gone");
}

#[tokio::test]
async fn runner_that_moves_between_pages_is_found() {
    let scene = Scene::new().await;
    scene.add_unmanaged("before", 100);
    let runner = scene.runner().await;
    scene.add_unmanaged("after", 50);
    scene.change_on_github(&runner, RunnerChange::online());
    scene.run_sync().await;

    scene.world.twin.fault(Fault::once("GET", LIST, FaultKind::PageSlip { by: 1, agree: false }).skip(1));
    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.missing), ("incomplete", 0));

    // A shift between pages that the total count hides: only a check of the runner itself reveals it.
    let hidden = Fault::new(FaultKind::PageSlip { by: 1, agree: true }).on("GET", LIST);
    scene.world.twin.fault(hidden);
    assert_eq!((scene.run_sync().await.result, scene.run_sync().await.sent), ("ok", 1));
    scene.wait_for_no_open_job().await;
    assert_eq!(scene.status(&runner).await, "active");
    scene.world.twin.clear_faults();
    assert_eq!(scene.run_sync().await.sent, 0);
    assert_eq!(scene.world.count("SELECT count(*) FROM runners WHERE missed + unlisted > 0").await, 0);
    assert_eq!(scene.count_deletions(), 0);
}

#[tokio::test]
async fn incomplete_sync_updates_rows_and_concludes_no_removal() {
    let scene = Scene::new().await;
    let first = scene.runner().await;
    scene.add_unmanaged("between", 150);
    let last = scene.runner().await;
    for runner in [&first, &last] {
        scene.change_on_github(runner, RunnerChange::online());
    }
    scene.world.twin.fault(Fault::once("GET", LIST, FaultKind::Status { status: 502 }).skip(1));
    let passed = scene.run_sync().await;
    assert_eq!((passed.result, passed.missing, passed.changed), ("failed", 0, 1));
    assert_eq!((scene.status(&first).await, scene.status(&last).await), ("active".into(), "pending".into()));
    let status = scene.world.get("/admin/sync/status", &scene.root).await.assert_status(200).body;
    assert_eq!(status["last_sync_result"], "failed");
    assert!(status["last_sync_time"].is_string(), "the run has ended: {status}");
    assert!(status["last_complete_sync_time"].is_null(), "{status}");
    assert!(status["last_sync_error"].as_str().unwrap().starts_with("page 2 did not arrive"), "{status}");
    assert_eq!(status["interval_seconds"], 300);
}

#[tokio::test]
async fn runners_removed_by_github_are_deleted_after_confirmation() {
    let mut team = harness::team_draft("red");
    team.max_runners = Some(1);
    let scene = Scene::with(harness::World::builder(), team).await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::busy());
    scene.run_sync().await;
    scene.world.jit(&scene.ada, &harness::provision_body("ci")).await.refused(403, "quota_exceeded");
    scene.world.twin.remove_runner(runner.github).unwrap();

    let first = scene.run_sync().await;
    assert_eq!((first.missing, first.sent), (1, 0));
    assert_eq!(scene.status(&runner).await, "active");
    assert_eq!(scene.run_sync().await.sent, 1);
    scene.wait_for_status(&runner, "deleted").await;
    assert_eq!(scene.status_history(&runner).await.last().unwrap(), "active deleted sync");
    scene.world.jit(&scene.ada, &harness::provision_body("ci")).await.assert_status(202);
}

#[tokio::test]
async fn not_found_proves_nothing_while_the_listing_is_refused() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.run_sync().await;
    scene.world.twin.remove_runner(runner.github).unwrap();
    // The check of the runner succeeds; the listing that must confirm it fails.
    scene.world.twin.fault(Fault::new(FaultKind::Status { status: 403 }).on("GET", LIST).skip(1));
    // A refusal counts only once the token has had time to propagate.
    scene.world.twin.advance(std::time::Duration::from_secs(31));
    let asked = scene.world.ask("POST", &format!("/runners/{}/refresh", runner.id)).by(&scene.ada);
    asked.header("prefer", "wait=20").send().await.refused(502, "github_refused");
    assert_eq!(scene.status(&runner).await, "active");
}

#[tokio::test]
async fn sync_sends_no_request_during_a_pause() {
    let scene = Scene::new().await;
    scene.runner().await;
    let minute = TimeDelta::minutes(1).to_std().unwrap();
    let default = domain::InstallationId::default();
    scene.world.queue().pause(&default, minute, Reason::SecondaryLimit).await.unwrap();
    let before = scene.count_requests("GET", LIST);
    assert_eq!(scene.run_sync().await.result, "paused");
    assert_eq!(scene.count_requests("GET", LIST), before);
}

#[tokio::test]
async fn rate_limit_met_by_a_sync_pauses_all_processes() {
    let scene = Scene::new().await;
    scene.add_unmanaged("theirs", 150);
    let limit = FaultKind::SecondaryLimit { status: 403, retry_after: Some(60) };
    scene.world.twin.fault(Fault::once("GET", LIST, limit));
    assert_eq!(scene.run_sync().await.result, "paused");
    wait_until("the pause is published", || async { scene.world.queue().pauses().await.unwrap().len() == 1 })
        .await;
    assert_eq!(scene.run_sync().await.result, "paused");
    assert!(scene.world.twin.ledger().violations.is_empty());
}

#[tokio::test]
async fn sync_is_due_by_interval_or_request() {
    let scene = Scene::new().await;
    let (home, five_minutes) = (InstallationId::default(), TimeDelta::minutes(5));
    let due = || async {
        scene.world.store().conn().await.unwrap().sync_runs().is_due(&home, five_minutes).await.unwrap()
    };
    assert!(due().await, "no run has happened yet");
    scene.run_sync().await;
    assert!(!due().await, "a run has just ended");
    scene.world.post("/admin/sync/trigger", &scene.root, &json!({})).await.assert_status(202);
    assert!(due().await, "an admin triggers a run");
    scene.run_sync().await;
    assert!(!due().await);
    let passed = "UPDATE sync_status SET attempted_at = attempted_at - interval '5 minutes'";
    sqlx::query(passed).execute(scene.world.sql()).await.unwrap();
    assert!(due().await, "the interval has passed");

    scene.add_unmanaged("theirs", 150);
    for end in [FaultKind::PageSlip { by: 1, agree: false }, FaultKind::Status { status: 502 }] {
        scene.world.twin.fault(Fault::once("GET", LIST, end).skip(1));
        assert!(["incomplete", "failed"].contains(&scene.run_sync().await.result));
        let later =
            "UPDATE sync_status SET triggered_at = NULL, attempted_at = attempted_at - interval '4 minutes'";
        sqlx::query(later).execute(scene.world.sql()).await.unwrap();
        assert!(!due().await, "a run that has read pages costs as much as a complete one");
        let rest = "UPDATE sync_status SET attempted_at = attempted_at - interval '1 minute'";
        sqlx::query(rest).execute(scene.world.sql()).await.unwrap();
        assert!(due().await);
    }
}

#[tokio::test]
async fn runner_row_of_a_newer_release_stops_no_run_and_is_not_unmanaged() {
    let scene = Scene::new().await;
    let (newer, ours) = (scene.runner().await, scene.runner().await);
    sqlx::query("ALTER TABLE runners DROP CONSTRAINT runners_status_check")
        .execute(scene.world.sql())
        .await
        .unwrap();
    scene.world.change("UPDATE runners SET status = 'draining' WHERE id = $1", newer.id).await;
    for runner in [&newer, &ours] {
        scene.change_on_github(runner, RunnerChange::online());
    }
    assert_eq!(scene.run_sync().await.result, "ok");
    assert_eq!((scene.status(&newer).await, scene.status(&ours).await), ("draining".into(), "active".into()));
    let others = scene.world.get("/admin/runners/unmanaged", &scene.root).await.assert_status(200).body;
    assert_eq!(others["total"], 0);
}

/// Opens a session with deadlock detection off, so that PostgreSQL ends the other transaction.
async fn open_rival_session(database: &harness::Database, admin: &sqlx::PgPool) -> sqlx::PgConnection {
    let settings = format!("ALTER DATABASE {} SET deadlock_timeout = '3s'", database.name());
    sqlx::query(sqlx::AssertSqlSafe(settings)).execute(admin).await.unwrap();
    let mut rival = sqlx::PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("SET deadlock_timeout = '1h'; SET lock_timeout = '1min'; BEGIN")
        .execute(&mut rival)
        .await
        .unwrap();
    rival
}

#[tokio::test]
async fn sync_run_is_repeated_after_a_deadlock() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    scene.run_sync().await;
    let (database, sql) = (scene.world.database(), scene.world.sql());
    let mut rival = open_rival_session(database, sql).await;
    // Locks in the reverse order of a finishing check: first the runner, then its job.
    let lock = "SELECT 1 FROM runners WHERE id = $1 FOR UPDATE";
    sqlx::query(lock).bind(runner.id).execute(&mut rival).await.unwrap();
    scene.change_on_github(&runner, RunnerChange::offline());
    scene.change_on_github(&runner, RunnerChange::labels(["production"]));

    // Connections of its own, which use the settings of the database.
    let parts = scheduler::Parts { store: database.store(3), ..scene.world.scheduler_parts() };
    let home = InstallationId::default();
    let mut memory = scheduler::sync::PageCache::default();
    let run = scheduler::sync::run(&parts, &home, &mut memory);
    let meeting = async {
        let waits = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_until("the run waits for the runner", || async {
            sqlx::query_scalar::<_, i64>(waits).fetch_one(sql).await.unwrap() == 1
        })
        .await;
        let check = "INSERT INTO jobs (id, kind, installation, runner_id, params, deadline_at)
            VALUES (gen_random_uuid(), 'drift_check', 'default', $1, '{\"kind\":\"drift_check\",\"source\":\"sync\"}', now())";
        sqlx::query(check).bind(runner.id).execute(&mut rival).await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut rival).await.unwrap();
    };
    let (passed, ()) = tokio::join!(run, meeting);
    let passed = passed.unwrap();
    assert_eq!((passed.result, passed.changed, passed.sent), ("ok", 1, 1));
    let deadlocks =
        "SELECT count(*) FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0";
    wait_until("PostgreSQL has counted it", || async { scene.world.count(deadlocks).await == 1 }).await;
}

#[tokio::test]
async fn sync_run_that_cannot_be_written_is_recorded_as_failed() {
    let scene = Scene::new().await;
    let runner = scene.runner().await;
    scene.change_on_github(&runner, RunnerChange::online());
    let refuse = "ALTER TABLE runners ADD CONSTRAINT refused CHECK (status <> 'active') NOT VALID";
    sqlx::query(refuse).execute(scene.world.sql()).await.unwrap();
    let home = InstallationId::default();
    let mut memory = scheduler::sync::PageCache::default();
    scheduler::sync::run(&scene.world.scheduler_parts(), &home, &mut memory).await.unwrap_err();
    let status = scene.world.get("/admin/sync/status", &scene.root).await.assert_status(200).body;
    assert!(status.to_string().contains(r#""last_sync_result":"failed""#), "{status}");
    sqlx::query("ALTER TABLE runners DROP CONSTRAINT refused").execute(scene.world.sql()).await.unwrap();
    assert_eq!(scene.run_sync().await.result, "ok");
}
