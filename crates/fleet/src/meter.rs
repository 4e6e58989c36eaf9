//! The meter in front of one installation's GitHub.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use domain::InstallationId;
use github::{Answer, Gate, GateFuture, Observer};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::Method;
use queue::{BudgetSettings, Health, Observation, Paused, Permit, Reason, Scope, Spine};
use tokio::sync::mpsc;

use crate::{endpoints, paid, told::Told};

/// Answers not yet taken in; further ones are dropped, since the next answer says the same again.
const BACKLOG: usize = 1024;
/// Longest time a request waits here for its permit instead of going back to the queue.
const MOMENT: Duration = Duration::from_millis(250);
/// A request waits this long when the budget cannot be asked.
const BLIND: Duration = Duration::from_secs(2);
/// Requests a second of one process: whatever the shared budget grants, no process sends it all at once.
const SMOOTH: NonZeroU32 = match NonZeroU32::new(50) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// Asks before and hears after each request.
pub(crate) struct Meter {
    spine: Spine,
    installation: InstallationId,
    smoother: Option<DefaultDirectRateLimiter>,
    told: Arc<Told>,
    heard: mpsc::Sender<News>,
}

/// What an answer says of the installation.
struct News {
    health: Option<Health>,
    window: Option<Observation>,
}

impl Meter {
    pub(crate) fn start(spine: &Spine, installation: &InstallationId, budget: &BudgetSettings) -> Self {
        let (heard, news) = mpsc::channel(BACKLOG);
        let told = Arc::new(Told::default());
        tokio::spawn(take_in(spine.clone(), installation.clone(), told.clone(), news));
        Self {
            spine: spine.clone(),
            installation: installation.clone(),
            smoother: budget.enabled.then(|| RateLimiter::direct(Quota::per_second(SMOOTH))),
            told,
            heard,
        }
    }

    async fn ask(&self, operation: &'static str) -> Result<(), Duration> {
        self.told.heed()?;
        let call = endpoints::call(operation);
        let first = paid::is_first();
        if paid::spend(call.endpoint) {
            // GitHub may have told somebody to wait since the claim.
            if paid::age() > MOMENT {
                self.heed().await?;
            }
        } else {
            let instead = !first && call.write && paid::owes_a_write();
            self.permit(&call, (first, instead)).await?;
            if instead {
                paid::swap();
            }
            paid::sent();
        }
        if let Some(smoother) = &self.smoother {
            smoother.until_ready().await;
        }
        Ok(())
    }

    /// Goes on unless a pause holds that GitHub gave cause for. What cannot be asked holds nothing up: it is paid for.
    async fn heed(&self) -> Result<(), Duration> {
        let ours = Scope::Installation(self.installation.clone());
        let pauses = self.spine.pauses().await.unwrap_or_default();
        let holds = |one: &&Paused| one.scope == ours && one.pause.reason != Reason::Admin;
        pauses.iter().filter(holds).map(|one| one.pause.left).max().map_or(Ok(()), Err)
    }

    /// Waits a moment for the budget, once; longer than that the job goes back to the queue.
    async fn permit(&self, call: &queue::Call, (first, instead): (bool, bool)) -> Result<(), Duration> {
        let ask = || async {
            let asked = if first {
                self.spine.permit_first(&self.installation, call).await
            } else if instead {
                self.spine.permit_instead(&self.installation, call).await
            } else {
                self.spine.permit(&self.installation, call).await
            };
            match asked {
                Ok(Permit::Go) => Ok(()),
                Ok(Permit::Wait(wait)) => Err(wait),
                Err(error) => {
                    tracing::warn!(%error, "the budget cannot be asked");
                    Err(BLIND)
                }
            }
        };
        match ask().await {
            Err(wait) if wait <= MOMENT => {
                tokio::time::sleep(wait).await;
                ask().await
            }
            answer => answer,
        }
    }
}

impl Gate for Meter {
    fn admit(&self, operation: &'static str, _: &Method) -> GateFuture<'_> {
        Box::pin(self.ask(operation))
    }
}

impl Observer for Meter {
    fn answered(&self, answer: &Answer) {
        if let Some((kind, wait)) = answer.limit {
            self.told.note(kind, wait);
        }
        // Of what is not counted with the installation's requests, an outage alone says something of it.
        let apart = endpoints::as_app(answer.operation);
        let health = match answer.status {
            None | Some(500..) => Some(Health::Bad),
            Some(_) if apart => None,
            Some(_) if answer.limit.is_some() => None,
            Some(_) => Some(Health::Good),
        };
        let window = answer.rate.as_ref().filter(|_| !apart).and_then(|rate| {
            let reset_in = (rate.reset_at - answer.server_date?).to_std().unwrap_or_default();
            Some(Observation {
                endpoint: Some(endpoints::call(answer.operation).endpoint),
                resource: rate.resource.clone(),
                limit: rate.limit,
                remaining: rate.remaining,
                reset_in,
            })
        });
        // Full: somebody says the same already, and a limit is noted.
        let _ = self.heard.try_send(News { health, window });
    }
}

/// Takes answers in, in their order: a limit before all else, since every other news may end a probe; then bad news, then
/// the window, good news last.
async fn take_in(
    spine: Spine,
    installation: InstallationId,
    told: Arc<Told>,
    mut news: mpsc::Receiver<News>,
) {
    while let Some(News { health, window }) = news.recv().await {
        told.share(&spine, &installation).await;
        let told = async {
            if health == Some(Health::Bad) {
                spine.outcome(&installation, Health::Bad).await?;
            }
            if let Some(window) = &window {
                spine.observe(&installation, window).await?;
            }
            if health == Some(Health::Good) {
                spine.outcome(&installation, Health::Good).await?;
            }
            Ok::<(), queue::QueueError>(())
        };
        if let Err(error) = told.await {
            tracing::debug!(%installation, %error, "an answer was not taken into the budget; the next one says the same");
        }
    }
}
