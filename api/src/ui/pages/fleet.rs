//! Fleet: sync runs with GitHub, removals that they hold, unmanaged runners, and versions of the runner software.

mod removals;

use askama::Template;
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    input::PageParams,
    list_filters::{Filters, PAGE_ROWS, counted},
    words,
};
use crate::{
    app::AppState,
    body::Params,
    caller::SeesAll,
    routes::admin::{
        sync::{self, InstallationSync, UnmanagedParams, UnmanagedRunner},
        versions::{self, VersionView},
    },
    ui::{
        Frame, OverseeingVisitor, Section, UiResult, UiRoutes,
        format::{number, span},
        page,
    },
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/fleet", show)
        .post("/fleet/sync", removals::sync_now)
        .get("/fleet/{installation}/removals", removals::preview)
        .post("/fleet/{installation}/removals", removals::approve)
}

/// The fleet as the newest sync runs saw it.
#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    leads: bool,
    syncs: Vec<SyncRow>,
    unmanaged: Vec<UnmanagedRunner>,
    total_unmanaged: String,
    is_first: bool,
    filters: Filters,
    older: Option<String>,
    versions: Vec<VersionRow>,
}

/// Sync state of one installation.
struct SyncRow {
    sync: InstallationSync,
    path: String,
    now: DateTime<Utc>,
}

/// A version in use.
struct VersionRow {
    version: VersionView,
    now: DateTime<Utc>,
}

impl SyncRow {
    /// Returns a count of the last run.
    fn counted(&self, name: &str) -> String {
        let found = self.sync.counts.as_ref().and_then(|counts| counts.get(name)).and_then(Value::as_u64);
        found.map_or_else(|| "–".to_owned(), number)
    }

    fn age(&self) -> Option<String> {
        self.sync.last_complete_sync_time.map(|at| span(self.now - at))
    }

    fn period(&self) -> String {
        self.sync.interval_seconds.map_or_else(|| "–".to_owned(), |period| span(words::natural(period)))
    }

    /// Returns whether the last complete run is older than three periods.
    fn is_late(&self) -> bool {
        let Some(period) = self.sync.interval_seconds else { return false };
        let age = self.sync.last_complete_sync_time.map(|at| (self.now - at).num_seconds());
        age.is_none_or(|age| age > i64::from(period) * 3)
    }

    fn held(&self) -> u64 {
        words::natural(self.sync.removals_held)
    }
}

impl VersionRow {
    /// Returns the days until GitHub refuses new runners with this version.
    fn days_left(&self) -> Option<i64> {
        self.version.registration_deprecates_at.map(|at| (at - self.now).num_days().max(0))
    }
}

/// Shows the fleet.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageParams(mut params): PageParams<UnmanagedParams>,
) -> UiResult<Response> {
    let is_first = params.cursor.is_none();
    params.limit = params.limit.or(Some(PAGE_ROWS));
    let seen = || SeesAll(visitor.caller.clone());
    let Json(status) = sync::status(State(app.clone()), seen()).await?;
    let unmanaged = sync::unmanaged(State(app.clone()), seen(), Params(params)).await?.into_body();
    let versions = versions::list(State(app.clone()), seen()).await?.into_body();
    let now = app.store.now().await?;
    let filters = Filters::of("/fleet");
    page(&FleetPage {
        frame: Frame::new(&app, &visitor, Section::Fleet, "Fleet").await,
        leads: status.enabled,
        syncs: status
            .installations
            .into_iter()
            .map(|sync| SyncRow { path: words::path(&["fleet", &sync.installation]), sync, now })
            .collect(),
        total_unmanaged: counted(
            unmanaged.total,
            unmanaged.total_is_lower_bound,
            "unmanaged runner",
            "unmanaged runners",
        ),
        unmanaged: unmanaged.runners,
        is_first,
        older: filters.older(unmanaged.next_cursor),
        filters,
        versions: versions.versions.into_iter().map(|version| VersionRow { version, now }).collect(),
    })
}
