//! The client: which credential a call goes out with, and what a 401 leads to.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use domain::Secret;
use http::StatusCode;

use crate::{
    call::{Call, Reply},
    classify,
    error::GitHubError,
    key::{AppKey, Pat},
    observer::{AlwaysOpen, Gate, Observer},
    permissions::TokenRequest,
    settings::{self, Credential, GitHubSettings, Scope, SettingsError},
    token::{AppTokens, Token, TokenStore, settling_wait},
    transport::Transport,
};

/// GitHub, for one credential and one scope. Clones share connections and token.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    wire: Transport,
    identity: Identity,
    scope: Scope,
    /// The scope's path, encoded.
    scope_path: String,
}

enum Identity {
    App(Box<AppTokens>),
    Pat(Pat),
}

/// A token and the budget's leave for one request.
pub struct Ready(Bearer);

enum Bearer {
    Installation(Token),
    Person(Secret),
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

impl GitHub {
    /// A client that keeps its installation token to itself. Sends nothing yet.
    ///
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`SettingsError`]: settings that contradict themselves, or a key that cannot be used.
    pub fn new(settings: GitHubSettings, observer: Arc<dyn Observer>) -> Result<Self, SettingsError> {
        Self::build(settings, observer, (Arc::new(AlwaysOpen), None))
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
        Self::build(settings, observer, (Arc::new(AlwaysOpen), Some(store)))
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
        let wire = Transport::new(&settings, observer, gate)?;
        let identity = match &settings.credential {
            Credential::App { app_id, installation_id, private_key } => {
                let key = AppKey::new(app_id, private_key, &settings)?;
                let required = TokenRequest::required(&settings.scope);
                Identity::App(Box::new(AppTokens::new(key, *installation_id, required, store)))
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
    pub(crate) async fn call(&self, call: &Call) -> Result<Reply, GitHubError> {
        let ready = self.prepare(call).await?;
        self.call_when_ready(call, ready).await
    }

    /// Obtains a token and the budget's leave for `call`.
    pub(crate) async fn prepare(&self, call: &Call) -> Result<Ready, GitHubError> {
        let wire = &self.0.wire;
        let bearer = match &self.0.identity {
            Identity::Pat(pat) => Bearer::Person(pat.token().await?),
            Identity::App(app) => Bearer::Installation(app.token(wire, None).await?),
        };
        wire.admit(call).await?;
        Ok(Ready(bearer))
    }

    /// Sends `call` with what was obtained for it.
    pub(crate) async fn call_when_ready(&self, call: &Call, ready: Ready) -> Result<Reply, GitHubError> {
        let wire = &self.0.wire;
        let reply = match (ready.0, &self.0.identity) {
            (Bearer::Person(token), _) => wire.send(call, &token).await?,
            (Bearer::Installation(token), Identity::App(app)) => {
                self.as_installation(app, call, token).await?
            }
            (Bearer::Installation(token), Identity::Pat(_)) => wire.send(call, &token.secret).await?,
        };
        classify::check(call, reply, wire.clock.now())
    }

    /// Sends `call` with an installation token. A refusal while the token is new is not believed; a later 401 proves that
    /// the token is void and that nothing happened, so it is answered once, with a fresh one, whatever the method.
    async fn as_installation(
        &self,
        app: &AppTokens,
        call: &Call,
        token: Token,
    ) -> Result<Reply, GitHubError> {
        let wire = &self.0.wire;
        let reply = wire.send(call, &token.secret).await?;
        let reply = self.unless_too_new(&token, reply)?;
        if reply.status != StatusCode::UNAUTHORIZED {
            token.accept();
            return Ok(reply);
        }
        if token.replaced_in_vain() {
            app.drop_token(&token).await;
            return Ok(reply);
        }
        let fresh = app.token(wire, Some(&token)).await?;
        let reply = self.unless_too_new(&fresh, wire.send(call, &fresh.secret).await?)?;
        if reply.status != StatusCode::UNAUTHORIZED {
            fresh.accept();
        }
        Ok(reply)
    }

    /// Lets an answer through, unless it is a refusal that may only mean that GitHub does not know the token yet.
    fn unless_too_new(&self, token: &Token, reply: Reply) -> Result<Reply, GitHubError> {
        let now = self.0.wire.clock.now();
        if !classify::is_token_refusal(&reply, now) || !token.is_too_new(now) {
            return Ok(reply);
        }
        let (status, message) = (reply.status.as_u16(), classify::message(&reply));
        tracing::info!(
            status,
            message,
            "GitHub does not know our new token yet; the same one is tried again"
        );
        Err(GitHubError::TokenTooNew { status, message, wait: settling_wait() })
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
