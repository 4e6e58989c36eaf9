//! Planned changes of machine clients.

use std::collections::HashSet;

use domain::{ClientId, FieldError, MachineClient, TeamId};
use store::NewClient;

use super::{
    ApplyOptions,
    plan::{Action, PlanItem, Subject},
    state::{ChangedClient, Changes, State},
    wanted::{Wanted, WantedClient, WantedTeam, lower},
};
use crate::{
    clients::{check_client_draft, describe_client},
    record::differences,
};

/// Plans the machine clients of the files, and with `prune` the end of those that the files no longer name.
pub(super) fn plan(wanted: &Wanted, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    for team in &wanted.teams {
        let Some(id) = changes.team_ids.get(&lower(&team.draft.name)).copied() else { continue };
        for client in &team.clients {
            plan_client(Place { team, id, client }, state, options, changes);
        }
    }
    if options.prune {
        prune(wanted, state, options, changes);
    }
}

/// A wanted machine client and its team.
#[derive(Clone, Copy)]
struct Place<'w> {
    team: &'w WantedTeam,
    id: TeamId,
    client: &'w WantedClient,
}

fn plan_client(at: Place<'_>, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    let client = at.client;
    let draft = NewClient {
        client_id: client.client_id.clone(),
        issuer: client.issuer.clone(),
        team: at.id,
        description: client.description.clone(),
        rule: client.rule.clone(),
    };
    let found = check_client_draft(&draft);
    if !found.is_empty() {
        let placed =
            |error: FieldError| FieldError::new(format!("{}{}", client.place, error.pointer), error.detail);
        changes.errors.extend(found.into_iter().map(placed));
        return;
    }
    let name = &at.team.draft.name;
    let Some(stored) = state.clients.get(&(client.issuer.clone(), client.client_id.clone())) else {
        let after = new_client(draft, client.is_active);
        let delta = differences(&serde_json::json!({}), &describe_client(&after));
        let item = PlanItem::new(Subject::Client, Action::Create, client.client_id.as_str());
        changes.items.push(item.of_team(name, at.id).with(delta));
        changes.clients.push(ChangedClient { ends: false, after });
        return;
    };
    let before = &stored.row;
    if let Some((field, detail)) = find_fixed_difference(before, at) {
        changes.errors.push(FieldError::new(format!("{}/{field}", client.place), detail));
        return;
    }
    let after = MachineClient {
        description: client.description.clone(),
        rule: client.rule.clone(),
        is_active: client.is_active.unwrap_or(before.is_active),
        ..before.clone()
    };
    let delta = differences(&describe_client(before), &describe_client(&after));
    let action = changes.action(&client.place, stored.managed_by.as_deref(), &options.owner, delta.is_some());
    if !after.is_active && client.is_active.is_none() {
        let id = &client.client_id;
        changes
            .remarks
            .push(format!("Client {id} stays deactivated; write `is_active: true` to activate it."));
    }
    let Some(action) = action else { return };
    let ends = before.is_active && !after.is_active;
    let action = if ends { Action::Deactivate } else { action };
    let item = PlanItem::new(Subject::Client, action, client.client_id.as_str());
    changes.items.push(item.of_team(name, at.id).with(delta));
    changes.clients.push(ChangedClient { ends, after });
}

/// Returns the field and the fault of a value that a stored machine client cannot change.
fn find_fixed_difference(before: &MachineClient, at: Place<'_>) -> Option<(&'static str, &'static str)> {
    if before.team != at.id {
        return Some(("client_id", "this machine client acts for another team; remove it there first"));
    }
    (before.rule.is_some() != at.client.rule.is_some()).then_some((
        "rule",
        "a client is known by its client id or by a rule, for good; add another client for the other",
    ))
}

fn new_client(draft: NewClient, is_active: Option<bool>) -> MachineClient {
    MachineClient {
        id: ClientId::new(),
        client_id: draft.client_id,
        issuer: draft.issuer,
        team: draft.team,
        description: draft.description,
        rule: draft.rule,
        is_active: is_active.unwrap_or(true),
        created_at: chrono::DateTime::UNIX_EPOCH,
        last_used_at: None,
        created_by: None,
    }
}

/// Plans the end of the owner's machine clients that the files do not name.
fn prune(wanted: &Wanted, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    let clients = wanted.teams.iter().flat_map(|team| &team.clients);
    let named: HashSet<(&str, &str)> =
        clients.map(|client| (client.issuer.as_str(), client.client_id.as_str())).collect();
    let mut ended: Vec<_> = state
        .clients
        .values()
        .filter(|stored| stored.managed_by.as_deref() == Some(&options.owner) && stored.row.is_active)
        .filter(|stored| !named.contains(&(stored.row.issuer.as_str(), stored.row.client_id.as_str())))
        .collect();
    ended.sort_by_key(|stored| stored.row.id);
    for stored in ended {
        let after = MachineClient { is_active: false, ..stored.row.clone() };
        let delta = differences(&describe_client(&stored.row), &describe_client(&after));
        let team = state.teams.values().find(|team| team.row.id == after.team);
        let name = team.map_or("", |team| team.row.name.as_str());
        let item = PlanItem::new(Subject::Client, Action::Deactivate, after.client_id.as_str());
        changes.items.push(item.of_team(name, after.team).with(delta));
        changes.clients.push(ChangedClient { ends: true, after });
    }
}
