//! Messages to the queue about jobs, and estimates of their start. PostgreSQL is the source of truth: an unavailable
//! queue delays a job until the next requeue and never loses one.

use domain::{Job, JobKind, Problem, ProblemCode, Team, whole_seconds};
use queue::{ProspectiveJob, Queue, Ticket};

/// Most queued jobs of one team.
const MAX_TEAM_BACKLOG: u64 = 20_000;

/// Returns the seconds until a new job is expected to start, in whole numbers. If the queue is unavailable, there is no
/// estimate and the job is accepted; it may expire later.
///
/// # Errors
/// Refuses a job that cannot start before its deadline: `team_backlog` if other teams' jobs still could, else
/// `service_backlog`.
pub(crate) async fn estimate_start(queue: &Queue, team: &Team, kind: JobKind) -> Result<u64, Problem> {
    let prospect = ProspectiveJob {
        installation: team.installation.clone(),
        lane: kind.lane(),
        team: Some(team.id),
        weight: team.weight,
        cost: kind.cost(),
    };
    let Ok(forecast) = queue.forecast(&prospect).await else { return Ok(1) };
    let time_limit = kind.deadline_after().to_std().unwrap_or_default();
    if forecast.team_waiting < MAX_TEAM_BACKLOG && forecast.starts_in < time_limit {
        return Ok(whole_seconds(forecast.starts_in));
    }
    let other_team = ProspectiveJob { team: None, ..prospect };
    let others = queue.forecast(&other_team).await.map_or(time_limit, |others| others.starts_in);
    let wait = whole_seconds(forecast.starts_in.saturating_sub(time_limit));
    Err(if others < time_limit {
        let waiting = forecast.team_waiting;
        let detail = format!(
            "Your team has {waiting} jobs waiting or has used its part of GitHub's limits; another job could not start in time."
        );
        Problem::new(ProblemCode::TeamBacklog, detail).retry_after(wait)
    } else {
        let detail = "Too many jobs wait for GitHub's limits; this one could not start in time.";
        Problem::new(ProblemCode::ServiceBacklog, detail).retry_after(wait)
    })
}

/// Enqueues a committed job. A job that is in the queue already and has become urgent moves to the front.
pub(crate) async fn enqueue(queue: &Queue, job: &Job, weight: f64) {
    if let Err(error) = queue.enqueue(&[Ticket::for_job(job, weight)]).await {
        tracing::warn!(job = %job.id, %error, "queue unavailable; the job is enqueued by the next requeue");
    }
}
