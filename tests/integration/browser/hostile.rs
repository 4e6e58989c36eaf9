//! Markup in names and texts, and other sites, in a browser.

use harness::World;
use serde_json::json;
use store::{TeamDraft, UserDraft};

use super::{session, tell};
use crate::populated::{Populated, populated};

/// A text that would make elements or run if it were not escaped. `&lt;` would turn into markup if it were unescaped.
const MARK: &str =
    "\"'><img src=x data-hostile onerror=hostile=1><script>hostile=1</script><hostile>&lt;b&gt;";

/// Writes the text wherever a person, GitHub or an issuer could bring one, past the checks of the API.
async fn write_marks(scene: &Populated) {
    let world = &scene.world;
    let team = TeamDraft {
        description: Some(MARK.to_owned()),
        required_labels: vec![MARK.to_owned()],
        optional_label_patterns: vec![MARK.to_owned()],
        ..TeamDraft::new("hostile")
    };
    let team = world.team(team).await;
    let mallory = UserDraft { display_name: Some(MARK.to_owned()), ..world.user_draft("mallory") };
    world.person(mallory, &[&team, &scene.red]).await;
    for sql in [
        "UPDATE runners SET labels = array_append(labels, $1)",
        "UPDATE jobs SET error = jsonb_set(error, '{detail}', to_jsonb($1::text)) WHERE error IS NOT NULL",
        "UPDATE oauth_clients SET description = $1",
        "UPDATE security_events SET violation_data = jsonb_build_object($1::text, $1::text), user_identity = $1",
        "UPDATE sessions SET user_agent = $1",
    ] {
        sqlx::query(sql).bind(MARK).execute(world.sql()).await.unwrap();
    }
}

#[tokio::test]
async fn markup_stays_text_and_other_sites_change_nothing() {
    if let Some(tools) = harness::tool("TEST_BROWSER") {
        let scene = populated(World::builder()).await;
        let cookie = session(&scene.world, &scene.root).await;
        write_marks(&scene).await;
        let Populated { world, red, runner, failed, .. } = &scene;
        let lists = [
            "/",
            "/runners",
            "/jobs",
            "/failures",
            "/teams",
            "/people",
            "/clients",
            "/security",
            "/audit",
            "/sessions",
        ];
        let mut paths: Vec<String> = lists.iter().map(|path| (*path).to_owned()).collect();
        paths.extend([format!("/runners/{runner}"), format!("/jobs/{failed}"), format!("/teams/{}", red.id)]);
        let facts = json!({
            "url": world.url(), "session": cookie, "paths": paths, "mark": MARK, "least": 5,
            "action": "/sessions/end-all",
        });
        tell(&tools, "hostile", &facts).await;
        assert_eq!(world.count("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL").await, 0);
    }
}
