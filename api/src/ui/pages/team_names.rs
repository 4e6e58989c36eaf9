//! Names of the teams of a list's rows.

use std::collections::BTreeMap;

use domain::{Caller, TeamId};
use uuid::Uuid;

use crate::{app::AppState, ui::UiResult};

/// Returns the names of these teams: a member's own, and all for a caller who sees everything.
pub(super) async fn team_names(
    app: &AppState,
    caller: &Caller,
    teams: impl Iterator<Item = Uuid>,
) -> UiResult<BTreeMap<Uuid, String>> {
    let own = caller.teams.iter().map(|team| (team.id.uuid(), team.name.clone()));
    let mut names: BTreeMap<Uuid, String> = own.collect();
    let mut missing: Vec<TeamId> = teams.filter(|id| !names.contains_key(id)).map(TeamId::from).collect();
    missing.sort_unstable();
    missing.dedup();
    if caller.sees_everything() && !missing.is_empty() {
        let found = app.store.conn().await?.overviews().team_names(&missing).await?;
        names.extend(found.into_iter().map(|(id, name)| (id.uuid(), name)));
    }
    Ok(names)
}
