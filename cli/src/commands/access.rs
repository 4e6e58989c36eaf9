//! `rts deactivate-user` and the other commands that end and restore access.

use domain::{ClientId, TeamId, User, UserId};
use operations::{ClientChange, OperationError, Operations};
use runtime::config::Sources;
use store::Store;
use uuid::Uuid;

use crate::{
    args::access::{Access, Client, Person},
    exit::End,
    output, process, wiring,
};

/// Runs one of these commands.
pub(crate) async fn run(sources: &Sources, access: Access) -> anyhow::Result<()> {
    let (store, queue) = (wiring::store(sources)?, wiring::queue(sources)?);
    let operations = Operations::new(&store, &queue);
    let done = match access {
        Access::DeactivateUser(who) => {
            let (id, admin) = (person(&store, &who).await?, process::administrator("rts deactivate-user"));
            let user = operations.deactivate_user(&admin, id, who.comment.as_deref()).await;
            format!("{} is deactivated", name(&user.map_err(refused)?))
        }
        Access::ActivateUser(who) => {
            let (id, admin) = (person(&store, &who).await?, process::administrator("rts activate-user"));
            let user = operations.activate_user(&admin, id, who.comment.as_deref()).await;
            format!("{} is active", name(&user.map_err(refused)?))
        }
        Access::UnbindUser(who) => {
            let (id, admin) = (person(&store, &who).await?, process::administrator("rts unbind-user"));
            let user = operations.unbind_user(&admin, id, who.comment.as_deref()).await;
            format!("{} is unbound; their next login binds them again", name(&user.map_err(refused)?))
        }
        Access::DeactivateClient(which) => {
            switch_client(&operations, &store, &which, "rts deactivate-client", false).await?
        }
        Access::ActivateClient(which) => {
            switch_client(&operations, &store, &which, "rts activate-client", true).await?
        }
        Access::DeactivateTeam { team, reason } => {
            let (id, admin) = (team_id(&store, &team).await?, process::administrator("rts deactivate-team"));
            let team = operations.deactivate_team(&admin, id, &reason).await.map_err(refused)?;
            format!("{} is deactivated; {} runners stay", team.name, team.active_runner_count)
        }
        Access::ShredCredentials { all: _, comment } => {
            let admin = process::administrator("rts shred-credentials");
            let count = operations.shred_all_configs(&admin, comment.as_deref()).await.map_err(refused)?;
            format!("{count} configs are shredded")
        }
        Access::ReactivateTeam { team } => {
            let (id, admin) = (team_id(&store, &team).await?, process::administrator("rts reactivate-team"));
            format!("{} is active", operations.reactivate_team(&admin, id).await.map_err(refused)?.name)
        }
    };
    store.close().await;
    output::line(done);
    Ok(())
}

/// Converts an error so that a refusal has its exit code.
pub(crate) fn refused(error: OperationError) -> anyhow::Error {
    match error {
        OperationError::Refused(problem) => {
            let errors = problem.errors.iter().map(|error| format!(" {}: {}.", error.pointer, error.detail));
            End::Refused(format!("{}{}", problem.detail, errors.collect::<String>())).into()
        }
        OperationError::Store(error) => error.into(),
    }
}

async fn switch_client(
    operations: &Operations<'_>,
    store: &Store,
    which: &Client,
    command: &'static str,
    active: bool,
) -> anyhow::Result<String> {
    let id = client_id(store, &which.client).await?;
    let change = ClientChange { is_active: Some(active), ..ClientChange::default() };
    let comment = which.comment.as_deref();
    let client = operations.change_client(&process::administrator(command), id, change, comment).await;
    let state = if active { "active" } else { "deactivated" };
    Ok(format!("{} is {state}", client.map_err(refused)?.client_id))
}

async fn person(store: &Store, who: &Person) -> anyhow::Result<UserId> {
    let mut conn = store.conn().await?;
    let found = match who.user.parse::<Uuid>() {
        Ok(id) => conn.users().get(id.into()).await?,
        Err(_) => conn.users().by_email(&who.user).await?,
    };
    let unknown = || End::Refused(format!("there is no user {}; `rts list-users` shows all", who.user));
    Ok(found.ok_or_else(unknown)?.id)
}

async fn client_id(store: &Store, text: &str) -> anyhow::Result<ClientId> {
    if let Ok(id) = text.parse::<Uuid>() {
        return Ok(id.into());
    }
    let found = store.conn().await?.clients().by_client_id(text).await?;
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => Err(End::Refused(format!("there is no machine client {text}")).into()),
        several => {
            let ids = several.iter().map(|client| format!("{} ({})", client.id, client.issuer));
            let ids = ids.collect::<Vec<_>>().join(", ");
            Err(End::Refused(format!("several issuers have a client {text}; name one by its id: {ids}"))
                .into())
        }
    }
}

async fn team_id(store: &Store, text: &str) -> anyhow::Result<TeamId> {
    if let Ok(id) = text.parse::<Uuid>() {
        return Ok(id.into());
    }
    let found = store.conn().await?.teams().by_name(text).await?;
    Ok(found.ok_or_else(|| End::Refused(format!("there is no team {text}")))?.id)
}

fn name(user: &User) -> String {
    user.email.clone().or_else(|| user.subject.clone()).unwrap_or_else(|| user.id.to_string())
}
