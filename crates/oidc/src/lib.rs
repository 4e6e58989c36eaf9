//! Verification of bearer tokens (`OpenID` Connect): the caller a token names, and whether to believe it.
//!
//! A token is measured, taken apart, its issuer chosen from the trusted ones, its signature checked with that
//! issuer's published keys, and only then are its claims read. Nothing in a token ever names a place to fetch
//! from: `jku`, `x5u`, `jwk` and `x5c` are not looked at, and `kid` is only compared with the `kid`s we hold.

mod cache;
mod claims;
mod error;
mod keys;
mod settings;
mod source;
mod token;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use runtime::{Clock, Witness, health::LoopHandle};
use tokio_util::sync::CancellationToken;

pub use claims::VerifiedToken;
pub use error::OidcError;
pub use settings::{HttpSettings, TrustedIssuer};

use cache::IssuerKeys;
use claims::Claims;
use source::KeySource;
use token::Parts;

/// How often the background task looks whether keys grow old.
const WARM_INTERVAL: Duration = Duration::from_secs(20);

/// Checks bearer tokens. Cheap to clone.
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
    /// A verifier that has no keys yet; the first token or [`Verifier::warm_up`] fetches them.
    ///
    /// # Errors
    /// The HTTP client cannot be built (no certificate store).
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

    /// Checks a compact JWS of at most 16 KB and returns what it says.
    ///
    /// # Errors
    /// Why it is refused; [`OidcError::KeysUnavailable`] if we cannot tell. No error quotes the token.
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

    /// Names both issuers where only the final slash differs: the most frequent mistake in the settings.
    fn unknown_issuer(&self, said: &str) -> OidcError {
        let bare = said.trim_end_matches('/');
        let near = self.issuers.iter().find(|(trusted, _)| trusted.issuer.trim_end_matches('/') == bare);
        near.map_or(OidcError::UnknownIssuer, |(trusted, _)| OidcError::IssuerSlash {
            said: format!("{bare}{}", if said.len() == bare.len() { "" } else { "/" }),
            trusted: trusted.issuer.clone(),
        })
    }

    /// Whether tokens of this issuer are believed.
    pub fn trusts(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|(trusted, _)| trusted.issuer == issuer)
    }

    /// Why this issuer is not one of the trusted, for an admin: the one meant if only the final slash differs, else all.
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

    /// The issuer of people for whom an admin names none.
    pub fn binding_issuer(&self) -> Option<&str> {
        let mut binding =
            self.issuers.iter().filter(|(trusted, _)| trusted.policy.binds_people == Some(true));
        binding.next().map(|(trusted, _)| trusted.issuer.as_str())
    }

    /// Whether an e-mail address may be bound to an identity of this issuer.
    pub fn binds_people(&self, issuer: &str) -> bool {
        let may = |trusted: &TrustedIssuer| trusted.policy.binds_people != Some(false);
        self.issuers.iter().any(|(trusted, _)| trusted.issuer == issuer && may(trusted))
    }

    /// Whether this e-mail address may be bound to an identity of this issuer.
    pub fn binds_email(&self, issuer: &str, email: &str) -> bool {
        self.issuers.iter().any(|(trusted, _)| trusted.issuer == issuer && trusted.policy.binds_email(email))
    }

    /// Puts the clock that judges tokens right by the database's: a machine whose own clock is wrong by minutes would
    /// refuse good tokens and take ended ones. The issuers' clocks are learned whenever keys are fetched, so that a wrong
    /// clock of the database alone does no harm either.
    pub fn set_clock(&self, database_now: DateTime<Utc>) {
        self.clock.learn(Witness::Database, database_now);
    }

    /// Whether keys of at least one issuer are at hand. One of several being away stops only its own callers.
    pub fn ready(&self) -> bool {
        self.issuers.iter().any(|(_, keys)| keys.usable())
    }

    /// The name of every issuer, and whether its keys are at hand.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, bool)> {
        self.issuers.iter().map(|(issuer, keys)| (issuer.name.as_str(), keys.usable()))
    }

    /// Fetches, for all issuers at once, the keys that are missing or soon too old.
    pub async fn warm_up(&self) {
        join_all(self.issuers.iter().map(|(_, keys)| keys.warm_up())).await;
    }

    /// Keeps keys warm until draining, so that requests do not wait for them. Ticks `beat` every 20 s or so.
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
