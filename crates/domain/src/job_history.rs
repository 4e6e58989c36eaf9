//! History of one job: what happened to it, in order.

use chrono::{DateTime, Utc};

use crate::{Job, JobState, string_enum::string_enum};

/// Number of ended starts of one job that are kept.
pub const MAX_JOB_STOPS: usize = 64;

string_enum! {
    /// Event in the history of a job.
    JobEventKind {
        /// The request was accepted.
        Accepted = "accepted",
        /// A worker started the job.
        Started = "started",
        /// The job waits for a limit, an outage or a busy runner.
        Snoozed = "snoozed",
        /// The start failed; the job is tried again.
        Retried = "retried",
        /// The worker stopped and gave the job back.
        Released = "released",
        /// The worker died; another one takes over.
        Rescued = "rescued",
        /// The worker could not record the result; the job starts again.
        Restarted = "restarted",
        /// The job succeeded.
        Succeeded = "succeeded",
        /// The job failed for good.
        Failed = "failed",
        /// The job was cancelled.
        Cancelled = "cancelled",
        /// The deadline passed.
        Expired = "expired",
    }
}

/// A start that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStop {
    /// Number of the start.
    pub fence: i64,
    /// Worker of the start.
    pub worker: Option<String>,
    /// Time of the start, if it is known.
    pub started_at: Option<DateTime<Utc>>,
    /// Time of its end.
    pub at: DateTime<Utc>,
    /// Kind of the end.
    pub what: JobEventKind,
    /// Reason of the wait or the failure.
    pub detail: Option<String>,
    /// Time from which the job may start again.
    pub next_at: Option<DateTime<Utc>>,
}

/// What the rows keep of a job's starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobHistory {
    /// Worker of the newest start.
    pub worker: Option<String>,
    /// Time of the newest start.
    pub started_at: Option<DateTime<Utc>>,
    /// The newest starts that ended without a result, by fence; at most [`MAX_JOB_STOPS`].
    pub stops: Vec<JobStop>,
}

/// One event in the history of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// Time of the event.
    pub at: DateTime<Utc>,
    /// Kind of the event.
    pub what: JobEventKind,
    /// Worker concerned.
    pub worker: Option<String>,
    /// Number of the start concerned.
    pub fence: Option<i64>,
    /// Reason of a wait, a failure or an end.
    pub detail: Option<String>,
    /// Time from which the job may start again.
    pub next_at: Option<DateTime<Utc>>,
}

impl JobHistory {
    /// Returns the events of a job, oldest first. Of the starts before the newest 64 there is none.
    pub fn events(&self, job: &Job) -> Vec<JobEvent> {
        let plain = |at, what| JobEvent { at, what, worker: None, fence: None, detail: None, next_at: None };
        let mut events = vec![plain(job.created_at, JobEventKind::Accepted)];
        for stop in &self.stops {
            let (worker, fence) = (stop.worker.clone(), Some(stop.fence));
            if let Some(at) = stop.started_at {
                let worker = worker.clone();
                events.push(JobEvent { worker, fence, ..plain(at, JobEventKind::Started) });
            }
            let (detail, next_at) = (stop.detail.clone(), stop.next_at);
            events.push(JobEvent { worker, fence, detail, next_at, ..plain(stop.at, stop.what) });
        }
        let newest = Some(job.fence).filter(|fence| self.stops.iter().all(|stop| stop.fence < *fence));
        if let (Some(fence), Some(at)) = (newest, self.started_at) {
            let (worker, fence) = (self.worker.clone(), Some(fence));
            events.push(JobEvent { worker, fence, ..plain(at, JobEventKind::Started) });
        }
        if let (Some(at), Some(what)) = (job.finished_at, end_of(job.state)) {
            let fence = newest.filter(|_| self.started_at.is_some());
            let worker = self.worker.clone().filter(|_| fence.is_some());
            let detail = job.error.as_ref().map(|problem| problem.code.as_str().to_owned());
            events.push(JobEvent { worker, fence, detail, ..plain(at, what) });
        }
        events
    }
}

const fn end_of(state: JobState) -> Option<JobEventKind> {
    match state {
        JobState::Queued | JobState::Running => None,
        JobState::Succeeded => Some(JobEventKind::Succeeded),
        JobState::Failed => Some(JobEventKind::Failed),
        JobState::Cancelled => Some(JobEventKind::Cancelled),
        JobState::Expired => Some(JobEventKind::Expired),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{InstallationId, JobId, JobKind, JobParams, Problem, ProblemCode};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn job(state: JobState, fence: i64) -> Job {
        Job {
            id: JobId::new(),
            kind: JobKind::Register,
            installation: InstallationId::default(),
            team: None,
            requester: None,
            asked_by: None,
            waiters: 0,
            runner: None,
            runner_name: None,
            state,
            blocked_on: None,
            attempts: 0,
            snoozes: 0,
            rescues: 0,
            fence,
            run_at: at(0),
            deadline_at: at(900),
            created_at: at(0),
            started_at: None,
            finished_at: state.is_final().then(|| at(90)),
            params: JobParams::Register,
            error: None,
            trace: None,
            now: at(100),
        }
    }

    fn stop(fence: i64, what: JobEventKind) -> JobStop {
        JobStop {
            fence,
            worker: Some(format!("worker-{fence}")),
            started_at: Some(at(fence * 10)),
            at: at(fence * 10 + 1),
            what,
            detail: None,
            next_at: None,
        }
    }

    fn told(history: &JobHistory, job: &Job) -> Vec<(&'static str, Option<i64>)> {
        history.events(job).iter().map(|event| (event.what.as_str(), event.fence)).collect()
    }

    #[test]
    fn job_that_ran_once_is_told_by_its_row() {
        let history = JobHistory { started_at: Some(at(5)), ..JobHistory::default() };
        let wanted = [("accepted", None), ("started", Some(1)), ("succeeded", Some(1))];
        assert_eq!(told(&history, &job(JobState::Succeeded, 1)), wanted);
        assert_eq!(told(&JobHistory::default(), &job(JobState::Queued, 0)), [("accepted", None)]);
    }

    #[test]
    fn each_start_that_ended_without_a_result_is_told() {
        let stops = vec![stop(1, JobEventKind::Snoozed), stop(2, JobEventKind::Rescued)];
        let history = JobHistory { worker: Some("worker-3".to_owned()), started_at: Some(at(31)), stops };
        let failed =
            Job { error: Some(Problem::new(ProblemCode::GithubRefused, "no")), ..job(JobState::Failed, 3) };
        let wanted = [
            ("accepted", None),
            ("started", Some(1)),
            ("snoozed", Some(1)),
            ("started", Some(2)),
            ("rescued", Some(2)),
            ("started", Some(3)),
            ("failed", Some(3)),
        ];
        assert_eq!(told(&history, &failed), wanted);
        let events = history.events(&failed);
        assert_eq!(events[6].detail.as_deref(), Some("github_refused"));
        assert_eq!(events[6].worker.as_deref(), Some("worker-3"));
    }

    #[test]
    fn start_that_was_put_off_is_told_once() {
        let stops = vec![stop(1, JobEventKind::Snoozed)];
        let history = JobHistory { worker: Some("worker-1".to_owned()), started_at: Some(at(10)), stops };
        let wanted = [("accepted", None), ("started", Some(1)), ("snoozed", Some(1))];
        assert_eq!(told(&history, &job(JobState::Queued, 1)), wanted);
        let cancelled = history.events(&job(JobState::Cancelled, 1));
        assert_eq!(cancelled[3].what, JobEventKind::Cancelled);
        assert_eq!((cancelled[3].fence, cancelled[3].worker.as_deref()), (None, None), "no worker ended it");
    }
}
