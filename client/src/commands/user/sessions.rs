//! `rts user sessions`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    commands::{
        nouns::SESSION,
        resolve,
        values::{Consent, Fields, Reason},
    },
    error::ClientError,
    output::scalar,
    session::{Limit, Session},
};

/// Arguments of `rts user sessions`.
#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// The person, by e-mail, subject or id.
    #[arg(value_name = "EMAIL|ID")]
    user: String,
    /// End this session, by its id.
    #[arg(long, value_name = "SESSION", conflicts_with = "end_all")]
    end: Option<Uuid>,
    /// End all of their sessions. They may sign in again.
    #[arg(long)]
    end_all: bool,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    consent: Consent,
}

/// Lists the sessions of a person, or ends one or all of them.
pub(super) async fn run(session: &Session, args: SessionsArgs) -> Result<(), ClientError> {
    let SessionsArgs { user, end, end_all, reason, consent } = args;
    if end.is_none() && !end_all && (reason.reason.is_some() || consent.yes) {
        let text = "name what to end: --end SESSION, or --end-all; without both the sessions are listed";
        return Err(ClientError::Usage(text.to_owned()));
    }
    let id = resolve::user(session, &user).await?;
    let mut path = vec!["admin", "users", &id, "sessions"];
    let body = Fields::default().add("comment", reason.reason).into_body();
    if let Some(one) = end.map(|one| one.to_string()) {
        session.prompt.confirm(&format!("This ends the session {one} of {user}."), consent.yes)?;
        path.push(&one);
        session.change(Method::DELETE, &path, body).await?;
        session.print_done(
            &SESSION,
            &json!({ "id": one }),
            &format!("the session {one} of {user} has ended"),
        );
        return Ok(());
    }
    if end_all {
        session.prompt.confirm(&format!("This signs {user} out of every browser."), consent.yes)?;
        let ended = session.change(Method::DELETE, &path, body).await?.body;
        session.print_done(&SESSION, &ended, &describe_end(&user, &ended));
        return Ok(());
    }
    let request = session.client.request(Method::GET, &path);
    session.print_list(&SESSION, request, Limit { items: None }).await
}

fn describe_end(user: &str, ended: &Value) -> String {
    match ended["ended_count"].as_u64() {
        Some(0) => format!("{user} had no open session"),
        Some(1) => format!("1 session of {user} has ended"),
        _ => format!("{} sessions of {user} have ended", scalar(&ended["ended_count"])),
    }
}
