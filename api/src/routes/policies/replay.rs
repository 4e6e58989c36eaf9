//! Replay: `POST /admin/policies/replay`.

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Problem, TeamEntry};
use operations::{Found, ReplayedRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents;
use crate::{
    app::AppState, body::Body, caller::SeesAllByPost, error::ApiResult, lists::Listing, openapi::problems,
};

problems! {
    ReplayProblems: MalformedBody, AdminRequired, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        GithubUnavailable;
}

/// Draft of a team's policy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// The team as its file describes it, known by its name. Only labels and runner groups are replayed.
    pub(crate) team: TeamEntry,
    /// Number of days to go back.
    #[serde(default = "default_days")]
    #[schema(default = 30, minimum = 1, maximum = 90)]
    pub(crate) days: u32,
}

const fn default_days() -> u32 {
    30
}

/// Requests about which a draft decides otherwise than the policy did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub(crate) struct ReplayView {
    /// Beginning of the replayed time.
    pub(crate) since: DateTime<Utc>,
    /// Number of requests that were looked at.
    pub(crate) examined: u64,
    /// Whether all requests were looked at; otherwise the newest ones were.
    pub(crate) complete: bool,
    /// Accepted requests that the draft refuses.
    pub(crate) newly_refused: FoundView,
    /// Refused requests that the draft allows.
    pub(crate) newly_allowed: FoundView,
    /// Number of refused requests of which the audit log has only a part.
    pub(crate) unclear: u64,
}

/// Requests of one kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayedRequests)]
pub(crate) struct FoundView {
    /// Number of requests.
    pub(crate) count: u64,
    /// The newest of them, at most 20.
    pub(crate) examples: Vec<ExampleView>,
}

/// A past request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayedRequest)]
pub(crate) struct ExampleView {
    /// Time of the request.
    pub(crate) at: DateTime<Utc>,
    /// Identity of the caller.
    pub(crate) user_identity: Option<String>,
    /// Labels of the runner, or the refused labels.
    pub(crate) labels: Vec<String>,
    /// Runner group.
    pub(crate) runner_group_id: Option<i64>,
    /// Problem code: of the draft's refusal, or of the refusal that it would lift.
    pub(crate) code: Option<String>,
    /// Reasons of the draft's refusal.
    pub(crate) reasons: Vec<String>,
}

impl From<Found> for FoundView {
    fn from(found: Found) -> Self {
        Self { count: found.count, examples: found.examples.into_iter().map(ExampleView::from).collect() }
    }
}

impl From<ReplayedRequest> for ExampleView {
    fn from(found: ReplayedRequest) -> Self {
        let code = found.refusal.as_ref().map(|problem| problem.code.as_str().to_owned());
        let reasons = found.refusal.map(|problem| {
            let listed =
                problem.errors.into_iter().map(|error| format!("{}: {}", error.pointer, error.detail));
            let reasons: Vec<String> = listed.collect();
            if reasons.is_empty() { vec![problem.detail] } else { reasons }
        });
        Self {
            at: found.row.at,
            user_identity: found.row.identity,
            labels: found.row.request.labels,
            runner_group_id: found.row.request.runner_group_id,
            code: code.or(found.row.request.code),
            reasons: reasons.unwrap_or_default(),
        }
    }
}

/// Replay past requests of a team against a draft of its policy.
///
/// For admins and viewers. The newest requests first, at most 200,000 in 20 s. Labels that the team requires now are not
/// counted as requested. Nothing is written.
#[utoipa::path(
    post, path = "/admin/policies/replay", tag = "admin", request_body = ReplayBody,
    responses((status = 200, description = "What the draft decides otherwise", body = ReplayView), ReplayProblems),
)]
pub(crate) async fn replay(
    State(app): State<AppState>,
    SeesAllByPost(caller): SeesAllByPost,
    Body(body): Body<ReplayBody>,
) -> ApiResult<Listing<ReplayView>> {
    if !(1..=90).contains(&body.days) {
        return Err(Problem::field("/days", "1 to 90").into());
    }
    let team = app.store.conn().await?.teams().by_name(&body.team.name).await?;
    let team = team.ok_or_else(|| Problem::field("/team/name", "no team with this name"))?;
    let draft = documents::draft_of_team(&app, body.team, "/team")?;
    let since = app.store.now().await? - TimeDelta::days(body.days.into());
    let draft = app.operations().replay_draft(&app.provision_rules(), team.id, &draft).await;
    let draft = draft.map_err(|error| documents::below(error, "/team"))?;
    let mut lists = app.lists(&caller).await?;
    let replay = draft.run(&mut lists, since).await;
    lists.respond(replay, |replay| ReplayView {
        since,
        examined: replay.examined,
        complete: replay.complete,
        newly_refused: replay.newly_refused.into(),
        newly_allowed: replay.newly_allowed.into(),
        unclear: replay.unclear,
    })
}
