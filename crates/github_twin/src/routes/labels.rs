//! Routes of a runner's labels. Every response has the labels after the change.

use serde_json::json;

use super::{
    Call, Route,
    jit::label_list,
    runners::{enterprise, named, org, repo},
};
use crate::{
    answer::Answer,
    state::{Label, LabelKind, State},
};

pub(super) static ROUTES: &[Route] = &[
    org("GET", "/orgs/{org}/actions/runners/{runner_id}/labels", false, list),
    org("POST", "/orgs/{org}/actions/runners/{runner_id}/labels", true, add),
    org("PUT", "/orgs/{org}/actions/runners/{runner_id}/labels", true, replace),
    org("DELETE", "/orgs/{org}/actions/runners/{runner_id}/labels", true, clear),
    org("DELETE", "/orgs/{org}/actions/runners/{runner_id}/labels/{name}", true, remove),
    repo("GET", "/repos/{owner}/{repo}/actions/runners/{runner_id}/labels", false, list),
    repo("POST", "/repos/{owner}/{repo}/actions/runners/{runner_id}/labels", true, add),
    repo("PUT", "/repos/{owner}/{repo}/actions/runners/{runner_id}/labels", true, replace),
    repo("DELETE", "/repos/{owner}/{repo}/actions/runners/{runner_id}/labels", true, clear),
    repo("DELETE", "/repos/{owner}/{repo}/actions/runners/{runner_id}/labels/{name}", true, remove),
    enterprise("GET", "/enterprises/{enterprise}/actions/runners/{runner_id}/labels", list),
    enterprise("POST", "/enterprises/{enterprise}/actions/runners/{runner_id}/labels", add),
    enterprise("PUT", "/enterprises/{enterprise}/actions/runners/{runner_id}/labels", replace),
    enterprise("DELETE", "/enterprises/{enterprise}/actions/runners/{runner_id}/labels", clear),
    enterprise("DELETE", "/enterprises/{enterprise}/actions/runners/{runner_id}/labels/{name}", remove),
];

fn list(state: &mut State, call: &Call) -> Answer {
    change(state, call, |_, _| Ok(()))
}

fn add(state: &mut State, call: &Call) -> Answer {
    change(state, call, |state, labels| {
        let names = call.object().and_then(|body| label_list(&body, 1))?;
        state.add_labels(labels, &names);
        if labels.len() > 100 {
            return Err(Answer::invalid("Invalid request.", &["a runner has at most 100 labels"]));
        }
        Ok(())
    })
}

fn replace(state: &mut State, call: &Call) -> Answer {
    change(state, call, |state, labels| {
        let names = call.object().and_then(|body| label_list(&body, 0))?;
        labels.retain(|l| l.kind == LabelKind::ReadOnly);
        state.add_labels(labels, &names);
        Ok(())
    })
}

fn clear(state: &mut State, call: &Call) -> Answer {
    change(state, call, |_, labels| {
        labels.retain(|l| l.kind == LabelKind::ReadOnly);
        Ok(())
    })
}

fn remove(state: &mut State, call: &Call) -> Answer {
    let name = call.param("name");
    change(state, call, |_, labels| {
        let at = labels.iter().position(|l| l.name.eq_ignore_ascii_case(name));
        let at = at.ok_or_else(Answer::not_found)?;
        if labels[at].kind == LabelKind::ReadOnly {
            return Err(Answer::invalid("Read-only labels cannot be removed.", &[]));
        }
        labels.remove(at);
        Ok(())
    })
}

/// Applies a change to a copy, stores it on success, and returns the labels.
fn change(
    state: &mut State,
    call: &Call,
    how: impl FnOnce(&mut State, &mut Vec<Label>) -> Result<(), Answer>,
) -> Answer {
    let Some((id, mut labels)) = named(state, call).map(|r| (r.id, r.labels.clone())) else {
        return Answer::not_found();
    };
    if let Err(answer) = how(state, &mut labels) {
        return answer;
    }
    let view = json!({"total_count": labels.len(), "labels": labels});
    if let Some(runner) = state.runners.get_mut(&id) {
        runner.labels = labels;
    }
    Answer::ok(view)
}
