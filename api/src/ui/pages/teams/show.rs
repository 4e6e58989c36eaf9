//! One team: its use, policy, members, machine clients and history.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{Caller, TeamId, TicketState};

use crate::{
    app::AppState,
    body::{Id, Params},
    caller::{Authorised, ReadsTeams, SeesAll},
    routes::{
        admin::{
            clients::{self, ClientParams, view::ClientView},
            members::{self, MemberParams, MemberView},
            security::SecurityView,
            team_logs::{self, TeamAuditParams, TeamSecurityParams},
            teams::{self, TeamView},
        },
        audit::AuditView,
        tickets::{self, list::TicketParams, view::TicketView},
    },
    ui::{
        Frame, Section, UiResult, Visitor, page,
        pages::{
            input::{PageId, PageParams},
            list_filters::{Filters, PAGE_ROWS},
        },
    },
};

/// Newest audit rows and security events of a team that its page shows.
const RECENT: i64 = 10;

/// A team.
#[derive(Template)]
#[template(path = "team.html")]
struct TeamPage {
    frame: Frame,
    team: TeamView,
    members: Vec<MemberView>,
    /// URL of the next older members.
    older: Option<String>,
    filters: Filters,
    is_first: bool,
    /// Machine clients, for those who see them.
    clients: Option<Vec<ClientView>>,
    /// Newest open claim tickets.
    tickets: Vec<TicketView>,
    rows: Vec<AuditView>,
    events: Vec<SecurityView>,
    may_ask: bool,
    may_revoke: bool,
}

impl TeamPage {
    fn groups(&self) -> String {
        let ids: Vec<String> = self.team.allowed_runner_group_ids.iter().map(i64::to_string).collect();
        if ids.is_empty() { "the default group only".to_owned() } else { ids.join(", ") }
    }
}

/// Shows a team.
pub(super) async fn show(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<TeamId>,
    PageParams(params): PageParams<MemberParams>,
) -> UiResult<Response> {
    let caller = || ReadsTeams(visitor.caller.clone());
    let team = teams::show(State(app.clone()), caller(), Id(id)).await?.0;
    let is_first = params.cursor.is_none();
    let params = MemberParams { limit: Some(PAGE_ROWS), ..params };
    let members = members::list(State(app.clone()), caller(), Id(id), Params(params)).await?.into_body();
    let filters = Filters::of(format!("/teams/{id}"));
    let recent = TeamAuditParams { limit: Some(RECENT), ..TeamAuditParams::default() };
    let rows = team_logs::audit_logs(State(app.clone()), caller(), Id(id), Params(recent)).await?;
    let recent = TeamSecurityParams { limit: Some(RECENT), ..TeamSecurityParams::default() };
    let events = team_logs::security_events(State(app.clone()), caller(), Id(id), Params(recent)).await?;
    page(&TeamPage {
        frame: Frame::new(&app, &visitor, Section::Teams, team.name.clone()).await,
        members: members.members,
        older: filters.older(members.next_cursor),
        filters,
        is_first,
        clients: clients_of(&app, &visitor.caller, id).await?,
        tickets: open_tickets(&app, &visitor.caller, id).await?,
        rows: rows.into_body().logs,
        events: events.into_body().events,
        may_revoke: !visitor.caller.only_reads(),
        may_ask: team.is_active && visitor.caller.is_member(id) && !visitor.caller.only_reads(),
        team,
    })
}

async fn open_tickets(app: &AppState, caller: &Caller, team: TeamId) -> UiResult<Vec<TicketView>> {
    let state = Some(TicketState::Open);
    let params = TicketParams {
        state,
        team: Some(team.to_string()),
        limit: Some(PAGE_ROWS),
        ..TicketParams::default()
    };
    let listed = tickets::list::list(State(app.clone()), Authorised(caller.clone()), Params(params)).await?;
    Ok(listed.into_body().tickets)
}

async fn clients_of(app: &AppState, caller: &Caller, team: TeamId) -> UiResult<Option<Vec<ClientView>>> {
    if !caller.sees_everything() {
        return Ok(None);
    }
    let params =
        ClientParams { team: Some(team.to_string()), limit: Some(PAGE_ROWS), ..ClientParams::default() };
    let listed = clients::list(State(app.clone()), SeesAll(caller.clone()), Params(params)).await?;
    Ok(Some(listed.into_body().clients))
}
