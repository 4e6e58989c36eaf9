//! Commands of `rts` that use the API alone, run as their users run them.

mod administration;
mod batch;
mod connection;
mod files;
mod provision;
mod reading;
mod restart;
mod sign_in;

use harness::{Bearer, Output, Person, Team, World, team_draft};

/// A world with a team and one of its members.
struct Scene {
    world: World,
    red: Team,
    ada: Person,
}

/// Serves a router on a free port. Returns its URL.
pub(crate) async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

impl Scene {
    async fn new() -> Self {
        Self::of(World::start().await).await
    }

    async fn of(world: World) -> Self {
        let red = world.team(team_draft("red")).await;
        let ada = world.user("ada", &[&red]).await;
        Self { world, red, ada }
    }

    /// Runs a command with the caller's token in the environment.
    async fn run(&self, who: &(impl Bearer + ?Sized), words: &[&str]) -> Output {
        self.run_with(who, words, &[]).await
    }

    /// Runs a command with further environment variables.
    async fn run_with(
        &self,
        who: &(impl Bearer + ?Sized),
        words: &[&str],
        changes: &[(&str, &str)],
    ) -> Output {
        let own = self.world.caller_environment(who.token().unwrap_or_default());
        self.world.command(words, &[&own, changes].concat()).await
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.world.count(sql).await
    }
}
