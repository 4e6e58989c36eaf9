//! The incident switch: a preview of whose access ends, and the switch itself.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{IncidentKind, Problem};
use operations::Actor;
use serde::Deserialize;

use crate::{
    app::AppState,
    error::ApiResult,
    routes::admin::incidents::{
        self,
        view::{IncidentPreview, ScopeView},
    },
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::{
            input::{PageParams, Refusal, form_page},
            preview::tell,
        },
    },
};

/// Reason of a preview, which writes nothing.
const NO_REASON_YET: &str = "preview in the dashboard";

/// Target of an incident, as a link or the form names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Target {
    kind: String,
    name: String,
}

/// Confirmation of an incident.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    kind: String,
    name: String,
    reason: String,
    /// Number of changes in the preview.
    count: usize,
    /// Name of the target, typed.
    typed: String,
}

/// The switch.
#[derive(Template)]
#[template(path = "incident_new.html")]
struct IncidentPage {
    frame: Frame,
    target: Target,
    kinds: &'static [IncidentKind],
    preview: Option<IncidentPreview>,
    reason: String,
    refusal: Option<Refusal>,
}

/// Returns what ends, in sentences.
fn consequences(now: &ScopeView) -> [String; 4] {
    let stays = "runs a workflow job and stays; remove it by hand to end the job";
    let stay = "run a workflow job and stay; remove them by hand to end the jobs";
    [
        tell(now.open_jobs, "open request", "is cancelled", "are cancelled"),
        tell(now.configs, "config", "is shredded", "are shredded"),
        tell(now.idle_runners, "idle runner", "is removed from GitHub", "are removed from GitHub"),
        tell(now.busy_runners, "runner", stays, stay),
    ]
}

async fn read_preview(app: &AppState, visitor: &Visitor, target: &Target) -> ApiResult<IncidentPreview> {
    let target = find(app, &target.kind, &target.name).await?;
    let by = Actor { caller: &visitor.caller, origin: &visitor.origin };
    let (items, scope, busy) = app.operations().preview_incident(by, &target, NO_REASON_YET).await?;
    Ok(IncidentPreview::new(&target, items, scope, busy))
}

async fn find(app: &AppState, kind: &str, name: &str) -> ApiResult<store::IncidentTarget> {
    let kind: IncidentKind = kind.parse().map_err(|_| Problem::field("/kind", "choose one of the list"))?;
    incidents::find_target(app, kind, name.trim()).await
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    target: Target,
    reason: String,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let named = !target.name.trim().is_empty();
    let (preview, refusal) = match (named, refusal) {
        (false, refusal) => (None, refusal),
        (true, refusal) => match read_preview(app, visitor, &target).await {
            Ok(preview) => (Some(preview), refusal),
            Err(error) => (None, Some(refusal.map_or_else(|| Refusal::of(error), Ok)?)),
        },
    };
    let shown = IncidentPage {
        frame: Frame::new(app, visitor, Section::Security, "Incident switch").await,
        target,
        kinds: IncidentKind::ALL,
        preview,
        reason,
        refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}

/// Shows whose access would end.
pub(super) async fn preview(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageParams(target): PageParams<Target>,
) -> UiResult<Response> {
    show(&app, &visitor, target, String::new(), None).await
}

/// Ends the access, if it is still what the preview showed.
pub(super) async fn begin(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    UiForm(form): UiForm<Confirmation>,
) -> UiResult<Response> {
    let begun = async {
        let target = find(&app, &form.kind, &form.name).await?;
        if form.typed.trim() != target.name {
            return Err(Problem::field("/typed", "type the name of the target; nothing was changed").into());
        }
        let by = Actor { caller: &visitor.caller, origin: &visitor.origin };
        let reason = form.reason.trim();
        let (items, scope, busy) = app.operations().preview_incident(by, &target, reason).await?;
        let total = IncidentPreview::new(&target, items, scope, busy).total;
        if total != form.count {
            let detail =
                format!("{total} changes would be made now; read the preview again. Nothing was changed.");
            return Err(Problem::field("/count", detail).into());
        }
        let incident = app.operations().begin_incident(by, &admin, &target, reason).await?;
        incidents::run(&app, incident).await
    };
    match begun.await {
        Ok(view) => {
            let sentence = format!("The access of {} has ended.", view.summary.name);
            Ok(done(&format!("/incidents/{}", view.id()), sentence))
        }
        Err(error) => {
            let refusal = Refusal::of(error)?;
            let target = Target { kind: form.kind, name: form.name };
            show(&app, &visitor, target, form.reason, Some(refusal)).await
        }
    }
}
