//! `rts sync`.

use clap::Subcommand;
use reqwest::Method;

use super::{
    nouns::SYNC,
    values::{Consent, Fields},
};
use crate::{
    error::ClientError,
    output::scalar,
    session::{Limit, Session},
};

/// Verbs of `rts sync`.
#[derive(Debug, Subcommand)]
pub enum SyncVerb {
    /// Show the last sync run of every installation, and held removals.
    #[command(after_help = "Examples:\n  rts sync status\n  rts sync status -o json")]
    Status,
    /// Ask the scheduler to compare the runners with GitHub now.
    #[command(after_help = "Examples:\n  rts sync now\n  rts sync now --installation acme")]
    Now {
        /// Only this installation.
        #[arg(long, value_name = "NAME")]
        installation: Option<String>,
    },
    /// Let the next sync run remove about as many runners as the last one held back. Valid for 15 minutes.
    #[command(after_help = "Example:\n  rts sync confirm-removals --installation acme --yes")]
    ConfirmRemovals {
        /// Only this installation.
        #[arg(long, value_name = "NAME")]
        installation: Option<String>,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: SyncVerb) -> Result<(), ClientError> {
    match verb {
        SyncVerb::Status => {
            session.print_list(&SYNC, session.list_request(&SYNC), Limit { items: None }).await
        }
        SyncVerb::Now { installation } => trigger(session, installation, false).await,
        SyncVerb::ConfirmRemovals { installation, consent } => {
            let status = session.get(SYNC.path).await?;
            let of = status["installations"].as_array().into_iter().flatten();
            let chosen =
                of.filter(|one| installation.as_ref().is_none_or(|name| one["installation"] == **name));
            let held: i64 = chosen.filter_map(|one| one["removals_held"].as_i64()).sum();
            if held == 0 {
                return Err(ClientError::NotFound("no removals are held back".to_owned()));
            }
            session
                .prompt
                .confirm(&format!("This lets the next sync run remove about {held} runners."), consent.yes)?;
            trigger(session, installation, true).await
        }
    }
}

async fn trigger(session: &Session, installation: Option<String>, confirm: bool) -> Result<(), ClientError> {
    let fields = Fields::default().add("installation", installation);
    let body = fields.add("confirm_removals", confirm.then_some(true)).into_body();
    let asked = session.change(Method::POST, &["admin", "sync", "trigger"], body).await?.body;
    let mut sentence = format!("asked for: {}", scalar(&asked["installations"]));
    if confirm {
        sentence = format!("{sentence}; removals confirmed: {}", scalar(&asked["confirmed"]));
    }
    session.print_done(&SYNC, &asked, &sentence);
    Ok(())
}
