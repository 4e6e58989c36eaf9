//! Routes of the App, its installations and their tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Call, Need, Route};
use crate::{
    answer::Answer,
    config::WebhookConfig,
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
    app("GET", "/users/{username}/installation", by_account),
    app("GET", "/repos/{owner}/{repo}/installation", by_account),
    app("GET", "/app/hook/config", hook),
    app("PATCH", "/app/hook/config", set_hook),
    Route { method: "GET", template: "/apps/{app_slug}", need: Need::Open, run: by_slug },
    Route {
        method: "GET",
        template: "/installation/repositories",
        need: Need::Installation,
        run: repositories,
    },
    Route { method: "DELETE", template: "/installation/token", need: Need::Installation, run: revoke },
];

fn get(state: &mut State, call: &Call) -> Answer {
    call.owner().app().map_or_else(Answer::not_found, |app| Answer::ok(state.app_view(app)))
}

/// Returns the public page of the App, which omits its installations.
fn by_slug(state: &mut State, call: &Call) -> Answer {
    let more = state.config.more_apps.iter().map(|one| one.app_id);
    let named = |app: &u64| state.app_slug(*app).eq_ignore_ascii_case(call.param("app_slug"));
    let Some(app) = std::iter::once(state.config.app_id).chain(more).find(named) else {
        return Answer::not_found();
    };
    let mut view = state.app_view(app);
    if let Some(view) = view.as_object_mut() {
        view.remove("installations_count");
    }
    Answer::ok(view)
}

fn list(state: &mut State, call: &Call) -> Answer {
    let (size, page) = call.page();
    let own = || state.installations.iter().filter(|i| call.owner().app() == Some(i.app));
    let shown = own().skip((page - 1) * size).take(size);
    let views: Vec<Value> = shown.map(|i| listed(state, i)).collect();
    let answer = Answer::ok(Value::Array(views));
    match call.link(&state.base, own().count()) {
        Some(link) => answer.with("link", link),
        None => answer,
    }
}

/// Returns the repositories that the token covers.
fn repositories(state: &mut State, call: &Call) -> Answer {
    let org =
        call.owner().installation().and_then(|id| state.installation(id)).map_or("", |i| i.org.as_str());
    let covered: Vec<_> = state.repositories_of(org).filter(|r| call.who.covers(r.id)).collect();
    let mut answer = call.list(&state.base, "repositories", &covered, |r| state.repository_view(r));
    if let Some(body) = &mut answer.body {
        body["repository_selection"] =
            json!(if call.who.repositories.is_some() { "selected" } else { "all" });
    }
    answer
}

fn revoke(state: &mut State, call: &Call) -> Answer {
    state.expire_token(call.who.token.as_deref().unwrap_or(""));
    Answer::empty(204)
}

fn hook(state: &mut State, _: &Call) -> Answer {
    let mut view = json!({"content_type": "json", "insecure_ssl": "0"});
    if let Some(webhook) = &state.webhook {
        (view["url"], view["secret"]) = (json!(webhook.url), json!("********"));
    }
    Answer::ok(view)
}

/// Changes the webhook; fields missing in the body stay.
fn set_hook(state: &mut State, call: &Call) -> Answer {
    let body = match call.object() {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let text = |name: &str| body.get(name).map(|value| value.as_str().filter(|text| !text.is_empty()));
    let (url, secret) = (text("url"), text("secret"));
    let readable = |url: &str| url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_some_and(|url| url.is_none_or(|url| !readable(url))) || secret == Some(None) {
        return Answer::invalid("Invalid request.", &["url must be a web address, secret a text"]);
    }
    if body.get("content_type").is_some_and(|kind| kind != "json") {
        return Answer::invalid("Invalid request.", &["the twin sends json only"]);
    }
    let old = state.webhook.take().unwrap_or_else(|| WebhookConfig::new("", ""));
    state.webhook = Some(WebhookConfig {
        url: url.flatten().map_or(old.url, str::to_owned),
        secret: secret.flatten().map_or(old.secret, str::to_owned),
        ..old
    });
    hook(state, call)
}

/// Returns an installation for the list. There GitHub describes `account` as a user and an enterprise at once, so it
/// has the fields of both.
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

/// Returns the installation of the path, if it is one of the caller's.
fn named<'s>(state: &'s State, call: &Call) -> Option<&'s Installation> {
    state.installation(call.id("installation_id")).filter(|i| call.owner().app() == Some(i.app))
}

fn by_id(state: &mut State, call: &Call) -> Answer {
    shown(state, named(state, call))
}

fn by_account(state: &mut State, call: &Call) -> Answer {
    let org = call.account().unwrap_or("");
    let own = |i: &&Installation| call.owner().app() == Some(i.app) && i.org.eq_ignore_ascii_case(org);
    shown(state, state.installations.iter().find(own))
}

fn uninstall(state: &mut State, call: &Call) -> Answer {
    let id = call.id("installation_id");
    if named(state, call).is_none() {
        return Answer::not_found();
    }
    state.installations.retain(|i| i.id != id);
    state.tokens.retain(|_, t| t.installation != id);
    Answer::empty(if call.version == "2026-03-10" { 202 } else { 204 })
}

fn suspend(state: &mut State, call: &Call) -> Answer {
    set_suspended(state, call, true)
}

fn unsuspend(state: &mut State, call: &Call) -> Answer {
    set_suspended(state, call, false)
}

fn set_suspended(state: &mut State, call: &Call, on: bool) -> Answer {
    let found = named(state, call).map(|i| i.id);
    match found {
        Some(id) if state.suspend(id, on) => Answer::empty(204),
        _ => Answer::not_found(),
    }
}

fn mint(state: &mut State, call: &Call) -> Answer {
    let Some(found) = named(state, call).cloned() else {
        return Answer::not_found();
    };
    if found.suspended_at.is_some() {
        return Answer::error(403, "This installation has been suspended");
    }
    let asked = call.object().and_then(|body| {
        let permissions = narrow_permissions(&body, &found.permissions)?;
        Ok((permissions, state.selected_repositories(&found.org, &body)?))
    });
    let (permissions, selected) = match asked {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let (text, token) = state.mint(found.id, permissions, selected.clone());
    let mut view = json!({
        "token": text, "expires_at": views::time(token.expires_at), "permissions": token.permissions,
        "repository_selection": "all",
    });
    if let Some(selected) = selected {
        let shown = state.repositories_of(&found.org).filter(|r| selected.contains(&r.id));
        view["repositories"] = shown.map(|r| state.repository_view(r)).collect();
        view["repository_selection"] = json!("selected");
    }
    Answer::new(201, view)
}

/// Returns the requested permissions, none above those granted; all of them when the request names none.
fn narrow_permissions(
    body: &Value,
    granted: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Answer> {
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
    /// Suspends or resumes an installation; `false` when the id is unknown.
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
