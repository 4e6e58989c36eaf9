//! Budget: windows, who uses them, and the forecast.

use std::time::Duration;

use domain::InstallationId;
use harness::World;
use queue::Reason;

use super::Night;

#[tokio::test]
async fn budget_shows_what_is_left_and_who_used_it() {
    let night = Night::with(World::builder().workers(0)).await;
    let world = &night.world;
    let empty = night.page("/budget").await;
    assert!(empty.contains("No limit is known yet.") || empty.contains("Installation default"), "{empty}");
    world.keep_running(world.start_worker());
    night.use_budget().await;
    let page = night.admin.get("/budget").await.assert_status(200);
    let text = super::text_of(&page);
    assert!(text.contains("Installation default") && text.contains("requests left, opens in"), "{text}");
    assert!(text.contains("Used by lane") && text.contains("Used by team"), "{text}");
    assert!(
        page.text.contains(&format!(r#"href="/teams/{}">red</a>"#, night.red.id)),
        "the team has its name"
    );
    assert!(text.contains("points of") && text.contains("registrations in five minutes"), "{text}");
    assert!(page.text.contains("<svg") && !page.text.contains("style="), "charts have no inline style");
    night.is_for_overseers("/budget").await;
}

#[tokio::test]
async fn pauses_for_githubs_limits_are_told() {
    let night = Night::with(World::builder().workers(1)).await;
    night.use_budget().await;
    let home = InstallationId::default();
    night.world.queue().pause(&home, Duration::from_mins(2), Reason::SecondaryLimit).await.unwrap();
    let page = night.page("/budget").await;
    assert!(page.contains("GitHub reported a secondary limit"), "{page}");
    let lanes = night.page("/lanes").await;
    assert!(lanes.contains("GitHub reported a secondary limit"), "{lanes}");
}

#[tokio::test]
async fn apps_of_a_pool_are_shown_with_their_sum_and_paused_one_by_one() {
    let night = Night::with(World::builder().workers(1).further_app("second")).await;
    night.use_budget().await;
    let second: InstallationId = "second".parse().unwrap();
    let page = night.page("/budget").await;
    assert!(page.contains("App pool default") && page.contains("2 of 2 Apps take requests"), "{page}");
    assert!(page.contains("Installation second, App of pool default"), "{page}");
    let pause = "/installations/second/pause";
    assert!(night.page(pause).await.contains("Pause App second of pool default"));
    night.press(pause, &[("seconds", "3600"), ("reason", "its key is replaced")]).await;
    let lanes = night.page("/lanes").await;
    assert!(lanes.contains("An App of pool default") && lanes.contains("its key is replaced"), "{lanes}");
    let page = night.page("/budget").await;
    assert!(page.contains("1 of 2 Apps take requests"), "{page}");
    let paused = night.world.queue().pauses().await.unwrap();
    assert!(paused.iter().all(|one| one.scope == queue::Scope::Installation(second.clone())), "{paused:?}");
}
