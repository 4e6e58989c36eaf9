//! The client: which credential a call goes out with, and what a 401 leads to.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use http::StatusCode;

use crate::{
    call::{Call, Reply},
    classify,
    error::GitHubError,
    key::{AppKey, Pat},
    observer::{Gate, Observer, Open},
    settings::{self, Credential, GitHubSettings, Scope, SettingsError},
    token::{AppTokens, TokenStore},
    wire::Wire,
};

/// GitHub, for one credential and one scope. Clones share connections and token.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    wire: Wire,
    identity: Identity,
    scope: Scope,
    /// The scope's path, encoded.
    scope_path: String,
}

enum Identity {
    App(AppTokens),
    Pat(Pat),
}

impl GitHub {
    /// A client that keeps its installation token to itself. Sends nothing yet.
    ///
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`SettingsError`]: settings that contradict themselves, or a key that cannot be used.
    pub fn new(settings: GitHubSettings, observer: Arc<dyn Observer>) -> Result<Self, SettingsError> {
        Self::build(settings, observer, (Arc::new(Open), None))
    }

    /// The same, with a token shared between processes through `store`.
    ///
    /// # Errors
    /// As [`GitHub::new`].
    pub fn with_token_store(
        settings: GitHubSettings,
        observer: Arc<dyn Observer>,
        store: Arc<dyn TokenStore>,
    ) -> Result<Self, SettingsError> {
        Self::build(settings, observer, (Arc::new(Open), Some(store)))
    }

    /// The same, with a gate in front of every request.
    ///
    /// # Errors
    /// As [`GitHub::new`].
    pub fn metered(
        settings: GitHubSettings,
        observer: Arc<dyn Observer>,
        gate: Arc<dyn Gate>,
        store: Arc<dyn TokenStore>,
    ) -> Result<Self, SettingsError> {
        Self::build(settings, observer, (gate, Some(store)))
    }

    fn build(
        settings: GitHubSettings,
        observer: Arc<dyn Observer>,
        (gate, store): (Arc<dyn Gate>, Option<Arc<dyn TokenStore>>),
    ) -> Result<Self, SettingsError> {
        settings::validate(&settings)?;
        let wire = Wire::new(&settings, observer, gate)?;
        let identity = match &settings.credential {
            Credential::App { app_id, installation_id, private_key } => {
                let key = AppKey::new(app_id, private_key, &settings)?;
                Identity::App(AppTokens::new(key, *installation_id, store))
            }
            Credential::Pat(source) => Identity::Pat(Pat::new(source, &settings)?),
        };
        let scope = settings.scope;
        let scope_path = scope.path().map_err(|_| SettingsError::Scope(format!("{scope:?}")))?;
        Ok(Self(Arc::new(Inner { wire, identity, scope, scope_path })))
    }

    /// The level this client works at.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The time by GitHub's clock, as well as it is known.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.wire.clock.now()
    }

    /// `{scope}/actions{rest}`.
    pub(crate) fn actions(&self, rest: &str) -> String {
        format!("{}/actions{rest}", self.0.scope_path)
    }

    /// Sends `call` and lets only good answers (2xx, 304) through.
    ///
    /// A 401 proves that nothing happened, so it is answered once, with a fresh installation token, whatever the method.
    pub(crate) async fn call(&self, call: &Call) -> Result<Reply, GitHubError> {
        let wire = &self.0.wire;
        let reply = match &self.0.identity {
            Identity::Pat(pat) => {
                let token = pat.token().await?;
                wire.admit(call).await?;
                wire.send(call, &token).await?
            }
            Identity::App(app) => {
                let token = app.token(wire, None).await?;
                wire.admit(call).await?;
                let reply = wire.send(call, &token).await?;
                if reply.status == StatusCode::UNAUTHORIZED {
                    let fresh = app.token(wire, Some(&token)).await?;
                    wire.send(call, &fresh).await?
                } else {
                    reply
                }
            }
        };
        classify::check(call, reply, wire.clock.now())
    }

    /// Sends `call` as the App itself.
    pub(crate) async fn call_as_app(&self, call: &Call) -> Result<Reply, GitHubError> {
        self.app_identity()?.as_app(&self.0.wire, call).await
    }

    pub(crate) fn app_identity(&self) -> Result<&AppTokens, GitHubError> {
        match &self.0.identity {
            Identity::App(app) => Ok(app),
            Identity::Pat(_) => Err(GitHubError::Credential {
                reason: "only a GitHub App can do this, not a personal access token".to_owned(),
            }),
        }
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("scope", &self.0.scope).finish_non_exhaustive()
    }
}
