//! The dashboard, through HTTP as a browser without scripts sees it.

mod audit;
mod board;
mod clients;
mod explain;
mod frame;
mod new_runner;
mod newer;
mod operator;
mod people;
mod reconnecting;
mod routes;
mod runners;
mod security;
mod sessions;
mod signing_in;
mod sinks;
mod teams;
mod weight;

use harness::{ApiResponse, World};

/// Returns the text of a page with its entities read.
fn shown(page: &ApiResponse) -> String {
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.into_iter().fold(page.text.clone(), |text, (entity, sign)| text.replace(entity, sign))
}

/// Returns the number of audit rows of a type.
async fn audit_rows(world: &World, event_type: &str) -> i64 {
    let sql = "SELECT coalesce(sum(occurrences), 0) FROM audit_log WHERE event_type = $1";
    sqlx::query_scalar(sql).bind(event_type).fetch_one(world.sql()).await.unwrap()
}
