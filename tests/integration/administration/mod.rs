//! Administration: roles, memberships of new users, logs of a team, sessions, searches, tests of tokens, counts and settings.

mod overview;
mod people;
mod search;
mod sessions;
mod tokens;

use harness::{Person, Team, World, team_draft};
use serde_json::{Value, json};

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

#[tokio::test]
async fn empty_reason_is_refused_even_if_the_team_stays_active() {
    let world = World::builder().workers(0).start().await;
    let (root, red) = (world.admin().await, world.team(team_draft("red")).await);
    let path = format!("/admin/teams/{}", red.id);
    for reason in ["", " ", &"a".repeat(501)] {
        let answer = world.patch(&path, &root, &json!({ "deactivation_reason": reason })).await;
        assert_eq!(answer.refused(422, "validation_failed").pointers(), ["/deactivation_reason"]);
    }
    assert_eq!(world.count("SELECT count(*) FROM audit_log WHERE event_type = 'team.updated'").await, 0);
}
