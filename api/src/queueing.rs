//! Telling the queue, and asking it how long things take. The row is the truth: a queue that is away delays a job
//! until the next sweep, it never loses one.

use std::time::Duration;

use domain::{Job, JobParams, JobState, Source};
use queue::{Place, Ticket};

use crate::{app::App, limit::ceil};

/// Jobs of one lane that start each second while nothing holds them up: a cautious guess until GitHub's budget says.
const PER_SECOND: u64 = 20;

/// Puts a committed job on its way.
pub(crate) async fn enqueue(app: &App, job: &Job, weight: f64) {
    let ticket = Ticket {
        job: job.id,
        installation: job.installation.clone(),
        lane: job.kind.lane(),
        team: job.team,
        weight,
        cost: job.kind.cost(),
        accepted_at: job.created_at,
        deadline_at: job.deadline_at,
        run_at: None,
        // Somebody looks at the answer.
        urgent: matches!(job.params, JobParams::DriftCheck { source: Source::Refresh }),
    };
    if let Err(error) = app.spine.enqueue(&[ticket]).await {
        tracing::warn!(job = %job.id, %error, "the queue is away; the job waits for the next sweep");
    }
}

/// Seconds after which asking again makes sense.
pub(crate) async fn retry_after(app: &App, job: &Job) -> u64 {
    if job.state != JobState::Queued {
        return 1;
    }
    let Ok(Some(standing)) = app.spine.standing(job.id).await else { return 1 };
    let pause = standing.pause.map_or(Duration::ZERO, |pause| pause.left);
    let turn = match standing.place {
        Place::Ready { ahead } => Duration::from_secs(ahead / PER_SECOND),
        Place::Delayed { due_in } => due_in,
        Place::Leased => Duration::ZERO,
    };
    ceil(pause.max(turn))
}
