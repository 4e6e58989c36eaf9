//! Calls to the budget before and after each GitHub request.

use std::time::Duration;

use domain::{InstallationId, JobId};

use super::{Breaker, validate_name};
use crate::{Queue, QueueError, pause::MAX_PAUSE, queue::millis, scripts};

/// State of a primary window, from the headers of one GitHub response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The endpoint that responded, as in [`Call`]. From now on its calls are charged to `resource` (before: to
    /// `core`). `None` for a response that only lists windows (`/rate_limit`).
    pub endpoint: Option<&'static str>,
    /// `x-ratelimit-resource`.
    pub resource: String,
    /// `x-ratelimit-limit`.
    pub limit: u64,
    /// `x-ratelimit-remaining`.
    pub remaining: u64,
    /// `x-ratelimit-reset` minus the time of the response. Zero: the window is over and the observation is ignored.
    pub reset_in: Duration,
    /// `x-ratelimit-reset` in seconds. It identifies the window, even if the observation arrives late.
    pub reset: i64,
}

/// One request to GitHub that needs a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name of the endpoint without ids: 1 to 40 of `a-z`, `0-9`, `_` and `-`. A claim charges a job's first request to
    /// the endpoint that `FIRST` in `budget.lua` gives for the lane.
    pub endpoint: &'static str,
    /// Whether its method is neither GET nor HEAD.
    pub write: bool,
    /// Whether it registers a runner.
    pub registers: bool,
    /// Whether it may use the reserve of the primary window.
    pub urgent: bool,
}

/// Payment that a job's claim has made for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepaid {
    /// The claim paid nothing for this request.
    None,
    /// The claim paid for another write that will not be sent. While writes are slowed down, that payment counts for
    /// this write. Otherwise a job that waits for a second write would pay for the first on each attempt.
    OtherWrite,
    /// The claim paid for this request. It waits only for pauses and probes; if it is late, the next requests wait
    /// longer.
    ThisCall {
        /// Time since the claim.
        ago: Duration,
    },
}

/// Decision about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Send it now; it is charged.
    Granted,
    /// Ask again after this time. Nothing was charged.
    Wait(Duration),
}

/// End of a request without rate limit headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// GitHub responded without headers, or not in time. It may have counted the request.
    Silent,
    /// GitHub did not accept the credential and did not count the request for the installation.
    Elsewhere,
    /// The caller was dropped before a response came.
    Left {
        /// Whether the request may have been sent.
        sent: bool,
    },
}

/// GitHub's availability as one request shows it, for the circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// GitHub sent a response of its own.
    Good,
    /// GitHub did not respond, or responded with 5xx.
    Bad,
}

impl Queue {
    /// Asks for a permit for a request that belongs to no job.
    pub async fn permit(&self, installation: &InstallationId, call: &Call) -> Result<Permit, QueueError> {
        self.ask_permit(installation, call, None, Prepaid::None).await
    }

    /// Asks for a permit for a request of a claimed job. If the claim chose the job as the probe after a pause, this
    /// request is the probe.
    pub async fn permit_job(
        &self,
        installation: &InstallationId,
        call: &Call,
        job: JobId,
        prepaid: Prepaid,
    ) -> Result<Permit, QueueError> {
        self.ask_permit(installation, call, Some(job), prepaid).await
    }

    async fn ask_permit(
        &self,
        installation: &InstallationId,
        call: &Call,
        job: Option<JobId>,
        prepaid: Prepaid,
    ) -> Result<Permit, QueueError> {
        let bit = |yes: bool| u8::from(yes).to_string();
        let args = [
            installation.to_string(),
            validate_name(call.endpoint)?.to_owned(),
            bit(call.write),
            bit(call.registers),
            bit(call.urgent),
            job.map(|job| job.to_string()).unwrap_or_default(),
            bit(prepaid == Prepaid::OtherWrite),
            match prepaid {
                Prepaid::ThisCall { ago } => millis(ago).to_string(),
                Prepaid::None | Prepaid::OtherWrite => String::new(),
            },
        ];
        let ms: u64 = self.run(&scripts::PERMIT, &args).await?;
        metrics::counter!("rts_queue_permits_total", "answer" => if ms == 0 { "go" } else { "wait" })
            .increment(1);
        Ok(if ms == 0 { Permit::Granted } else { Permit::Wait(Duration::from_millis(ms)) })
    }

    /// Records the rate limit headers of a response. Must be called for every response that has them. It ends a probe,
    /// so report a failed or limited response to [`Self::record_outcome`], [`Self::slow_down`] or [`Self::pause`]
    /// first.
    pub async fn observe(
        &self,
        installation: &InstallationId,
        observation: &Observation,
    ) -> Result<(), QueueError> {
        let endpoint = observation.endpoint.map(validate_name).transpose()?.unwrap_or_default();
        let args = [
            installation.to_string(),
            endpoint.to_owned(),
            validate_name(&observation.resource)?.to_owned(),
            observation.limit.min(1_000_000_000).to_string(),
            observation.remaining.min(1_000_000_000).to_string(),
            millis(observation.reset_in.min(MAX_PAUSE)).to_string(),
            observation.reset.to_string(),
        ];
        self.run::<u8>(&scripts::OBSERVE, &args).await.map(drop)
    }

    /// Ends a request whose response has no headers for [`Self::observe`]. Must be called for every such request. Until
    /// then it counts as in flight, and a probe as unanswered.
    pub async fn end_request(
        &self,
        installation: &InstallationId,
        endpoint: &'static str,
        end: End,
    ) -> Result<(), QueueError> {
        let (counted, left) = match end {
            End::Silent => (true, false),
            End::Elsewhere => (false, false),
            End::Left { sent } => (sent, true),
        };
        let bit = |yes: bool| u8::from(yes).to_string();
        let args = [installation.to_string(), validate_name(endpoint)?.to_owned(), bit(counted), bit(left)];
        self.run::<u8>(&scripts::ANSWERED, &args).await.map(drop)
    }

    /// Records that GitHub has no limits here, until the headers of a response name one. Returns whether this is new.
    pub async fn set_unlimited(&self, installation: &InstallationId) -> Result<bool, QueueError> {
        self.run(&scripts::UNLIMITED, &[installation.to_string()]).await
    }

    /// Applies a secondary limit: pauses the installation (never shortens a pause, 30 days at most) and halves its rate
    /// of writes, once per pause, to 6 a minute at least. Returns the rest of the pause.
    pub async fn slow_down(
        &self,
        installation: &InstallationId,
        wait: Duration,
    ) -> Result<Duration, QueueError> {
        let wait = millis(wait.min(MAX_PAUSE)).max(1).to_string();
        let left: u64 = self.run(&scripts::SLOW, &[installation.to_string(), wait]).await?;
        Ok(Duration::from_millis(left))
    }

    /// Reports a request to the circuit breaker. Must be called for every request, answered or not.
    pub async fn record_outcome(
        &self,
        installation: &InstallationId,
        health: Availability,
    ) -> Result<Breaker, QueueError> {
        let good = u8::from(health == Availability::Good).to_string();
        let (state, left): (String, u64) =
            self.run(&scripts::OUTCOME, &[installation.to_string(), good]).await?;
        Breaker::read(&state, left)
    }
}
