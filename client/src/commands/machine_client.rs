//! `rts client`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    nouns::CLIENT,
    resolve,
    sign_in::read_token,
    values::{Consent, Fields, Reason, pair},
};
use crate::{
    args::LimitArgs,
    completion,
    error::ClientError,
    output::{Noun, scalar},
    session::Session,
};

/// Verbs of `rts client`.
#[derive(Debug, Subcommand)]
pub enum ClientVerb {
    /// List machine clients, newest first.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts client list\n  rts client list --team web --active"
    )]
    List {
        /// Only clients of this team, by name or id.
        #[arg(long, value_name = "TEAM", add = completion::teams())]
        team: Option<String>,
        /// Leave out deactivated clients.
        #[arg(long)]
        active: bool,
        /// Only clients with this text in client id or description.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show a machine client with its claim rule.
    #[command(after_help = "Example:\n  rts client show ci-pipeline")]
    Show {
        /// The client, by its client id or our id of it.
        #[arg(value_name = "CLIENT_ID|ID")]
        client: String,
    },
    /// Add a machine client to a team.
    #[command(
        after_help = "Example:\n  rts client add web-ci --team web --issuer https://token.actions.githubusercontent.com --subject 'repo:acme/web:*' --claim repository_owner_id=4711"
    )]
    Add {
        /// Client id: the token's `client_id` or `azp`, or any name if there is a claim rule.
        client_id: String,
        /// Team of the client, by name or id.
        #[arg(long, value_name = "TEAM", add = completion::teams())]
        team: String,
        /// Issuer of its tokens; otherwise the first configured one.
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
        #[command(flatten)]
        rule: RuleArgs,
    },
    /// Change a machine client, deactivate it or activate it again.
    #[command(
        after_help = "Examples:\n  rts client edit web-ci --subject 'repo:acme/web:ref:refs/heads/main'\n  rts client edit web-ci --active true"
    )]
    Edit {
        /// The client, by its client id or our id of it.
        #[arg(value_name = "CLIENT_ID|ID")]
        client: String,
        /// Whether it is active.
        #[arg(long, value_name = "BOOL")]
        active: Option<bool>,
        #[command(flatten)]
        rule: RuleArgs,
        #[command(flatten)]
        reason: Reason,
    },
    /// Test whose a token is, and which claims and rules decide that. The token is read from stdin.
    #[command(
        after_help = "Example:\n  rts client test-token --compare-with web-ci < token.txt\n\nExits 7 if no person or client here has this token. The token is neither stored nor logged."
    )]
    TestToken {
        /// A machine client whose rule is compared with the token part by part.
        #[arg(long, value_name = "CLIENT_ID|ID")]
        compare_with: Option<String>,
    },
    /// Remove a machine client: its requests are cancelled and its unread configs shredded. Its runners stay.
    #[command(
        visible_alias = "rm",
        after_help = "Example:\n  rts client remove web-ci --reason 'secret leaked' --yes"
    )]
    Remove {
        /// The client, by its client id or our id of it.
        #[arg(value_name = "CLIENT_ID|ID")]
        client: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Description and claim rule of a machine client.
#[derive(Debug, Args)]
pub struct RuleArgs {
    /// Free text about the client.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Pattern that the token's subject must match, such as `repo:acme/web:*`.
    #[arg(long, value_name = "PATTERN")]
    subject: Option<String>,
    /// A claim that the token must have with exactly this value; repeat it.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = pair, requires = "subject")]
    claims: Vec<(String, String)>,
}

impl RuleArgs {
    fn into_fields(self) -> Fields {
        let claims: Map<String, Value> =
            self.claims.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let rule = self.subject.map(|subject| json!({ "subject": subject, "claims": claims }));
        Fields::default().add("description", self.description).add("rule", rule)
    }
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: ClientVerb) -> Result<(), ClientError> {
    match verb {
        ClientVerb::List { team, active, search, limit } => {
            let request = session.list_request(&CLIENT).query("team", team);
            let request = request.query("active_only", active.then_some(true)).query("q", search);
            session.print_list(&CLIENT, request, limit.into()).await
        }
        ClientVerb::Show { client } => {
            let id = resolve::client(session, &client).await?;
            session.print_thing(&CLIENT, &session.get(&["admin", "oauth-clients", &id]).await?);
            Ok(())
        }
        ClientVerb::Add { client_id, team, issuer, rule } => {
            let team = resolve::team(session, &team).await?;
            let fields = rule.into_fields().add("client_id", Some(client_id)).add("team_id", Some(team));
            let body = fields.add("issuer", issuer).into_body();
            let added = session.change(Method::POST, &["admin", "oauth-clients"], body).await?.body;
            print_client(session, &added, "added");
            Ok(())
        }
        ClientVerb::Edit { client, active, rule, reason } => {
            let fields = rule.into_fields().add("is_active", active);
            if fields.is_empty() {
                return Err(ClientError::Usage(
                    "name at least one change; see `rts client edit --help`".to_owned(),
                ));
            }
            let id = resolve::client(session, &client).await?;
            let body = fields.add("comment", reason.reason).into_body();
            let changed = session.change(Method::PATCH, &["admin", "oauth-clients", &id], body).await?.body;
            print_client(session, &changed, "changed");
            Ok(())
        }
        ClientVerb::TestToken { compare_with } => test_token(session, compare_with.as_deref()).await,
        ClientVerb::Remove { client, reason, consent } => {
            let id = resolve::client(session, &client).await?;
            let question = format!("This cancels the requests of {client} and shreds its unread configs.");
            session.prompt.confirm(&question, consent.yes)?;
            let body = Fields::default().add("comment", reason.reason).into_body();
            session.change(Method::DELETE, &["admin", "oauth-clients", &id], body).await?;
            session.print_done(&CLIENT, &json!({ "id": id }), &format!("{client} ({id}) is removed"));
            Ok(())
        }
    }
}

/// Prints the outcome, and fails if the service would not know the caller.
async fn test_token(session: &Session, compare_with: Option<&str>) -> Result<(), ClientError> {
    const OUTCOME: Noun = Noun { path: &[], key: "", name: "outcome", paged: false, columns: &[] };
    let compared = match compare_with {
        Some(client) => Some(resolve::client(session, client).await?),
        None => None,
    };
    let token = read_token()?;
    let body = Fields::default().add("token", Some(token.expose())).add("compare_with", compared).into_body();
    let tested = session.change(Method::POST, &["admin", "oauth-clients", "test-token"], body).await?.body;
    session.print_thing(&OUTCOME, &tested);
    let known = ["user", "invitation", "machine_client"];
    let outcome = tested["outcome"].as_str().unwrap_or_default();
    if known.contains(&outcome) {
        return Ok(());
    }
    Err(ClientError::Findings(scalar(&tested["detail"])))
}

fn print_client(session: &Session, client: &Value, state: &str) {
    let sentence = format!("{} ({}) is {state}", scalar(&client["client_id"]), scalar(&client["id"]));
    session.print_done(&CLIENT, client, &sentence);
}
