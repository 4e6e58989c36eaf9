//! Administration: roles, memberships of new users, logs of a team, searches, tests of tokens, counts and settings.

mod overview;
mod people;
mod search;
mod tokens;

use harness::{Person, Team, World, team_draft};
use serde_json::Value;

/// One team, its member and an admin.
struct Scene {
    world: World,
    red: Team,
    ada: Person,
    root: Person,
}

async fn scene() -> Scene {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    Scene { ada: world.user("ada", &[&red]).await, root: world.admin().await, red, world }
}

impl Scene {
    async fn get(&self, path: &str) -> Value {
        self.world.get(path, &self.root).await.assert_status(200).body
    }

    /// Returns the values of `member` in a list, in alphabetical order.
    async fn listed(&self, path: &str, plural: &str, member: &str) -> Vec<String> {
        let body = self.get(path).await;
        let rows = body[plural].as_array().unwrap();
        assert_eq!(body["total"], rows.len(), "{path}");
        let mut values: Vec<String> =
            rows.iter().map(|row| row[member].as_str().unwrap().to_owned()).collect();
        values.sort();
        values
    }
}
