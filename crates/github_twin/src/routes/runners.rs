//! Routes that list, read and delete runners, and that issue registration and removal tokens.

use dev_http::keys::random_text;
use serde_json::{Value, json};

use super::{Call, Need, Route, jit};
use crate::{
    answer::Answer,
    state::{Deprecation, Runner, State},
    views,
};

const ORG: &str = "organization_self_hosted_runners";
const REPO: &str = "administration";

pub(super) const fn org(
    method: &'static str,
    template: &'static str,
    write: bool,
    run: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route { method, template, need: Need::Permission(ORG, write), run }
}

pub(super) const fn repo(
    method: &'static str,
    template: &'static str,
    write: bool,
    run: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route { method, template, need: Need::Permission(REPO, write), run }
}

pub(super) const fn enterprise(
    method: &'static str,
    template: &'static str,
    run: fn(&mut State, &Call) -> Answer,
) -> Route {
    Route { method, template, need: Need::Enterprise, run }
}

pub(super) static ROUTES: &[Route] = &[
    org("POST", "/orgs/{org}/actions/runners/generate-jitconfig", true, jit::generate),
    org("POST", "/orgs/{org}/actions/runners/registration-token", true, registration_token),
    org("POST", "/orgs/{org}/actions/runners/remove-token", true, registration_token),
    org("GET", "/orgs/{org}/actions/runners/downloads", false, downloads),
    org("GET", "/orgs/{org}/actions/runners/deprecations/{version}", false, deprecations),
    org("GET", "/orgs/{org}/actions/runners", false, list),
    org("GET", "/orgs/{org}/actions/runners/{runner_id}", false, get),
    org("DELETE", "/orgs/{org}/actions/runners/{runner_id}", true, delete),
    repo("POST", "/repos/{owner}/{repo}/actions/runners/generate-jitconfig", true, jit::generate),
    repo("POST", "/repos/{owner}/{repo}/actions/runners/registration-token", true, registration_token),
    repo("POST", "/repos/{owner}/{repo}/actions/runners/remove-token", true, registration_token),
    repo("GET", "/repos/{owner}/{repo}/actions/runners/downloads", false, downloads),
    repo("GET", "/repos/{owner}/{repo}/actions/runners/deprecations/{version}", false, deprecations),
    repo("GET", "/repos/{owner}/{repo}/actions/runners", false, list),
    repo("GET", "/repos/{owner}/{repo}/actions/runners/{runner_id}", false, get),
    repo("DELETE", "/repos/{owner}/{repo}/actions/runners/{runner_id}", true, delete),
    enterprise("POST", "/enterprises/{enterprise}/actions/runners/generate-jitconfig", jit::generate),
    enterprise("POST", "/enterprises/{enterprise}/actions/runners/registration-token", registration_token),
    enterprise("POST", "/enterprises/{enterprise}/actions/runners/remove-token", registration_token),
    enterprise("GET", "/enterprises/{enterprise}/actions/runners/downloads", downloads),
    enterprise("GET", "/enterprises/{enterprise}/actions/runners/deprecations/{version}", deprecations),
    enterprise("GET", "/enterprises/{enterprise}/actions/runners", list),
    enterprise("GET", "/enterprises/{enterprise}/actions/runners/{runner_id}", get),
    enterprise("DELETE", "/enterprises/{enterprise}/actions/runners/{runner_id}", delete),
];

/// Returns the runner of the path, if it is in the scope of the path.
pub(super) fn named<'a>(state: &'a State, call: &Call) -> Option<&'a Runner> {
    state.runners.get(&call.id("runner_id")).filter(|r| r.scope == call.scope())
}

fn list(state: &mut State, call: &Call) -> Answer {
    let scope = call.scope();
    let all: Vec<&Runner> = match call.query("name") {
        Some(name) => state.by_name(&scope, name).into_iter().collect(),
        None => state.in_scope(&scope).collect(),
    };
    page_of(state, call, &all, "runners")
}

/// Returns one page of runners under `total_count`.
pub(super) fn page_of(state: &State, call: &Call, all: &[&Runner], key: &str) -> Answer {
    let (size, page) = call.page();
    let (missed, agree) = call.slip.unwrap_or((0, true));
    let late = if page > 1 { missed } else { 0 };
    let views: Vec<Value> =
        all.iter().skip((page - 1) * size + late).take(size).map(|r| views::runner(r)).collect();
    let total = if agree { all.len().saturating_sub(missed) } else { all.len() };
    let mut answer = Answer::ok(json!({"total_count": total, key: views}));
    if let Some(link) = call.link(&state.base, all.len()) {
        answer = answer.with("link", link);
    }
    answer
}

fn get(state: &mut State, call: &Call) -> Answer {
    named(state, call).map_or_else(Answer::not_found, |r| Answer::ok(views::runner(r)))
}

fn delete(state: &mut State, call: &Call) -> Answer {
    match named(state, call) {
        None => Answer::not_found(),
        Some(r) if r.busy => {
            let message = format!("Bad request - Runner \"{}\" is still running a job", r.name);
            Answer::invalid(message, &[])
        }
        Some(r) => {
            let id = r.id;
            state.remove_runner(id);
            Answer::empty(204)
        }
    }
}

fn registration_token(state: &mut State, _: &Call) -> Answer {
    let expires = state.now() + chrono::TimeDelta::hours(1);
    let token = random_text(29).to_uppercase().replace(['-', '_'], "A");
    Answer::new(201, json!({"token": token, "expires_at": views::time(expires)}))
}

fn downloads(_: &mut State, _: &Call) -> Answer {
    let version = "2.336.0";
    let one = |os: &str, arch: &str, end: &str| {
        let filename = format!("actions-runner-{os}-{arch}-{version}.{end}");
        let from = "https://github.com/actions/runner/releases/download";
        let url = format!("{from}/v{version}/{filename}");
        json!({"os": os, "architecture": arch, "download_url": url, "filename": filename})
    };
    Answer::ok(json!([
        one("linux", "x64", "tar.gz"),
        one("linux", "arm64", "tar.gz"),
        one("osx", "arm64", "tar.gz"),
        one("win", "x64", "zip"),
    ]))
}

fn deprecations(state: &mut State, call: &Call) -> Answer {
    let version = call.param("version");
    if version.split('.').count() != 3 || version.split('.').any(|p| p.parse::<u32>().is_err()) {
        return Answer::not_found();
    }
    let after = |days| state.started + chrono::TimeDelta::days(days);
    let usual = Deprecation { registration_deprecates_at: after(90), runtime_deprecates_at: after(120) };
    match state.deprecations.get(version).copied().unwrap_or(Some(usual)) {
        Some(told) => Answer::ok(json!({
            "runner_version": version,
            "registration_deprecates_at": views::time(told.registration_deprecates_at),
            "runtime_deprecates_at": views::time(told.runtime_deprecates_at),
        })),
        None => Answer::not_found(),
    }
}
