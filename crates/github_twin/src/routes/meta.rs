//! Routes about the whole API: limits, versions, addresses.

use serde_json::json;

use super::{Call, Need, Route};
use crate::{answer::Answer, state::State};

/// Versions that `X-GitHub-Api-Version` may name, newest first; the last one is the default.
pub(crate) const VERSIONS: [&str; 2] = ["2026-03-10", "2022-11-28"];

pub(super) static ROUTES: &[Route] = &[
    Route { method: "GET", template: "/rate_limit", need: Need::Open, run: rate_limit },
    Route { method: "GET", template: "/meta", need: Need::Open, run: meta },
    Route { method: "GET", template: "/versions", need: Need::Open, run: versions },
];

fn rate_limit(state: &mut State, call: &Call) -> Answer {
    if state.meter.limits.primary.is_none() {
        return Answer::error(404, "Rate limiting is not enabled.");
    }
    let owner = call.owner();
    let core = state.rate_view(owner, "core");
    let mut body = json!({"resources": {
        "core": core, "search": state.rate_view(owner, "search"), "graphql": state.rate_view(owner, "graphql"),
        "actions_runner_registration": state.rate_view(owner, "actions_runner_registration"),
    }});
    if call.version != VERSIONS[0] {
        body["rate"] = core;
    }
    Answer::ok(body)
}

fn meta(_: &mut State, _: &Call) -> Answer {
    Answer::ok(json!({
        "verifiable_password_authentication": false, "hooks": ["127.0.0.0/8"], "web": ["127.0.0.0/8"],
        "api": ["127.0.0.0/8"], "git": ["127.0.0.0/8"], "actions": ["127.0.0.0/8"],
        "ssh_key_fingerprints": {}, "ssh_keys": [],
    }))
}

fn versions(_: &mut State, _: &Call) -> Answer {
    Answer::ok(json!(VERSIONS))
}
