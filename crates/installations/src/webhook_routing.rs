//! Assignment of webhook events to installations.

use domain::{InstallationId, WebhookSource};
use github::Scope;

use crate::Installations;

impl Installations {
    /// Returns the installation of an event, among those whose secret signed it (`signed_for`; all if it is empty).
    /// `None` if the event belongs to no installation of ours, or could belong to several of
    /// different pools.
    pub fn installation_of(
        &self,
        source: &WebhookSource,
        signed_for: &[InstallationId],
    ) -> Option<&InstallationId> {
        let signed = |id: &InstallationId| signed_for.is_empty() || signed_for.contains(id);
        let mut fits: Vec<_> = self.0.by_id.iter().filter(|(id, _)| signed(id)).collect();
        if let Some(id) = source.installation {
            fits.retain(|(_, client)| client.github_id == Some(id));
        }
        // Two GitHubs may use the same id for two installations, and hooks that belong to no App have no id.
        if fits.len() > 1 {
            let matching = |is: fn(&Scope, &WebhookSource) -> bool| {
                fits.iter()
                    .copied()
                    .filter(|(_, client)| is(client.github.scope(), source))
                    .collect::<Vec<_>>()
            };
            let by_organization = matching(is_organization);
            fits = if by_organization.is_empty() { matching(is_enterprise) } else { by_organization };
        }
        // All Apps of a pool belong to one organization: without an id of GitHub's, the first stands for the pool.
        let (first, client) = *fits.first()?;
        match fits.as_slice() {
            [_] => Some(first),
            _ if fits.iter().all(|(_, other)| other.pool == client.pool) => {
                Some(self.0.by_id.get_key_value(&client.pool)?.0)
            }
            _ => None,
        }
    }
}

fn is_organization(scope: &Scope, source: &WebhookSource) -> bool {
    match scope {
        Scope::Org(login) | Scope::Repo { owner: login, .. } => {
            same_name(login, source.organization.as_deref())
        }
        Scope::Enterprise(_) => false,
    }
}

fn is_enterprise(scope: &Scope, source: &WebhookSource) -> bool {
    matches!(scope, Scope::Enterprise(slug) if same_name(slug, source.enterprise.as_deref()))
}

fn same_name(ours: &str, theirs: Option<&str>) -> bool {
    theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours))
}
