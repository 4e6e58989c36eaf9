//! Access that ends between a request and its response: users, machine clients, members and teams.

#[cfg(test)]
mod admins;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod handout;
#[cfg(test)]
mod people;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod teams;

#[cfg(test)]
use {
    harness::{Person, Team, World, team_draft, wait_until},
    serde_json::{Value, json},
    uuid::Uuid,
};

/// A team with a user, and an admin.
#[cfg(test)]
struct Scene {
    world: World,
    red: Team,
    ada: Person,
    root: Person,
}

#[cfg(test)]
impl Scene {
    async fn with(world: World) -> Self {
        let red = world.team(team_draft("red")).await;
        Self { ada: world.user("ada", &[&red]).await, root: world.admin().await, red, world }
    }

    async fn new() -> Self {
        Self::with(World::start().await).await
    }

    /// Stops claims from the provision lane.
    async fn pause_provisioning(&self) {
        let pause = json!({ "seconds": 600 });
        self.world.post("/admin/queues/provision/pause", &self.root, &pause).await.assert_status(200);
    }

    fn user_path(&self) -> String {
        format!("/admin/users/{}", self.ada.id)
    }

    fn team_path(&self) -> String {
        format!("/admin/teams/{}", self.red.id)
    }

    /// Returns the details of the newest audit row of a type.
    async fn audit_details(&self, event_type: &str) -> Value {
        let path = format!("/audit-logs?event_type={event_type}&limit=1");
        self.world.get(&path, &self.root).await.assert_status(200).body["logs"][0]["event_data"].clone()
    }

    /// Checks that the job was cancelled with this code and that no config is stored.
    async fn assert_cancelled(&self, job: Uuid, code: &str) {
        let job = self.world.job(&self.root, job).await;
        assert_eq!((&job["state"], &job["error"]["code"]), (&json!("cancelled"), &json!(code)), "{job}");
        let left = "SELECT count(*) FROM credentials WHERE ciphertext IS NOT NULL";
        assert_eq!(self.world.count(left).await, 0, "no config is left");
    }

    /// Waits until all runners are deleted in the database and on GitHub.
    async fn wait_for_no_runner(&self) {
        wait_until("the unused runners are removed", || async {
            let left = "SELECT count(*) FROM runners WHERE status <> 'deleted'";
            self.world.count(left).await == 0
        })
        .await;
    }
}
