//! Old names of the API: they work until the time that the response names.

use chrono::{DateTime, TimeDelta};
use harness::{World, provision_body, team_draft};

#[tokio::test]
async fn old_names_of_filters_work_and_are_announced_as_deprecated() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    world.provision(&ada, provision_body("ada")).await;
    for (path, old) in [
        ("/runners?limit=5&team_id=red", true),
        ("/runners?user_identity=ada@example.com", true),
        ("/jobs?team_id=red", true),
        ("/audit-logs?user_identity=ada@example.com", true),
        ("/runners?team=red", false),
        ("/runners?user=ada@example.com", false),
        ("/runners?q=team_id", false),
    ] {
        let answer = world.get(path, &ada).await.assert_status(200);
        assert_eq!(answer.headers.contains_key("deprecation"), old, "{path}");
        if !old {
            continue;
        }
        assert_eq!(answer.body["total"], 1, "{path}: {}", answer.text);
        let since = answer.header("deprecation").strip_prefix('@').unwrap().parse().unwrap();
        let until = DateTime::parse_from_rfc2822(answer.header("sunset")).unwrap();
        let life = until.to_utc() - DateTime::from_timestamp(since, 0).unwrap();
        assert!(life >= TimeDelta::days(365), "{path}: an old name lives for a year at least: {life}");
        assert!(answer.header("link").contains("rel=\"deprecation\""), "{path}");
    }
    let refused = world.get("/runners?team_id=red&limit=none", &ada).await;
    assert_eq!(refused.status, 422);
    assert!(refused.headers.contains_key("sunset"), "a refusal announces it too");
}
