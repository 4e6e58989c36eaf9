//! Whose events are whose.

use domain::{InstallationId, WebhookSource};
use github::Scope;

use crate::Installations;

impl Installations {
    /// The installation an event is about, among those whose secret signed it (all, where that was not noted). None: it is
    /// not ours, or could be of several.
    pub fn installation_of(
        &self,
        source: &WebhookSource,
        signed_for: &[InstallationId],
    ) -> Option<&InstallationId> {
        let signed = |id: &InstallationId| signed_for.is_empty() || signed_for.contains(id);
        let mut fits: Vec<_> = self.0.iter().filter(|(id, _)| signed(id)).collect();
        if let Some(id) = source.installation {
            fits.retain(|(_, member)| member.github_id == Some(id));
        }
        // Two GitHubs may give the same id to two installations, and hooks that belong to no App tell none.
        if fits.len() > 1 {
            let those = |is: fn(&Scope, &WebhookSource) -> bool| {
                fits.iter().copied().filter(|(_, one)| is(one.github.scope(), source)).collect::<Vec<_>>()
            };
            let by_organization = those(is_organization);
            fits = if by_organization.is_empty() { those(is_enterprise) } else { by_organization };
        }
        match fits.as_slice() {
            [(id, _)] => Some(id),
            _ => None,
        }
    }
}

fn is_organization(scope: &Scope, source: &WebhookSource) -> bool {
    match scope {
        Scope::Org(login) | Scope::Repo { owner: login, .. } => same(login, source.organization.as_deref()),
        Scope::Enterprise(_) => false,
    }
}

fn is_enterprise(scope: &Scope, source: &WebhookSource) -> bool {
    matches!(scope, Scope::Enterprise(slug) if same(slug, source.enterprise.as_deref()))
}

fn same(ours: &str, told: Option<&str>) -> bool {
    told.is_some_and(|told| told.eq_ignore_ascii_case(ours))
}
