//! Workflow jobs and runs, as far as runners are concerned.

use serde_json::json;

use super::{Call, Need, Route};
use crate::{answer::Answer, jobs::Conclusion, jobs::JobStatus, state::State};

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: "GET",
        template: "/repos/{owner}/{repo}/actions/jobs/{job_id}",
        need: Need::Permission("actions", false),
        run: job,
    },
    Route {
        method: "POST",
        template: "/repos/{owner}/{repo}/actions/runs/{run_id}/cancel",
        need: Need::Permission("actions", true),
        run: cancel,
    },
    Route {
        method: "POST",
        template: "/repos/{owner}/{repo}/actions/runs/{run_id}/force-cancel",
        need: Need::Permission("actions", true),
        run: cancel,
    },
];

fn repo(call: &Call) -> String {
    format!("{}/{}", call.param("owner"), call.param("repo"))
}

fn job(state: &mut State, call: &Call) -> Answer {
    let found = state.jobs.get(&call.id("job_id")).filter(|j| j.repository.eq_ignore_ascii_case(&repo(call)));
    found.map_or_else(Answer::not_found, |j| Answer::ok(j.view(&state.base)))
}

fn cancel(state: &mut State, call: &Call) -> Answer {
    let (run, repo) = (call.id("run_id"), repo(call));
    let jobs = state.jobs.values().filter(|j| j.run_id == run && j.repository.eq_ignore_ascii_case(&repo));
    let all: Vec<(u64, JobStatus)> = jobs.map(|j| (j.id, j.status)).collect();
    if all.is_empty() {
        return Answer::not_found();
    }
    let open: Vec<u64> = all.iter().filter(|(_, s)| *s != JobStatus::Completed).map(|(id, _)| *id).collect();
    if open.is_empty() {
        return Answer::error(409, "Cannot cancel a workflow run that is completed.");
    }
    for id in open {
        // It is open, so ending it cannot fail.
        drop(state.complete_job(id, Conclusion::Cancelled));
    }
    Answer::new(202, json!({}))
}
