//! Approval of the removals that a sync run holds, and sync runs on request.

use askama::Template;
use axum::{Json, extract::State, response::Response};
use domain::{InstallationId, Problem};
use serde::Deserialize;
use store::DoubtfulRow;

use crate::{
    app::AppState,
    body::Body,
    caller::{Administers, SeesAll},
    routes::admin::sync::{self, TriggerBody},
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, done,
        format::count,
        pages::{
            input::{self, PageId, Refusal, form_page},
            words,
        },
    },
};

/// Runners in the sample.
const SAMPLE: i64 = 20;

/// What an approval removes.
#[derive(Template)]
#[template(path = "fleet_removals.html")]
struct RemovalsPage {
    frame: Frame,
    installation: String,
    path: String,
    held: u64,
    sample: Vec<DoubtfulRow>,
    teams: Vec<(String, String, i64)>,
    count: String,
    refusal: Option<Refusal>,
}

impl RemovalsPage {
    fn why(row: &DoubtfulRow) -> String {
        match row {
            DoubtfulRow { refused: true, .. } => "its labels break the team's policy".to_owned(),
            DoubtfulRow { missed: 1.., .. } => format!("not listed in {} complete runs", row.missed),
            DoubtfulRow { unlisted: 1.., .. } => format!("not listed in {} runs", row.unlisted),
            _ => "differs from what the service bound".to_owned(),
        }
    }

    /// Returns the sample, each with the reason.
    fn rows(&self) -> Vec<(&DoubtfulRow, String)> {
        self.sample.iter().map(|row| (row, Self::why(row))).collect()
    }
}

/// Form of an approval.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalForm {
    /// Number of removals, as the admin typed it.
    count: String,
}

/// Form of a request for sync runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncForm {
    /// Only this installation.
    installation: Option<String>,
}

/// Returns the number of removals that an installation holds now.
async fn held_now(app: &AppState, admin: &AdminVisitor, name: &InstallationId) -> UiResult<u64> {
    if !app.installations.contains_key(name) {
        return Err(Problem::not_found("installation").into());
    }
    let Json(status) = sync::status(State(app.clone()), SeesAll(admin.visitor.caller.clone())).await?;
    let row = status.installations.iter().find(|row| row.installation == name.as_str());
    Ok(row.map_or(0, |row| words::natural(row.removals_held)))
}

/// Shows which removals an approval concerns.
pub(super) async fn preview(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<InstallationId>,
) -> UiResult<Response> {
    confirm(&app, &admin, &name, String::new(), None).await
}

async fn confirm(
    app: &AppState,
    admin: &AdminVisitor,
    name: &InstallationId,
    count: String,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let held = held_now(app, admin, name).await?;
    let mut lists = app.lists(&admin.visitor.caller).await?;
    let sample = if held == 0 { Ok(Vec::new()) } else { lists.runners().doubtful(name, SAMPLE).await };
    let sample = lists.respond(sample, |sample| sample)?.into_body();
    let mut teams: Vec<(String, String, i64)> =
        sample.iter().map(|row| (row.team_id.to_string(), row.team.clone(), row.of_team)).collect();
    teams.sort_unstable_by(|a, b| (b.2, &a.1).cmp(&(a.2, &b.1)));
    teams.dedup();
    let frame = Frame::new(app, &admin.visitor, Section::Fleet, format!("Held removals of {name}")).await;
    let shown = RemovalsPage {
        frame,
        path: words::path(&["fleet", name.as_str()]),
        installation: name.to_string(),
        held,
        sample,
        teams,
        count,
        refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}

/// Approves the held removals, if they are still as many as the admin typed.
pub(super) async fn approve(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<InstallationId>,
    UiForm(form): UiForm<ApprovalForm>,
) -> UiResult<Response> {
    let held = held_now(&app, &admin, &name).await?;
    let typed = input::number::<u64>("/count", &form.count);
    if held == 0 || typed.as_ref().ok() != Some(&Some(held)) {
        let detail = format!("{held} removals are held now; type this number. Nothing was approved.");
        let refusal = Refusal::of(Problem::field("/count", detail))?;
        return confirm(&app, &admin, &name, form.count, Some(refusal)).await;
    }
    operations::request_sync(&app.store, &admin.admin, Some(&name), true).await?;
    let about = count(held, "runner", "runners");
    Ok(done("/fleet", format!("The next complete run may remove about {about}, once, within 15 minutes.")))
}

/// Requests sync runs of one installation or all.
pub(super) async fn sync_now(
    State(app): State<AppState>,
    admin: AdminVisitor,
    UiForm(form): UiForm<SyncForm>,
) -> UiResult<Response> {
    let body = TriggerBody { confirm_removals: false, installation: form.installation };
    let (_, Json(triggered)) = sync::trigger(State(app), Administers(admin.admin), Some(Body(body))).await?;
    let sentence = if triggered.installations.is_empty() {
        "No installation is known yet; a worker or a scheduler makes it known when it starts.".to_owned()
    } else {
        format!("A sync run begins within seconds: {}.", triggered.installations.join(", "))
    };
    Ok(done("/fleet", sentence))
}
