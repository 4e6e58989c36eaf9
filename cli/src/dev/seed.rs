//! Creation of teams, users and machine clients that tolerates existing ones.

use anyhow::Context;
use domain::{ClientId, TeamId, UserId};
use store::{NewClient, Page, Store, StoreError, TeamDraft, TeamFilter, UserDraft};

/// First page of a list.
pub(crate) const FIRST_PAGE: Page = Page { limit: 1000, offset: 0, before: None };

/// Returns a team without limits that requires its name as a label.
pub(crate) fn team_draft(name: &str) -> TeamDraft {
    TeamDraft {
        required_labels: vec![name.to_owned()],
        optional_label_patterns: vec!["glob:gpu-*".to_owned(), "large".to_owned()],
        ..TeamDraft::new(name)
    }
}

/// Returns the team of this name, and creates it if it does not exist. An existing team is not changed.
pub(crate) async fn team(store: &Store, draft: &TeamDraft) -> anyhow::Result<TeamId> {
    let id = TeamId::new();
    let mut store = store.conn().await?;
    match store.teams().insert(id, draft).await {
        Ok(()) => Ok(id),
        Err(error) if error.constraint() == Some("teams_name_key") => {
            let teams = store.teams().list(&TeamFilter::default(), FIRST_PAGE).await?.items;
            let same = teams.into_iter().find(|team| team.name.eq_ignore_ascii_case(&draft.name));
            Ok(same.with_context(|| format!("cannot find the team {}", draft.name))?.id)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the user with this identity, and creates them if they do not exist. An e-mail address that is taken, for
/// example by the same person under an earlier issuer, is left out.
pub(crate) async fn person(store: &Store, draft: &UserDraft) -> anyhow::Result<UserId> {
    let mut store = store.conn().await?;
    let (issuer, subject) = (draft.issuer.as_deref(), draft.subject.as_deref());
    let (issuer, subject) = (issuer.unwrap_or_default(), subject.unwrap_or_default());
    if let Some((user, _)) = store.users().by_identity(issuer, subject).await? {
        return Ok(user.id);
    }
    let inserted = match store.users().insert(UserId::new(), draft).await {
        Err(error) if error.constraint() == Some("users_email_key") => {
            let nameless = UserDraft { email: None, ..draft.clone() };
            store.users().insert(UserId::new(), &nameless).await
        }
        inserted => inserted,
    };
    Ok(inserted?.id)
}

/// Creates a machine client of this team.
pub(crate) async fn machine(store: &Store, draft: &NewClient) -> Result<(), StoreError> {
    match store.conn().await?.clients().insert(ClientId::new(), draft, None).await {
        Err(error) if error.constraint() != Some("oauth_clients_live_key") => Err(error),
        _ => Ok(()),
    }
}
