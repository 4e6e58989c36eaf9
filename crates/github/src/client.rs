//! GitHub client: chooses the credential of a call and handles refused tokens.

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

/// Client for one credential and one scope. Clones share connections and token.
#[derive(Clone)]
pub struct GitHub {
    transport: Transport,
    account: Arc<Account>,
}

/// The credential, and what it manages.
struct Account {
    identity: Identity,
    scope: Scope,
    /// Encoded path of the scope.
    scope_path: String,
}

enum Identity {
    App(Box<AppTokens>),
    Pat(Pat),
}

/// A token and the budget's permit for one request.
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
    /// Returns a client that does not share its installation token. Sends nothing yet.
    ///
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`SettingsError`] if settings contradict themselves, or a key cannot be used.
    pub fn new(settings: GitHubSettings, observer: Arc<dyn Observer>) -> Result<Self, SettingsError> {
        Self::build(settings, observer, Arc::new(AlwaysOpen), None)
    }

    /// Returns a client that shares its installation token with other processes through `store`.
    ///
    /// # Errors
    /// As [`GitHub::new`].
    pub fn with_token_store(
        settings: GitHubSettings,
        observer: Arc<dyn Observer>,
        store: Arc<dyn TokenStore>,
    ) -> Result<Self, SettingsError> {
        Self::build(settings, observer, Arc::new(AlwaysOpen), Some(store))
    }

    /// Returns a client with a gate in front of every request.
    ///
    /// # Errors
    /// As [`GitHub::new`].
    pub fn metered(
        settings: GitHubSettings,
        observer: Arc<dyn Observer>,
        gate: Arc<dyn Gate>,
        store: Arc<dyn TokenStore>,
    ) -> Result<Self, SettingsError> {
        Self::build(settings, observer, gate, Some(store))
    }

    fn build(
        settings: GitHubSettings,
        observer: Arc<dyn Observer>,
        gate: Arc<dyn Gate>,
        store: Option<Arc<dyn TokenStore>>,
    ) -> Result<Self, SettingsError> {
        settings::validate(&settings)?;
        let transport = Transport::new(&settings, observer, gate)?;
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
        Ok(Self { transport, account: Arc::new(Account { identity, scope, scope_path }) })
    }

    /// Returns a client that asks another gate before each request. It shares connections and token with this one.
    #[must_use]
    pub fn with_gate(&self, gate: Arc<dyn Gate>) -> Self {
        Self { transport: self.transport.with_gate(gate), account: self.account.clone() }
    }

    /// Returns the level at which this client manages runners.
    pub fn scope(&self) -> &Scope {
        &self.account.scope
    }

    /// Returns the time by GitHub's clock, as far as it is known.
    pub fn now(&self) -> DateTime<Utc> {
        self.transport.clock.now()
    }

    /// Returns the path `{scope}/actions{rest}`.
    pub(crate) fn actions(&self, rest: &str) -> String {
        format!("{}/actions{rest}", self.account.scope_path)
    }

    /// Sends `call` and returns successful responses (2xx, 304) only.
    pub(crate) async fn call(&self, call: &Call) -> Result<Reply, GitHubError> {
        let ready = self.prepare(call).await?;
        self.call_when_ready(call, ready).await
    }

    /// Obtains a token and the budget's permit for `call`.
    pub(crate) async fn prepare(&self, call: &Call) -> Result<Ready, GitHubError> {
        let transport = &self.transport;
        let bearer = match &self.account.identity {
            Identity::Pat(pat) => Bearer::Person(pat.token().await?),
            Identity::App(app) => Bearer::Installation(app.token(transport, None).await?),
        };
        transport.admit(call).await?;
        Ok(Ready(bearer))
    }

    /// Sends `call` with the token and permit obtained for it.
    pub(crate) async fn call_when_ready(&self, call: &Call, ready: Ready) -> Result<Reply, GitHubError> {
        let transport = &self.transport;
        let reply = match (ready.0, &self.account.identity) {
            (Bearer::Person(token), _) => transport.send(call, &token).await?,
            (Bearer::Installation(token), Identity::App(app)) => {
                self.call_as_installation(app, call, token).await?
            }
            (Bearer::Installation(token), Identity::Pat(_)) => transport.send(call, &token.secret).await?,
        };
        classify::check(call, reply, transport.clock.now())
    }

    /// Sends `call` with an installation token. A refusal of a new token may be temporary. A later 401 proves that the
    /// token is void and that nothing happened, so the call is repeated once with a fresh token, for every method.
    async fn call_as_installation(
        &self,
        app: &AppTokens,
        call: &Call,
        token: Token,
    ) -> Result<Reply, GitHubError> {
        let transport = &self.transport;
        let reply = transport.send(call, &token.secret).await?;
        let reply = self.unless_too_new(&token, reply)?;
        if reply.status != StatusCode::UNAUTHORIZED {
            token.accept();
            return Ok(reply);
        }
        if token.replaced_in_vain() {
            app.drop_token(&token).await;
            return Ok(reply);
        }
        let fresh = app.token(transport, Some(&token)).await?;
        let reply = self.unless_too_new(&fresh, transport.send(call, &fresh.secret).await?)?;
        if reply.status != StatusCode::UNAUTHORIZED {
            fresh.accept();
        }
        Ok(reply)
    }

    /// Returns the reply, unless it is a refusal of a token that GitHub may not know yet.
    fn unless_too_new(&self, token: &Token, reply: Reply) -> Result<Reply, GitHubError> {
        let now = self.transport.clock.now();
        if !classify::is_token_refusal(&reply, now) || !token.is_too_new(now) {
            return Ok(reply);
        }
        let (status, message) = (reply.status.as_u16(), classify::message(&reply));
        tracing::info!(status, message, "GitHub does not know our new token yet; it will be tried again");
        Err(GitHubError::TokenTooNew { status, message, wait: settling_wait() })
    }

    /// Sends `call` as the App itself.
    pub(crate) async fn call_as_app(&self, call: &Call) -> Result<Reply, GitHubError> {
        self.app_identity()?.call_as_app(&self.transport, call).await
    }

    pub(crate) fn app_identity(&self) -> Result<&AppTokens, GitHubError> {
        match &self.account.identity {
            Identity::App(app) => Ok(app),
            Identity::Pat(_) => Err(GitHubError::Credential {
                reason: "only a GitHub App can do this, not a personal access token".to_owned(),
            }),
        }
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("scope", &self.account.scope).finish_non_exhaustive()
    }
}
