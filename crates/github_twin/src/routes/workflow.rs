//! Routes of workflow jobs and runs, as far as runners need them.

use serde_json::json;

use super::{Call, Need, Route};
use crate::{
    answer::Answer,
    jobs::{Conclusion, Job, JobStatus},
    state::State,
};

const fn actions(
    method: &'static str,
    template: &'static str,
    write: bool,
    run: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route { method, template, need: Need::Permission("actions", write), run }
}

pub(super) static ROUTES: &[Route] = &[
    actions("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}", false, job),
    actions("GET", "/repos/{owner}/{repo}/actions/runs", false, runs),
    actions("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", false, run),
    actions("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", false, jobs_of_run),
    actions("POST", "/repos/{owner}/{repo}/actions/runs/{run_id}/cancel", true, cancel),
    actions("POST", "/repos/{owner}/{repo}/actions/runs/{run_id}/force-cancel", true, cancel),
];

/// Returns the jobs of the repository in the path, by id.
fn jobs<'a>(state: &'a State, call: &Call) -> impl Iterator<Item = &'a Job> {
    let repository = format!("{}/{}", call.param("owner"), call.param("repo"));
    state.jobs.values().filter(move |j| j.repository.eq_ignore_ascii_case(&repository))
}

/// Returns the jobs of the run in the path.
fn of_run<'a>(state: &'a State, call: &Call) -> Vec<&'a Job> {
    let run = call.id("run_id");
    jobs(state, call).filter(|j| j.run_id == run).collect()
}

fn job(state: &mut State, call: &Call) -> Answer {
    let found = jobs(state, call).find(|j| j.id == call.id("job_id"));
    found.map_or_else(Answer::not_found, |j| Answer::ok(j.view(&state.base)))
}

/// Lists runs, newest first. `status` may also be a conclusion.
fn runs(state: &mut State, call: &Call) -> Answer {
    let wanted = |job: &Job| {
        let fits = |name: &str, has: &str| call.query(name).is_none_or(|wanted| wanted == has);
        let status = call.query("status").is_none_or(|wanted| job.is_described_as(wanted));
        status && fits("event", "push") && fits("branch", "main")
    };
    let mut all: Vec<&Job> = jobs(state, call).filter(|job| wanted(job)).collect();
    all.reverse();
    call.list(&state.base, "workflow_runs", &all, |job| job.run_view(&state.base, state.started))
}

fn run(state: &mut State, call: &Call) -> Answer {
    let found = of_run(state, call).into_iter().next();
    found.map_or_else(Answer::not_found, |job| Answer::ok(job.run_view(&state.base, state.started)))
}

fn jobs_of_run(state: &mut State, call: &Call) -> Answer {
    let all = of_run(state, call);
    if all.is_empty() {
        return Answer::not_found();
    }
    call.list(&state.base, "jobs", &all, |job| job.view(&state.base))
}

fn cancel(state: &mut State, call: &Call) -> Answer {
    let all: Vec<(u64, JobStatus)> = of_run(state, call).iter().map(|j| (j.id, j.status)).collect();
    if all.is_empty() {
        return Answer::not_found();
    }
    let open: Vec<u64> = all.iter().filter(|(_, s)| *s != JobStatus::Completed).map(|(id, _)| *id).collect();
    if open.is_empty() {
        return Answer::error(409, "Cannot cancel a workflow run that is completed.");
    }
    for id in open {
        // The job is open, so completing it cannot fail.
        drop(state.complete_job(id, Conclusion::Cancelled));
    }
    Answer::new(202, json!({}))
}
