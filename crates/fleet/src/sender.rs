//! Whose events are whose.

use domain::{InstallationId, WebhookSource};
use github::Scope;

use crate::Fleet;

impl Fleet {
    /// The installation an event is about, among those whose secret signed it (all, where that was not noted). None: it is
    /// not ours, or could be of several.
    pub fn named(&self, whose: &WebhookSource, signed_for: &[InstallationId]) -> Option<&InstallationId> {
        let signed = |id: &InstallationId| signed_for.is_empty() || signed_for.contains(id);
        let mut fits: Vec<_> = self.0.iter().filter(|(id, _)| signed(id)).collect();
        if let Some(id) = whose.installation {
            fits.retain(|(_, member)| member.github_id == Some(id));
        }
        // Two GitHubs may give the same id to two installations, and hooks that belong to no App tell none.
        if fits.len() > 1 {
            let those = |is: fn(&Scope, &WebhookSource) -> bool| {
                fits.iter().copied().filter(|(_, one)| is(one.github.scope(), whose)).collect::<Vec<_>>()
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

fn is_organization(scope: &Scope, whose: &WebhookSource) -> bool {
    match scope {
        Scope::Org(login) | Scope::Repo { owner: login, .. } => same(login, whose.organization.as_deref()),
        Scope::Enterprise(_) => false,
    }
}

fn is_enterprise(scope: &Scope, whose: &WebhookSource) -> bool {
    matches!(scope, Scope::Enterprise(slug) if same(slug, whose.enterprise.as_deref()))
}

fn same(ours: &str, told: Option<&str>) -> bool {
    told.is_some_and(|told| told.eq_ignore_ascii_case(ours))
}
