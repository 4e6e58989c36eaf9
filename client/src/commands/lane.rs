//! `rts lane`.

use std::time::Duration;

use clap::Subcommand;
use domain::Lane;
use reqwest::Method;
use serde_json::Value;

use super::{
    nouns::LANE,
    values::{Fields, Reason, duration},
};
use crate::{
    error::ClientError,
    output::{print::note, scalar},
    session::{Limit, Session},
};

/// Verbs of `rts lane`.
#[derive(Debug, Subcommand)]
pub enum LaneVerb {
    /// Show the depth of every lane, and what is paused.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rts lane list\n  rts lane list -o json")]
    List,
    /// Stop a lane for a time: its jobs wait, running ones go on.
    #[command(after_help = "Example:\n  rts lane pause drift --for 15m --reason 'GitHub is slow'")]
    Pause {
        /// The lane: provision, deprovision or drift.
        #[arg(value_parser = lane)]
        lane: Lane,
        /// How long, at most a day.
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        time: Duration,
        #[command(flatten)]
        reason: Reason,
    },
    /// End the pause of a lane.
    #[command(after_help = "Example:\n  rts lane resume drift")]
    Resume {
        /// The lane: provision, deprovision or drift.
        #[arg(value_parser = lane)]
        lane: Lane,
    },
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: LaneVerb) -> Result<(), ClientError> {
    match verb {
        LaneVerb::List => {
            session.print_list(&LANE, session.list_request(&LANE), Limit { items: None }).await?;
            print_pauses(session).await
        }
        LaneVerb::Pause { lane, time, reason } => {
            let fields = Fields::default().add("seconds", Some(time.as_secs()));
            let body = fields.add("reason", reason.reason).into_body();
            let paused =
                session.change(Method::POST, &["admin", "queues", lane.as_str(), "pause"], body).await?;
            session.print_done(&LANE, &paused.body, &format!("{lane} is paused for {} s", time.as_secs()));
            Ok(())
        }
        LaneVerb::Resume { lane } => {
            let request = session.client.request(Method::POST, &["admin", "queues", lane.as_str(), "resume"]);
            let resumed = session.client.send(request).await?;
            session.print_done(&LANE, &resumed.body, &format!("{lane} is resumed"));
            Ok(())
        }
    }
}

/// Names the pauses below the table.
async fn print_pauses(session: &Session) -> Result<(), ClientError> {
    if !session.format.is_table() {
        return Ok(());
    }
    let queues = session.get(LANE.path).await?;
    for pause in queues["pauses"].as_array().into_iter().flatten() {
        note(describe_pause(pause));
    }
    Ok(())
}

/// Returns what is paused, why and for how long.
pub(super) fn describe_pause(pause: &Value) -> String {
    let scope = ["lane", "installation"].iter().find(|name| !pause[**name].is_null());
    let scope = scope.map_or("everything".to_owned(), |name| format!("{name} {}", scalar(&pause[*name])));
    let mut text =
        format!("{scope} is paused ({}) for {} s", scalar(&pause["reason"]), scalar(&pause["seconds_left"]));
    for (word, member) in [("by", "paused_by"), ("since", "paused_at"), ("because:", "admin_reason")] {
        if !pause[member].is_null() {
            text = format!("{text} {word} {}", scalar(&pause[member]));
        }
    }
    text
}

fn lane(text: &str) -> Result<Lane, String> {
    let words: Vec<&str> = Lane::ALL.iter().map(|lane| lane.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}
