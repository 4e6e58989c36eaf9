//! The meter in front of one installation's GitHub.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use domain::{InstallationId, JobId, Lane};
use github::{Exchange, Gate, GateFuture, Observer};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::Method;
use queue::{Availability, BudgetSettings, End, Observation, Permit, Prepaid, Queue, Reason};
use tokio::{sync::mpsc, time::Instant};

use crate::{endpoints, pending_limits::PendingLimits, prepaid, rate_limit_wait};

/// Answers not yet taken in; further ones are dropped, since the next answer says the same again.
const MAX_BACKLOG: usize = 1024;
/// Longest time a request waits here for its permit instead of going back to the queue.
const MAX_PERMIT_WAIT: Duration = Duration::from_millis(250);
/// A request waits this long when the budget cannot be asked.
const WAIT_WITHOUT_BUDGET: Duration = Duration::from_secs(2);
/// Requests a second of one process: whatever the shared budget grants, no process sends it all at once.
const MAX_REQUESTS_PER_SECOND: NonZeroU32 = match NonZeroU32::new(50) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// How long an installation rests that GitHub has suspended, before somebody tries again; once that is written down, the
/// scheduler renews the pause.
const SUSPENSION_PAUSE: Duration = Duration::from_mins(2);

/// Asks before and hears after each request.
pub(crate) struct BudgetGate {
    queue: Queue,
    installation: InstallationId,
    smoother: Option<DefaultDirectRateLimiter>,
    limits: Arc<PendingLimits>,
    responses: mpsc::Sender<ResponseInfo>,
}

/// What the end of a request says of the installation.
struct ResponseInfo {
    health: Option<Availability>,
    window: Option<Observation>,
    /// GitHub has suspended the installation.
    suspended: bool,
    /// The endpoint of a counted request that told nothing of a window, and how it ended.
    end: Option<(&'static str, End)>,
    /// When it came.
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

    async fn acquire(&self, operation: &'static str) -> Result<(), Duration> {
        self.limits.check()?;
        if endpoints::as_app(operation) {
            return self.check_pause().await;
        }
        let (mut call, job) = (endpoints::call(operation), prepaid::current_job());
        // What takes away may use what is kept back for it, the looks that must come before included.
        call.urgent |= job.is_some_and(|held| held.lane == Lane::Deprovision);
        let prepaid = match job {
            Some(held) if prepaid::use_prepaid(call.endpoint) => {
                Prepaid::ThisCall { ago: held.since.elapsed() }
            }
            Some(_) if call.write && prepaid::has_unused_write() => Prepaid::OtherWrite,
            _ => Prepaid::None,
        };
        // Before the permit: what was permitted is sent at once.
        if let Some(smoother) = &self.smoother {
            smoother.until_ready().await;
        }
        let mut unsent = UnsentRequest { gate: self, endpoint: job.is_none().then_some(call.endpoint) };
        let permitted = self.permit(&call, job.map(|held| (held.job, prepaid))).await;
        unsent.endpoint = None;
        match (&permitted, prepaid) {
            (Err(_), Prepaid::ThisCall { .. }) => prepaid::restore(),
            (Ok(()), Prepaid::ThisCall { .. }) => prepaid::mark_sent(),
            (Ok(()), Prepaid::OtherWrite) => prepaid::forfeit(),
            _ => {}
        }
        permitted
    }

    /// What the App asks as itself is nobody's budget, but a pause that GitHub gave cause for holds it as well. A queue that
    /// is away holds nothing up: a token may be needed to do what was paid for.
    async fn check_pause(&self) -> Result<(), Duration> {
        let left = rate_limit_wait(&self.queue, &self.installation).await.unwrap_or_default();
        left.map_or(Ok(()), Err)
    }

    /// Waits a moment for the budget, once; longer than that the job goes back to the queue.
    async fn permit(&self, call: &queue::Call, of: Option<(JobId, Prepaid)>) -> Result<(), Duration> {
        let ask = || async {
            let asked = match of {
                Some(job) => self.queue.permit_job(&self.installation, call, job).await,
                None => self.queue.permit(&self.installation, call).await,
            };
            match asked {
                Ok(Permit::Granted) => Ok(()),
                Ok(Permit::Wait(wait)) => Err(wait),
                // What a claim saw and paid for just now still holds.
                Err(_) if matches!(of, Some((_, Prepaid::ThisCall { ago })) if ago <= MAX_PERMIT_WAIT) => {
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(%error, "the budget cannot be asked");
                    Err(WAIT_WITHOUT_BUDGET)
                }
            }
        };
        match ask().await {
            Err(wait) if wait <= MAX_PERMIT_WAIT => {
                tokio::time::sleep(wait).await;
                ask().await
            }
            answer => answer,
        }
    }
}

/// A permit that is being asked for on behalf of no job. Dropped, it may have been granted and is not used.
struct UnsentRequest<'m> {
    gate: &'m BudgetGate,
    endpoint: Option<&'static str>,
}

impl Drop for UnsentRequest<'_> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint {
            self.gate.ended(endpoint, End::Left { sent: false });
        }
    }
}

impl BudgetGate {
    fn ended(&self, endpoint: &'static str, end: End) {
        let end = Some((endpoint, end));
        // Full: it counts as under way for a while longer.
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
        Box::pin(self.acquire(operation))
    }
}

impl Observer for BudgetGate {
    fn on_response(&self, answer: &Exchange) {
        if let Some((kind, wait)) = answer.limit {
            self.limits.record(kind, wait);
        }
        // Of what is not counted with the installation's requests, an outage alone says something of it.
        let apart = endpoints::as_app(answer.operation);
        let health = match answer.status {
            None | Some(500..) => Some(Availability::Bad),
            Some(_) if apart => None,
            Some(_) if answer.limit.is_some() => None,
            Some(_) => Some(Availability::Good),
        };
        let endpoint = endpoints::call(answer.operation).endpoint;
        // Who is not known is counted by address: such headers speak of another window.
        let unknown = answer.status == Some(401);
        let window = answer.rate.as_ref().filter(|_| !apart && !unknown).and_then(|rate| {
            let reset_in = (rate.reset_at - answer.server_date?).to_std().unwrap_or_default();
            Some(Observation {
                endpoint: Some(endpoint),
                resource: rate.resource.clone(),
                limit: rate.limit,
                remaining: rate.remaining,
                reset_in,
                reset: rate.reset_at.timestamp(),
            })
        });
        let end = if unknown { End::Elsewhere } else { End::Silent };
        let end = (window.is_none() && !apart).then_some((endpoint, end));
        // Full: somebody says the same already, and a limit is noted.
        let suspended = answer.suspended;
        let _ = self.responses.try_send(ResponseInfo { health, window, suspended, end, at: Instant::now() });
    }

    fn on_abandoned(&self, operation: &'static str) {
        if !endpoints::as_app(operation) {
            self.ended(endpoints::call(operation).endpoint, End::Left { sent: true });
        }
    }
}

/// Takes answers in, in their order: a limit before all else, since every other news may end a probe; then bad news, then
/// the window, good news last.
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
                queue.pause(&installation, SUSPENSION_PAUSE, Reason::Admin).await?;
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
            tracing::debug!(%installation, %error, "an answer was not taken into the budget; the next one says the same");
        }
    }
}
