//! Callers of several teams, who start one after the other, and one team that requests too many runners at once.

use std::sync::Arc;

use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    abuse::{ABUSERS, abuse},
    choices::{Choices, patience},
    client::Client,
    plan::{FLOOD, Plan},
    story::Story,
};

/// Start of a story. No runner works after the chaos: with lost webhooks its removal is noticed at the earliest one
/// minute after its registration, and the run would wait for that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Chaos,
    Rush,
    Flood,
}

/// Starts the stories.
pub(crate) struct Load {
    pub(crate) client: Client,
    seed: u64,
}

impl Load {
    pub(crate) fn new(client: Client, plan: &Plan) -> Arc<Self> {
        Arc::new(Self { client, seed: plan.seed })
    }

    /// Starts all stories: most spread evenly, the last ones at once when the rush begins. Returns when every caller
    /// has
    /// finished.
    pub(crate) async fn run(self: &Arc<Self>, plan: &Plan) {
        let start = Instant::now();
        let gap = plan.calls() / u32::try_from(plan.stories()).unwrap_or(u32::MAX);
        let mut callers = JoinSet::new();
        for nth in 0..ABUSERS {
            callers.spawn(abuse(self.clone(), self.seed ^ (nth << 32), start + plan.chaos));
        }
        let mut flooded = false;
        for nth in 0..plan.stories() {
            let begin = gap * u32::try_from(nth).unwrap_or(u32::MAX);
            let rushes = begin >= plan.rush_at();
            if rushes && !flooded {
                flooded = true;
                sleep_until(start + plan.rush_at()).await;
                (plan.stories()..plan.stories() + FLOOD)
                    .for_each(|nth| self.begin(&mut callers, nth, Time::Flood));
            }
            sleep_until(start + begin).await;
            self.begin(&mut callers, nth, if rushes { Time::Rush } else { Time::Chaos });
        }
        while callers.join_next().await.is_some() {}
    }

    fn begin(self: &Arc<Self>, callers: &mut JoinSet<()>, nth: usize, time: Time) {
        let load = self.clone();
        callers.spawn(async move { load.story(nth, time).run().await });
    }

    fn story(&self, nth: usize, time: Time) -> Story<'_> {
        let floods = time == Time::Flood;
        let environment = &self.client.environment;
        let flooder = environment.people.iter().position(|person| environment.teams[person.team].floods);
        let flooder = flooder.unwrap_or(environment.people.len());
        let people = if floods { flooder..environment.people.len() } else { 0..flooder };
        let drawn = Choices::draw(self.seed, nth, &people, environment.people.len());
        let choices = Choices { works: drawn.works && time == Time::Chaos, ..drawn };
        let person = &environment.people[choices.person];
        let team = environment.teams[person.team].name;
        let body = match choices.exact.filter(|_| !floods) {
            Some(number) => json!({ "runner_name": format!("exact-{team}-{number}") }),
            None => json!({ "runner_name_prefix": format!("chaos-{team}") }),
        };
        let (id, patience) = (format!("{}-{nth}", self.seed), patience(self.seed, nth));
        Story { client: &self.client, choices, patience, person, id, body }
    }
}
