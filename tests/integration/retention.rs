//! Removal of finished rows after their retention, and of no other rows.

use std::time::Duration;

use chrono::TimeDelta;
use domain::Lane;
use github_twin::{Fault, FaultKind, RunnerChange};
use harness::{Accepted, Person, World, provision_body, team_draft};
use scheduler::{
    Parts, Retention,
    chain::{self, ChainMemory},
    prune,
};
use uuid::Uuid;

use crate::audit_chain;

struct Scene {
    world: World,
    ada: Person,
}

impl Scene {
    async fn new() -> Self {
        Self::with(1).await
    }

    async fn with(workers: usize) -> Self {
        let world = World::builder().workers(workers).start().await;
        let red = world.team(team_draft("red")).await;
        Self { ada: world.user("ada", &[&red]).await, world }
    }

    /// Returns a runner whose config was handed out.
    async fn runner(&self) -> Accepted {
        let asked = self.world.provision(&self.ada, provision_body("ci")).await;
        assert_eq!(self.world.until_final(&self.ada, asked.job).await["state"], "succeeded");
        asked
    }

    /// Returns a runner that was used and deleted.
    async fn finished_runner(&self) -> Accepted {
        let asked = self.runner().await;
        self.delete_runner(&asked).await;
        asked
    }

    async fn delete_runner(&self, asked: &Accepted) {
        let removal = self.world.ask("DELETE", &format!("/runners/{}", asked.runner)).by(&self.ada).send();
        let job = removal.await.assert_status(202).body["job_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(self.world.until_final(&self.ada, job).await["state"], "succeeded");
    }

    /// Moves every timestamp `days` into the past.
    async fn age_rows(&self, days: i32) {
        for sql in [
            "UPDATE jobs SET created_at = created_at - make_interval(days => $1),
                finished_at = finished_at - make_interval(days => $1)",
            "UPDATE runners SET deleted_at = deleted_at - make_interval(days => $1)",
            "UPDATE idempotency_keys SET created_at = created_at - make_interval(days => $1)",
            "UPDATE audit_log SET \"timestamp\" = \"timestamp\" - make_interval(days => $1),
                id = overlay(id::text placing '01800000-0000' from 1 for 13)::uuid",
            "UPDATE security_events SET \"timestamp\" = \"timestamp\" - make_interval(days => $1),
                id = overlay(id::text placing '01800000-0000' from 1 for 13)::uuid",
            "UPDATE prune_positions SET started_at = started_at - make_interval(days => $1)",
        ] {
            sqlx::query(sql).bind(days).execute(self.world.sql()).await.unwrap();
        }
    }

    /// Runs retention steps until nothing is left to remove. Returns the number of removed rows.
    async fn run_prune(&self) -> u64 {
        self.run_prune_with(Retention::default()).await
    }

    async fn run_prune_with(&self, retention: Retention) -> u64 {
        let parts = self.world.scheduler_parts();
        let watch = scheduler::SyncSettings { retention, ..parts.sync };
        let (parts, mut all) = (Parts { sync: watch, ..parts }, 0);
        if parts.sync.retention.audit.is_some() {
            // Only chained rows are removed.
            audit_chain::chain_all(&self.world, &parts, &ChainMemory::default()).await;
            chain::run(parts.clone(), ChainMemory::default()).await.unwrap();
        }
        loop {
            match prune::run(parts.clone()).await.unwrap() {
                0 => return all,
                gone => all += gone,
            }
        }
    }

    async fn row_counts(&self) -> [i64; 5] {
        let world = &self.world;
        [
            world.count("SELECT count(*) FROM jobs").await,
            world.count("SELECT count(*) FROM github_calls").await,
            world.count("SELECT count(*) FROM credentials").await,
            world.count("SELECT count(*) FROM runners").await,
            world.count("SELECT count(*) FROM runner_events").await,
        ]
    }

    async fn has_job(&self, id: Uuid) -> bool {
        let sql = "SELECT count(*)::text FROM jobs WHERE id = $1";
        self.world.text(sql, id).await == "1"
    }
}

#[tokio::test]
async fn jobs_go_first_and_their_runners_later() {
    let scene = Scene::new().await;
    let past = scene.finished_runner().await;
    let before = scene.row_counts().await;
    assert_eq!((before, scene.run_prune().await), ([2, 1, 1, 1, before[4]], 0), "nothing is old");
    scene.age_rows(29).await;
    assert_eq!((scene.run_prune().await, scene.row_counts().await), (0, before));

    scene.age_rows(2).await;
    assert_eq!((scene.run_prune().await, scene.row_counts().await), (4, [0, 0, 0, 1, before[4]]));
    scene.world.get(&format!("/jobs/{}", past.job), &scene.ada).await.refused(404, "not_found");
    let shown =
        scene.world.get(&format!("/runners/{}", past.runner), &scene.ada).await.assert_status(200).body;
    assert_eq!(shown["status"], "deleted");

    scene.age_rows(60).await;
    assert_eq!(scene.run_prune().await, before[4].cast_unsigned() + 1);
    assert_eq!(scene.row_counts().await, [0; 5]);
    let told = scene.world.count("SELECT count(*) FROM audit_log").await;
    assert!(told > 0, "the audit log is kept unless a retention is set");
}

#[tokio::test]
async fn live_open_and_unresolved_rows_are_never_pruned() {
    let scene = Scene::new().await;
    let live = scene.runner().await;
    let id = scene.world.twin.runner(&live.name).unwrap().id;
    scene.world.twin.set_runner(id, RunnerChange::online()).unwrap();

    // A job whose first response was lost: an orphan on GitHub may still have to be found.
    let lost = Fault::new(FaultKind::EffectThenDrop).on("POST", "generate-jitconfig").times(1);
    scene.world.twin.fault(lost);
    let suspected = scene.finished_runner().await;

    // A job that has not started, behind one that is finished.
    let over = scene.finished_runner().await;
    scene.world.queue().pause_lane(Lane::Provision, Duration::from_mins(5)).await.unwrap();
    let open = scene.world.provision(&scene.ada, provision_body("ci")).await;

    scene.age_rows(1000).await;
    let calls = "SELECT count(*) FROM github_calls WHERE state = 'effect_suspected'";
    assert_eq!(scene.world.count(calls).await, 1);
    assert!(scene.run_prune().await > 0);
    for (job, stays) in [(live.job, true), (suspected.job, true), (open.job, true), (over.job, false)] {
        assert_eq!(scene.has_job(job).await, stays, "{job}");
    }
    let left: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM runners ORDER BY id").fetch_all(scene.world.sql()).await.unwrap();
    assert_eq!(left, [live.runner, suspected.runner, open.runner]);
    assert_eq!(scene.world.count(calls).await, 1);
    let trails = "SELECT count(DISTINCT runner_id) FROM runner_events";
    assert_eq!(scene.world.count(trails).await, 2, "the transitions of live runners");

    // The search is complete, so this job is finished as well.
    let settled = "UPDATE github_calls SET state = 'settled', next_reap_at = NULL
        WHERE job_id = $1 AND state = 'effect_suspected'";
    scene.world.change(settled, suspected.job).await;
    scene.age_rows(2).await;
    scene.run_prune().await;
    assert!(!scene.has_job(suspected.job).await && scene.has_job(live.job).await);
}

#[tokio::test]
async fn config_that_is_not_shredded_keeps_its_job() {
    let scene = Scene::new().await;
    let asked = scene.finished_runner().await;
    let unshredded = "UPDATE credentials SET key_id = 'test', wrapped_key = '', ciphertext = '',
        shredded_at = NULL WHERE job_id = $1";
    scene.world.change(unshredded, asked.job).await;
    scene.age_rows(1000).await;
    scene.run_prune().await;
    assert!(scene.has_job(asked.job).await);
    scene.world.change("UPDATE credentials SET expires_at = now() WHERE job_id = $1", asked.job).await;
    scheduler::shred::run(scene.world.scheduler_parts()).await.unwrap();
    scene.age_rows(2).await;
    scene.run_prune().await;
    assert_eq!(scene.row_counts().await, [0; 5]);
}

#[tokio::test]
async fn full_batches_follow_each_other_in_one_step() {
    let scene = Scene::new().await;
    let past = scene.finished_runner().await;
    let many = "INSERT INTO runner_events (runner_id, to_status, source)
        SELECT $1, 'active', 'sync' FROM generate_series(1, 12000)";
    sqlx::query(many).bind(past.runner).execute(scene.world.sql()).await.unwrap();
    scene.age_rows(1000).await;
    let rows: i64 = scene.row_counts().await.iter().sum();
    let removed = prune::run(scene.world.scheduler_parts()).await.unwrap();
    assert_eq!((removed.cast_signed(), scene.row_counts().await), (rows, [0; 5]));
    assert_eq!(prune::run(scene.world.scheduler_parts()).await.unwrap(), 0);
}

#[tokio::test]
async fn jobs_of_a_live_runner_are_skipped_until_the_next_day() {
    let scene = Scene::new().await;
    let live = scene.runner().await;
    let over = scene.finished_runner().await;
    scene.age_rows(1000).await;
    scene.run_prune().await;
    assert!(scene.has_job(live.job).await && !scene.has_job(over.job).await);
    let position = "SELECT count(*) FROM prune_positions JOIN jobs USING (id) WHERE table_name = 'jobs'";
    let behind =
        "SELECT count(*) FROM prune_positions JOIN jobs ON (finished_at, jobs.id) <= (at, prune_positions.id)
        WHERE table_name = 'jobs'";
    assert_eq!(scene.world.count(behind).await, 1, "the kept job is before the stored position");
    assert_eq!(scene.world.count(position).await, 0, "the position may outlive its row");

    scene.delete_runner(&live).await;
    scene.run_prune().await;
    assert!(scene.has_job(live.job).await, "a kept job is read again once a day");
    scene.age_rows(100).await;
    scene.run_prune().await;
    assert_eq!(scene.row_counts().await, [0; 5]);
}

#[tokio::test]
async fn audit_rows_are_pruned_by_setting_and_keys_after_a_week() {
    let scene = Scene::with(0).await;
    let body = provision_body("ci");
    let keyed = || scene.world.ask("POST", "/runners/jit").by(&scene.ada).header("idempotency-key", "k");
    let first = keyed().json(&body).send().await.assert_status(202).body;
    let alarm = "INSERT INTO security_events (id, event_type, severity, action_taken)
        VALUES ($1, 'label_policy_violation', 'high', 'refused')";
    scene.world.change(alarm, Uuid::now_v7()).await;
    scene.age_rows(8).await;
    scene.world.provision(&scene.ada, provision_body("new")).await;
    let keep = |days| Retention { audit: Some(TimeDelta::days(days)), ..Retention::default() };
    let old = "SELECT count(*) FROM audit_log WHERE \"timestamp\" < now() - interval '7 days'";
    let old_rows = scene.world.count(old).await.cast_unsigned();
    assert!(old_rows > 0);
    assert_eq!(scene.run_prune_with(keep(9)).await, 1, "the key");
    let again = keyed().json(&body).send().await.assert_status(202).body;
    assert_ne!(first["job_id"], again["job_id"]);
    let new = "SELECT count(*) FROM audit_log WHERE \"timestamp\" > now() - interval '7 days'";
    let kept = scene.world.count(new).await;
    assert_eq!(scene.run_prune_with(keep(7)).await, old_rows + 1);
    assert_eq!((scene.world.count(old).await, scene.world.count(new).await), (0, kept));
    assert_eq!(scene.world.count("SELECT count(*) FROM security_events").await, 0);
}

#[tokio::test]
async fn batches_and_incidents_that_are_over_are_pruned_and_open_ones_stay() {
    let scene = Scene::with(0).await;
    let insert = "INSERT INTO batches (id, action, state, admin_id, selector, comment, created_at, finished_at)
        SELECT gen_random_uuid(), 'disable_users', state, users.id, '{}', 'old', now() - age,
            CASE WHEN state = 'done' THEN now() - age END
        FROM users, unnest(ARRAY['done', 'stopped', 'running']) state, unnest(ARRAY['40 days', '1 day']::interval[]) age;
        INSERT INTO batch_items (batch_id, number, subject_id, name) SELECT id, 1, admin_id, 'ada' FROM batches;
        INSERT INTO incidents (id, target_kind, target_name, reason, state, admin_id, created_at, undone_at)
        SELECT gen_random_uuid(), 'issuer', 'https://old.example/', 'leaked', state, users.id, now() - age,
            CASE WHEN state = 'undone' THEN now() - age END
        FROM users, unnest(ARRAY['active', 'undone']) state, unnest(ARRAY['500 days', '300 days']::interval[]) age;
        INSERT INTO incident_items (incident_id, number, kind, subject_id, name)
        SELECT id, 1, 'user', admin_id, 'ada' FROM incidents";
    sqlx::raw_sql(insert).execute(scene.world.sql()).await.unwrap();
    let left = |table: &'static str| scene.world.count(table);
    assert_eq!(scene.run_prune().await, 2, "without an age, incidents stay like audit rows");
    let keep = Retention { audit: Some(TimeDelta::days(400)), ..Retention::default() };
    assert_eq!(scene.run_prune_with(keep).await, 1);
    let batches =
        "SELECT count(*) FROM batches WHERE state = 'running' OR created_at > now() - interval '2 days'";
    assert_eq!((left(batches).await, left("SELECT count(*) FROM batches").await), (4, 4));
    assert_eq!(left("SELECT count(*) FROM incidents WHERE state = 'active'").await, 2);
    assert_eq!(left("SELECT count(*) FROM incidents").await, 3);
    assert_eq!(left("SELECT count(*) FROM batch_items").await, 4);
    assert_eq!(left("SELECT count(*) FROM incident_items").await, 3);
}

#[tokio::test]
async fn concurrent_schedulers_remove_each_row_once() {
    let scene = Scene::new().await;
    for _ in 0..5 {
        scene.finished_runner().await;
    }
    scene.age_rows(1000).await;
    let before: i64 = scene.row_counts().await.iter().sum();
    let (a, b, c) = tokio::join!(scene.run_prune(), scene.run_prune(), scene.run_prune());
    assert_eq!((a + b + c + scene.run_prune().await).cast_signed(), before);
    assert_eq!(scene.row_counts().await, [0; 5]);
}
