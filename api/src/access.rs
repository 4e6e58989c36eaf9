//! Current rights of a caller: a stream or a waiting request may outlive a membership.

use domain::{Caller, Requester};
use store::Conn;
use uuid::Uuid;

use crate::error::ApiResult;

/// Returns the caller as the rows have it now, `None` if it is gone or deactivated.
pub(crate) async fn reload_caller(conn: &mut Conn, caller: &Caller) -> ApiResult<Option<Caller>> {
    match caller.requester {
        Requester::User(id) => {
            let Some(user) = conn.users().get(id).await? else { return Ok(None) };
            let (Some(issuer), Some(subject)) = (user.issuer, user.subject) else { return Ok(None) };
            // The user is bound to another principal meanwhile, so the token is no longer theirs.
            if (&issuer, &subject) != (&caller.principal.issuer, &caller.principal.subject) {
                return Ok(None);
            }
            let found = conn.users().by_identity(&issuer, &subject).await?;
            let active = found.filter(|(user, _)| user.is_active);
            Ok(active.map(|(user, teams)| Caller {
                is_admin: user.is_admin,
                is_viewer: user.is_viewer,
                teams,
                ..caller.clone()
            }))
        }
        Requester::Client(id) => {
            let Some(client) = conn.clients().get(id).await? else { return Ok(None) };
            if conn.incidents().is_blocked(&client.issuer).await? {
                return Ok(None);
            }
            let team = conn.clients().record_use(&client).await?;
            let active = client.is_active && team.is_active;
            let teams = vec![team];
            Ok(active.then(|| Caller { teams, ..caller.clone() }))
        }
    }
}

/// Returns whether a change of the rights of `subject` (a user, machine client or team) concerns this caller.
pub(crate) fn concerns(caller: &Caller, subject: Uuid) -> bool {
    let own = match caller.requester {
        Requester::User(id) => id.uuid(),
        Requester::Client(id) => id.uuid(),
    };
    own == subject || caller.teams.iter().any(|team| team.id.uuid() == subject)
}
