//! Frame of every page: navigation, verdict, strip, and the signed-in person.

use std::sync::Arc;

use domain::Role;

use super::{
    assets::{self, AssetUrls},
    outlook::Outlook,
    snapshot::Snapshot,
    status::Status,
    visitor::Visitor,
};
use crate::app::AppState;

/// A page family, as the navigation names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Board,
    Runners,
    Jobs,
    Failures,
    Lanes,
    Workers,
    Budget,
    Fleet,
    Teams,
    People,
    Clients,
    Security,
    Audit,
    Explain,
    Sessions,
}

use Section::{
    Audit, Board, Budget, Clients, Explain, Failures, Fleet, Jobs, Lanes, People, Runners, Security,
    Sessions, Teams, Workers,
};

/// Navigation of admins and viewers, in groups.
const OPERATORS: &[&[Section]] = &[
    &[Board, Runners, Jobs, Failures],
    &[Lanes, Workers, Budget, Fleet],
    &[Teams, People, Clients],
    &[Security, Audit, Explain],
];
/// Navigation of members.
const MEMBERS: &[&[Section]] = &[&[Runners, Jobs, Teams, Explain]];

impl Section {
    /// Returns the name of the pages.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Board => "Board",
            Runners => "Runners",
            Jobs => "Jobs",
            Failures => "Failures",
            Lanes => "Lanes",
            Workers => "Workers",
            Budget => "Budget",
            Fleet => "Fleet",
            Teams => "Teams",
            People => "People",
            Clients => "Clients",
            Security => "Security",
            Audit => "Audit",
            Explain => "Explain",
            Sessions => "Sessions",
        }
    }

    /// Returns the path of the first page.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Board => "/",
            Runners => "/runners",
            Jobs => "/jobs",
            Failures => "/failures",
            Lanes => "/lanes",
            Workers => "/workers",
            Budget => "/budget",
            Fleet => "/fleet",
            Teams => "/teams",
            People => "/people",
            Clients => "/clients",
            Security => "/security",
            Audit => "/audit",
            Explain => "/explain",
            Sessions => "/sessions",
        }
    }

    /// Returns the second key of the shortcut `g` and a letter.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Board => "b",
            Runners => "r",
            Jobs => "j",
            Failures => "f",
            Lanes => "l",
            Workers => "w",
            Budget => "u",
            Fleet => "e",
            Teams => "t",
            People => "p",
            Clients => "c",
            Security => "s",
            Audit => "a",
            Explain => "x",
            Sessions => "m",
        }
    }
}

/// Everything that the frame of a page shows.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Title of the page.
    pub(crate) title: String,
    /// Its page family.
    pub(crate) section: Section,
    /// Name of the signed-in person.
    pub(crate) name: String,
    /// Their role.
    pub(crate) role: Role,
    /// Sentence about a finished action.
    pub(crate) notice: Option<String>,
    /// State of the service, for admins and viewers; `None` if it is not known.
    pub(crate) status: Option<Arc<Status>>,
    /// State of the service in a member's words.
    pub(crate) outlook: Option<String>,
    /// Path and query of the page.
    pub(crate) path: String,
    /// Whether the page shows live data.
    pub(crate) is_live: bool,
    /// Whether this port serves the description of the API.
    pub(crate) has_docs: bool,
    /// URLs of the assets.
    pub(crate) assets: AssetUrls,
    /// State of the service, which pages show more of. A second read would double the wait while a store is away.
    pub(super) snapshot: Option<Arc<Snapshot>>,
}

impl Frame {
    /// Returns the frame of a page. A store that is away does not fail it.
    pub(crate) async fn new(
        app: &AppState,
        visitor: &Visitor,
        section: Section,
        title: impl Into<String>,
    ) -> Self {
        let caller = &visitor.caller;
        let snapshot = app.snapshots().get(app).await;
        let oversees = caller.sees_everything();
        Self {
            title: title.into(),
            section,
            name: caller.display_name.clone().unwrap_or_else(|| caller.identity.clone()),
            role: Role::of(caller.is_admin, caller.is_viewer),
            notice: visitor.notice.clone(),
            status: snapshot.as_deref().filter(|_| oversees).map(|snapshot| Arc::new(Status::of(snapshot))),
            outlook: snapshot.as_deref().filter(|_| !oversees).map(|snapshot| Outlook::of(snapshot).sentence),
            path: visitor.path.clone(),
            is_live: oversees && !visitor.is_paused,
            has_docs: app.server.public_docs,
            assets: assets::urls(),
            snapshot,
        }
    }

    /// Returns whether the page shows buttons that change something.
    pub(crate) fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Returns whether the signed-in person sees everything.
    pub(crate) fn oversees(&self) -> bool {
        self.role != Role::Member
    }

    /// Returns the navigation, in groups.
    pub(crate) fn navigation(&self) -> &'static [&'static [Section]] {
        if self.oversees() { OPERATORS } else { MEMBERS }
    }

    /// Returns the title of the browser's tab: the level of the service comes first, so that a tab is an alarm.
    pub(crate) fn document_title(&self) -> String {
        let title = &self.title;
        match &self.status {
            Some(status) => format!("{} {} – {title} – RTS", status.shape, status.word),
            None => format!("{title} – RTS"),
        }
    }

    /// Returns the URL of the icon of the browser's tab.
    pub(crate) fn favicon(&self) -> &'static str {
        self.status
            .as_ref()
            .map_or_else(|| assets::favicon(domain::VerdictLevel::Ok), |status| status.favicon())
    }
}
