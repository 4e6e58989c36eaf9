//! Application of files: `POST /admin/apply`.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use domain::{FieldError, Problem, TeamsFile};
use operations::{ApplyOptions, Consent, Plan, PlanItem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::documents;
use crate::{app::AppState, body::LargeBody, caller::Administers, error::ApiResult, openapi::problems};

/// Most documents of one application.
const MAX_DOCUMENTS: usize = 500;
/// Most changes in one answer.
const MAX_LISTED: usize = 5_000;
/// Most remarks in one answer.
const MAX_REMARKS: usize = 100;
/// Most errors in one answer.
const MAX_ERRORS: usize = 100;

problems! {
    ApplyProblems: MalformedBody, AdminRequired, AlreadyExists, LastAdmin, PlanChanged, PlanNeedsConsent,
        PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// Documents to apply: together they are the wanted state of one owner.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyBody {
    /// Teams files; each person, team and machine client is in one of them.
    #[schema(min_items = 1, max_items = 500)]
    pub(crate) documents: Vec<TeamsFile>,
    /// Owner of the documents, such as the name of their repository. Its rows are marked with it.
    #[serde(default = "default_owner")]
    #[schema(default = "default", min_length = 1, max_length = 100)]
    pub(crate) owner: String,
    /// Whether only the plan is made.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Whether people, teams, members and machine clients of the owner that no document names are ended.
    #[serde(default)]
    pub(crate) prune: bool,
    /// Consents to what is otherwise refused.
    #[serde(default)]
    pub(crate) allow: Allowances,
    /// Plan that was reviewed; another plan is refused.
    #[schema(min_length = 64, max_length = 64)]
    pub(crate) plan: Option<String>,
    /// Comment for the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) comment: Option<String>,
}

fn default_owner() -> String {
    "default".to_owned()
}

/// Consents to what an application otherwise refuses.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Allowances {
    /// An admin may lose the role or the access. The last admin never does.
    pub(crate) remove_admin: bool,
    /// More than 20 % of the active people may lose their access or a team.
    pub(crate) many: bool,
}

impl Allowances {
    fn consents(self) -> Vec<Consent> {
        let given = [(self.remove_admin, Consent::RemoveAdmin), (self.many, Consent::Many)];
        given.into_iter().filter(|(given, _)| *given).map(|(_, consent)| consent).collect()
    }
}

/// The plan of an application.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanView {
    /// Id of the plan, for `plan` of the next call. Equal plans have equal ids.
    pub(crate) plan: String,
    /// Whether the changes were made.
    pub(crate) applied: bool,
    /// Number of changes by action.
    pub(crate) counts: BTreeMap<String, usize>,
    /// Number of values that are as wanted.
    pub(crate) unchanged: usize,
    /// Changes, at most 5,000.
    pub(crate) changes: Vec<ChangeView>,
    /// Number of changes that are not listed.
    pub(crate) omitted: usize,
    /// Remarks, such as people who stay deactivated.
    pub(crate) remarks: Vec<String>,
    /// Consents that the plan needs: `remove_admin`, `many`.
    pub(crate) needs: Vec<String>,
}

/// One planned change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlannedChange)]
pub(crate) struct ChangeView {
    /// `person`, `team`, `member` or `client`.
    #[schema(value_type = String)]
    pub(crate) subject: &'static str,
    /// `create`, `update`, `adopt`, `deactivate` or `remove`. A row that was made by hand is adopted.
    #[schema(value_type = String)]
    pub(crate) action: &'static str,
    /// E-mail address, name of the team or client id.
    pub(crate) name: String,
    /// Team of a member or machine client.
    pub(crate) team: Option<String>,
    /// Values before the change, without equal ones.
    pub(crate) before: Value,
    /// Values after the change, without equal ones.
    pub(crate) after: Value,
}

impl From<PlanItem> for ChangeView {
    fn from(item: PlanItem) -> Self {
        Self {
            subject: item.subject.as_str(),
            action: item.action.as_str(),
            name: item.name,
            team: item.team,
            before: item.before,
            after: item.after,
        }
    }
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        let counts = plan.counts().into_iter().map(|(action, count)| (action.as_str().to_owned(), count));
        Self {
            counts: counts.collect(),
            omitted: plan.items.len().saturating_sub(MAX_LISTED),
            plan: plan.id,
            applied: plan.applied,
            unchanged: plan.unchanged,
            changes: plan.items.into_iter().take(MAX_LISTED).map(ChangeView::from).collect(),
            remarks: plan.remarks.into_iter().take(MAX_REMARKS).collect(),
            needs: plan.needs.iter().map(|needed| needed.as_str().to_owned()).collect(),
        }
    }
}

/// Apply teams files.
///
/// For admins. The plan is computed and applied in one transaction, all or nothing; with `dry_run` it is only returned.
/// Rows made by hand are left alone until a document names them. Only `prune` ends what no document names any more, and
/// only rows of the same owner.
#[utoipa::path(
    post, path = "/admin/apply", tag = "admin", request_body = ApplyBody,
    responses((status = 200, description = "The plan", body = PlanView), ApplyProblems),
)]
pub(crate) async fn apply(
    State(app): State<AppState>,
    Administers(admin): Administers,
    LargeBody(body): LargeBody<ApplyBody>,
) -> ApiResult<Json<PlanView>> {
    if body.documents.is_empty() || body.documents.len() > MAX_DOCUMENTS {
        return Err(Problem::field("/documents", format!("1 to {MAX_DOCUMENTS} documents")).into());
    }
    let wanted = documents::read(&app, body.documents).map_err(first_errors)?;
    let options = ApplyOptions {
        owner: body.owner,
        dry_run: body.dry_run,
        prune: body.prune,
        consents: body.allow.consents(),
        plan: body.plan,
        comment: body.comment,
    };
    Ok(Json(app.operations().apply(&admin, &wanted, &options).await?.into()))
}

fn first_errors(mut errors: Vec<FieldError>) -> Problem {
    errors.truncate(MAX_ERRORS);
    Problem::invalid(errors)
}
