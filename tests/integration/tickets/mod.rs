//! Claim tickets: asked for by a member, redeemed by a machine.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod redemption;
#[cfg(test)]
mod revocation;

#[cfg(test)]
use {
    harness::{ApiRequest, ApiResponse, Bearer, Person, Team, World, team_draft},
    serde_json::{Value, json},
};

/// A team with a member, and the text of a ticket where a test needs one.
#[cfg(test)]
struct Scene {
    world: World,
    red: Team,
    ada: Person,
}

#[cfg(test)]
impl Scene {
    async fn new() -> Self {
        Self::of(World::start().await).await
    }

    async fn of(world: World) -> Self {
        let red = world.team(team_draft("red")).await;
        let ada = world.user("ada", &[&red]).await;
        Self { world, red, ada }
    }

    /// Asks for a ticket for the addresses of this test.
    async fn ticket(&self, who: &(impl Bearer + ?Sized)) -> ApiResponse {
        self.ask_ticket(who, json!({ "addresses": ["127.0.0.0/8"] })).await
    }

    /// Asks for a ticket with these members besides the prefix.
    async fn ask_ticket(&self, who: &(impl Bearer + ?Sized), more: Value) -> ApiResponse {
        let mut body = json!({ "runner_name_prefix": "vm", "labels": ["self-hosted"] });
        for (name, value) in more.as_object().unwrap() {
            body[name.as_str()] = value.clone();
        }
        self.world.ask("POST", "/runners/tickets").by(who).json(&body).send().await
    }

    /// Returns the request of a machine, without a token.
    fn redemption(&self, ticket: &Value, key: &str) -> ApiRequest {
        let request = self.world.ask("POST", "/runners/tickets/redeem").header("idempotency-key", key);
        request.json(&json!({ "ticket": ticket["ticket"] }))
    }

    async fn redeem(&self, ticket: &Value, key: &str) -> ApiResponse {
        self.redemption(ticket, key).send().await
    }

    async fn state(&self, ticket: &Value) -> String {
        let listed = self.world.get("/runners/tickets", &self.ada).await.assert_status(200).body;
        let found = listed["tickets"].as_array().unwrap().iter();
        let mut found = found.filter(|row| row["ticket_id"] == ticket["ticket_id"]);
        found.next().unwrap()["state"].as_str().unwrap().to_owned()
    }
}
