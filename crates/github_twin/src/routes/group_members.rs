//! Routes of a group's runners, and of the repositories or organisations that may use it.

use std::collections::BTreeSet;

use super::{
    Call, Route,
    groups::{
        default_group, ids, in_group, may_be_selected, move_runners, named, replace_group, runners_in_scope,
        selected,
    },
    runners::{enterprise, named as named_runner, org, page_of},
};
use crate::{
    answer::Answer,
    repositories::Repository,
    state::{Runner, State},
    views,
};

pub(super) static ROUTES: &[Route] = &[
    org("GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}/runners", false, runners),
    org("PUT", "/orgs/{org}/actions/runner-groups/{runner_group_id}/runners", true, set_runners),
    org("PUT", "/orgs/{org}/actions/runner-groups/{runner_group_id}/runners/{runner_id}", true, add_runner),
    org(
        "DELETE",
        "/orgs/{org}/actions/runner-groups/{runner_group_id}/runners/{runner_id}",
        true,
        drop_runner,
    ),
    org("GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories", false, repositories),
    org("PUT", "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories", true, set_selected),
    org(
        "PUT",
        "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}",
        true,
        add_selected,
    ),
    org(
        "DELETE",
        "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}",
        true,
        drop_selected,
    ),
    enterprise("GET", "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/runners", runners),
    enterprise(
        "PUT",
        "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/runners",
        set_runners,
    ),
    enterprise(
        "PUT",
        "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/runners/{runner_id}",
        add_runner,
    ),
    enterprise(
        "DELETE",
        "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/runners/{runner_id}",
        drop_runner,
    ),
    enterprise(
        "GET",
        "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/organizations",
        organizations,
    ),
    enterprise(
        "PUT",
        "/enterprises/{enterprise}/actions/runner-groups/{runner_group_id}/organizations",
        set_selected,
    ),
];

fn runners(state: &mut State, call: &Call) -> Answer {
    let Some(id) = named(state, call).map(|g| g.id) else { return Answer::not_found() };
    let scope = call.scope();
    let all: Vec<&Runner> = in_group(state, &scope, id).collect();
    page_of(state, call, &all, "runners")
}

/// Replaces the runners; those not listed return to the default group.
fn set_runners(state: &mut State, call: &Call) -> Answer {
    let Some(id) = named(state, call).map(|g| g.id) else { return Answer::not_found() };
    let scope = call.scope();
    let read = call.object().and_then(|body| {
        let runners = ids(&body, "runners")?;
        let missing = || Answer::invalid("Invalid request.\n\n\"runners\" wasn't supplied.", &[]);
        let runners = runners.ok_or_else(missing)?;
        runners_in_scope(state, &scope, &runners)?;
        Ok(runners)
    });
    let runners = match read {
        Ok(runners) => runners,
        Err(answer) => return answer,
    };
    let left: Vec<u64> = in_group(state, &scope, id).map(|r| r.id).collect();
    let home = default_group(state, &scope);
    move_runners(state, &left, home);
    move_runners(state, &runners, id);
    Answer::empty(204)
}

fn add_runner(state: &mut State, call: &Call) -> Answer {
    let group = named(state, call).map(|g| g.id);
    let (Some(group), Some(runner)) = (group, named_runner(state, call).map(|r| r.id)) else {
        return Answer::not_found();
    };
    move_runners(state, &[runner], group);
    Answer::empty(204)
}

fn drop_runner(state: &mut State, call: &Call) -> Answer {
    let group = named(state, call).map(|g| g.id);
    let runner = named_runner(state, call).filter(|r| Some(r.runner_group_id) == group).map(|r| r.id);
    let Some(runner) = runner else { return Answer::not_found() };
    let home = default_group(state, &call.scope());
    move_runners(state, &[runner], home);
    Answer::empty(204)
}

fn repositories(state: &mut State, call: &Call) -> Answer {
    let Some(group) = named(state, call) else { return Answer::not_found() };
    let all: Vec<&Repository> =
        state.repositories_of(call.param("org")).filter(|r| group.selected.contains(&r.id)).collect();
    call.list(&state.base, "repositories", &all, |r| state.repository_view(r))
}

fn organizations(state: &mut State, call: &Call) -> Answer {
    let Some(group) = named(state, call) else { return Answer::not_found() };
    let all: Vec<&str> =
        state.organizations().filter(|org| group.selected.contains(&views::stable_id(org))).collect();
    call.list(&state.base, "organizations", &all, |org| views::organization(&state.base, org))
}

fn set_selected(state: &mut State, call: &Call) -> Answer {
    let read = call.object().and_then(|body| {
        let missing = || Answer::invalid("Invalid request.\n\nThe list of ids wasn't supplied.", &[]);
        selected(state, call, &body)?.ok_or_else(missing)
    });
    match read {
        Ok(ids) => with_selection(state, call, |selected| *selected = ids),
        Err(answer) => answer,
    }
}

fn add_selected(state: &mut State, call: &Call) -> Answer {
    let id = call.id("repository_id");
    if !may_be_selected(state, call, id) {
        return Answer::not_found();
    }
    with_selection(state, call, |selected| {
        selected.insert(id);
    })
}

fn drop_selected(state: &mut State, call: &Call) -> Answer {
    let id = call.id("repository_id");
    with_selection(state, call, |selected| {
        selected.remove(&id);
    })
}

/// Changes the selection; only a group with the visibility `selected` has one.
fn with_selection(state: &mut State, call: &Call, how: impl FnOnce(&mut BTreeSet<u64>)) -> Answer {
    let Some(mut group) = named(state, call).cloned() else { return Answer::not_found() };
    if group.visibility != "selected" {
        return Answer::invalid("The visibility of the runner group must be selected.", &[]);
    }
    how(&mut group.selected);
    replace_group(state, call, group);
    Answer::empty(204)
}
