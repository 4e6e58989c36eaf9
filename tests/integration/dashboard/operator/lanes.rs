//! Lanes: depth, pauses, and what a pause holds.

use devstack::Server;
use harness::{World, eventually, provision_body};

use super::{Night, main_of, text_of};

const PAUSE: &str = "/lanes/provision/pause";

#[tokio::test]
async fn lane_is_paused_with_a_reason_and_resumed() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    let asked = world.provision(&night.ada, provision_body("ci")).await;
    let page = night.page("/lanes").await;
    assert!(page.contains("provision 1 0 0"), "waiting, delayed and running: {page}");
    assert!(page.contains("60 %") && page.contains("Pause provisioning…"), "{page}");

    let preview = night.page(PAUSE).await;
    assert!(
        preview.contains("Pause provisioning?") && preview.contains("1 job waits and goes on waiting"),
        "{preview}"
    );
    assert!(preview.contains("its deadline (15 minutes) expires"), "{preview}");
    assert_eq!(world.count("SELECT count(*) FROM pauses").await, 0, "a preview changes nothing");
    let form = [("seconds", "900"), ("reason", "rolling out 2.4")];
    let page = night.press(PAUSE, &form).await;
    assert!(page.contains("Paused provisioning until"), "{page}");
    assert!(page.contains("paused by root@example.com") && page.contains("rolling out 2.4"), "{page}");
    let verdict = world.get("/admin/verdict", &night.root).await.body;
    assert_eq!(verdict["code"], "paused");
    let again = night.page(PAUSE).await;
    assert!(again.contains("A longer pause replaces it"), "{again}");
    assert_eq!(night.audit_rows("lane.pause").await, 1);

    world.keep_running(world.start_worker());
    let page = night.press("/lanes/provision/resume", &[]).await;
    assert!(page.contains("Resumed provisioning.") && !page.contains("rolling out"), "{page}");
    assert_eq!(world.until_final(&night.ada, asked.job).await["state"], "succeeded");
    assert_eq!(night.audit_rows("lane.resume").await, 1);
}

#[tokio::test]
async fn pause_without_a_reason_or_beyond_a_day_is_refused() {
    let night = Night::with(World::builder().workers(0)).await;
    for (form, part) in [
        ([("seconds", "900"), ("reason", "  ")], "/reason"),
        ([("seconds", "86401"), ("reason", "too long")], "/seconds"),
    ] {
        let page = text_of(&night.admin.post(PAUSE, &form).await.assert_status(422));
        assert!(page.contains(part) && page.contains("Pause provisioning?"), "{page}");
    }
    night.admin.post(PAUSE, &[("seconds", "x"), ("reason", "a")]).await.assert_status(422);
    night.admin.post(PAUSE, &[("seconds", "900"), ("reason", "a"), ("more", "b")]).await.assert_status(422);
    night.admin.get("/lanes/nowhere/pause").await.assert_status(404);
    night.admin.get("/installations/nowhere/pause").await.assert_status(404);
    assert_eq!(night.world.count("SELECT count(*) FROM pauses").await, 0);
}

#[tokio::test]
async fn installation_is_paused_and_resumed_and_hostile_reasons_are_escaped() {
    let night = Night::with(World::builder().workers(0)).await;
    let pause = "/installations/default/pause";
    let preview = night.page(pause).await;
    assert!(preview.contains("Pause installation default?"), "{preview}");
    let reason = r#""><script>alert(1)</script>"#;
    night.press(pause, &[("seconds", "3600"), ("reason", reason)]).await;
    let page = night.admin.get("/lanes").await.assert_status(200);
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    assert!(text_of(&page).contains(reason), "{}", text_of(&page));
    let page = night.press("/installations/default/resume", &[]).await;
    assert!(page.contains("Resumed installation default."), "{page}");
    assert_eq!(
        (night.audit_rows("installation.pause").await, night.audit_rows("installation.resume").await),
        (1, 1)
    );
}

#[tokio::test]
async fn jobs_name_the_pause_that_holds_them() {
    let night = Night::with(World::builder().workers(0)).await;
    let asked = night.world.provision(&night.ada, provision_body("ci")).await;
    let job = format!("/jobs/{}", asked.job);
    for (object, path) in
        [("installation default", "/installations/default"), ("the provision lane", "/lanes/provision")]
    {
        night.press(&format!("{path}/pause"), &[("seconds", "3600"), ("reason", "rolling out 2.4")]).await;
        let cause = format!("the end of a pause of {object} by root@example.com, until 20");
        let list = eventually("the list says it", || async {
            Some(night.page("/jobs").await).filter(|page| page.contains(&cause))
        })
        .await;
        assert!(list.contains(&format!("queued: {cause}")), "{list}");
        let page = night.page(&job).await;
        assert!(page.contains(&format!("now for {cause}")) && page.contains("(“rolling out 2.4”)"), "{page}");
        for path in ["/jobs", &job] {
            let page = text_of(&night.member.get(path).await.assert_status(200));
            assert!(page.contains(&format!("the end of a pause of {object}, until 20")), "{page}");
            assert!(!page.contains("root@") && !page.contains("rolling out"), "{page}");
        }
        night.press(&format!("{path}/resume"), &[]).await;
    }
    eventually("nothing holds it", || async {
        Some(night.page("/jobs").await).filter(|page| page.contains("queued: a free worker"))
    })
    .await;
}

#[tokio::test]
async fn viewers_see_lanes_and_only_admins_pause() {
    let night = Night::with(World::builder().workers(0)).await;
    night.is_for_overseers("/lanes").await;
    let form = [("seconds", "900"), ("reason", "a reason")];
    for path in [PAUSE, "/installations/default/pause"] {
        night.is_for_admins(path, &form).await;
    }
    for path in ["/lanes/provision/resume", "/installations/default/resume"] {
        night.viewer.post(path, &[]).await.assert_status(403);
        night.member.post(path, &[]).await.assert_status(403);
        night.stranger.post(path, &[]).await.assert_status(401);
    }
    let seen = night.viewer.get("/lanes").await;
    assert!(!main_of(&seen).contains("/pause"), "{}", main_of(&seen));
    assert_eq!(night.world.count("SELECT count(*) FROM pauses").await, 0);
}

#[tokio::test]
async fn lanes_and_budget_say_that_the_queue_is_away() {
    let night = Night::with(World::builder().own_servers().workers(0)).await;
    night.world.servers(|stack| stack.halt(Server::Redis)).await;
    for path in ["/lanes", "/budget"] {
        let page = night.page(path).await;
        assert!(page.contains("The queue does not answer."), "{page}");
    }
    let preview = night.page(PAUSE).await;
    assert!(preview.contains("a pause cannot be made now"), "{preview}");
    night.admin.post(PAUSE, &[("seconds", "900"), ("reason", "a reason")]).await.assert_status(503);
    assert_eq!(night.world.count("SELECT count(*) FROM pauses").await, 0);
    night.world.servers(|stack| stack.restart(Server::Redis)).await;
}
