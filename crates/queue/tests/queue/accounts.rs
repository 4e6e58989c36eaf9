//! Accounts of a primary window: lanes and teams keep their parts of the rest.

use std::time::Duration;

use domain::{InstallationId, Lane, TeamId};
use queue::{Observation, ProspectiveJob, Reason, Settle, Ticket};

use crate::{
    clock::{Ask, Clock, CoreWindow},
    support::{TestQueue, claimer, ticket, tickets, wide},
};

const HOUR: u32 = 3_600_000;
const MINUTE: Duration = Duration::from_mins(1);
const MARK: f64 = 1_000_003_600.0;
/// Of a window of 1,000 requests, 100 are the reserve.
const LIMIT: u32 = 1_000;

/// GitHub with a window of an hour, which counts the requests sent.
struct GitHub {
    clock: Clock,
    left: u32,
    begun: f64,
}

impl GitHub {
    async fn new() -> Self {
        let clock = Clock::of(TestQueue::with_budget(&wide()).await).await;
        let begun = clock.now;
        let mut github = Self { clock, left: LIMIT, begun };
        github.tell("").await;
        github
    }

    async fn tell(&mut self, endpoint: &str) {
        let reset = self.begun + f64::from(HOUR) - self.clock.now;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "part of an hour")]
        self.clock.observe_window(CoreWindow::new(LIMIT, self.left, reset as u32, MARK), endpoint).await;
    }

    /// Asks for permits of one kind until one must wait.
    async fn drain(&mut self, ask: Ask) -> u32 {
        let mut sent = 0;
        loop {
            self.clock.now += 1.0;
            if !self.clock.is_permitted(ask).await {
                return sent;
            }
            (self.left, sent) = (self.left - 1, sent + 1);
            self.tell(ask.endpoint).await;
        }
    }

    /// Claims jobs until none may start.
    async fn claim_all(&mut self) -> u32 {
        let mut claimed = 0;
        loop {
            self.clock.now += 20.0;
            let jobs = u32::try_from(self.clock.claim(10).await).unwrap();
            if jobs == 0 {
                return claimed;
            }
            claimed += jobs;
            self.left -= jobs;
            for _ in 0..jobs {
                self.tell("generate-jitconfig").await;
            }
        }
    }

    fn hours(&mut self, part: f64) {
        self.clock.now = self.begun + part * f64::from(HOUR);
    }
}

#[tokio::test]
async fn reads_leave_the_shares_of_the_other_lanes() {
    let mut github = GitHub::new().await;
    let sent = github.drain(Ask::READ).await;
    assert!((135..=137).contains(&sent), "15 of 900: {sent}");
    let deletes = github.drain(Ask { endpoint: "delete-runner", write: true, ..Ask::URGENT }).await;
    assert!((323..=328).contains(&deletes), "a quarter of 900 and the reserve: {deletes}");
}

#[tokio::test]
async fn idle_parts_are_lent_as_the_window_goes_by() {
    let mut github = GitHub::new().await;
    let mut sent = github.drain(Ask::READ).await;
    for (part, least, most) in [(0.45, 500, 530), (0.8, 800, 830), (0.91, 900, 900)] {
        github.hours(part);
        sent += github.drain(Ask::READ).await;
        assert!((least..=most).contains(&sent), "at {part}: {sent}");
    }
    assert_eq!(github.left, 100, "all but the reserve");
}

#[tokio::test]
async fn team_alone_gets_everything_but_the_reserve() {
    let mut github = GitHub::new().await;
    github.clock.test.queue.enqueue(&tickets(1_000, TeamId::new())).await.unwrap();
    let at_once = github.claim_all().await;
    assert!((405..=410).contains(&at_once), "the lane's share, less that of one more team: {at_once}");
    for part in 1..=91 {
        github.hours(f64::from(part) / 100.0);
        github.claim_all().await;
    }
    assert_eq!(github.left, 100);
}

#[tokio::test]
async fn team_that_comes_late_finds_its_part() {
    let mut github = GitHub::new().await;
    let (red, blue) = (TeamId::new(), TeamId::new());
    github.clock.test.queue.enqueue(&tickets(1_000, red)).await.unwrap();
    for part in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5] {
        github.hours(part);
        github.claim_all().await;
    }
    let of_blue = tickets(40, blue);
    github.clock.test.queue.enqueue(&of_blue).await.unwrap();
    github.claim_all().await;
    let waiting = github.clock.test.queue.team_load(&InstallationId::default(), blue).await.unwrap().waiting;
    assert_eq!(waiting, 0, "none of its jobs waits");
}

#[tokio::test]
async fn clock_that_steps_back_holds_no_team_up() {
    let mut github = GitHub::new().await;
    github.clock.test.queue.enqueue(&tickets(1_000, TeamId::new())).await.unwrap();
    assert!(github.claim_all().await > 0);
    github.clock.now -= 6.0 * f64::from(HOUR);
    assert!(github.clock.claim(10).await > 0, "the team's wait has no end in this clock");
}

fn core_window(remaining: u64) -> Observation {
    Observation {
        endpoint: None,
        resource: "core".to_owned(),
        limit: 1_000,
        remaining,
        reset_in: Duration::from_hours(1),
        reset: 1_800_000_000,
    }
}

async fn drain(test: &TestQueue) -> Vec<queue::Lease> {
    let (claimer, mut all) = (claimer(), Vec::new());
    loop {
        let jobs = test.queue.claim(&claimer, 100).await.unwrap().jobs;
        if jobs.is_empty() {
            return all;
        }
        all.extend(jobs);
    }
}

#[tokio::test]
async fn heavier_team_has_the_larger_part() {
    let test = TestQueue::with_budget(&wide()).await;
    test.queue.observe(&InstallationId::default(), &core_window(1_000)).await.unwrap();
    let (light, heavy) = (TeamId::new(), TeamId::new());
    let with = |team, weight, count: usize| -> Vec<Ticket> {
        (0..count).map(|_| Ticket { weight, ..ticket(team) }).collect()
    };
    // Both teams are known before either asks for much.
    test.queue.enqueue(&[with(light, 1.0, 1), with(heavy, 3.0, 1)].concat()).await.unwrap();
    assert_eq!(drain(&test).await.len(), 2);
    test.queue.enqueue(&with(light, 1.0, 600)).await.unwrap();
    let of_light = drain(&test).await.len();
    test.queue.enqueue(&with(heavy, 3.0, 600)).await.unwrap();
    let of_heavy = drain(&test).await.len();
    assert!((120..=135).contains(&of_light), "one of four and a third: {of_light}");
    assert!((365..=395).contains(&of_heavy), "three of four and a third: {of_heavy}");
}

#[tokio::test]
async fn job_of_a_team_with_an_empty_account_names_the_budget() {
    let test = TestQueue::with_budget(&wide()).await;
    let home = InstallationId::default();
    test.queue.observe(&home, &core_window(1_000)).await.unwrap();
    let (red, blue) = (TeamId::new(), TeamId::new());
    let all = tickets(600, red);
    test.queue.enqueue(&all).await.unwrap();
    let position = async |job| test.queue.position(job).await.unwrap().unwrap();
    assert_eq!(position(all[415].job).await.pause, None, "it waits for a worker");
    assert!(drain(&test).await.len() < 415);
    let waiting = position(all[415].job).await;
    assert_eq!(waiting.pause.map(|pause| pause.reason), Some(Reason::Budget));
    assert!(waiting.starts_in >= waiting.pause.unwrap().left && waiting.starts_in < MINUTE, "{waiting:?}");
    let prospect = |team| ProspectiveJob {
        installation: home.clone(),
        lane: Lane::Provision,
        team: Some(team),
        weight: 1.0,
        cost: 1,
    };
    let forecast = async |team| test.queue.forecast(&prospect(team)).await.unwrap();
    assert_eq!(forecast(red).await.pause.map(|pause| pause.reason), Some(Reason::Budget));
    assert_eq!(forecast(blue).await.pause, None, "the other team has its part");

    let of_blue = tickets(2, blue);
    test.queue.enqueue(&of_blue).await.unwrap();
    assert_eq!(position(of_blue[0].job).await.pause, None);
    assert_eq!(drain(&test).await.len(), 2);
    let behind = position(all[415].job).await.starts_in;
    assert!(
        behind > 10 * MINUTE && behind < 20 * MINUTE,
        "half of the lane is reserved for blue: {behind:?}"
    );
    let drift = Ticket { lane: Lane::Drift, ..ticket(red) };
    test.queue.enqueue(std::slice::from_ref(&drift)).await.unwrap();
    assert_eq!(position(drift.job).await.pause, None, "another lane");
}

#[tokio::test]
async fn view_shows_the_spending_of_lanes_and_teams() {
    let test = TestQueue::with_budget(&wide()).await;
    let home = InstallationId::default();
    test.queue.observe(&home, &core_window(1_000)).await.unwrap();
    let (red, blue) = (TeamId::new(), TeamId::new());
    let drift = |team| Ticket { lane: Lane::Drift, ..ticket(team) };
    test.queue.enqueue(&[tickets(3, red), tickets(1, blue), vec![drift(red)]].concat()).await.unwrap();
    let leases = drain(&test).await;
    let unsent = leases.iter().find(|lease| lease.lane == Lane::Drift).unwrap();
    let view = |views: Vec<queue::BudgetView>| {
        let window = views[0].resources[0].clone();
        (window.lanes, window.teams)
    };
    let (lanes, teams) = view(test.queue.budget().await.unwrap());
    assert_eq!(lanes, [(Lane::Provision, 4), (Lane::Deprovision, 0), (Lane::Drift, 1)]);
    assert_eq!(teams, [(red, 4), (blue, 1)]);
    assert!(test.queue.settle_unsent(unsent, Settle::Finish).await.unwrap());
    let (lanes, teams) = view(test.queue.budget().await.unwrap());
    assert_eq!((lanes[2], teams[0]), ((Lane::Drift, 0), (red, 3)), "what was not sent costs nothing");

    let next = Observation { reset: 1_800_003_600, ..core_window(1_000) };
    test.queue.observe(&home, &next).await.unwrap();
    let (lanes, teams) = view(test.queue.budget().await.unwrap());
    assert!(lanes.iter().all(|(_, spent)| *spent == 0) && teams.is_empty(), "a new window");
}

#[tokio::test]
async fn view_names_fifty_teams_at_most() {
    let test = TestQueue::with_budget(&wide()).await;
    test.queue.observe(&InstallationId::default(), &core_window(1_000)).await.unwrap();
    let many: Vec<Ticket> = (0..60).map(|_| ticket(TeamId::new())).collect();
    test.queue.enqueue(&many).await.unwrap();
    assert_eq!(drain(&test).await.len(), 60);
    assert_eq!(test.queue.budget().await.unwrap()[0].resources[0].teams.len(), 50);
}
