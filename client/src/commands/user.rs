//! `rts user`.

mod sessions;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use self::sessions::SessionsArgs;
use super::{
    nouns::USER,
    resolve,
    values::{Consent, Fields, Reason},
};
use crate::{args::LimitArgs, error::ClientError, output::scalar, session::Session};

/// Verbs of `rts user`.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List people, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts user list\n  rts user list --active --all -o jsonl"
    )]
    List {
        /// Leave out deactivated people.
        #[arg(long)]
        active: bool,
        /// Only people with this text in e-mail, name or subject.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show a person.
    #[command(after_help = "Example:\n  rts user show ada@example.com")]
    Show {
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|ID")]
        user: String,
    },
    /// Add a person: by e-mail as an invitation for 30 days, or by issuer and subject at once.
    #[command(
        after_help = "Examples:\n  rts user add --email ada@example.com\n  rts user add --issuer https://login.example.com/ --subject 'auth0|1234' --admin true"
    )]
    Add {
        #[command(flatten)]
        person: PersonArgs,
    },
    /// Change a person's name, role or rights.
    #[command(
        after_help = "Examples:\n  rts user edit ada@example.com --admin true --reason 'on call'\n  rts user edit ada@example.com --jit false"
    )]
    Edit {
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|ID")]
        user: String,
        #[command(flatten)]
        person: PersonArgs,
        #[command(flatten)]
        reason: Reason,
    },
    /// Deactivate a person: their requests are cancelled and their unread configs shredded. Their runners stay.
    #[command(
        after_help = "Example:\n  rts user deactivate ada@example.com --reason 'left the company' --yes"
    )]
    Deactivate {
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|ID")]
        user: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        consent: Consent,
    },
    /// Activate a person again, with their earlier rights and teams.
    #[command(after_help = "Example:\n  rts user activate ada@example.com")]
    Activate {
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|ID")]
        user: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Unbind a person from their identity: the next first login with their e-mail address binds it again.
    #[command(after_help = "Example:\n  rts user unbind ada@example.com --reason 'new account' --yes")]
    Unbind {
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|ID")]
        user: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        consent: Consent,
    },
    /// List the browsers in which a person is signed in to the dashboard; sign them out.
    #[command(
        after_help = "Examples:\n  rts user sessions ada@example.com\n  rts user sessions ada@example.com --end 0192f0c4-… --reason 'a lost laptop' --yes\n  rts user sessions ada@example.com --end-all --reason 'a lost laptop' --yes\n\nThe person keeps their access and may sign in again; `rts user deactivate` ends the access."
    )]
    Sessions(SessionsArgs),
}

/// A person's identity and rights.
#[derive(Debug, Args)]
pub struct PersonArgs {
    /// E-mail address, as in their tokens.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Issuer of their tokens.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Subject of their tokens.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Name to show.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Whether they are an admin.
    #[arg(long, value_name = "BOOL")]
    admin: Option<bool>,
    /// Whether they may get JIT configs.
    #[arg(long, value_name = "BOOL")]
    jit: Option<bool>,
    /// Whether they may get registration tokens.
    #[arg(long, value_name = "BOOL")]
    registration_token: Option<bool>,
    /// Whether they see everything and change nothing.
    #[arg(long, value_name = "BOOL")]
    viewer: Option<bool>,
}

impl PersonArgs {
    fn into_fields(self) -> Fields {
        Fields::default()
            .add("email", self.email)
            .add("issuer", self.issuer)
            .add("oidc_sub", self.subject)
            .add("display_name", self.display_name)
            .add("is_admin", self.admin)
            .add("can_use_jit", self.jit)
            .add("can_use_registration_token", self.registration_token)
            .add("is_viewer", self.viewer)
    }
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: UserVerb) -> Result<(), ClientError> {
    match verb {
        UserVerb::List { active, search, limit } => {
            let request =
                session.list_request(&USER).query("active_only", active.then_some(true)).query("q", search);
            session.print_list(&USER, request, limit.into()).await
        }
        UserVerb::Show { user } => {
            let id = resolve::user(session, &user).await?;
            session.print_thing(&USER, &session.get(&["admin", "users", &id]).await?);
            Ok(())
        }
        UserVerb::Add { person } => {
            let body = person.into_fields().into_body();
            let added = session.change(Method::POST, &["admin", "users"], body).await?.body;
            print_user(session, &added, "added");
            Ok(())
        }
        UserVerb::Edit { user, person, reason } => {
            let fields = person.into_fields();
            if fields.is_empty() {
                return Err(ClientError::Usage(
                    "name at least one change; see `rts user edit --help`".to_owned(),
                ));
            }
            let id = resolve::user(session, &user).await?;
            let body = fields.add("comment", reason.reason).into_body();
            let changed = session.change(Method::PATCH, &["admin", "users", &id], body).await?.body;
            print_user(session, &changed, "changed");
            Ok(())
        }
        UserVerb::Deactivate { user, reason, consent } => {
            let question = format!("This cancels the requests of {user} and shreds their unread configs.");
            let id = resolve::user(session, &user).await?;
            session.prompt.confirm(&question, consent.yes)?;
            let body = Fields::default().add("comment", reason.reason).into_body();
            session.change(Method::DELETE, &["admin", "users", &id], body).await?;
            print_user(session, &session.get(&["admin", "users", &id]).await?, "deactivated");
            Ok(())
        }
        UserVerb::Activate { user, reason } => {
            let id = resolve::user(session, &user).await?;
            comment(session, &id, "activate", reason, "active").await
        }
        UserVerb::Unbind { user, reason, consent } => {
            let id = resolve::user(session, &user).await?;
            session.prompt.confirm(&format!("This unbinds {user} from their identity."), consent.yes)?;
            comment(session, &id, "unbind", reason, "unbound; the next login binds them again").await
        }
        UserVerb::Sessions(args) => sessions::run(session, args).await,
    }
}

async fn comment(
    session: &Session,
    id: &str,
    action: &str,
    reason: Reason,
    state: &str,
) -> Result<(), ClientError> {
    let body = Fields::default().add("comment", reason.reason).into_body();
    let changed = session.change(Method::POST, &["admin", "users", id, action], body).await?.body;
    print_user(session, &changed, state);
    Ok(())
}

fn print_user(session: &Session, user: &Value, state: &str) {
    let name = if user["email"].is_null() { &user["oidc_sub"] } else { &user["email"] };
    session.print_done(&USER, user, &format!("{} ({}) is {state}", scalar(name), scalar(&user["id"])));
}
