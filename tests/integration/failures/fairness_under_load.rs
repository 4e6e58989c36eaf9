//! Fairness when one team requests more than all others together.

use futures::future::join_all;
use harness::{World, provision_body, team_draft, wait_until};

/// Returns the queue positions of blue's jobs behind `flood` earlier requests of red.
async fn places_behind(flood: usize) -> Vec<i64> {
    let world = World::builder().workers(0).concurrency(1).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&blue]).await);
    join_all((0..flood).map(|_| world.provision(&ada, provision_body("ci")))).await;
    for _ in 0..4 {
        world.provision(&bob, provision_body("ci")).await;
    }
    world.keep_running(world.start_worker());
    let open = "SELECT count(*) FROM jobs JOIN teams ON teams.id = team_id
        WHERE name = 'blue' AND finished_at IS NULL";
    wait_until("blue is served", || async { world.count(open).await == 0 }).await;
    let places = "SELECT place FROM (SELECT team_id, row_number() OVER (ORDER BY started_at) AS place
        FROM jobs WHERE started_at IS NOT NULL) AS started
        JOIN teams ON teams.id = team_id WHERE name = 'blue' ORDER BY place";
    sqlx::query_scalar(places).fetch_all(world.sql()).await.unwrap()
}

#[tokio::test]
async fn other_teams_wait_independently_of_the_flood() {
    let (few, flood) = tokio::join!(places_behind(4), places_behind(80));
    assert_eq!(few, flood, "the larger team delays only itself");
    assert!(
        few.iter().zip(1..).all(|(place, nth)| *place <= 2 * nth),
        "every second start is blue's: {few:?}"
    );
}
