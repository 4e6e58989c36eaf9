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
        self.credential_of(self.choices.twin.app_id, installation_id)
    }

    fn further_app_credential(&self, id: &str) -> Credential {
        let app = self.choices.twin.more_apps.iter().find(|app| app.slug == id).expect("an App of the twin");
        self.credential_of(app.app_id, app.installation_id)
    }

    fn credential_of(&self, app_id: u64, installation_id: u64) -> Credential {
        let key = self.twin.app_key().unwrap().private_pem();
        let private_key = KeySource::Pem(Secret::new(key));
        Credential::App { app_id: app_id.to_string(), installation_id, private_key }
    }

    pub(super) fn installation_settings(&self) -> Vec<Installation> {
        let budget = &self.choices.budget;
        let default = Installation {
            id: InstallationId::default(),
            pool: None,
            github: self.github(),
            budget: budget.clone(),
        };
        let more = self.choices.more.iter().map(|more| {
            let credential = match (&more.token, &more.scope) {
                (Some(token), _) => Credential::Pat(TokenSource::Text(Secret::new(token.as_str()))),
                (None, _) if more.pool.is_some() => self.further_app_credential(&more.id),
                (None, Scope::Org(org)) => self.app_credential(self.twin_installation_id(org)),
                (None, scope) => panic!("the twin's App is not installed in {scope:?}"),
            };
            let github = self.github_settings(more.scope.clone(), credential);
            let pool = more.pool.as_ref().map(|pool| pool.parse().unwrap());
            Installation { id: more.id.parse().unwrap(), pool, github, budget: budget.clone() }
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
