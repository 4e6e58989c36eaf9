//! GitHub of a world, as the service is configured to call it.

use domain::{AuditKeys, InstallationId, KeyRing, Secret};
use github::{Credential, GitHubSettings, KeySource, Scope, Timeouts, TokenSource};
use installations::{Installation, Installations};
use zeroize::Zeroizing;

use super::{TOKEN_KEY, World};

impl World {
    pub(super) fn installations(&self) -> Installations {
        let make = || Installations::new(&self.queue, &token_keys(), self.installation_settings());
        self.installations.get_or_init(|| make().unwrap()).clone()
    }

    /// Returns the settings with which the service calls this world's GitHub.
    ///
    /// # Panics
    /// Never in practice.
    pub fn github(&self) -> GitHubSettings {
        let scope = Scope::Org(self.choices.twin.org.clone());
        self.github_settings(scope, self.app_credential(self.choices.twin.installation_id))
    }

    fn github_settings(&self, scope: Scope, credential: Credential) -> GitHubSettings {
        let mut settings = GitHubSettings::new(self.twin.url().parse().unwrap(), scope, credential);
        settings.timeouts = Timeouts { total: self.choices.github_timeout, ..settings.timeouts };
        settings
    }

    fn app_credential(&self, installation_id: u64) -> Credential {
        let key = self.twin.app_key().unwrap().private_pem();
        let (app_id, private_key) = (self.choices.twin.app_id.to_string(), KeySource::Pem(Secret::new(key)));
        Credential::App { app_id, installation_id, private_key }
    }

    pub(super) fn installation_settings(&self) -> Vec<Installation> {
        let budget = &self.choices.budget;
        let default =
            Installation { id: InstallationId::default(), github: self.github(), budget: budget.clone() };
        let more = self.choices.more.iter().map(|more| {
            let credential = match (&more.token, &more.scope) {
                (Some(token), _) => Credential::Pat(TokenSource::Text(Secret::new(token.as_str()))),
                (None, Scope::Org(org)) => self.app_credential(self.twin_installation_id(org)),
                (None, scope) => panic!("the twin's App is not installed in {scope:?}"),
            };
            let github = self.github_settings(more.scope.clone(), credential);
            Installation { id: more.id.parse().unwrap(), github, budget: budget.clone() }
        });
        std::iter::once(default).chain(more).collect()
    }

    fn twin_installation_id(&self, org: &str) -> u64 {
        let known = self.choices.twin.more_installations.iter().find(|(_, login)| login == org);
        known.expect("an installation of the twin").0
    }
}

pub(super) fn audit_keys() -> Option<AuditKeys> {
    AuditKeys::derive(&[("tokens".to_owned(), Zeroizing::new(TOKEN_KEY.to_vec()))]).unwrap()
}

pub(super) fn token_keys() -> KeyRing {
    KeyRing::new(&[("tokens".to_owned(), Zeroizing::new(TOKEN_KEY.to_vec()))]).unwrap()
}
