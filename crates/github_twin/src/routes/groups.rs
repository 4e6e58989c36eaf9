//! Routes of the runner groups of an organisation or an enterprise.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Call, Route,
    runners::{enterprise, org},
};
use crate::{
    answer::Answer,
    groups::Group,
    state::{Runner, State},
    views,
};

pub(super) static ROUTES: &[Route] = &[
    org("GET", "/orgs/{org}/actions/runner-groups", false, list),
    org("POST", "/orgs/{org}/actions/runner-groups", true, create),
    org("GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}", false, get),
    org("PATCH", "/orgs/{org}/actions/runner-groups/{runner_group_id}", true, update),
    org("DELETE", "/orgs/{org}/actions/runner-groups/{runner_group_id}", true, delete),
    enterprise("GET", "/enterprises/{enterprise}/actions/runner-groups", list),
    enterprise("POST", "/enterprises/{enterprise}/actions/runner-groups", create),
    enterprise("GET", "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}", get),
    enterprise("PATCH", "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}", update),
    enterprise("DELETE", "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}", delete),
];

/// Lists all groups, or those that one repository may use.
fn list(state: &mut State, call: &Call) -> Answer {
    let groups = state.groups_of(&call.scope());
    let view = |group: &&Group| views::group(&state.base, call, group);
    let shown: Vec<&Group> = match call.query("visible_to_repository") {
        None => groups.iter().collect(),
        Some(name) => {
            let name = name.rsplit('/').next().unwrap_or(name);
            let id = state.repository(call.param("org"), name).map(|r| r.id);
            groups.iter().filter(|group| id.is_some_and(|id| group.serves(id))).collect()
        }
    };
    call.list(&state.base, "runner_groups", &shown, view)
}

fn create(state: &mut State, call: &Call) -> Answer {
    let scope = call.scope();
    let groups = state.groups_of(&scope);
    if groups.len() >= 1000 {
        return Answer::invalid("Too many runner groups.", &[]);
    }
    let id = groups.iter().map(|g| g.id).max().unwrap_or(0) + 1;
    let made = call.object().and_then(|body| {
        if body.get("name").is_none() {
            return Err(Answer::invalid("Invalid request.\n\n\"name\" wasn't supplied.", &[]));
        }
        let mut group = Group::new(id, "", false);
        change(state, call, &body, &mut group)?;
        group.selected = selected(state, call, &body)?.unwrap_or_default();
        let runners = ids(&body, "runners")?.unwrap_or_default();
        runners_in_scope(state, &scope, &runners)?;
        Ok((group, runners))
    });
    let (group, runners) = match made {
        Ok(made) => made,
        Err(answer) => return answer,
    };
    let view = views::group(&state.base, call, &group);
    state.groups.entry(scope).or_default().push(group);
    move_runners(state, &runners, id);
    Answer::new(201, view)
}

fn update(state: &mut State, call: &Call) -> Answer {
    let Some(mut group) = named(state, call).cloned() else { return Answer::not_found() };
    if let Err(answer) = call.object().and_then(|body| change(state, call, &body, &mut group)) {
        return answer;
    }
    let view = views::group(&state.base, call, &group);
    replace_group(state, call, group);
    Answer::ok(view)
}

/// Applies the fields of the body; fields it does not name stay.
fn change(state: &State, call: &Call, body: &Value, group: &mut Group) -> Result<(), Answer> {
    let wrong = |why: &str| Answer::invalid("Invalid request.", &[why]);
    if let Some(name) = body.get("name") {
        let name = name.as_str().map(str::trim).filter(|n| !n.is_empty() && n.len() <= 255);
        name.ok_or_else(|| wrong("name must have 1 to 255 characters"))?.clone_into(&mut group.name);
        let taken = |other: &Group| other.id != group.id && other.name.eq_ignore_ascii_case(&group.name);
        if state.groups_of(&call.scope()).iter().any(taken) {
            return Err(Answer::error(409, "Already exists - A runner group with this name already exists."));
        }
    }
    if let Some(visibility) = body.get("visibility") {
        let known: &[&str] = if call.param("enterprise").is_empty() {
            &["all", "selected", "private"]
        } else {
            &["all", "selected"]
        };
        let visibility = visibility.as_str().filter(|v| known.contains(v));
        visibility
            .ok_or_else(|| wrong("visibility is not one of the allowed words"))?
            .clone_into(&mut group.visibility);
    }
    for (name, flag) in [
        ("allows_public_repositories", &mut group.public),
        ("restricted_to_workflows", &mut group.restricted),
    ] {
        if let Some(value) = body.get(name) {
            *flag = value.as_bool().ok_or_else(|| wrong(&format!("{name} must be a boolean")))?;
        }
    }
    if let Some(workflows) = body.get("selected_workflows") {
        let texts: Option<Vec<String>> =
            workflows.as_array().and_then(|all| all.iter().map(|w| w.as_str().map(str::to_owned)).collect());
        group.workflows = texts.ok_or_else(|| wrong("selected_workflows must be an array of strings"))?;
    }
    Ok(())
}

/// Returns a list of ids in the body; `None` when the body does not name it.
pub(super) fn ids(body: &Value, name: &str) -> Result<Option<Vec<u64>>, Answer> {
    let Some(list) = body.get(name) else { return Ok(None) };
    let read = list.as_array().and_then(|all| all.iter().map(Value::as_u64).collect());
    let wrong = || Answer::invalid("Invalid request.", &[&format!("{name} must be an array of integers")]);
    read.ok_or_else(wrong).map(Some)
}

/// Returns the repositories or organisations that the body selects, all of which must exist.
pub(super) fn selected(state: &State, call: &Call, body: &Value) -> Result<Option<BTreeSet<u64>>, Answer> {
    let name = if call.param("enterprise").is_empty() {
        "selected_repository_ids"
    } else {
        "selected_organization_ids"
    };
    let Some(ids) = ids(body, name)? else { return Ok(None) };
    if ids.iter().all(|id| may_be_selected(state, call, *id)) {
        return Ok(Some(ids.into_iter().collect()));
    }
    Err(Answer::invalid("Invalid request.", &[&format!("{name} names an object that does not exist")]))
}

pub(super) fn may_be_selected(state: &State, call: &Call, id: u64) -> bool {
    match call.param("org") {
        "" => state.organizations().any(|org| views::stable_id(org) == id),
        org => state.repositories_of(org).any(|r| r.id == id),
    }
}

pub(super) fn named<'a>(state: &'a State, call: &Call) -> Option<&'a Group> {
    state.groups_of(&call.scope()).iter().find(|g| g.id == call.id("runner_group_id"))
}

/// Replaces the group with the same id.
pub(super) fn replace_group(state: &mut State, call: &Call, group: Group) {
    let groups = state.groups.entry(call.scope()).or_default();
    if let Some(old) = groups.iter_mut().find(|g| g.id == group.id) {
        *old = group;
    }
}

fn get(state: &mut State, call: &Call) -> Answer {
    let view = |g| Answer::ok(views::group(&state.base, call, g));
    named(state, call).map_or_else(Answer::not_found, view)
}

/// Deletes a group; its runners return to the default group.
fn delete(state: &mut State, call: &Call) -> Answer {
    let Some((id, default)) = named(state, call).map(|g| (g.id, g.default)) else {
        return Answer::not_found();
    };
    if default {
        return Answer::invalid("The default group cannot be deleted.", &[]);
    }
    let scope = call.scope();
    let home = default_group(state, &scope);
    state.groups.entry(scope.clone()).or_default().retain(|g| g.id != id);
    let left: Vec<u64> = in_group(state, &scope, id).map(|r| r.id).collect();
    move_runners(state, &left, home);
    Answer::empty(204)
}

pub(super) fn default_group(state: &State, scope: &str) -> u64 {
    state.groups_of(scope).iter().find(|g| g.default).map_or(1, |g| g.id)
}

pub(super) fn in_group<'a>(state: &'a State, scope: &'a str, group: u64) -> impl Iterator<Item = &'a Runner> {
    state.in_scope(scope).filter(move |r| r.runner_group_id == group)
}

pub(super) fn move_runners(state: &mut State, runners: &[u64], group: u64) {
    for id in runners {
        if let Some(runner) = state.runners.get_mut(id) {
            runner.runner_group_id = group;
        }
    }
}

pub(super) fn runners_in_scope(state: &State, scope: &str, runners: &[u64]) -> Result<(), Answer> {
    let known = |id: &u64| state.runners.get(id).is_some_and(|r| r.scope == scope);
    let wrong = || Answer::invalid("Invalid request.", &["runners names a runner that does not exist"]);
    runners.iter().all(known).then_some(()).ok_or_else(wrong)
}
