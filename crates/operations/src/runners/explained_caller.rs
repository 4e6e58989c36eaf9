//! The caller of a request to explain: the person or machine client as the rows have it.

use domain::{
    Caller, Check, ClientId, MachineClient, Principal, Problem, Requester, User, UserId, first_refusal,
};
use store::Conn;

use crate::{Operations, Result};

/// The caller of a request to explain.
#[derive(Clone, Debug)]
pub struct ExplainedCaller {
    pub(super) caller: Caller,
    /// Refusal of every call of the caller.
    refusal: Option<Problem>,
}

impl ExplainedCaller {
    /// Returns a caller that is authorised already.
    pub const fn of_authorised(caller: Caller) -> Self {
        Self { caller, refusal: None }
    }

    /// Returns the caller, if every call of it is allowed.
    ///
    /// # Errors
    /// The refusal of every call.
    pub(crate) fn admit(self) -> std::result::Result<Caller, Problem> {
        first_refusal(&self.check_standing()).map_or(Ok(self.caller), Err)
    }

    /// Returns the checks that every call of the caller meets before its own.
    pub(super) fn check_standing(&self) -> Vec<Check> {
        self.caller.check_standing(self.refusal.clone())
    }
}

impl Operations<'_> {
    /// Returns the user with this id or e-mail address as a caller.
    ///
    /// # Errors
    /// `validation_failed` at `/user` if there is none.
    pub async fn explained_user(&self, named: &str) -> Result<ExplainedCaller> {
        let mut conn = self.store.conn().await?;
        let user = match named.parse::<UserId>() {
            Ok(id) => conn.users().get(id).await?,
            Err(_) => conn.users().by_email(named).await?,
        };
        let unknown = || Problem::field("/user", "no user with this id or e-mail address");
        of_user(&mut conn, user.ok_or_else(unknown)?).await
    }

    /// Returns the machine client with this id or client id as a caller.
    ///
    /// # Errors
    /// `validation_failed` at `/client` if there is none, or several issuers have one.
    pub async fn explained_client(&self, named: &str) -> Result<ExplainedCaller> {
        let mut conn = self.store.conn().await?;
        let mut found: Vec<MachineClient> = match named.parse::<ClientId>() {
            Ok(id) => conn.clients().get(id).await?.into_iter().collect(),
            Err(_) => conn.clients().by_client_id(named).await?,
        };
        match (found.pop(), found.is_empty()) {
            (Some(client), true) => of_client(&mut conn, &client).await,
            (Some(_), false) => {
                Err(Problem::field("/client", "several issuers have this client id; send the id").into())
            }
            (None, _) => Err(Problem::field("/client", "no machine client with this id or client id").into()),
        }
    }
}

/// Returns a requester as a caller, with the rights that the rows give now; `None` if there is no such requester.
pub(crate) async fn caller_of_requester(
    conn: &mut Conn,
    requester: Requester,
) -> Result<Option<ExplainedCaller>> {
    Ok(match requester {
        Requester::User(id) => match conn.users().get(id).await? {
            Some(user) => Some(of_user(conn, user).await?),
            None => None,
        },
        Requester::Client(id) => match conn.clients().get(id).await? {
            Some(client) => Some(of_client(conn, &client).await?),
            None => None,
        },
    })
}

async fn of_user(conn: &mut Conn, user: User) -> Result<ExplainedCaller> {
    let teams = conn.permissions().teams(Requester::User(user.id)).await?;
    let refusal = (!user.is_active).then(Problem::requester_inactive);
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let principal = Principal::new(part(&user.issuer), part(&user.subject));
    Ok(ExplainedCaller { caller: Caller::of_user(user, principal, teams), refusal })
}

async fn of_client(conn: &mut Conn, client: &MachineClient) -> Result<ExplainedCaller> {
    let mut teams = conn.permissions().teams(Requester::Client(client.id)).await?;
    let team = teams.pop().ok_or_else(|| Problem::not_found("team"))?;
    // A machine client of a deactivated team may do nothing.
    let stored = if team.is_active { None } else { conn.teams().basics(team.id).await? };
    let refusal = if client.is_active {
        stored.map(|stored| Problem::team_inactive(stored.deactivation_reason.as_deref()))
    } else {
        Some(Problem::requester_inactive())
    };
    let principal = Principal::new(client.issuer.as_str(), client.client_id.as_str());
    Ok(ExplainedCaller { caller: Caller::of_client(client, principal, team), refusal })
}
