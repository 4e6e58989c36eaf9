//! What a token says, and whether it says it to us and now.

use chrono::{DateTime, TimeDelta, Utc};
use domain::TokenFacts;
use serde_json::{Map, Value};

use super::{OidcError, TrustedIssuer};

/// How far the issuer's clock and ours may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);
const SUBJECT_LIMIT: usize = 255;
const TEXT_LIMIT: usize = 255;

/// A token whose signature and claims hold.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// `iss`, one of the trusted.
    pub issuer: String,
    /// The trusted issuer's short name.
    pub issuer_name: String,
    /// `sub`, 1 to 255 characters, none of them a control character.
    pub subject: String,
    /// The audience of ours that `aud` names.
    pub audience: String,
    /// `email`; whether it is verified is said beside it.
    pub email: Option<String>,
    /// `email_verified`; anything but a clear yes is no, absence is absence.
    pub email_verified: Option<bool>,
    /// `name`, else `preferred_username`.
    pub name: Option<String>,
    /// `azp`: who the token was issued to.
    pub authorized_party: Option<String>,
    /// `client_id`, else `cid`.
    pub client_id: Option<String>,
    /// `gty`, Auth0's grant type; a hint only.
    pub grant_type: Option<String>,
    /// All claims as sent; of a name sent twice the last.
    pub claims: Map<String, Value>,
    /// `exp`.
    pub expires_at: DateTime<Utc>,
}

impl VerifiedToken {
    /// What decides who is asking. An e-mail counts unless the issuer says that it is unverified.
    pub fn facts(self) -> TokenFacts {
        TokenFacts {
            personal: self.claims.get("email").is_some_and(|email| !email.is_null()),
            email: self.email.filter(|_| self.email_verified != Some(false)),
            issuer: self.issuer,
            subject: self.subject,
            name: self.name,
            client_id: self.client_id,
            authorized_party: self.authorized_party,
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
        let audience = self.audience(&trusted.audiences)?;
        Ok(VerifiedToken {
            issuer: trusted.issuer.clone(),
            issuer_name: trusted.name.clone(),
            subject: self.subject()?,
            audience,
            email: self.text("email").filter(|email| email.contains('@')),
            email_verified: self.0.get("email_verified").map(is_yes),
            name: self.text("name").or_else(|| self.text("preferred_username")),
            authorized_party: self.text("azp"),
            client_id: self.text("client_id").or_else(|| self.text("cid")),
            grant_type: self.text("gty"),
            expires_at,
            claims: self.0,
        })
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
        let subject =
            self.0.get("sub").and_then(Value::as_str).ok_or(OidcError::Invalid("it has no `sub`"))?;
        let fits = (1..=SUBJECT_LIMIT).contains(&subject.chars().count());
        if !fits || subject.chars().any(char::is_control) {
            return Err(OidcError::Invalid("its `sub` is empty, too long or not printable"));
        }
        Ok(subject.to_owned())
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
