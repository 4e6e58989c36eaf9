//! `rts event-delivery`.

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{
    nouns::{EVENT_DELIVERY, EVENT_STREAM},
    values::{Fields, Reason},
};
use crate::{
    args::LimitArgs,
    connection::Pages,
    error::ClientError,
    session::{Limit, Session},
};

/// Most events that one command sends again.
const MAX_RETRIED: usize = 10_000;

/// Verbs of `rts event-delivery`.
#[derive(Debug, Subcommand)]
pub enum EventDeliveryVerb {
    /// List events that were put aside because a sink did not accept them, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts event-delivery list --state dead\n  rts event-delivery list --sink siem -o wide"
    )]
    List {
        /// Only in this state.
        #[arg(long, value_parser = ["dead", "queued", "delivered"])]
        state: Option<String>,
        /// Only of this sink.
        #[arg(long, value_name = "SINK")]
        sink: Option<String>,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show how far each sink has the audit log and the security events.
    #[command(after_help = "Example:\n  rts event-delivery status")]
    Status,
    /// Send events again that were put aside.
    #[command(
        after_help = "Examples:\n  rts event-delivery retry 0192f0c4-…\n  rts event-delivery retry --all --sink siem --reason 'its disk was full'"
    )]
    Retry(RetryArgs),
}

/// Events to send again.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct RetryArgs {
    /// Ids of deliveries.
    #[arg(value_name = "ID", group = "which")]
    deliveries: Vec<Uuid>,
    /// All dead ones.
    #[arg(long, group = "which")]
    all: bool,
    /// With --all, only those of this sink.
    #[arg(long, value_name = "SINK", requires = "all")]
    sink: Option<String>,
    #[command(flatten)]
    reason: Reason,
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: EventDeliveryVerb) -> Result<(), ClientError> {
    match verb {
        EventDeliveryVerb::List { state, sink, limit } => {
            let request = session.list_request(&EVENT_DELIVERY).query("state", state).query("sink", sink);
            session.print_list(&EVENT_DELIVERY, request, limit.into()).await
        }
        EventDeliveryVerb::Status => {
            let request = session.list_request(&EVENT_STREAM);
            session.print_list(&EVENT_STREAM, request, Limit { items: None }).await
        }
        EventDeliveryVerb::Retry(args) => retry(session, args).await,
    }
}

async fn retry(session: &Session, args: RetryArgs) -> Result<(), ClientError> {
    let RetryArgs { deliveries, all, sink, reason } = args;
    let ids = if all { dead(session, sink).await? } else { deliveries.iter().map(Uuid::to_string).collect() };
    for id in &ids {
        let body = Fields::default().add("reason", reason.reason.clone()).into_body();
        let queued =
            session.change(Method::POST, &["admin", "event-deliveries", id, "retry"], body).await?.body;
        session.print_done(&EVENT_DELIVERY, &queued, &format!("{id} is sent again"));
    }
    if ids.is_empty() {
        session.print_done(&EVENT_DELIVERY, &json!({}), "no event is dead");
    }
    Ok(())
}

/// Returns the ids of the dead ones, before the first of them changes.
async fn dead(session: &Session, sink: Option<String>) -> Result<Vec<String>, ClientError> {
    let request = session.list_request(&EVENT_DELIVERY).query("state", Some("dead")).query("sink", sink);
    let mut pages = Pages::new(&session.client, request, EVENT_DELIVERY.key);
    let mut ids = Vec::new();
    while ids.len() < MAX_RETRIED
        && let Some(items) = pages.next().await?
    {
        ids.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
    }
    ids.truncate(MAX_RETRIED);
    Ok(ids)
}
