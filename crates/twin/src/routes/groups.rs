//! Runner groups of an organisation.

use serde_json::{Value, json};

use super::{
    Call, Route,
    runners::{org, page_of},
};
use crate::{
    answer::Answer,
    state::{Group, Runner, State},
    views,
};

pub(super) static ROUTES: &[Route] = &[
    org("GET", "/orgs/{org}/actions/runner-groups", false, list),
    org("POST", "/orgs/{org}/actions/runner-groups", true, create),
    org("GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}", false, get),
    org("DELETE", "/orgs/{org}/actions/runner-groups/{runner_group_id}", true, delete),
    org("GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}/runners", false, runners),
];

fn list(state: &mut State, call: &Call) -> Answer {
    let (base, name) = (state.base.clone(), call.param("org"));
    let groups = state.groups_of(name);
    let (size, page) = call.page();
    let shown: Vec<Value> =
        groups.iter().skip((page - 1) * size).take(size).map(|g| views::group(&base, name, g)).collect();
    let answer = Answer::ok(json!({"total_count": groups.len(), "runner_groups": shown}));
    match call.link(&base, groups.len()) {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

fn create(state: &mut State, call: &Call) -> Answer {
    let body = match call.object() {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Some(name) = body["name"].as_str().map(str::trim).filter(|n| !n.is_empty() && n.len() <= 255) else {
        return Answer::invalid("Invalid request.\n\n\"name\" wasn't supplied.", &[]);
    };
    let org = call.param("org");
    let groups = state.groups_of(org);
    if groups.iter().any(|g| g.name.eq_ignore_ascii_case(name)) {
        return Answer::error(409, "Already exists - A runner group with this name already exists.");
    }
    if groups.len() >= 1000 {
        return Answer::invalid("Too many runner groups.", &[]);
    }
    let group = Group {
        id: groups.iter().map(|g| g.id).max().unwrap_or(0) + 1,
        name: name.to_owned(),
        visibility: body["visibility"].as_str().unwrap_or("all").to_owned(),
        default: false,
        public: body["allows_public_repositories"].as_bool().unwrap_or(false),
    };
    let view = views::group(&state.base, org, &group);
    state.groups.entry(org.to_lowercase()).or_default().push(group);
    Answer::new(201, view)
}

fn named<'a>(state: &'a State, call: &Call) -> Option<&'a Group> {
    state.groups_of(call.param("org")).iter().find(|g| g.id == call.id("runner_group_id"))
}

fn get(state: &mut State, call: &Call) -> Answer {
    let view = |g| Answer::ok(views::group(&state.base, call.param("org"), g));
    named(state, call).map_or_else(Answer::not_found, view)
}

/// Runners of a deleted group go back to the default group.
fn delete(state: &mut State, call: &Call) -> Answer {
    let Some((id, default)) = named(state, call).map(|g| (g.id, g.default)) else {
        return Answer::not_found();
    };
    if default {
        return Answer::invalid("The default group cannot be deleted.", &[]);
    }
    let (org, scope) = (call.param("org").to_lowercase(), call.scope());
    let home = state.groups_of(&org).iter().find(|g| g.default).map_or(1, |g| g.id);
    state.groups.entry(org).or_default().retain(|g| g.id != id);
    for runner in state.runners.values_mut().filter(|r| r.scope == scope && r.runner_group_id == id) {
        runner.runner_group_id = home;
    }
    Answer::empty(204)
}

fn runners(state: &mut State, call: &Call) -> Answer {
    let Some(id) = named(state, call).map(|g| g.id) else { return Answer::not_found() };
    let scope = call.scope();
    let all: Vec<&Runner> = state.in_scope(&scope).filter(|r| r.runner_group_id == id).collect();
    page_of(state, call, &all, "runners")
}
