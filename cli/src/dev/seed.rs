//! Teams, people and machine clients that are there after it, whether they were before or not.

use anyhow::Context;
use domain::{ClientId, DriftResponse, InstallationId, TeamId, UserId};
use store::{NewClient, Page, Store, StoreError, TeamDraft, UserDraft};

/// The first page of a list.
pub(crate) const FIRST: Page = Page { limit: 1000, offset: 0, before: None };

/// A team without limits for this installation.
pub(crate) fn team_draft(name: &str) -> TeamDraft {
    TeamDraft {
        name: name.to_owned(),
        description: None,
        required_labels: vec![name.to_owned()],
        optional_label_patterns: vec!["glob:gpu-*".to_owned(), "large".to_owned()],
        add_self_hosted: true,
        allowed_runner_group_ids: Vec::new(),
        allowed_repositories: Vec::new(),
        allowed_workflows: Vec::new(),
        max_runners: None,
        weight: 1.0,
        drift_response: DriftResponse::Delete,
        installation: InstallationId::default(),
    }
}

/// The team of this name; one that is there already stays as it is.
pub(crate) async fn team(store: &Store, draft: &TeamDraft) -> anyhow::Result<TeamId> {
    let id = TeamId::new();
    let mut store = store.conn().await?;
    match store.teams().insert(id, draft).await {
        Ok(()) => Ok(id),
        Err(error) if error.constraint() == Some("teams_name_key") => {
            let teams = store.teams().list(false, FIRST).await?.items;
            let same = teams.into_iter().find(|team| team.name.eq_ignore_ascii_case(&draft.name));
            Ok(same.with_context(|| format!("cannot find the team {}", draft.name))?.id)
        }
        Err(error) => Err(error.into()),
    }
}

/// The person with this identity. Their e-mail may be taken, by themselves under an earlier issuer; then they
/// go without.
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

/// A machine client of this team.
pub(crate) async fn machine(store: &Store, draft: &NewClient) -> Result<(), StoreError> {
    match store.conn().await?.clients().insert(ClientId::new(), draft).await {
        Err(error) if error.constraint() != Some("oauth_clients_live_key") => Err(error),
        _ => Ok(()),
    }
}
