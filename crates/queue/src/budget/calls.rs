//! Asking before a request, telling after it.

use std::time::Duration;

use domain::{InstallationId, JobId};

use super::{Breaker, check};
use crate::{Queue, QueueError, pause::MAX_PAUSE, queue::millis, scripts};

/// What the headers of one answer say of the primary window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The endpoint that answered, as in [`Call`]: its calls are charged to this resource from now on, to `core`
    /// before. None where the answer speaks of windows only (`/rate_limit`).
    pub endpoint: Option<&'static str>,
    /// `x-ratelimit-resource`.
    pub resource: String,
    /// `x-ratelimit-limit`.
    pub limit: u64,
    /// `x-ratelimit-remaining`.
    pub remaining: u64,
    /// `x-ratelimit-reset` less the time of the answer. Zero: the window is over and says nothing.
    pub reset_in: Duration,
    /// `x-ratelimit-reset`, in seconds: which window it is, however late the news.
    pub reset: i64,
}

/// One request a running job wants to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name of the endpoint, without ids: 1 to 40 of `a-z`, `0-9`, `_` and `-`. The first request of a job is charged
    /// to `generate-jitconfig` or `runner`.
    pub endpoint: &'static str,
    /// Anything but GET and HEAD.
    pub write: bool,
    /// Whether it registers a runner.
    pub registers: bool,
    /// Whether it may use the reserve of the primary window.
    pub urgent: bool,
}

/// What the claim of a job has paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepaid {
    /// Nothing of this request.
    None,
    /// Another write, which will not be made. While writes are slowed down it pays for this one: a job that had to wait
    /// for a second one would pay for the first again and again.
    OtherWrite,
    /// This very request, so long ago. It waits for pauses and probes alone, but when it is late the next ones wait longer.
    ThisCall {
        /// Since the claim.
        ago: Duration,
    },
}

/// Whether a request may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Now; it is paid for.
    Granted,
    /// Ask again after this. Nothing was taken.
    Wait(Duration),
}

/// How a request ended that told nothing of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// GitHub answered without headers, or not in time: it may have counted the request.
    Silent,
    /// GitHub counted the request elsewhere: it did not accept the credential.
    Elsewhere,
    /// The caller left before an answer came.
    Left {
        /// Whether the request may have been sent.
        sent: bool,
    },
}

/// How GitHub answered, for the circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// With any answer of its own.
    Good,
    /// Not at all, or with 5xx.
    Bad,
}

impl Queue {
    /// Asks for a request that is made for no job.
    pub async fn permit(&self, installation: &InstallationId, call: &Call) -> Result<Permit, QueueError> {
        self.ask_permit(installation, call, (None, Prepaid::None)).await
    }

    /// Asks for a request of a claimed job. If the claim sent the job ahead as the probe after a pause, this is the
    /// probe.
    pub async fn permit_job(
        &self,
        installation: &InstallationId,
        call: &Call,
        (job, paid): (JobId, Prepaid),
    ) -> Result<Permit, QueueError> {
        self.ask_permit(installation, call, (Some(job), paid)).await
    }

    async fn ask_permit(
        &self,
        installation: &InstallationId,
        call: &Call,
        (job, paid): (Option<JobId>, Prepaid),
    ) -> Result<Permit, QueueError> {
        let bit = |yes: bool| u8::from(yes).to_string();
        let args = [
            installation.to_string(),
            check(call.endpoint)?.to_owned(),
            bit(call.write),
            bit(call.registers),
            bit(call.urgent),
            job.map(|job| job.to_string()).unwrap_or_default(),
            bit(paid == Prepaid::OtherWrite),
            match paid {
                Prepaid::ThisCall { ago } => millis(ago).to_string(),
                Prepaid::None | Prepaid::OtherWrite => String::new(),
            },
        ];
        let ms: u64 = self.run(&scripts::PERMIT, &args).await?;
        metrics::counter!("rts_queue_permits_total", "answer" => if ms == 0 { "go" } else { "wait" })
            .increment(1);
        Ok(if ms == 0 { Permit::Granted } else { Permit::Wait(Duration::from_millis(ms)) })
    }

    /// Learns from the headers of an answer; to be told of every one that has them. Ends a probe, so tell a bad or
    /// limited answer to [`Self::record_outcome`], [`Self::slow_down`] or [`Self::pause`] first.
    pub async fn observe(
        &self,
        installation: &InstallationId,
        observation: &Observation,
    ) -> Result<(), QueueError> {
        let endpoint = observation.endpoint.map(check).transpose()?.unwrap_or_default();
        let args = [
            installation.to_string(),
            endpoint.to_owned(),
            check(&observation.resource)?.to_owned(),
            observation.limit.min(1_000_000_000).to_string(),
            observation.remaining.min(1_000_000_000).to_string(),
            millis(observation.reset_in.min(MAX_PAUSE)).to_string(),
            observation.reset.to_string(),
        ];
        self.run::<u8>(&scripts::OBSERVE, &args).await.map(drop)
    }

    /// Ends a request whose answer has no headers for [`Self::observe`]. To be called for every such request: until then it
    /// counts as under way, and a probe as unanswered.
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
        let args = [installation.to_string(), check(endpoint)?.to_owned(), bit(counted), bit(left)];
        self.run::<u8>(&scripts::ANSWERED, &args).await.map(drop)
    }

    /// Notes that GitHub has no limits here: none is kept until the headers of an answer name one. Returns whether that
    /// was unknown.
    pub async fn set_unlimited(&self, installation: &InstallationId) -> Result<bool, QueueError> {
        self.run(&scripts::UNLIMITED, &[installation.to_string()]).await
    }

    /// GitHub named a secondary limit: pauses the installation (never shortening a pause, 30 days at most) and halves
    /// its rate of writes, once per pause, to 6 a minute at least. Answers what is left of the pause.
    pub async fn slow_down(
        &self,
        installation: &InstallationId,
        wait: Duration,
    ) -> Result<Duration, QueueError> {
        let wait = millis(wait.min(MAX_PAUSE)).max(1).to_string();
        let left: u64 = self.run(&scripts::SLOW, &[installation.to_string(), wait]).await?;
        Ok(Duration::from_millis(left))
    }

    /// Tells the circuit breaker of an answer; to be told of every request, answered or not.
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
