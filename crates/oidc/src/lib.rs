//! Verification of tokens (`OpenID` Connect) against the published keys of trusted issuers, and sign-in there.
//!
//! A token's size is checked first, then its form, its issuer, its signature, and last its claims. A token never
//! decides from where keys are fetched: `jku`, `x5u`, `jwk` and `x5c` are ignored. `kid` is only compared with the
//! `kid`s of fetched keys.

mod cache;
mod claims;
mod code_flow;
mod error;
mod keys;
mod settings;
mod source;
mod token;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use runtime::{
    Clock, Witness,
    config::{AcceptedTokens, IssuerPolicy},
    health::LoopHandle,
};
use tokio_util::sync::CancellationToken;

pub use claims::VerifiedToken;
pub use code_flow::{AuthorizationRequest, CodeAnswer, CodeClient, CodeFlow, CodeFlowError};
pub use error::{FetchError, OidcError};
pub use settings::{HttpSettings, TrustedIssuer};

use cache::IssuerKeys;
use claims::Claims;
use source::KeySource;
use token::Parts;

/// Interval at which the background task checks the age of the keys.
const WARM_INTERVAL: Duration = Duration::from_secs(20);

/// Verifier of bearer tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    issuers: Arc<[(TrustedIssuer, Arc<IssuerKeys>)]>,
    clock: Clock,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.issuers.iter().map(|(issuer, _)| &issuer.name)).finish()
    }
}

impl Verifier {
    /// Returns a verifier without keys; the first token or [`Verifier::warm_up`] fetches them.
    ///
    /// # Errors
    /// The HTTP client cannot be built, because there is no certificate store.
    pub fn new(
        issuers: Vec<TrustedIssuer>,
        http: &HttpSettings,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let client = source::client(http)?;
        let issuers = issuers.into_iter().map(|issuer| {
            let source = KeySource::new(client.clone(), http.total, clock.clone(), &issuer);
            let keys = Arc::new(IssuerKeys::new(issuer.name.clone(), source, clock.clone()));
            (issuer, keys)
        });
        Ok(Self { issuers: issuers.collect(), clock })
    }

    /// Verifies a compact JWS of at most 16 KB and returns its claims.
    ///
    /// # Errors
    /// The reason of the refusal; [`OidcError::KeysUnavailable`] if the keys cannot be fetched. No error quotes the
    /// token.
    pub async fn verify(&self, token: &str) -> Result<VerifiedToken, OidcError> {
        let verdict = self.check(token).await;
        let outcome = verdict.as_ref().map_or_else(OidcError::code, |_| "ok");
        metrics::counter!("rts_oidc_verifications_total", "outcome" => outcome).increment(1);
        verdict
    }

    async fn check(&self, token: &str) -> Result<VerifiedToken, OidcError> {
        let parts = Parts::split(token)?;
        let claims = Claims::parse(&parts.payload)?;
        let said = claims.issuer()?;
        let chosen = self.issuers.iter().find(|(trusted, _)| trusted.issuer == said);
        let (trusted, keys) = chosen.ok_or_else(|| self.unknown_issuer(said))?;
        let key = keys.find(parts.kid.as_deref(), parts.algorithm).await?;
        key.verify(&parts)?;
        claims.check(trusted, self.clock.now(), parts.kind)
    }

    /// Verifies the ID token of a sign-in: it is of this issuer, for this client, and has the nonce of the sign-in.
    ///
    /// # Errors
    /// The reason of the refusal, as in [`Verifier::verify`].
    pub(crate) async fn verify_id_token(
        &self,
        issuer: &str,
        token: &str,
        client_id: &str,
        nonce: &str,
    ) -> Result<VerifiedToken, OidcError> {
        let parts = Parts::split(token)?;
        let claims = Claims::parse(&parts.payload)?;
        let chosen = self.issuers.iter().find(|(trusted, _)| trusted.issuer == issuer);
        let (trusted, keys) = chosen.ok_or(OidcError::UnknownIssuer)?;
        if claims.issuer()? != issuer {
            return Err(OidcError::UnknownIssuer);
        }
        keys.find(parts.kid.as_deref(), parts.algorithm).await?.verify(&parts)?;
        let policy = IssuerPolicy { accept: AcceptedTokens::Id, ..trusted.policy.clone() };
        let expected = TrustedIssuer { audiences: vec![client_id.to_owned()], policy, ..trusted.clone() };
        let verified = claims.check(&expected, self.clock.now(), parts.kind)?;
        let text = |name: &str| verified.claims.get(name).map(|value| value.as_str().unwrap_or_default());
        if text("nonce") != Some(nonce) {
            return Err(OidcError::Invalid("its `nonce` is not that of this sign-in"));
        }
        if text("azp").is_some_and(|party| party != client_id) {
            return Err(OidcError::WrongAudience);
        }
        Ok(verified)
    }

    /// Returns the error for an untrusted issuer. A difference only in the final slash is the most frequent mistake in
    /// the settings, so the error then names both.
    fn unknown_issuer(&self, said: &str) -> OidcError {
        let bare = said.trim_end_matches('/');
        let near = self.issuers.iter().find(|(trusted, _)| trusted.issuer.trim_end_matches('/') == bare);
        near.map_or(OidcError::UnknownIssuer, |(trusted, _)| OidcError::IssuerSlash {
            said: format!("{bare}{}", if said.len() == bare.len() { "" } else { "/" }),
            trusted: trusted.issuer.clone(),
        })
    }

    /// Returns whether the issuer is trusted.
    pub fn trusts(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|(trusted, _)| trusted.issuer == issuer)
    }

    /// Returns the short name of an issuer in the settings.
    pub fn name_of(&self, issuer: &str) -> Option<&str> {
        let found = self.issuers.iter().find(|(trusted, _)| trusted.issuer == issuer);
        found.map(|(trusted, _)| trusted.name.as_str())
    }

    /// Returns the trusted issuers, as in `iss`.
    pub fn trusted_issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(|(trusted, _)| trusted.issuer.as_str())
    }

    /// Returns a hint for an admin who named an untrusted issuer: the trusted one that differs only in the final slash,
    /// else all.
    pub fn expected_issuers(&self, issuer: &str) -> String {
        let trusted = || self.issuers.iter().map(|(trusted, _)| trusted.issuer.as_str());
        let bare = issuer.trim_end_matches('/');
        match trusted().find(|trusted| trusted.trim_end_matches('/') == bare) {
            Some(near) => format!("not configured here; `{near}` is, and differs in the final slash"),
            None => {
                format!("not configured here; configured are: {}", trusted().collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Returns the default issuer of users: the one meant if an admin names none.
    pub fn binding_issuer(&self) -> Option<&str> {
        let mut binding =
            self.issuers.iter().filter(|(trusted, _)| trusted.policy.binds_people == Some(true));
        binding.next().map(|(trusted, _)| trusted.issuer.as_str())
    }

    /// Returns whether e-mail addresses may be bound to identities of this issuer.
    pub fn binds_people(&self, issuer: &str) -> bool {
        let may = |trusted: &TrustedIssuer| trusted.policy.binds_people != Some(false);
        self.issuers.iter().any(|(trusted, _)| trusted.issuer == issuer && may(trusted))
    }

    /// Returns whether this e-mail address may be bound to an identity of this issuer.
    pub fn binds_email(&self, issuer: &str, email: &str) -> bool {
        self.issuers.iter().any(|(trusted, _)| trusted.issuer == issuer && trusted.policy.binds_email(email))
    }

    /// Adjusts the verifier's clock to the database's.
    ///
    /// A machine whose clock is wrong by minutes would refuse valid tokens and accept expired ones. The issuers' clocks
    /// are learned with each fetch of keys, so a wrong database clock alone does no harm.
    pub fn set_clock(&self, database_now: DateTime<Utc>) {
        self.clock.learn(Witness::Database, database_now);
    }

    /// Returns whether keys of at least one issuer are available. An unreachable issuer affects only its own callers.
    pub fn ready(&self) -> bool {
        self.issuers.iter().any(|(_, keys)| keys.usable())
    }

    /// Returns the name of every issuer and whether its keys are available.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, bool)> {
        self.issuers.iter().map(|(issuer, keys)| (issuer.name.as_str(), keys.usable()))
    }

    /// Fetches the keys of every issuer now. Returns each issuer with the reason if its keys cannot be fetched.
    pub async fn examine(&self) -> Vec<(String, Result<(), String>)> {
        let fetch = |(issuer, keys): &(TrustedIssuer, Arc<IssuerKeys>)| {
            let (name, keys) = (issuer.issuer.clone(), Arc::clone(keys));
            async move { (name, keys.try_fetch().await) }
        };
        join_all(self.issuers.iter().map(fetch)).await
    }

    /// Fetches missing or old keys of all issuers concurrently.
    pub async fn warm_up(&self) {
        join_all(self.issuers.iter().map(|(_, keys)| keys.warm_up())).await;
    }

    /// Refreshes keys in the background until draining, so that requests do not wait for them. Ticks `beat` about every
    /// 20 s.
    pub async fn keep_warm(&self, draining: &CancellationToken, beat: &LoopHandle) {
        let mut interval = tokio::time::interval(WARM_INTERVAL);
        while !draining.is_cancelled() {
            tokio::select! {
                _ = interval.tick() => self.warm_up().await,
                () = draining.cancelled() => {}
            }
            beat.tick();
        }
    }
}

#[cfg(test)]
mod tests;
