//! Planned changes of teams and their members.

use std::collections::{HashMap, HashSet};

use domain::{FieldError, Problem, Team, TeamId, UserId};
use store::{Managed, MemberRow, TeamChange, Tx};

use super::{
    ApplyOptions,
    plan::{Action, PlanItem, Subject},
    state::{ChangedTeam, Changes, EndedMember, State},
    wanted::{Wanted, WantedTeam, lower},
};
use crate::{
    Result,
    record::differences,
    teams::{describe_team, policy, unchanged_team},
};

/// Reason of a deactivation by the files.
const ENDED_BY_FILE: &str = "its file deactivates it";
/// Reason of a deactivation by `prune`.
const NOT_IN_FILES: &str = "no longer in its files";

/// Plans the teams and members of the files, and with `prune` the end of those that the files no longer name.
pub(super) async fn plan(
    tx: &mut Tx,
    wanted: &Wanted,
    state: &State,
    options: &ApplyOptions,
    changes: &mut Changes,
) -> Result<()> {
    let mut members: HashMap<TeamId, Vec<&MemberRow>> = HashMap::new();
    for member in &state.members {
        members.entry(member.team).or_default().push(member);
    }
    for team in &wanted.teams {
        let stored = state.teams.get(&lower(&team.draft.name));
        check(tx, team, stored.map(|stored| &stored.row), changes).await?;
        let id = plan_team(team, stored, options, changes);
        let present = members.remove(&id).unwrap_or_default();
        plan_members(team, id, &present, options, changes);
    }
    if options.prune {
        prune(wanted, state, options, changes);
    }
    Ok(())
}

/// Checks the values of a team, and that it may move to another installation.
async fn check(tx: &mut Tx, team: &WantedTeam, stored: Option<&Team>, changes: &mut Changes) -> Result<()> {
    let labels_are_new = stored.is_none_or(|stored| stored.required_labels != team.draft.required_labels);
    if let Err(Problem { errors, .. }) = policy::check(&team.draft, stored.is_none(), labels_are_new) {
        let placed =
            |error: FieldError| FieldError::new(format!("{}{}", team.place, error.pointer), error.detail);
        changes.errors.extend(errors.into_iter().map(placed));
    }
    let moves = stored.filter(|stored| stored.installation != team.draft.installation);
    if let Some(stored) = moves
        && tx.teams().in_use(stored.id).await?
    {
        let detail = "the team has runners or open jobs in its installation; remove them before the move";
        changes.errors.push(FieldError::new(format!("{}/installation", team.place), detail));
    }
    Ok(())
}

/// Plans a team and returns its id.
fn plan_team(
    team: &WantedTeam,
    stored: Option<&Managed<Team>>,
    options: &ApplyOptions,
    changes: &mut Changes,
) -> TeamId {
    let name = &team.draft.name;
    let was_active = stored.is_none_or(|stored| stored.row.is_active);
    let is_active = team.is_active.unwrap_or(was_active);
    let reason = match stored {
        Some(stored) if !was_active => stored.row.deactivation_reason.clone(),
        _ => Some(ENDED_BY_FILE.to_owned()),
    };
    let after = TeamChange {
        draft: policy::normalize(team.draft.clone()),
        is_active,
        deactivation_reason: reason.filter(|_| !is_active),
    };
    let id = stored.map_or_else(TeamId::new, |stored| stored.row.id);
    changes.team_ids.insert(lower(name), id);
    let Some(stored) = stored else {
        let delta = differences(&serde_json::json!({}), &describe_team(&after));
        let item = PlanItem::new(Subject::Team, Action::Create, name.as_str());
        changes.items.push(item.of_team(name, id).with(delta));
        changes.teams.push(ChangedTeam { id, ends: false, after });
        return id;
    };
    let delta = differences(&describe_team(&unchanged_team(stored.row.clone())), &describe_team(&after));
    let action = changes.action(&team.place, stored.managed_by.as_deref(), &options.owner, delta.is_some());
    if !is_active && team.is_active.is_none() {
        changes
            .remarks
            .push(format!("Team {name} stays deactivated; write `is_active: true` to activate it."));
    }
    if let Some(action) = action {
        let ends = was_active && !is_active;
        let action = if ends { Action::Deactivate } else { action };
        let item = PlanItem::new(Subject::Team, action, name.as_str());
        changes.items.push(item.of_team(name, id).with(delta));
        changes.teams.push(ChangedTeam { id, ends, after });
    }
    id
}

/// Plans the members of a team. Members that were added by hand stay unless the files name them.
fn plan_members(
    team: &WantedTeam,
    id: TeamId,
    present: &[&MemberRow],
    options: &ApplyOptions,
    changes: &mut Changes,
) {
    let name = &team.draft.name;
    let mut named: HashSet<UserId> = HashSet::new();
    for (at, email) in team.members.iter().enumerate() {
        let Some(user) = changes.user_ids.get(&lower(email)).copied() else {
            let detail = "no person has this e-mail address; add them to `people`";
            changes.errors.push(FieldError::new(format!("{}/members/{at}", team.place), detail));
            continue;
        };
        named.insert(user);
        let row = present.iter().find(|member| member.user == user);
        let action = match row {
            None => Some(Action::Create),
            Some(row) => {
                let place = format!("{}/members/{at}", team.place);
                changes.action(&place, row.managed_by.as_deref(), &options.owner, false)
            }
        };
        if let Some(action) = action {
            let item = PlanItem::new(Subject::Member, action, email.as_str());
            changes.items.push(item.of_team(name, id));
            changes.added.push((id, user));
        }
    }
    let ours = |member: &&&MemberRow| member.managed_by.as_deref() == Some(&options.owner);
    if options.prune {
        for member in present.iter().filter(ours).filter(|member| !named.contains(&member.user)) {
            let item = PlanItem::new(Subject::Member, Action::Remove, member.name.as_str());
            changes.items.push(item.of_team(name, id));
            changes.ended.push(EndedMember { team: id, user: member.user });
        }
    }
}

/// Plans the end of the owner's teams that the files do not name.
fn prune(wanted: &Wanted, state: &State, options: &ApplyOptions, changes: &mut Changes) {
    let named: HashSet<String> = wanted.team_names().into_iter().collect();
    let mut ended: Vec<_> = state
        .teams
        .iter()
        .filter(|(name, _)| !named.contains(*name))
        .map(|(_, stored)| stored)
        .filter(|stored| stored.managed_by.as_deref() == Some(&options.owner) && stored.row.is_active)
        .collect();
    ended.sort_by(|a, b| a.row.name.cmp(&b.row.name));
    for stored in ended {
        let before = unchanged_team(stored.row.clone());
        let after = TeamChange {
            is_active: false,
            deactivation_reason: Some(NOT_IN_FILES.to_owned()),
            ..before.clone()
        };
        let (name, id) = (&stored.row.name, stored.row.id);
        let item = PlanItem::new(Subject::Team, Action::Deactivate, name.as_str());
        let delta = differences(&describe_team(&before), &describe_team(&after));
        changes.items.push(item.of_team(name, id).with(delta));
        changes.teams.push(ChangedTeam { id, ends: true, after });
    }
}
