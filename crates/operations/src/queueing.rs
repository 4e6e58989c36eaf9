//! Telling the queue of a job, and asking it how long things take. The row is the truth: a queue that is away delays a job
//! until the next sweep, it never loses one.

use domain::{Job, JobKind, Problem, ProblemCode, Team, whole_seconds};
use queue::{ProspectiveJob, Queue, Ticket};

/// Most jobs one team may have waiting.
const MAX_TEAM_BACKLOG: u64 = 20_000;

/// Whether a new job can start before its deadline, as things stand. With the queue away nobody knows, and the job is
/// accepted: its row counts, and it expires if need be.
///
/// Answers when, in whole seconds.
///
/// # Errors
/// `team_backlog` when others could still start in time, else `service_backlog`.
pub(crate) async fn estimate_start(queue: &Queue, team: &Team, kind: JobKind) -> Result<u64, Problem> {
    let prospect = ProspectiveJob {
        installation: team.installation.clone(),
        lane: kind.lane(),
        team: Some(team.id),
        weight: team.weight,
        cost: kind.cost(),
    };
    let Ok(forecast) = queue.forecast(&prospect).await else { return Ok(1) };
    let patience = kind.deadline_after().to_std().unwrap_or_default();
    if forecast.team_waiting < MAX_TEAM_BACKLOG && forecast.starts_in < patience {
        return Ok(whole_seconds(forecast.starts_in));
    }
    let stranger = ProspectiveJob { team: None, ..prospect };
    let others = queue.forecast(&stranger).await.map_or(patience, |others| others.starts_in);
    let wait = whole_seconds(forecast.starts_in.saturating_sub(patience));
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
pub(crate) async fn enqueue(queue: &Queue, job: &Job, weight: f64) {
    if let Err(error) = queue.enqueue(&[Ticket::for_job(job, weight)]).await {
        tracing::warn!(job = %job.id, %error, "the queue is away; the job waits for the next sweep");
    }
}
