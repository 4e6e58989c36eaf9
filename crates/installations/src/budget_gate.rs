//! Budget gate in front of one installation's GitHub: asks the shared budget before each request and reports its
//! response.
//!
//! The budget is in Redis, so that all processes together stay within GitHub's limits. A request of a claimed job may
//! have been paid for by the claim ([`crate::prepaid`]).

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use domain::{InstallationId, JobId, Lane};
use github::{Exchange, Gate, GateFuture, Observer};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::Method;
use queue::{Availability, BudgetSettings, End, Observation, Permit, Prepaid, Queue, Reason};
use tokio::{sync::mpsc, time::Instant};

use crate::{endpoints, pending_limits::PendingLimits, prepaid::PrepaidCall, rate_limit_wait};

/// Responses waiting to be processed. Further ones are dropped, because the next response reports the same state.
const MAX_BACKLOG: usize = 1024;
/// Longest time a request waits here for its permit before its job returns to the queue.
const MAX_PERMIT_WAIT: Duration = Duration::from_millis(250);
/// Wait of a request whose permit could not be asked for.
const WAIT_WITHOUT_BUDGET: Duration = Duration::from_secs(2);
/// Maximum requests a second of one process, so that no process sends all requests of the shared budget at once.
const MAX_REQUESTS_PER_SECOND: NonZeroU32 = match NonZeroU32::new(50) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// Pause after a response that says that the installation is suspended. The scheduler renews the pause once it has
/// recorded the suspension.
const SUSPENSION_PAUSE: Duration = Duration::from_mins(2);

/// Asks the shared budget before each request and reports each response to it.
pub(crate) struct BudgetGate {
    queue: Queue,
    installation: InstallationId,
    smoother: Option<DefaultDirectRateLimiter>,
    limits: Arc<PendingLimits>,
    responses: mpsc::Sender<ResponseInfo>,
}

/// Effect of one finished request on the budget.
struct ResponseInfo {
    health: Option<Availability>,
    window: Option<Observation>,
    /// GitHub has suspended the installation.
    suspended: bool,
    /// Endpoint and end of a counted request whose response reported no window.
    end: Option<(&'static str, End)>,
    /// Time of the response.
    at: Instant,
}

impl BudgetGate {
    pub(crate) fn start(queue: &Queue, installation: &InstallationId, budget: &BudgetSettings) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_BACKLOG);
        let limits = Arc::new(PendingLimits::default());
        tokio::spawn(process_responses(queue.clone(), installation.clone(), limits.clone(), receiver));
        Self {
            queue: queue.clone(),
            installation: installation.clone(),
            smoother: budget.enabled.then(|| RateLimiter::direct(Quota::per_second(MAX_REQUESTS_PER_SECOND))),
            limits,
            responses: sender,
        }
    }

    /// Returns the queue with the shared budget.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns `Ok` if the operation may be sent now, otherwise the time to wait. `claimed` is the job that sends it.
    pub(crate) async fn acquire(
        &self,
        operation: &'static str,
        claimed: Option<&PrepaidCall>,
    ) -> Result<(), Duration> {
        self.limits.check()?;
        if endpoints::as_app(operation) {
            return self.check_pause().await;
        }
        let mut call = endpoints::call(operation);
        let job = claimed.map(PrepaidCall::job);
        // Removals may use the reserved budget; so may the lookups that precede them.
        call.urgent |= job.is_some_and(|job| job.lane == Lane::Deprovision);
        let prepaid = match claimed {
            Some(claimed) if claimed.use_for(call.endpoint) => {
                Prepaid::ThisCall { ago: claimed.job().since.elapsed() }
            }
            Some(claimed) if call.write && claimed.has_unused_write() => Prepaid::OtherWrite,
            _ => Prepaid::None,
        };
        // Before the permit, because a permitted request is sent at once.
        if let Some(smoother) = &self.smoother {
            smoother.until_ready().await;
        }
        let mut unsent = UnsentRequest { gate: self, endpoint: job.is_none().then_some(call.endpoint) };
        let permitted = self.permit(&call, job.map(|job| job.job), prepaid).await;
        unsent.endpoint = None;
        if let Some(claimed) = claimed {
            match (&permitted, prepaid) {
                (Err(_), Prepaid::ThisCall { .. }) => claimed.restore(),
                (Ok(()), Prepaid::ThisCall { .. }) => claimed.mark_sent(),
                (Ok(()), Prepaid::OtherWrite) => claimed.forfeit(),
                _ => {}
            }
        }
        permitted
    }

    /// Checks pauses for a request of the App itself. Such requests use no installation's budget, but a pause that
    /// GitHub caused applies to them. If Redis is unavailable the request is sent: prepaid work may need its token.
    async fn check_pause(&self) -> Result<(), Duration> {
        let left = rate_limit_wait(&self.queue, &self.installation).await.unwrap_or_default();
        left.map_or(Ok(()), Err)
    }

    /// Asks for a permit, and once more after a short wait. After a longer wait the job returns to the queue.
    async fn permit(&self, call: &queue::Call, job: Option<JobId>, prepaid: Prepaid) -> Result<(), Duration> {
        let request_permit = || async {
            let asked = match job {
                Some(job) => self.queue.permit_job(&self.installation, call, job, prepaid).await,
                None => self.queue.permit(&self.installation, call).await,
            };
            match asked {
                Ok(Permit::Granted) => Ok(()),
                Ok(Permit::Wait(wait)) => Err(wait),
                // The state that a claim saw a moment ago still holds.
                Err(_) if matches!(prepaid, Prepaid::ThisCall { ago } if ago <= MAX_PERMIT_WAIT) => Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "No permit: the budget in Redis is unavailable");
                    Err(WAIT_WITHOUT_BUDGET)
                }
            }
        };
        match request_permit().await {
            Err(wait) if wait <= MAX_PERMIT_WAIT => {
                tokio::time::sleep(wait).await;
                request_permit().await
            }
            answer => answer,
        }
    }
}

/// A permit requested for no job. If it is dropped, the permit may have been granted and is not used.
struct UnsentRequest<'m> {
    gate: &'m BudgetGate,
    endpoint: Option<&'static str>,
}

impl Drop for UnsentRequest<'_> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint {
            self.gate.report_end(endpoint, End::Left { sent: false });
        }
    }
}

impl BudgetGate {
    fn report_end(&self, endpoint: &'static str, end: End) {
        let end = Some((endpoint, end));
        // If the channel is full, the request counts as in flight for a while longer.
        let _ = self.responses.try_send(ResponseInfo {
            health: None,
            window: None,
            suspended: false,
            end,
            at: Instant::now(),
        });
    }
}

impl Gate for BudgetGate {
    fn admit(&self, operation: &'static str, _: &Method) -> GateFuture<'_> {
        Box::pin(self.acquire(operation, None))
    }
}

impl Observer for BudgetGate {
    fn on_response(&self, exchange: &Exchange) {
        if let Some((kind, wait)) = exchange.limit {
            self.limits.record(kind, wait);
        }
        // Requests of the App itself are not counted for the installation; of their responses only an outage affects
        // it.
        let counted_apart = endpoints::as_app(exchange.operation);
        let health = match exchange.status {
            None | Some(500..) => Some(Availability::Bad),
            Some(_) if counted_apart => None,
            Some(_) if exchange.limit.is_some() => None,
            Some(_) => Some(Availability::Good),
        };
        let endpoint = endpoints::call(exchange.operation).endpoint;
        // GitHub counts unauthenticated requests by address, so these headers describe another window.
        let unauthenticated = exchange.status == Some(401);
        let window = exchange.rate.as_ref().filter(|_| !counted_apart && !unauthenticated).and_then(|rate| {
            let reset_in = (rate.reset_at - exchange.server_date?).to_std().unwrap_or_default();
            Some(Observation {
                endpoint: Some(endpoint),
                resource: rate.resource.clone(),
                limit: rate.limit,
                remaining: rate.remaining,
                reset_in,
                reset: rate.reset_at.timestamp(),
            })
        });
        let end = if unauthenticated { End::Elsewhere } else { End::Silent };
        let end = (window.is_none() && !counted_apart).then_some((endpoint, end));
        // If the channel is full, a queued response reports the same state; a limit is recorded above.
        let suspended = exchange.suspended;
        let _ = self.responses.try_send(ResponseInfo { health, window, suspended, end, at: Instant::now() });
    }

    fn on_abandoned(&self, operation: &'static str) {
        if !endpoints::as_app(operation) {
            self.report_end(endpoints::call(operation).endpoint, End::Left { sent: true });
        }
    }
}

/// Processes responses in order. Per response: publish a rate limit first, because any other update may end a probe;
/// then record a failure, then the window, and last a success.
async fn process_responses(
    queue: Queue,
    installation: InstallationId,
    limits: Arc<PendingLimits>,
    mut responses: mpsc::Receiver<ResponseInfo>,
) {
    while let Some(ResponseInfo { health, mut window, suspended, end, at }) = responses.recv().await {
        limits.publish(&queue, &installation).await;
        let applied = async {
            if suspended {
                queue.pause(&installation, SUSPENSION_PAUSE, Reason::Suspended).await?;
            }
            if health == Some(Availability::Bad) {
                queue.record_outcome(&installation, Availability::Bad).await?;
            }
            if let Some(window) = &mut window {
                window.reset_in = window.reset_in.saturating_sub(at.elapsed());
                queue.observe(&installation, window).await?;
            }
            if let Some((endpoint, end)) = end {
                queue.end_request(&installation, endpoint, end).await?;
            }
            if health == Some(Availability::Good) {
                queue.record_outcome(&installation, Availability::Good).await?;
            }
            Ok::<(), queue::QueueError>(())
        };
        if let Err(error) = applied.await {
            tracing::debug!(%installation, %error, "A response could not be recorded in the budget; the next one reports the same");
        }
    }
}
