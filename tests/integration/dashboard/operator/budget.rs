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
