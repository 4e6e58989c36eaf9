//! Pause and resume of lanes and installations, with a preview of what a pause holds.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, Lane, PauseScope, Problem};
use serde::Deserialize;

use super::{Depth, PauseNote, read_queue};
use crate::{
    app::AppState,
    routes::admin::queues::LaneView,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, done,
        pages::{
            input::{PageId, Refusal, form_page},
            words,
        },
    },
};

/// Durations to choose from, in seconds. The first one is the default: a forgotten pause ends soon.
const DURATIONS: [(u64, &str); 6] = [
    (900, "15 minutes"),
    (1800, "30 minutes"),
    (3600, "1 hour"),
    (14_400, "4 hours"),
    (43_200, "12 hours"),
    (86_400, "24 hours"),
];

/// What a pause holds.
#[derive(Template)]
#[template(path = "lanes_pause.html")]
struct PausePage {
    frame: Frame,
    /// Noun of what is paused.
    subject: String,
    /// Path that the form is sent to.
    action: String,
    /// Numbers of jobs; `None` while the queue is away.
    depth: Option<Depth>,
    /// Time after which a waiting job of the most urgent kind expires.
    deadline: &'static str,
    /// The present pause by an admin.
    present: Option<PauseNote>,
    durations: &'static [(u64, &'static str)],
    seconds: u64,
    reason: String,
    refusal: Option<Refusal>,
}

/// Form of a pause.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseForm {
    seconds: u64,
    reason: String,
}

/// What is to be paused: its scope, its noun and its path.
struct Target {
    scope: PauseScope,
    subject: String,
    path: String,
    deadline: &'static str,
}

impl Target {
    fn lane(lane: Lane) -> Self {
        let deadline = match lane {
            Lane::Provision => "15 minutes",
            Lane::Deprovision => "24 hours",
            Lane::Drift => "10 minutes",
        };
        let subject = words::lane_noun(lane).to_owned();
        Self {
            scope: PauseScope::Lane(lane),
            subject,
            path: words::path(&["lanes", lane.as_str()]),
            deadline,
        }
    }

    /// Returns a configured installation.
    fn installation(app: &AppState, name: InstallationId) -> Result<Self, Problem> {
        let subject = match (app.installations.contains_key(&name), app.further_apps.get(&name)) {
            (true, _) => format!("installation {name}"),
            (false, Some(pool)) => format!("App {name} of pool {pool}, whose other Apps go on"),
            (false, None) => return Err(Problem::not_found("installation")),
        };
        let path = words::path(&["installations", name.as_str()]);
        Ok(Self { scope: PauseScope::Installation(name), subject, path, deadline: "15 minutes" })
    }

    fn holds(&self, lane: &LaneView) -> bool {
        match &self.scope {
            PauseScope::Lane(own) => lane.lane == *own,
            PauseScope::Installation(own) => lane.installation == own.as_str(),
        }
    }

    /// Returns whether a pause is of this target and by an admin.
    fn is_held_by(&self, pause: &PauseNote) -> bool {
        pause.by_admin
            && match &self.scope {
                PauseScope::Lane(own) => pause.view.lane.as_deref() == Some(own.as_str()),
                PauseScope::Installation(own) => pause.view.installation.as_deref() == Some(own.as_str()),
            }
    }

    async fn preview(
        self,
        app: &AppState,
        admin: &AdminVisitor,
        form: PauseForm,
        refusal: Option<Refusal>,
    ) -> UiResult<Response> {
        let queues = read_queue(app).await?;
        let title = format!("Pause {}", self.subject);
        let depth =
            queues.as_ref().map(|queues| Depth::of(queues.lanes.iter().filter(|lane| self.holds(lane))));
        let pauses = queues.map(|queues| queues.pauses).unwrap_or_default();
        let shown = PausePage {
            frame: Frame::new(app, &admin.visitor, Section::Lanes, title).await,
            action: format!("{}/pause", self.path),
            depth,
            deadline: self.deadline,
            present: pauses.into_iter().map(PauseNote::new).find(|pause| self.is_held_by(pause)),
            subject: self.subject,
            durations: &DURATIONS,
            seconds: form.seconds,
            reason: form.reason,
            refusal,
        };
        form_page(&shown, shown.refusal.as_ref())
    }

    async fn pause(self, app: &AppState, admin: &AdminVisitor, form: PauseForm) -> UiResult<Response> {
        let reason = form.reason.trim();
        let paused = app.operations().pause(&admin.admin, &self.scope, form.seconds, Some(reason)).await;
        if let Err(error) = paused {
            let refusal = Refusal::of(error)?;
            return self.preview(app, admin, form, Some(refusal)).await;
        }
        let ends = end_of(Utc::now(), form.seconds);
        Ok(done("/lanes", format!("Paused {} until {ends}.", self.subject)))
    }

    async fn resume(self, app: &AppState, admin: &AdminVisitor) -> UiResult<Response> {
        app.operations().resume(&admin.admin, &self.scope).await?;
        Ok(done("/lanes", format!("Resumed {}. Pauses for GitHub's limits stay.", self.subject)))
    }
}

/// Returns the end of a pause for people.
fn end_of(now: DateTime<Utc>, seconds: u64) -> String {
    let delta = TimeDelta::try_seconds(seconds.cast_signed()).unwrap_or_default();
    let end = now.checked_add_signed(delta).unwrap_or(now);
    end.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn empty_form() -> PauseForm {
    PauseForm { seconds: DURATIONS[0].0, reason: String::new() }
}

/// Shows what a pause of a lane holds.
pub(super) async fn preview_lane(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(lane): PageId<Lane>,
) -> UiResult<Response> {
    Target::lane(lane).preview(&app, &admin, empty_form(), None).await
}

/// Pauses a lane.
pub(super) async fn pause_lane(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(lane): PageId<Lane>,
    UiForm(form): UiForm<PauseForm>,
) -> UiResult<Response> {
    Target::lane(lane).pause(&app, &admin, form).await
}

/// Resumes a lane.
pub(super) async fn resume_lane(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(lane): PageId<Lane>,
) -> UiResult<Response> {
    Target::lane(lane).resume(&app, &admin).await
}

/// Shows what a pause of an installation holds.
pub(super) async fn preview_installation(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<InstallationId>,
) -> UiResult<Response> {
    Target::installation(&app, name)?.preview(&app, &admin, empty_form(), None).await
}

/// Pauses an installation.
pub(super) async fn pause_installation(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<InstallationId>,
    UiForm(form): UiForm<PauseForm>,
) -> UiResult<Response> {
    Target::installation(&app, name)?.pause(&app, &admin, form).await
}

/// Resumes an installation.
pub(super) async fn resume_installation(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<InstallationId>,
) -> UiResult<Response> {
    Target::installation(&app, name)?.resume(&app, &admin).await
}

#[cfg(test)]
mod tests {
    use domain::JobKind;

    use super::*;

    #[test]
    fn deadlines_in_words_are_those_of_the_jobs() {
        let minutes =
            |lane: Lane, kind: JobKind| (Target::lane(lane).deadline, kind.deadline_after().num_minutes());
        assert_eq!(minutes(Lane::Provision, JobKind::Provision), ("15 minutes", 15));
        assert_eq!(minutes(Lane::Deprovision, JobKind::Deprovision), ("24 hours", 1440));
        assert_eq!(minutes(Lane::Drift, JobKind::DriftCheck), ("10 minutes", 10));
    }
}
