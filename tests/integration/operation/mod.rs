//! Operation of a running service: its state in one sentence, pauses, workers, history, flow and failures.
#![cfg(test)]

mod acknowledgement;
mod failed_batches;
mod failures;
mod flow;
mod history;
mod metrics;
mod pauses;
mod verdict;
mod workers;

use harness::{Builder, Person, Team, World, team_draft};
use serde_json::Value;

/// A team with one user, and an admin.
struct Scene {
    world: World,
    red: Team,
    ada: Person,
    root: Person,
}

impl Scene {
    async fn with(builder: Builder) -> Self {
        let world = builder.start().await;
        let red = world.team(team_draft("red")).await;
        let (ada, root) = (world.user("ada", &[&red]).await, world.admin().await);
        Self { world, red, ada, root }
    }

    /// Returns the answer of a call of administration.
    async fn admin_get(&self, path: &str) -> Value {
        self.world.get(path, &self.root).await.assert_status(200).body
    }
}
