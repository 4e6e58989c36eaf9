//! Rows that are newer than a list shows: the list says how many, and never moves by itself.

use harness::{ApiResponse, World, provision_body, team_draft};

/// Returns the address at which a list asks for newer rows.
fn address(page: &ApiResponse) -> String {
    let (_, rest) = page.text.split_once(r#"data-newer=""#).expect("a list that asks");
    rest.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test]
async fn list_says_how_many_rows_are_newer() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    let (admin, member) = (world.sign_in(&world.admin().await).await, world.sign_in(&ada).await);
    for list in ["/runners", "/jobs"] {
        let empty = admin.get(list).await.assert_status(200);
        let all = address(&empty);
        world.provision(&ada, provision_body("ci")).await;
        let one = admin.get(&all).await.assert_status(200);
        assert_eq!(one.text, format!(r#"· <a href="{list}">1 newer – show</a>"#));

        let filtered = address(&admin.get(&format!("{list}?team=red")).await.assert_status(200));
        let own = address(&member.get(list).await.assert_status(200));
        assert_eq!(admin.get(&filtered).await.assert_status(200).text, "", "nothing is newer");
        world.provision(&bob, provision_body("ci")).await;
        assert_eq!(admin.get(&filtered).await.text, "", "it does not fit the filter");
        assert_eq!(member.get(&own).await.text, "", "the member does not see it");
        world.provision(&ada, provision_body("ci")).await;
        assert!(admin.get(&filtered).await.text.contains(&format!(r#"{list}?team=red">1 newer"#)));
        assert!(member.get(&own).await.text.contains("1 newer"));
        let older = admin.get(&format!("{list}?limit=1")).await.assert_status(200);
        let (_, cursor) = older.text.split_once("cursor=").unwrap();
        let cursor = cursor.split_once('"').unwrap().0;
        let page = admin.get(&format!("{list}?cursor={cursor}")).await.assert_status(200);
        assert!(!page.text.contains("data-newer"), "older pages stay as they are");
        // Makes the other list empty again.
        sqlx::query("TRUNCATE jobs, runners CASCADE").execute(world.sql()).await.unwrap();
    }
    admin.get("/runners/newer/x").await.assert_status(404);
}
