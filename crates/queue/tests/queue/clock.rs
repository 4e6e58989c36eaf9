//! Scripts under a clock that the test moves: the line after common.lua replaces the time of Redis.

use domain::Lane;
use queue::Permit;
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};

use crate::support::TestQueue;

const COMMON: &str = include_str!("../../scripts/lib/common.lua");
const BUDGET: &str = concat!(
    include_str!("../../scripts/lib/budget.lua"),
    include_str!("../../scripts/lib/window.lua"),
    include_str!("../../scripts/lib/account.lua"),
    include_str!("../../scripts/lib/probe.lua"),
    include_str!("../../scripts/lib/pool.lua"),
    include_str!("../../scripts/lib/correct.lua"),
    include_str!("../../scripts/lib/hold.lua")
);
const MINUTE: f64 = 60_000.0;

/// One installation and its time, in ms.
pub(crate) struct Clock {
    pub(crate) test: TestQueue,
    connection: MultiplexedConnection,
    pub(crate) now: f64,
    requests: u64,
}

/// A request that needs a permit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) endpoint: &'static str,
    pub(crate) write: bool,
    pub(crate) registers: bool,
    pub(crate) urgent: bool,
}

/// A window of `core` that ends in `reset_ms`, and at `mark` by GitHub's clock, in s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreWindow {
    limit: u32,
    remaining: u32,
    reset_ms: u32,
    mark: f64,
}

impl CoreWindow {
    pub(crate) fn new(limit: u32, remaining: u32, reset_ms: u32, mark: f64) -> Self {
        Self { limit, remaining, reset_ms, mark }
    }
}

impl Ask {
    pub(crate) const READ: Self = Self { endpoint: "runner", write: false, registers: false, urgent: false };
    pub(crate) const WRITE: Self = Self { write: true, ..Self::READ };
    pub(crate) const URGENT: Self = Self { urgent: true, ..Self::READ };
    pub(crate) const PROVISION: Self =
        Self { endpoint: "generate-jitconfig", write: true, registers: true, urgent: false };
}

macro_rules! script {
    ($name:literal) => {
        include_str!(concat!("../../scripts/", $name, ".lua"))
    };
}

impl Clock {
    pub(crate) async fn of(test: TestQueue) -> Self {
        let connection = test.open_connection().await;
        // Before the time of Redis, so that values the test wrote are not in the past.
        Self { test, connection, now: 1_000_000_000_000.0, requests: 0 }
    }

    pub(crate) async fn run<T: FromRedisValue>(&mut self, body: &str, args: &[&str]) -> T {
        let text = format!("{COMMON}\nnow = tonumber(table.remove(ARGV))\n{BUDGET}{body}");
        let prefix = self.test.key("");
        let mut call = cmd("EVAL");
        call.arg(text).arg(1).arg(prefix).arg(args).arg(self.now);
        call.query_async(&mut self.connection).await.unwrap()
    }

    pub(crate) async fn permit(&mut self, ask: Ask) -> Permit {
        self.request_permit_instead(ask, false).await
    }

    /// `instead`: the claim paid for another write that will not be sent.
    pub(crate) async fn request_permit_instead(&mut self, ask: Ask, instead: bool) -> Permit {
        self.request_permit(ask, instead, "").await
    }

    /// Asks for a permit for a request that a claim paid for at `paid`, in ms.
    pub(crate) async fn request_late_permit(&mut self, ask: Ask, paid: f64) -> Permit {
        let ago = self.now - paid;
        self.request_permit(ask, false, &ago.to_string()).await
    }

    async fn request_permit(&mut self, ask: Ask, instead: bool, paid: &str) -> Permit {
        let bit = |yes| if yes { "1" } else { "0" };
        let asked = [bit(ask.write), bit(ask.registers), bit(ask.urgent), "", bit(instead), paid];
        let args: Vec<&str> = ["default", ask.endpoint].into_iter().chain(asked).collect();
        match self.run::<u64>(script!("permit"), &args).await {
            0 => Permit::Granted,
            ms => Permit::Wait(std::time::Duration::from_millis(ms)),
        }
    }

    /// Claims up to `want` jobs, under leases longer than any test.
    pub(crate) async fn claim(&mut self, want: usize) -> usize {
        let body = concat!(script!("lib/teams"), script!("lib/returns"), script!("claim"));
        let want = want.to_string();
        self.requests += 1;
        let request = self.requests.to_string();
        let mut args = vec!["clock", &request, &want, "1000000000", "5000", "64"];
        let shares: Vec<String> = Lane::ALL.iter().map(|lane| lane.share().to_string()).collect();
        args.extend(shares.iter().map(String::as_str));
        let (_, jobs, _): (u64, Vec<redis::Value>, u64) = self.run(body, &args).await;
        jobs.len()
    }

    /// Asks again after each wait until the request is permitted.
    pub(crate) async fn send_when_permitted(&mut self, ask: Ask) {
        while let Permit::Wait(wait) = self.permit(ask).await {
            self.now += wait.as_secs_f64() * 1_000.0;
        }
    }

    pub(crate) async fn is_permitted(&mut self, ask: Ask) -> bool {
        self.permit(ask).await == Permit::Granted
    }

    /// Reports a window of `core`.
    pub(crate) async fn observe(&mut self, limit: u32, remaining: u32, reset_ms: u32) {
        let mark = (self.now + f64::from(reset_ms)) / 1_000.0;
        self.observe_window(CoreWindow::new(limit, remaining, reset_ms, mark), "").await;
    }

    /// Reports a window of `core` in a response from `endpoint` (empty: without an endpoint).
    pub(crate) async fn observe_window(&mut self, window: CoreWindow, endpoint: &str) {
        let [limit, remaining, reset] =
            [window.limit, window.remaining, window.reset_ms].map(|number| number.to_string());
        let mark = window.mark.floor().to_string();
        let args = ["default", endpoint, "core", &limit, &remaining, &reset, &mark];
        self.run::<u8>(script!("observe"), &args).await;
    }

    /// Reports a window that allows every request.
    pub(crate) async fn open_window(&mut self) {
        self.observe(1_000_000, 1_000_000, 86_400_000).await;
    }

    pub(crate) async fn report_secondary_limit(&mut self, ms: u32) -> u64 {
        self.run(script!("slow"), &["default", &ms.to_string()]).await
    }

    pub(crate) async fn outcome(&mut self, good: bool) -> (String, u64) {
        self.run(script!("outcome"), &["default", if good { "1" } else { "0" }]).await
    }

    /// Writes a minute, in thousandths.
    pub(crate) async fn read_mutation_rate(&mut self) -> u64 {
        let body = "return math.floor(1000 * mutation_rate(load_budget(ARGV[1], { 'mr' })) + 0.5)";
        self.run(body, &["default"]).await
    }

    /// Returns the rest of `core`; `None` if it is not known.
    pub(crate) async fn read_remaining(&mut self) -> Option<u64> {
        let body = "local B = load_budget(ARGV[1], { 'w:core' }) local w = window_of(B, 'core') \
                    return w and left_of(B, w, 'core') or false";
        self.run(body, &["default"]).await
    }

    pub(crate) fn advance_minutes(&mut self, count: f64) {
        self.now += count * MINUTE;
    }
}
