//! Claims of a token: the checks of issuer, audience, time and kind, and the verified result.

use chrono::{DateTime, TimeDelta, Utc};
use domain::TokenFacts;
use serde_json::{Map, Value};

use runtime::config::AcceptedTokens;

use super::{OidcError, TrustedIssuer, token::Kind};

/// Allowed difference between the issuer's clock and ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);
/// Maximum length of `sub`. `OpenID` Connect allows 255 characters; CI providers put branch names into it.
const SUBJECT_LIMIT: usize = 1024;
const TEXT_LIMIT: usize = 255;

/// A token whose signature and claims are valid.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// Claim `iss`, one of the trusted issuers.
    pub issuer: String,
    /// Short name of the trusted issuer.
    pub issuer_name: String,
    /// Claim `sub`: 1 to 1,024 characters, none of them a control character.
    pub subject: String,
    /// The configured audience that `aud` contains.
    pub audience: String,
    /// Claim `email`, verified or not.
    pub email: Option<String>,
    /// Claim `email_verified`: `Some(false)` for anything but a clear yes, `None` if absent.
    pub email_verified: Option<bool>,
    /// Claim `name`, else `preferred_username`.
    pub name: Option<String>,
    /// Whether the settings declare every e-mail address of this issuer verified.
    pub email_trusted: bool,
    /// Whether the settings let this issuer bind a user by this e-mail address.
    pub binds_email: bool,
    /// All claims as sent; of a repeated name the last one.
    pub claims: Map<String, Value>,
    /// Claim `exp`.
    pub expires_at: DateTime<Utc>,
}

impl VerifiedToken {
    /// Returns the facts that decide about the identity. An e-mail address binds only if the issuer or the settings
    /// declare it verified.
    pub fn facts(self) -> TokenFacts {
        let verified = self.email_verified == Some(true) || self.email_trusted;
        let binding_email = self.email.clone().filter(|_| verified && self.binds_email);
        TokenFacts {
            issuer: self.issuer,
            subject: self.subject,
            email: self.email,
            binding_email,
            name: self.name,
            claims: self.claims,
        }
    }
}

/// Claims of a token that is not verified yet.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, OidcError> {
        serde_json::from_slice(payload)
            .map(Self)
            .map_err(|_| OidcError::Invalid("its claims are not a JSON object"))
    }

    /// Returns `iss`, to select the keys. It is trusted only once the signature is verified.
    pub(super) fn issuer(&self) -> Result<&str, OidcError> {
        self.0.get("iss").and_then(Value::as_str).ok_or(OidcError::Invalid("it has no `iss`"))
    }

    /// Checks the claims of a token with a valid signature.
    pub(super) fn check(
        self,
        trusted: &TrustedIssuer,
        now: DateTime<Utc>,
        header_kind: Kind,
    ) -> Result<VerifiedToken, OidcError> {
        let expires_at = self.time("exp")?.ok_or(OidcError::Invalid("it has no `exp`"))?;
        if now >= expires_at + CLOCK_SKEW {
            return Err(OidcError::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from > now + CLOCK_SKEW) {
                return Err(OidcError::NotYetValid);
            }
        }
        self.check_age(trusted, now, expires_at)?;
        self.check_kind(trusted, header_kind)?;
        let audience = self.audience(&trusted.audiences)?;
        let email = self.text("email").filter(|email| email.contains('@'));
        Ok(VerifiedToken {
            issuer: trusted.issuer.clone(),
            issuer_name: trusted.name.clone(),
            subject: self.subject()?,
            audience,
            binds_email: email.as_deref().is_some_and(|email| trusted.policy.binds_email(email)),
            email,
            email_verified: self.0.get("email_verified").map(is_yes),
            name: self.text("name").or_else(|| self.text("preferred_username")),
            email_trusted: trusted.policy.email_trusted,
            expires_at,
            claims: self.0,
        })
    }

    /// Refuses tokens whose age or remaining lifetime exceeds the issuer's `max_token_age`: a token that is valid for
    /// years is as dangerous as a password.
    fn check_age(
        &self,
        trusted: &TrustedIssuer,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<(), OidcError> {
        let Some(most) = trusted.policy.max_token_age else { return Ok(()) };
        let limit = TimeDelta::from_std(most).unwrap_or(TimeDelta::MAX / 2) + CLOCK_SKEW;
        let old = self.time("iat")?.is_some_and(|from| now - from > limit);
        if old || expires_at - now > limit {
            return Err(OidcError::LivesTooLong { hours: most.as_secs().div_ceil(3600) });
        }
        Ok(())
    }

    /// Refuses refresh and logout tokens, and the kinds of token that the issuer's `accept` excludes.
    fn check_kind(&self, trusted: &TrustedIssuer, header_kind: Kind) -> Result<(), OidcError> {
        let said = ["typ", "token_use"].map(|name| self.0.get(name).and_then(Value::as_str));
        let said = said.map(|kind| kind.unwrap_or_default().to_ascii_lowercase());
        if said.iter().any(|kind| matches!(kind.as_str(), "refresh" | "offline")) {
            return Err(OidcError::WrongKind("a refresh token"));
        }
        if said.iter().any(|kind| kind == "logout") {
            return Err(OidcError::WrongKind("a logout token"));
        }
        let has = |names: &[&str]| names.iter().any(|name| self.0.contains_key(*name));
        let kind = match header_kind {
            Kind::Unstated
                if said.iter().any(|kind| kind == "id") || has(&["nonce", "at_hash", "c_hash"]) =>
            {
                Kind::Id
            }
            Kind::Unstated if said.iter().any(|kind| matches!(kind.as_str(), "bearer" | "access")) => {
                Kind::Access
            }
            Kind::Unstated if has(&["scope", "scp"]) => Kind::Access,
            stated => stated,
        };
        match (trusted.policy.accept, kind) {
            (AcceptedTokens::Access, Kind::Id) => Err(OidcError::WrongKind("an ID token")),
            (AcceptedTokens::Id, Kind::Access) => Err(OidcError::WrongKind("an access token")),
            _ => Ok(()),
        }
    }

    /// Returns a `NumericDate` (RFC 7519): seconds, fractions cut off.
    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, OidcError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        // Years beyond 9999 have no RFC 3339 form and do not occur in genuine tokens.
        let fits = |time: &DateTime<Utc>| (0..=253_402_300_799).contains(&time.timestamp());
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).filter(fits);
        time.map(Some).ok_or(OidcError::Invalid("one of its times is not a valid time"))
    }

    fn audience(&self, ours: &[String]) -> Result<String, OidcError> {
        let named: Vec<&str> = match self.0.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()
                .ok_or(OidcError::Invalid("its `aud` is not a list of strings"))?,
            _ => return Err(OidcError::Invalid("it has no `aud`")),
        };
        ours.iter().find(|our| named.contains(&our.as_str())).cloned().ok_or(OidcError::WrongAudience)
    }

    fn subject(&self) -> Result<String, OidcError> {
        let subject = match self.0.get("sub") {
            None | Some(Value::Null) => return Err(OidcError::Invalid("it has no `sub`")),
            Some(Value::String(subject)) => subject,
            Some(Value::Number(_)) => {
                return Err(OidcError::Invalid("its `sub` is a number; OpenID Connect requires a string"));
            }
            Some(_) => return Err(OidcError::Invalid("its `sub` is not a string")),
        };
        let fits = (1..=SUBJECT_LIMIT).contains(&subject.chars().count());
        if !fits || subject.chars().any(char::is_control) {
            return Err(OidcError::Invalid("its `sub` is empty, too long or not printable"));
        }
        Ok(subject.clone())
    }

    /// Returns an optional text claim; `None` if it is too long or not printable.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.as_str()?;
        let fits = (1..=TEXT_LIMIT).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    }
}

/// Returns whether the value means yes. Some issuers send `email_verified` as text.
fn is_yes(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
}

#[expect(clippy::cast_possible_truncation, reason = "checked to fit; the fraction is meant to go")]
fn whole(seconds: f64) -> Option<i64> {
    (seconds.is_finite() && seconds.abs() < 1e15).then_some(seconds as i64)
}
