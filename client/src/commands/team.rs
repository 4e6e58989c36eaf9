//! `rts team`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::{
    nouns::{AUDIT, MY_TEAM, TEAM, USER},
    resolve,
    values::{Consent, Fields, PeriodArgs, Reason},
};
use crate::{
    args::LimitArgs,
    completion,
    error::ClientError,
    output::{Noun, scalar},
    session::Session,
};

/// Verbs of `rts team`.
#[derive(Debug, Subcommand)]
pub enum TeamVerb {
    /// List the teams that you may see.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rts team list\n  rts team list --mine -o wide"
    )]
    List {
        /// Only your own teams.
        #[arg(long)]
        mine: bool,
        /// Leave out deactivated teams.
        #[arg(long)]
        active: bool,
        /// Only teams with this text in name or description.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Show a team: which labels it has and may have, its quota, its installation.
    #[command(after_help = "Example:\n  rts team show web")]
    Show {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
    },
    /// List what was done in a team and what was refused, newest first.
    #[command(
        after_help = "Examples:\n  rts team history web --since 7d\n  rts team history web --success false -o wide"
    )]
    History {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
        /// Only of this type, such as runner.provision.
        #[arg(long, value_name = "TYPE")]
        event_type: Option<String>,
        /// Only what was done, or only what was refused.
        #[arg(long, value_name = "BOOL")]
        success: Option<bool>,
        #[command(flatten)]
        period: PeriodArgs,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Create a team.
    #[command(
        after_help = "Example:\n  rts team create web --label web --pattern 'glob:gpu-t4-*' --max-runners 100"
    )]
    Create {
        /// Name: 2 to 50 lower-case letters, digits and hyphens.
        name: String,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Change a team. What is not named stays as it is.
    #[command(
        after_help = "Examples:\n  rts team edit web --max-runners 200\n  rts team edit web --name frontend"
    )]
    Edit {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
        /// New name.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Deactivate a team: its requests are cancelled and its unread configs shredded. Its runners stay.
    #[command(after_help = "Example:\n  rts team deactivate web --reason 'moved to platform' --yes")]
    Deactivate {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        consent: Consent,
    },
    /// Activate a team again.
    #[command(after_help = "Example:\n  rts team reactivate web")]
    Reactivate {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
    },
    /// List, add and remove the members of a team.
    #[command(subcommand)]
    Members(MembersVerb),
}

/// Verbs of `rts team members`.
#[derive(Debug, Subcommand)]
pub enum MembersVerb {
    /// List the members of a team.
    #[command(visible_alias = "ls", after_help = "Example:\n  rts team members list web")]
    List {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Add a person to a team.
    #[command(after_help = "Example:\n  rts team members add web ada@example.com")]
    Add {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|USER_ID")]
        user: String,
    },
    /// Remove a person from a team.
    #[command(
        visible_alias = "rm",
        after_help = "Example:\n  rts team members remove web ada@example.com --yes"
    )]
    Remove {
        /// The team, by name or id.
        #[arg(value_name = "NAME|ID", add = completion::teams())]
        team: String,
        /// The person, by e-mail, subject or id.
        #[arg(value_name = "EMAIL|USER_ID")]
        user: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Policy of a team.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy")]
pub struct PolicyArgs {
    /// Free text about the team.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A label that every runner gets; repeat it. One empty label means none.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Option<Vec<String>>,
    /// A pattern of further labels: `*`, `glob:gpu-*` or a regular expression; repeat it.
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Option<Vec<String>>,
    /// Most runners at a time.
    #[arg(long, value_name = "N")]
    max_runners: Option<u32>,
    /// Weight in the fair queue, above 0 and at most 100.
    #[arg(long, value_name = "NUMBER")]
    weight: Option<f64>,
    /// A runner group that the team may use, by GitHub's id; repeat it.
    #[arg(long = "group", value_name = "ID")]
    groups: Option<Vec<u64>>,
    /// A repository whose jobs may run on its runners, as a glob of `owner/name`; repeat it.
    #[arg(long = "repository", value_name = "GLOB")]
    repositories: Option<Vec<String>>,
    /// A workflow whose jobs may run on its runners, as a glob of its name; repeat it.
    #[arg(long = "workflow", value_name = "GLOB")]
    workflows: Option<Vec<String>>,
    /// Response to labels that were changed on GitHub.
    #[arg(long, value_name = "RESPONSE", value_parser = ["observe", "repair", "delete"])]
    drift_response: Option<String>,
    /// Whether every runner gets the label `self-hosted`.
    #[arg(long, value_name = "BOOL")]
    add_self_hosted: Option<bool>,
    /// GitHub installation of its runners.
    #[arg(long, value_name = "NAME")]
    installation: Option<String>,
}

impl PolicyArgs {
    fn into_fields(self) -> Fields {
        let given = |values: Option<Vec<String>>| {
            values.map(|values| values.into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>())
        };
        Fields::default()
            .add("description", self.description)
            .list("required_labels", given(self.labels))
            .list("optional_label_patterns", given(self.patterns))
            .add("max_runners", self.max_runners)
            .add("weight", self.weight)
            .list("allowed_runner_group_ids", self.groups)
            .list("allowed_repositories", given(self.repositories))
            .list("allowed_workflows", given(self.workflows))
            .add("drift_response", self.drift_response)
            .add("add_self_hosted", self.add_self_hosted)
            .add("installation", self.installation)
    }
}

/// Runs a verb.
pub(crate) async fn run(session: &Session, verb: TeamVerb) -> Result<(), ClientError> {
    match verb {
        TeamVerb::List { mine: true, .. } => {
            session
                .print_list(&MY_TEAM, session.list_request(&MY_TEAM), crate::session::Limit { items: None })
                .await
        }
        TeamVerb::List { active, search, limit, .. } => {
            let request =
                session.list_request(&TEAM).query("active_only", active.then_some(true)).query("q", search);
            session.print_list(&TEAM, request, limit.into()).await
        }
        TeamVerb::Show { team } => {
            let id = resolve::team(session, &team).await?;
            session.print_thing(&TEAM, &session.get(&["admin", "teams", &id]).await?);
            Ok(())
        }
        TeamVerb::History { team, event_type, success, period, limit } => {
            let id = resolve::team(session, &team).await?;
            let request = session.client.request(Method::GET, &["admin", "teams", &id, "audit-logs"]);
            let request = period.add_to(request.query("event_type", event_type).query("success", success));
            session.print_list(&AUDIT, request, limit.into()).await
        }
        TeamVerb::Create { name, policy } => {
            let body = policy.into_fields().add("name", Some(name)).into_body();
            let created = session.change(Method::POST, &["admin", "teams"], body).await?.body;
            print_team(session, &created, "created");
            Ok(())
        }
        TeamVerb::Edit { team, name, policy } => {
            let fields = policy.into_fields().add("name", name);
            if fields.is_empty() {
                return Err(ClientError::Usage(
                    "name at least one change; see `rts team edit --help`".to_owned(),
                ));
            }
            let id = resolve::team(session, &team).await?;
            let changed =
                session.change(Method::PATCH, &["admin", "teams", &id], fields.into_body()).await?.body;
            print_team(session, &changed, "changed");
            Ok(())
        }
        TeamVerb::Deactivate { team, reason, consent } => deactivate(session, &team, reason, consent).await,
        TeamVerb::Reactivate { team } => {
            let id = resolve::team(session, &team).await?;
            let request = session.client.request(Method::POST, &["admin", "teams", &id, "reactivate"]);
            print_team(session, &session.client.send(request).await?.body, "active");
            Ok(())
        }
        TeamVerb::Members(verb) => members(session, verb).await,
    }
}

async fn deactivate(
    session: &Session,
    team: &str,
    reason: Reason,
    consent: Consent,
) -> Result<(), ClientError> {
    let id = resolve::team(session, team).await?;
    let question = format!("This cancels the requests of the team {team} and shreds its unread configs.");
    session.prompt.confirm(&question, consent.yes)?;
    let reason = session.prompt.reason(reason.reason)?;
    let path = ["admin", "teams", &id, "deactivate"];
    let changed = session.change(Method::POST, &path, json!({ "reason": reason })).await?.body;
    print_team(session, &changed, "deactivated; its runners stay");
    Ok(())
}

fn print_team(session: &Session, team: &serde_json::Value, state: &str) {
    session.print_done(
        &TEAM,
        team,
        &format!("team {} ({}) is {state}", scalar(&team["name"]), scalar(&team["id"])),
    );
    for warning in team["warnings"].as_array().into_iter().flatten() {
        crate::output::print::note(format_args!("warning: {}", scalar(&warning["detail"])));
    }
}

async fn members(session: &Session, verb: MembersVerb) -> Result<(), ClientError> {
    match verb {
        MembersVerb::List { team, limit } => {
            let id = resolve::team(session, &team).await?;
            let request = session.client.request(Method::GET, &["admin", "teams", &id, "members"]);
            let noun = Noun { key: "members", ..USER };
            session.print_list(&noun, request, limit.into()).await
        }
        MembersVerb::Add { team, user } => {
            let (id, person) = (resolve::team(session, &team).await?, resolve::user(session, &user).await?);
            let path = ["admin", "teams", &id, "members"];
            let member = session.change(Method::POST, &path, json!({ "user_id": person })).await?.body;
            session.print_done(&USER, &member, &format!("{user} is a member of {team}"));
            Ok(())
        }
        MembersVerb::Remove { team, user, consent } => {
            let (id, person) = (resolve::team(session, &team).await?, resolve::user(session, &user).await?);
            session.prompt.confirm(&format!("This removes {user} from the team {team}."), consent.yes)?;
            let request =
                session.client.request(Method::DELETE, &["admin", "teams", &id, "members", &person]);
            session.client.send(request).await?;
            session.print_done(&USER, &json!({ "id": person }), &format!("{user} is no member of {team}"));
            Ok(())
        }
    }
}
