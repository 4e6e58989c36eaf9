//! Routes of recorded webhook deliveries and redelivery.

use serde_json::{Value, json};

use super::{Call, Need, Route};
use crate::{answer::Answer, state::State, webhooks::Delivery};

pub(super) static ROUTES: &[Route] = &[
    Route { method: "GET", template: "/app/hook/deliveries", need: Need::App, run: list },
    Route { method: "GET", template: "/app/hook/deliveries/{delivery_id}", need: Need::App, run: get },
    Route {
        method: "POST",
        template: "/app/hook/deliveries/{delivery_id}/attempts",
        need: Need::App,
        run: redeliver,
    },
];

/// Whether the delivery is one of the caller's. One without a known installation is anybody's.
fn is_own(state: &State, call: &Call, delivery: &Delivery) -> bool {
    let of = delivery.installation_id.and_then(|id| state.installation(id));
    of.is_none_or(|i| call.owner().app() == Some(i.app))
}

/// Lists deliveries, newest first; the cursor is the id after which the next page begins.
fn list(state: &mut State, call: &Call) -> Answer {
    let (size, _) = call.page();
    let before = match call.query("cursor").map(str::parse::<u64>) {
        None => u64::MAX,
        Some(Ok(id)) => id,
        Some(Err(_)) => return Answer::error(400, "Invalid cursor"),
    };
    let wanted = match call.query("status") {
        None => 0..=u16::MAX,
        Some("success") => 200..=399,
        Some("failure") => 400..=599,
        Some(_) => return Answer::validation_failed("HookDelivery", "status", "invalid"),
    };
    let fits = |code: u16| wanted.contains(&code);
    let mut found = state
        .deliveries
        .iter()
        .rev()
        .filter(|d| d.id < before && fits(d.status_code) && is_own(state, call, d));
    let page: Vec<_> = found.by_ref().take(size).collect();
    let more = found.next().is_some();
    let views: Vec<Value> = page.iter().map(|d| d.view()).collect();
    let answer = Answer::ok(Value::Array(views));
    match page.last().filter(|_| more) {
        Some(last) => {
            let status = call.query("status").map(|s| format!("&status={s}")).unwrap_or_default();
            let next =
                format!("{}/app/hook/deliveries?per_page={size}{status}&cursor={}", state.base, last.id);
            answer.with("link", format!("<{next}>; rel=\"next\""))
        }
        None => answer,
    }
}

fn get(state: &mut State, call: &Call) -> Answer {
    let Ok(id) = call.param("delivery_id").parse::<u64>() else { return Answer::error(400, "Invalid id") };
    let found = state.deliveries.iter().find(|d| d.id == id && is_own(state, call, d));
    found.map_or_else(Answer::not_found, |d| Answer::ok(d.full_view()))
}

fn redeliver(state: &mut State, call: &Call) -> Answer {
    let Ok(id) = call.param("delivery_id").parse::<u64>() else { return Answer::error(400, "Invalid id") };
    if state.deliveries.iter().any(|d| d.id == id && is_own(state, call, d)) && state.redeliver(id) {
        Answer::new(202, json!({}))
    } else {
        Answer::not_found()
    }
}
