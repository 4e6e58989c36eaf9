//! Fleet: sync runs, held removals and unmanaged runners.

use harness::{World, provision_body};

use super::{Night, text_of};

pub(super) const HELD: &str = "INSERT INTO sync_status (installation, interval_seconds, attempted_at, last_sync_time, last_run_time,
    last_sync_result, removals_held, counts) VALUES ('default', 300, now(), now(), now(), 'held', 7,
    '{\"listed\": 1, \"changed\": 0, \"missing\": 7, \"requests\": 1}')
    ON CONFLICT (installation) DO UPDATE SET removals_held = 7, last_sync_result = 'held', last_sync_time = now(),
    interval_seconds = 300, counts = excluded.counts";
const REMOVALS: &str = "/fleet/default/removals";

#[tokio::test]
async fn held_removals_are_approved_by_typing_their_number() {
    let night = Night::with(World::builder().workers(1)).await;
    let world = &night.world;
    let asked = world.provision(&night.ada, provision_body("ci")).await;
    world.until_final(&night.ada, asked.job).await;
    world.change("UPDATE runners SET missed = 2 WHERE id = $1", asked.runner).await;
    sqlx::query(HELD).execute(world.sql()).await.unwrap();

    let page = night.page("/fleet").await;
    assert!(page.contains("7 removals are held."), "{page}");
    let preview = night.page(REMOVALS).await;
    assert!(preview.contains("Let the next complete run remove about 7 runners?"), "{preview}");
    assert!(
        preview.contains("not listed in 2 complete runs") && preview.contains("By team: red 1"),
        "{preview}"
    );
    for wrong in ["", "x", "6", "70"] {
        let refused = text_of(&night.admin.post(REMOVALS, &[("count", wrong)]).await);
        assert!(refused.contains("7 removals are held now; type this number."), "{refused}");
    }
    let allowed =
        "SELECT count(*) FROM sync_status WHERE removals_allowed = 7 AND removals_allowed_at IS NOT NULL";
    assert_eq!(world.count(allowed).await, 0);

    // Another run held fewer between the preview and the click.
    sqlx::query("UPDATE sync_status SET removals_held = 6").execute(world.sql()).await.unwrap();
    let refused = text_of(&night.admin.post(REMOVALS, &[("count", "7")]).await);
    assert!(refused.contains("6 removals are held now"), "{refused}");
    sqlx::query("UPDATE sync_status SET removals_held = 7").execute(world.sql()).await.unwrap();
    let page = night.press(REMOVALS, &[("count", "7")]).await;
    assert!(
        page.contains("may remove about 7 runners, once") && page.contains("An admin has approved them"),
        "{page}"
    );
    assert_eq!((world.count(allowed).await, night.audit_rows("sync.trigger").await), (1, 1));
}

#[tokio::test]
async fn sync_runs_are_requested_and_unmanaged_runners_listed() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    let row = "INSERT INTO unmanaged_runners (id, installation, github_runner_id, name, online, busy, labels)
        VALUES (gen_random_uuid(), 'default', 77, '<i>alien</i>', true, false, '{linux,<u>x}')";
    sqlx::query(row).execute(world.sql()).await.unwrap();
    let page = night.admin.get("/fleet").await.assert_status(200);
    let text = text_of(&page);
    assert!(text.contains("1 unmanaged runner; the service never changes them."), "{text}");
    assert!(text.contains("<i>alien</i>") && !page.text.contains("<i>alien"), "names are escaped");
    for form in [&[("installation", "default")][..], &[][..]] {
        let page = night.press("/fleet/sync", form).await;
        assert!(page.contains("A sync run begins within seconds: default."), "{page}");
    }
    night.admin.post("/fleet/sync", &[("installation", "nowhere")]).await.assert_status(422);
    assert_eq!(night.audit_rows("sync.trigger").await, 2);
    let nothing = night.page(REMOVALS).await;
    assert!(nothing.contains("No removal is held"), "{nothing}");
}

#[tokio::test]
async fn viewers_see_the_fleet_and_only_admins_approve() {
    let night = Night::with(World::builder().workers(0)).await;
    let empty = night.page("/fleet").await;
    assert!(empty.contains("Every runner on GitHub came through this service."), "{empty}");
    sqlx::query(HELD).execute(night.world.sql()).await.unwrap();
    night.is_for_overseers("/fleet").await;
    night.is_for_admins(REMOVALS, &[("count", "7")]).await;
    night.viewer.post("/fleet/sync", &[]).await.assert_status(403);
    night.member.post("/fleet/sync", &[]).await.assert_status(403);
    night.admin.get("/fleet/nowhere/removals").await.assert_status(404);
    let allowed =
        "SELECT count(*) FROM sync_status WHERE removals_allowed_at IS NOT NULL OR triggered_at IS NOT NULL";
    assert_eq!(night.world.count(allowed).await, 0);
}
