//! Runners that change all the time, without webhooks and without admin actions.

use std::sync::atomic::{AtomicBool, Ordering};

use github_twin::{RunnerChange, RunnerSpec, Twin};
use harness::{World, provision_body, team_draft};
use store::TeamDraft;
use uuid::Uuid;

use super::{ONE, Ours, Scene};

impl Scene {
    /// Adds `many` rows like `model`'s, each with a runner on GitHub.
    async fn multiply(&self, model: &Ours, many: usize) -> Vec<(Uuid, u64)> {
        let labels: Vec<String> =
            self.github_runner(model).unwrap().labels.into_iter().map(|label| label.name).collect();
        let made: Vec<(Uuid, u64, String)> = (0..many)
            .map(|nth| {
                let name = format!("ours-{nth}");
                let spec = RunnerSpec {
                    name: name.clone(),
                    scope: None,
                    labels: labels.clone(),
                    ephemeral: true,
                    state: RunnerChange::online(),
                };
                (Uuid::now_v7(), self.world.twin.create_runner(spec).unwrap().id, name)
            })
            .collect();
        let ids: Vec<Uuid> = made.iter().map(|(id, _, _)| *id).collect();
        let github: Vec<i64> = made.iter().map(|(_, id, _)| i64::try_from(*id).unwrap()).collect();
        let names: Vec<String> = made.iter().map(|(_, _, name)| name.clone()).collect();
        let sql =
            "INSERT INTO runners (id, installation, team_id, owner_user, name, status, github_runner_id,
                runner_group_id, labels, registered_at, updated_at)
            SELECT new.id, installation, team_id, owner_user, new.name, 'active', new.github, 1, labels,
                registered_at, updated_at
            FROM runners, unnest($2::uuid[], $3::bigint[], $4::text[]) AS new(id, github, name)
            WHERE runners.id = $1";
        let query = sqlx::query(sql).bind(model.id).bind(&ids).bind(&github).bind(&names);
        query.execute(self.world.sql()).await.unwrap();
        made.into_iter().map(|(id, github, _)| (id, github)).collect()
    }
}

/// Changes the listing with each request to GitHub: the oldest unmanaged runner is removed, which shifts all runners
/// behind it, and two are added.
async fn churn(twin: &Twin, over: &AtomicBool) {
    let requests = || twin.summary().requests;
    let (mut seen, mut next) = (requests(), 0);
    while !over.load(Ordering::Relaxed) {
        let now = requests();
        for _ in seen..now {
            let oldest = twin.runners().into_iter().find(|runner| runner.name.starts_with("theirs-"));
            twin.remove_runner(oldest.unwrap().id).unwrap();
            for _ in 0..2 {
                let state = RunnerChange::online();
                let name = format!("theirs-new-{next}");
                let spec = RunnerSpec { name, scope: None, labels: vec!["x".into()], ephemeral: true, state };
                twin.create_runner(spec).unwrap();
                next += 1;
            }
        }
        seen = now;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ended_runners_free_their_quota_within_three_syncs() {
    const QUOTA: i32 = 30;
    let team = TeamDraft { max_runners: Some(QUOTA), ..team_draft("red") };
    let scene = Scene::with(World::builder(), team).await;
    for _ in 0..QUOTA {
        let runner = scene.runner().await;
        scene.change_on_github(&runner, RunnerChange::busy());
    }
    scene.run_sync().await;
    scene.world.jit(&scene.ada, &provision_body("ci")).await.refused(403, "quota_exceeded");
    for runner in scene.world.twin.runners() {
        scene.world.twin.remove_runner(runner.id).unwrap();
    }
    for run in 1..=3 {
        let passed = scene.run_sync().await;
        assert_eq!((passed.result, passed.held), ("ok", 0), "run {run}");
        scene.wait_for_no_open_job().await;
    }
    let ended = "SELECT count(*) FROM runners WHERE status = 'deleted'";
    assert_eq!(scene.world.count(ended).await, i64::from(QUOTA));
    scene.world.jit(&scene.ada, &provision_body("ci")).await.assert_status(202);
    assert_eq!((scene.count_security_events("sync_blast_radius").await, scene.count_deletions()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn list_that_changes_while_it_is_read_converges() {
    const FLEET: usize = 450;
    const ENDED: usize = 10;
    let scene = Scene::new().await;
    scene.add_unmanaged("theirs", 50);
    let model = scene.runner().await;
    let fleet = scene.multiply(&model, FLEET).await;
    let (ended, living) = fleet.split_at(ENDED);
    for (_, github) in ended {
        scene.world.twin.remove_runner(*github).unwrap();
    }
    let over = AtomicBool::new(false);
    let open = || async {
        let ids: Vec<Uuid> = ended.iter().map(|(id, _)| *id).collect();
        let sql = "SELECT count(*) FROM runners WHERE id = ANY($1) AND status <> 'deleted'";
        sqlx::query_scalar::<_, i64>(sql).bind(ids).fetch_one(scene.world.sql()).await.unwrap()
    };
    let converging = async {
        let (mut runs, mut incomplete) = (0, 0);
        while open().await > 0 {
            runs += 1;
            assert!(runs <= 4, "{} of {ENDED} are still open", open().await);
            incomplete += usize::from(scene.run_sync().await.result == "incomplete");
            scene.wait_for_no_open_job().await;
        }
        over.store(true, Ordering::Relaxed);
        incomplete
    };
    let (incomplete, ()) = tokio::join!(converging, churn(&scene.world.twin, &over));
    assert!(incomplete > 0, "the list has changed while it was read");
    let ids: Vec<Uuid> = living.iter().map(|(id, _)| *id).collect();
    let sql = "SELECT count(*) FROM runners WHERE id = ANY($1) AND status = 'active'";
    let alive: i64 = sqlx::query_scalar(sql).bind(ids).fetch_one(scene.world.sql()).await.unwrap();
    assert_eq!(usize::try_from(alive).unwrap(), living.len());
    assert_eq!(scene.count_deletions(), 0);
    let looks = scene.count_requests("GET", ONE);
    assert!(looks < FLEET / 2, "{looks} runners were checked one by one");
}
