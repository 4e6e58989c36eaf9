//! The audit log: rows with their details, and exports.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::AuditChain;
use serde_json::Value;
use store::StoredCheckpoint;

use crate::{
    app::AppState,
    body::Params,
    caller::{Authorised, SeesAll},
    lists::ListSource,
    origin::RequestOrigin,
    routes::{
        admin::audit_export::{self, ExportParams},
        audit::{self, AuditParams, AuditView},
    },
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, UiRoutes, Visitor,
        format::number,
        page,
        pages::{
            input::PageParams,
            list_filters::{Filters, PAGE_ROWS, counted},
        },
    },
};

/// Longest text of a row's details, in characters.
const MAX_DETAILS: usize = 8_000;

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new().get("/audit", show_list).get("/audit/export", export)
}

/// Rows of the audit log, newest first.
#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    filters: Filters,
    rows: Vec<AuditView>,
    total: String,
    is_first: bool,
    older: Option<String>,
    /// The newest checkpoint of the chain, for those who see everything.
    checkpoint: Option<StoredCheckpoint>,
}

impl AuditPage {
    /// Returns what a checkpoint says of the chain.
    fn chain(StoredCheckpoint { checkpoint, signature }: &StoredCheckpoint) -> String {
        let signed = if signature.is_some() { "signed" } else { "not signed" };
        format!("Chained up to block {}, {signed}", number(checkpoint.head.position))
    }
}

/// Returns JSON as people read it.
pub(crate) fn readable(data: &Value) -> String {
    let text = serde_json::to_string_pretty(data).unwrap_or_default();
    if text.chars().count() <= MAX_DETAILS {
        return text;
    }
    text.chars().take(MAX_DETAILS).chain(['…']).collect()
}

/// Returns the page that explains a refused request for a runner: every check, its rule, and who may change it.
pub(crate) fn explanation_of(row: &AuditView) -> Option<String> {
    let asks = matches!(row.event_type.as_str(), "runner.provision" | "runner.register");
    let data = row.event_data.as_ref().filter(|_| asks && !row.success)?;
    let labels = data.get("labels")?.as_array()?.iter().filter_map(Value::as_str);
    let group = data.get("runner_group_id").and_then(Value::as_i64).map(|id| id.to_string());
    let who = row.user_identity.as_deref()?;
    // A person has an e-mail address, or issuer and subject; a machine client has neither sign.
    let caller = if who.contains(['@', '#']) { "user" } else { "client" };
    let filters = Filters::of("/explain")
        .with(caller, Some(who))
        .with("team", row.team_name.as_deref())
        .with("labels", Some(labels.collect::<Vec<_>>().join(",")))
        .with("group", group);
    Some(filters.newest())
}

/// Shows the rows that the visitor may see.
async fn show_list(
    State(app): State<AppState>,
    visitor: Visitor,
    PageParams(mut params): PageParams<AuditParams>,
) -> UiResult<Response> {
    let filters = Filters::of("/audit")
        .with("event_type", params.event_type.clone())
        .with("user", params.user.clone())
        .with("team", params.team.clone())
        .with("runner", params.runner)
        .with("success", params.success)
        .with("since", params.since.map(|at| at.to_rfc3339()))
        .with("until", params.until.map(|at| at.to_rfc3339()));
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let caller = Authorised(visitor.caller.clone());
    let listed =
        audit::list(State(app.clone()), ListSource::Primary, caller, Params(params)).await?.into_body();
    let checkpoint = if visitor.caller.sees_everything() {
        app.store.conn().await?.audit_chains().newest_checkpoint(AuditChain::AuditLog).await?
    } else {
        None
    };
    page(&AuditPage {
        frame: Frame::new(&app, &visitor, Section::Audit, "Audit").await,
        older: filters.older(listed.next_cursor),
        filters,
        rows: listed.logs,
        total: counted(listed.total, listed.total_is_lower_bound, "row", "rows"),
        is_first,
        checkpoint,
    })
}

/// Streams the rows as a file.
async fn export(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(params): PageParams<ExportParams>,
) -> UiResult<Response> {
    let (caller, origin) = (SeesAll(visitor.caller), RequestOrigin(visitor.origin));
    Ok(audit_export::export(State(app), caller, origin, Params(params)).await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_indented_and_bounded() {
        assert_eq!(readable(&json!({ "a": [1] })), "{\n  \"a\": [\n    1\n  ]\n}");
        assert_eq!(readable(&json!("x".repeat(20_000))).chars().count(), MAX_DETAILS + 1);
    }
}
