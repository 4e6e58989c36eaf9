//! Callers of several teams, who begin one after the other.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{client::Client, plan::Plan, story::Story};

/// Who starts the stories.
pub(crate) struct Load {
    pub(crate) client: Client,
    seed: u64,
}

impl Load {
    pub(crate) fn new(client: Client, plan: &Plan) -> Arc<Self> {
        Arc::new(Self { client, seed: plan.seed })
    }

    /// Starts all stories, spread evenly over the chaos; returns when every caller is done.
    pub(crate) async fn run(self: &Arc<Self>, plan: &Plan) {
        let start = Instant::now();
        let gap = plan.chaos / u32::try_from(plan.stories()).unwrap_or(u32::MAX);
        let mut callers = JoinSet::new();
        for nth in 0..plan.stories() {
            sleep_until(start + gap * u32::try_from(nth).unwrap_or(u32::MAX)).await;
            let load = self.clone();
            callers.spawn(async move { load.story(nth).run().await });
        }
        while callers.join_next().await.is_some() {}
    }

    fn story(&self, nth: usize) -> Story<'_> {
        let mut rng = SmallRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(nth as u64));
        let people = &self.client.stage.people;
        let person = &people[rng.random_range(0..people.len())];
        let team = self.client.stage.teams[person.team].name;
        // Few enough exact names that callers get in each other's way.
        let body = if rng.random_bool(0.25) {
            json!({ "runner_name": format!("exact-{team}-{}", rng.random_range(0..12)) })
        } else {
            json!({ "runner_name_prefix": format!("chaos-{team}") })
        };
        Story {
            client: &self.client,
            keyed: rng.random_bool(0.8),
            rng,
            person,
            id: format!("{}-{nth}", self.seed),
            body,
        }
    }
}
