//! The App, its installations and their tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Call, Need, Route};
use crate::{
    answer::Answer,
    state::{Installation, State},
    views,
};

const fn app(method: &'static str, template: &'static str, run: fn(&mut State, &Call) -> Answer) -> Route {
    Route { method, template, need: Need::App, run }
}

pub(super) static ROUTES: &[Route] = &[
    app("GET", "/app", get),
    app("GET", "/app/installations", list),
    app("GET", "/app/installations/{installation_id}", by_id),
    app("DELETE", "/app/installations/{installation_id}", uninstall),
    app("POST", "/app/installations/{installation_id}/access_tokens", mint),
    app("PUT", "/app/installations/{installation_id}/suspended", suspend),
    app("DELETE", "/app/installations/{installation_id}/suspended", unsuspend),
    app("GET", "/orgs/{org}/installation", by_account),
    app("GET", "/repos/{owner}/{repo}/installation", by_account),
];

fn get(state: &mut State, _: &Call) -> Answer {
    Answer::ok(state.app_view())
}

fn list(state: &mut State, call: &Call) -> Answer {
    let (size, page) = call.page();
    let shown = state.installations.iter().skip((page - 1) * size).take(size);
    let views: Vec<Value> = shown.map(|i| listed(state, i)).collect();
    let answer = Answer::ok(Value::Array(views));
    match call.link(&state.base, state.installations.len()) {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

/// In the list alone GitHub describes `account` as a user and an enterprise at once, so it holds the fields of
/// both.
fn listed(state: &State, i: &Installation) -> Value {
    let (mut view, since) = (state.installation_view(i), views::time(state.started));
    let account = &mut view["account"];
    (account["name"], account["slug"]) = (json!(i.org), json!(i.org));
    (account["created_at"], account["updated_at"]) = (json!(since), json!(since));
    view
}

fn shown(state: &State, found: Option<&Installation>) -> Answer {
    found.map_or_else(Answer::not_found, |i| Answer::ok(state.installation_view(i)))
}

fn by_id(state: &mut State, call: &Call) -> Answer {
    shown(state, state.installation(call.id("installation_id")))
}

fn by_account(state: &mut State, call: &Call) -> Answer {
    shown(state, state.installation_of(call.account().unwrap_or("")))
}

fn uninstall(state: &mut State, call: &Call) -> Answer {
    let id = call.id("installation_id");
    if state.installation(id).is_none() {
        return Answer::not_found();
    }
    state.installations.retain(|i| i.id != id);
    state.tokens.retain(|_, t| t.installation != id);
    Answer::empty(if call.version == "2026-03-10" { 202 } else { 204 })
}

fn suspend(state: &mut State, call: &Call) -> Answer {
    if state.suspend(call.id("installation_id"), true) { Answer::empty(204) } else { Answer::not_found() }
}

fn unsuspend(state: &mut State, call: &Call) -> Answer {
    if state.suspend(call.id("installation_id"), false) { Answer::empty(204) } else { Answer::not_found() }
}

fn mint(state: &mut State, call: &Call) -> Answer {
    let Some(found) = state.installation(call.id("installation_id")).cloned() else {
        return Answer::not_found();
    };
    if found.suspended_at.is_some() {
        return Answer::error(403, "This installation has been suspended");
    }
    let permissions = match call.object().and_then(|body| narrowed(&body, &found.permissions)) {
        Ok(permissions) => permissions,
        Err(answer) => return answer,
    };
    let (text, token) = state.mint(found.id, permissions);
    Answer::new(
        201,
        json!({
            "token": text, "expires_at": views::time(token.expires_at), "permissions": token.permissions,
            "repository_selection": "all",
        }),
    )
}

/// The permissions asked for, none of them above those granted; all of them when nothing is asked.
fn narrowed(body: &Value, granted: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Answer> {
    let Some(asked) = body.get("permissions") else { return Ok(granted.clone()) };
    let wrong = || Answer::validation_failed("Installation", "permissions", "invalid");
    let asked: BTreeMap<String, String> = serde_json::from_value(asked.clone()).map_err(|_| wrong())?;
    // Some client libraries always send an empty object.
    if asked.is_empty() {
        return Ok(granted.clone());
    }
    let within =
        |(name, level): (&String, &String)| match (granted.get(name).map(String::as_str), level.as_str()) {
            (Some("write"), "read" | "write") => true,
            (Some(has), level) => has == level,
            _ => false,
        };
    if !asked.iter().all(within) {
        return Err(Answer::error(422, "The permissions requested are not granted to this installation."));
    }
    Ok(asked)
}

impl State {
    /// Suspends an installation or ends that; `false` when there is none with this id.
    pub(crate) fn suspend(&mut self, id: u64, on: bool) -> bool {
        let now = self.now();
        let Some(found) = self.installations.iter_mut().find(|i| i.id == id) else { return false };
        let changed = found.suspended_at.is_some() != on;
        found.suspended_at = on.then(|| found.suspended_at.unwrap_or(now));
        if changed {
            found.updated_at = now;
        }
        let found = found.clone();
        if changed {
            self.announce_installation(&found, if on { "suspend" } else { "unsuspend" });
        }
        true
    }
}
