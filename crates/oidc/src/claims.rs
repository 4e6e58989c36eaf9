//! What a token says, and whether it says it to us and now.

use chrono::{DateTime, TimeDelta, Utc};
use domain::TokenFacts;
use serde_json::{Map, Value};

use runtime::config::AcceptedTokens;

use super::{OidcError, TrustedIssuer, token::Kind};

/// How far the issuer's clock and ours may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);
/// `OpenID` Connect allows 255 characters; CI providers put branch names into it.
const SUBJECT_LIMIT: usize = 1024;
const TEXT_LIMIT: usize = 255;

/// A token whose signature and claims hold.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// `iss`, one of the trusted.
    pub issuer: String,
    /// The trusted issuer's short name.
    pub issuer_name: String,
    /// `sub`, 1 to 1,024 characters, none of them a control character.
    pub subject: String,
    /// The audience of ours that `aud` names.
    pub audience: String,
    /// `email`; whether it is verified is said beside it.
    pub email: Option<String>,
    /// `email_verified`; anything but a clear yes is no, absence is absence.
    pub email_verified: Option<bool>,
    /// `name`, else `preferred_username`.
    pub name: Option<String>,
    /// Whether the settings say that every e-mail of this issuer is verified.
    pub email_trusted: bool,
    /// Whether the settings let this issuer bind a person by this e-mail.
    pub binds_email: bool,
    /// All claims as sent; of a name sent twice the last.
    pub claims: Map<String, Value>,
    /// `exp`.
    pub expires_at: DateTime<Utc>,
}

impl VerifiedToken {
    /// What decides who is asking. An e-mail binds only if the issuer says that it is verified, or the settings say it
    /// of the issuer.
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

/// Claims not yet believed.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, OidcError> {
        serde_json::from_slice(payload)
            .map(Self)
            .map_err(|_| OidcError::Invalid("its claims are no JSON object"))
    }

    /// `iss`, to choose the keys by; believed once the signature holds.
    pub(super) fn issuer(&self) -> Result<&str, OidcError> {
        self.0.get("iss").and_then(Value::as_str).ok_or(OidcError::Invalid("it has no `iss`"))
    }

    /// The claims of a token whose signature holds.
    pub(super) fn check(
        self,
        trusted: &TrustedIssuer,
        now: DateTime<Utc>,
        header_kind: Kind,
    ) -> Result<VerifiedToken, OidcError> {
        let expires_at = self.time("exp")?.ok_or(OidcError::Invalid("it has no `exp`"))?;
        if now >= expires_at + LEEWAY {
            return Err(OidcError::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from > now + LEEWAY) {
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

    /// A token that is valid for years is a password: neither its age nor what is left of its life exceeds the issuer's
    /// `max_token_age`.
    fn check_age(
        &self,
        trusted: &TrustedIssuer,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<(), OidcError> {
        let Some(most) = trusted.policy.max_token_age else { return Ok(()) };
        let limit = TimeDelta::from_std(most).unwrap_or(TimeDelta::MAX / 2) + LEEWAY;
        let old = self.time("iat")?.is_some_and(|from| now - from > limit);
        if old || expires_at - now > limit {
            return Err(OidcError::LivesTooLong { hours: most.as_secs().div_ceil(3600) });
        }
        Ok(())
    }

    /// Refresh and logout tokens never count; access or ID tokens alone where the issuer's `accept` says so.
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

    /// A `NumericDate` (RFC 7519): seconds, fractions cut off.
    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, OidcError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        // Years beyond 9999 have no RFC 3339 form, and no honest token has one.
        let fits = |time: &DateTime<Utc>| (0..=253_402_300_799).contains(&time.timestamp());
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).filter(fits);
        time.map(Some).ok_or(OidcError::Invalid("one of its times is no time"))
    }

    fn audience(&self, ours: &[String]) -> Result<String, OidcError> {
        let named: Vec<&str> = match self.0.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()
                .ok_or(OidcError::Invalid("its `aud` is no list of strings"))?,
            _ => return Err(OidcError::Invalid("it has no `aud`")),
        };
        ours.iter().find(|our| named.contains(&our.as_str())).cloned().ok_or(OidcError::WrongAudience)
    }

    fn subject(&self) -> Result<String, OidcError> {
        let subject = match self.0.get("sub") {
            None | Some(Value::Null) => return Err(OidcError::Invalid("it has no `sub`")),
            Some(Value::String(subject)) => subject,
            Some(Value::Number(_)) => {
                return Err(OidcError::Invalid("its `sub` is a number, and OpenID Connect wants a string"));
            }
            Some(_) => return Err(OidcError::Invalid("its `sub` is no string")),
        };
        let fits = (1..=SUBJECT_LIMIT).contains(&subject.chars().count());
        if !fits || subject.chars().any(char::is_control) {
            return Err(OidcError::Invalid("its `sub` is empty, too long or not printable"));
        }
        Ok(subject.clone())
    }

    /// A text claim we can do without: absent if it is too long or not printable.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.as_str()?;
        let fits = (1..=TEXT_LIMIT).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    }
}

/// Some issuers send `email_verified` as text.
fn is_yes(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
}

#[expect(clippy::cast_possible_truncation, reason = "checked to fit; the fraction is meant to go")]
fn whole(seconds: f64) -> Option<i64> {
    (seconds.is_finite() && seconds.abs() < 1e15).then_some(seconds as i64)
}
