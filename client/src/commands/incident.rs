//! `rts incident`.

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{
    nouns::INCIDENT,
    values::{Consent, Fields},
};
use crate::{
    completion,
    error::ClientError,
    output::{print::note, scalar},
    session::{Limit, Session},
};

/// Verbs of `rts incident`.
#[derive(Debug, Subcommand)]
pub enum IncidentVerb {
    /// List the newest incidents.
    #[command(visible_alias = "ls", after_help = "Example:\n  rts incident list")]
    List,
    /// End at once all that a team, an issuer, a person or a machine client could still do.
    #[command(
        after_help = "Examples:\n  rts incident revoke --team games-ci --reason 'its pipeline leaks secrets' --dry-run\n  rts incident revoke --user ada@example.com --reason 'her laptop was stolen' --yes\n\nNew requests are refused, streams end, open requests are cancelled, configs are shredded and idle runners removed. Busy runners are listed."
    )]
    Revoke(Box<RevokeArgs>),
    /// Show what an incident has ended, and what is left.
    #[command(after_help = "Example:\n  rts incident report 0192f0c4-…")]
    Report {
        /// The incident.
        incident: Uuid,
    },
    /// Undo an incident: exactly what it switched off is switched on again.
    #[command(after_help = "Example:\n  rts incident undo 0192f0c4-…")]
    Undo {
        /// The incident.
        incident: Uuid,
    },
}

/// Target and reason of an incident.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true))]
pub struct RevokeArgs {
    /// A team, by name or id.
    #[arg(long, value_name = "TEAM", group = "target", add = completion::teams())]
    team: Option<String>,
    /// An issuer: all its tokens are refused.
    #[arg(long, value_name = "URL", group = "target")]
    issuer: Option<String>,
    /// A person, by e-mail address or id.
    #[arg(long, value_name = "EMAIL|ID", group = "target")]
    user: Option<String>,
    /// A machine client, by its client id or its id.
    #[arg(long, value_name = "CLIENT", group = "target")]
    client: Option<String>,
    /// Reason, for the audit log; members of a team see it. 10 characters or more.
    #[arg(long)]
    reason: String,
    /// Only show what would end.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: IncidentVerb) -> Result<(), ClientError> {
    let (incident, sentence) = match verb {
        IncidentVerb::List => {
            let request = session.list_request(&INCIDENT);
            return session.print_list(&INCIDENT, request, Limit { items: None }).await;
        }
        IncidentVerb::Revoke(target) => return revoke(session, *target).await,
        IncidentVerb::Report { incident } => {
            let report = session.get(&["admin", "incidents", &incident.to_string()]).await?;
            let sentence = describe(&report);
            (report, sentence)
        }
        IncidentVerb::Undo { incident } => {
            let path = ["admin", "incidents", &incident.to_string(), "undo"];
            let undone = session.change(Method::POST, &path, Fields::default().into_body()).await?.body;
            let sentence = describe(&undone);
            (undone, sentence)
        }
    };
    print(session, &incident, &sentence);
    Ok(())
}

async fn revoke(session: &Session, target: RevokeArgs) -> Result<(), ClientError> {
    let RevokeArgs { team, issuer, user, client, reason, dry_run, consent } = target;
    let named = [&team, &issuer, &user, &client].into_iter().flatten().next().cloned().unwrap_or_default();
    if !dry_run {
        session.prompt.confirm(&format!("This ends all access of {named} now."), consent.yes)?;
    }
    let body = Fields::default()
        .add("team", team)
        .add("issuer", issuer)
        .add("user", user)
        .add("client", client)
        .add("reason", Some(reason))
        .add("dry_run", Some(dry_run))
        .into_body();
    let incident = session.change(Method::POST, &["admin", "incidents"], body).await?.body;
    let sentence = if dry_run {
        format!("would end the access of {named}: {} changes", scalar(&incident["total"]))
    } else {
        describe(&incident)
    };
    print(session, &incident, &sentence);
    Ok(())
}

/// Returns the state of an incident and its number of changes by outcome.
fn describe(incident: &Value) -> String {
    let counts = incident["counts"].as_object().into_iter().flatten();
    let counts: Vec<String> = counts.map(|(state, count)| format!("{} {state}", scalar(count))).collect();
    format!("{} is {}: {}", scalar(&incident["name"]), scalar(&incident["state"]), counts.join(", "))
}

/// Prints an incident, and what is left to do by hand.
fn print(session: &Session, incident: &Value, sentence: &str) {
    session.print_done(&INCIDENT, incident, sentence);
    if !session.format.is_table() {
        return;
    }
    for change in incident["changes"].as_array().into_iter().flatten() {
        if change["status"] == "failed" {
            note(format_args!(
                "{} {}: {}",
                scalar(&change["kind"]),
                scalar(&change["name"]),
                scalar(&change["detail"])
            ));
        }
    }
    for runner in incident["busy_runners"].as_array().into_iter().flatten() {
        note(format_args!(
            "busy, not removed: {} ({})",
            scalar(&runner["runner_name"]),
            scalar(&runner["team"])
        ));
    }
}
