//! Changes of team members.

use domain::{Problem, Requester, TeamId, User, UserId};
use serde_json::json;
use store::{TeamMember, Tx};

use crate::{
    Administrator, Operations, Result,
    record::extend,
    revocation::{Revocation, Revoked},
};

impl Operations<'_> {
    /// Adds a user to a team. Returns `false` if the user was a member already.
    ///
    /// # Errors
    /// `not_found` for the team, `validation_failed` for the person.
    pub async fn add_member(
        &self,
        admin: &Administrator,
        team: TeamId,
        user: UserId,
    ) -> Result<(TeamMember, bool)> {
        let mut tx = self.store.begin().await?;
        tx.teams().basics(team).await?.ok_or_else(|| Problem::not_found("team"))?;
        let unknown = || Problem::field("/user_id", "no user with this id");
        let user = tx.users().get(user).await?.ok_or_else(unknown)?;
        let added = record_member(&mut tx, admin, team, &user).await?;
        let member = tx.teams().member(team, user.id).await?.ok_or_else(|| Problem::not_found("member"))?;
        tx.commit().await?;
        Ok((member, added))
    }

    /// Removes a user from a team. The user's open requests for the team fail before GitHub is called, and their unread
    /// configs are shredded. Admins keep both, because they may act for every team.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn remove_member(&self, admin: &Administrator, team: TeamId, user: UserId) -> Result<()> {
        let mut tx = self.store.begin().await?;
        if !tx.teams().remove_member(team, user).await? {
            return Err(Problem::not_found("member").into());
        }
        let person = tx.users().get(user).await?;
        let stays = person.as_ref().is_some_and(|person| person.is_admin);
        let revoked = if stays {
            Revoked::nothing_of(&user)
        } else {
            Revocation::of_member(Requester::User(user), team).apply(&mut tx).await?
        };
        let mut details = json!({ "user_id": user, "email": person.and_then(|person| person.email) });
        extend(&mut details, revoked.details());
        tx.audit().write(&admin.record("member.remove", Some(team), details)).await?;
        tx.commit().await?;
        revoked.publish(self.queue).await;
        Ok(())
    }
}

/// Adds a user to a team, with an audit row. Returns `false` if the user was a member already.
pub(crate) async fn record_member(
    tx: &mut Tx,
    admin: &Administrator,
    team: TeamId,
    user: &User,
) -> Result<bool> {
    let added = tx.teams().add_member(team, user.id).await?;
    if added {
        let details = json!({ "user_id": user.id, "email": user.email });
        tx.audit().write(&admin.record("member.add", Some(team), details)).await?;
    }
    Ok(added)
}
