//! Telling the queue, and asking it how long things take. The row is the truth: a queue that is away delays a job
//! until the next sweep, it never loses one.

use std::time::Duration;

use domain::{Job, JobKind, JobState, Problem, ProblemCode, Team};
use queue::{Prospect, Standing, Ticket};

use crate::{app::App, limit::ceil};

/// Most jobs one team may have waiting.
const MOST_WAITING: u64 = 20_000;

/// Whether a new job can start before its deadline, as things stand. With the queue away nobody knows, and the job is
/// accepted: its row counts, and it expires if need be.
///
/// Answers when, in whole seconds.
///
/// # Errors
/// `team_backlog` when others could still start in time, else `service_backlog`.
pub(crate) async fn foresee(app: &App, team: &Team, kind: JobKind) -> Result<u64, Problem> {
    let prospect = Prospect {
        installation: team.installation.clone(),
        lane: kind.lane(),
        team: Some(team.id),
        weight: team.weight,
        cost: kind.cost(),
    };
    let Ok(forecast) = app.spine.forecast(&prospect).await else { return Ok(1) };
    let patience = kind.patience().to_std().unwrap_or_default();
    if forecast.team_waiting < MOST_WAITING && forecast.starts_in < patience {
        return Ok(ceil(forecast.starts_in));
    }
    let stranger = Prospect { team: None, ..prospect };
    let others = app.spine.forecast(&stranger).await.map_or(patience, |others| others.starts_in);
    let wait = ceil(forecast.starts_in.saturating_sub(patience));
    Err(if others < patience {
        let detail = format!(
            "Your team has {} jobs waiting; one more could not start in time.",
            forecast.team_waiting
        );
        Problem::new(ProblemCode::TeamBacklog, detail).retry_after(wait)
    } else {
        let detail = "So much is waiting for GitHub's limits that the job could not start in time.";
        Problem::new(ProblemCode::ServiceBacklog, detail).retry_after(wait)
    })
}

/// Puts a committed job on its way; one that is on it already, and urgent by now, comes to the front.
pub(crate) async fn enqueue(app: &App, job: &Job, weight: f64) {
    let ticket = Ticket {
        job: job.id,
        installation: job.installation.clone(),
        lane: job.kind.lane(),
        team: job.team,
        weight,
        cost: job.kind.cost(),
        // The row was written a moment ago. Both times are the database's: only their difference means anything here.
        age: Duration::ZERO,
        time_left: (job.deadline_at - job.created_at).to_std().unwrap_or_default(),
        delay: Duration::ZERO,
        urgent: job.is_urgent(),
    };
    if let Err(error) = app.spine.enqueue(&[ticket]).await {
        tracing::warn!(job = %job.id, %error, "the queue is away; the job waits for the next sweep");
    }
}

/// Where a job that waits stands; none for any other, or when the queue is away.
pub(crate) async fn standing(app: &App, job: &Job) -> Option<Standing> {
    if job.state != JobState::Queued {
        return None;
    }
    app.spine.standing(job.id).await.ok().flatten()
}

/// Seconds after which asking again makes sense.
pub(crate) fn retry_after(standing: Option<&Standing>) -> u64 {
    standing.map_or(1, |standing| ceil(standing.starts_in))
}
