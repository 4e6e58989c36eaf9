//! Asking again whether a caller may go on: a stream or a waiting request may outlive a membership.

use domain::{Caller, Requester};
use store::Conn;
use uuid::Uuid;

use crate::error::ApiResult;

/// The caller as the rows have it now; none when it is gone or deactivated.
pub(crate) async fn renew(read: &mut Conn, caller: &Caller) -> ApiResult<Option<Caller>> {
    match caller.requester {
        Requester::User(id) => {
            let Some(user) = read.users().get(id).await? else { return Ok(None) };
            let (Some(issuer), Some(subject)) = (user.issuer, user.subject) else { return Ok(None) };
            // Bound to another identity meanwhile: this token is nobody's any more.
            if (&issuer, &subject) != (&caller.principal.issuer, &caller.principal.subject) {
                return Ok(None);
            }
            let found = read.users().by_identity(&issuer, &subject).await?;
            let active = found.filter(|(user, _)| user.is_active);
            Ok(active.map(|(user, teams)| Caller {
                is_admin: user.is_admin,
                is_viewer: user.is_viewer,
                teams,
                ..caller.clone()
            }))
        }
        Requester::Client(id) => {
            let Some(client) = read.clients().get(id).await? else { return Ok(None) };
            let team = read.clients().used(&client).await?;
            let active = client.is_active && team.is_active;
            let teams = vec![team];
            Ok(active.then(|| Caller { teams, ..caller.clone() }))
        }
    }
}

/// Whether news about the rights of `subject` (a person, machine client or team) is about this caller.
pub(crate) fn concerns(caller: &Caller, subject: Uuid) -> bool {
    let own = match caller.requester {
        Requester::User(id) => id.uuid(),
        Requester::Client(id) => id.uuid(),
    };
    own == subject || caller.teams.iter().any(|team| team.id.uuid() == subject)
}
