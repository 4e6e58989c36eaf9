//! Writes of a plan.

use domain::{MachineClient, Requester, TeamId, User, UserId};
use store::{TeamChange, Tx};

use super::{
    state::{ChangedPerson, Changes},
    wanted::Wanted,
};
use crate::{
    Result, clients,
    revocation::{Revocation, Revoked},
    users,
};

/// Writes all changes, and revokes the accesses that end.
pub(super) async fn all(
    tx: &mut Tx,
    changes: &Changes,
    wanted: &Wanted,
    owner: &str,
) -> Result<Vec<Revoked>> {
    tx.installations().ensure(&wanted.installations()).await?;
    let revoked = revoke(tx, changes).await?;
    let people: Vec<User> = changes.people.iter().map(|person| person.after.clone()).collect();
    let teams: Vec<(TeamId, TeamChange)> =
        changes.teams.iter().map(|team| (team.id, team.after.clone())).collect();
    let clients: Vec<MachineClient> = changes.clients.iter().map(|client| client.after.clone()).collect();
    let ended: Vec<(TeamId, UserId)> = changes.ended.iter().map(|ended| (ended.team, ended.user)).collect();
    let mut batches = tx.batches();
    batches.write_people(&people, owner).await?;
    batches.write_teams(&teams, owner).await?;
    batches.add_members(&changes.added, owner).await?;
    batches.remove_members(&ended).await?;
    batches.write_clients(&clients, owner).await?;
    Ok(revoked)
}

/// Cancels the open jobs and shreds the configs of the accesses that end.
async fn revoke(tx: &mut Tx, changes: &Changes) -> Result<Vec<Revoked>> {
    let mut revoked = Vec::new();
    for ChangedPerson { before, after } in &changes.people {
        let Some(before) = before else { continue };
        if users::describe_user(before) != users::describe_user(after) {
            revoked.push(users::revoke(tx, before, after).await?);
        }
    }
    for team in changes.teams.iter().filter(|team| team.ends) {
        let reason = team.after.deactivation_reason.as_deref();
        revoked.push(Revocation::of_team(team.id, reason).apply(tx).await?);
    }
    for client in changes.clients.iter().filter(|client| client.ends) {
        revoked.push(clients::revoke(tx, client.after.id).await?);
    }
    for ended in &changes.ended {
        let stored = tx.users().get(ended.user).await?;
        // An admin may act for every team.
        revoked.push(if stored.is_some_and(|person| person.is_admin) {
            Revoked::nothing_of(&ended.user)
        } else {
            Revocation::of_member(Requester::User(ended.user), ended.team).apply(tx).await?
        });
    }
    Ok(revoked)
}
