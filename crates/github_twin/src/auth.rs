//! Authentication: installation tokens, App JWTs, personal tokens, and anonymous calls.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Utc;
use dev_http::keys::random_text;
use http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use crate::{
    answer::Answer,
    clock::delta,
    ledger::ViolationKind,
    rate_limits::Owner,
    state::{State, Token},
    views::client_id,
};

/// Most tokens kept, expired ones included.
const MAX_TOKENS: usize = 10_000;

/// A caller and its rights.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) owner: Owner,
    pub(crate) permissions: BTreeMap<String, String>,
    /// Ids of the repositories that its token covers; `None` means all.
    pub(crate) repositories: Option<Arc<BTreeSet<u64>>>,
    /// The installation token.
    pub(crate) token: Option<String>,
}

impl Who {
    fn of(owner: Owner) -> Self {
        Self { owner, permissions: BTreeMap::new(), repositories: None, token: None }
    }

    /// Returns whether its token covers a repository.
    pub(crate) fn covers(&self, repository: u64) -> bool {
        self.repositories.as_ref().is_none_or(|ids| ids.contains(&repository))
    }

    /// Returns whether a permission reaches a level. Every installation may read metadata.
    pub(crate) fn may(&self, permission: &str, write: bool) -> bool {
        if permission == "metadata" && !write {
            return true;
        }
        match self.permissions.get(permission).map(String::as_str) {
            Some("write" | "admin") => true,
            Some("read") => !write,
            _ => false,
        }
    }
}

/// Returns the credential without its scheme, or an empty text when the scheme is unknown.
pub(crate) fn credential(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let text = headers.get(AUTHORIZATION)?.to_str().unwrap_or("");
    let (scheme, rest) = text.split_once(' ').unwrap_or(("", text));
    Some(match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => rest.trim().into(),
        "basic" => basic(rest.trim()).unwrap_or_default().into(),
        _ => "".into(),
    })
}

/// Returns the token in a pair of user and password: the password, or the user if the password is a placeholder.
fn basic(encoded: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(if matches!(password, "" | "x-oauth-basic") { user } else { password }.to_owned())
}

impl State {
    /// Returns the caller, or the 401 or 403 response with the owner whose limits it counts for.
    pub(crate) fn identify(&self, credential: Option<&str>) -> Result<Who, (Owner, Answer)> {
        let Some(text) = credential else { return Ok(Who::of(Owner::Anonymous)) };
        if let Some(token) = self.tokens.get(text) {
            return self.by_token(text, token);
        }
        if let Some(nth) = self.config.personal_tokens.iter().position(|one| one.token == text) {
            return Ok(Who::of(Owner::Person(nth)));
        }
        if text.starts_with("ghs_") || text.split('.').count() != 3 {
            let answer = Answer::error(401, "Bad credentials");
            return Err((Owner::Anonymous, answer.with_violation(ViolationKind::BadToken, "unknown token")));
        }
        match self.check_app_jwt(text) {
            Ok(app) => Ok(Who::of(Owner::App(app))),
            Err(why) => {
                Err((Owner::Anonymous, Answer::error(401, why).with_violation(ViolationKind::BadToken, why)))
            }
        }
    }

    fn by_token(&self, text: &str, token: &Token) -> Result<Who, (Owner, Answer)> {
        let owner = Owner::Installation(token.installation);
        if token.expires_at <= self.now() {
            let answer = Answer::error(401, "Bad credentials");
            return Err((owner, answer.with_violation(ViolationKind::ExpiredToken, "expired token")));
        }
        match self.installation(token.installation) {
            None => Err((owner, Answer::error(401, "Bad credentials"))),
            Some(i) if i.suspended_at.is_some() => {
                Err((owner, Answer::error(403, "This installation has been suspended")))
            }
            Some(_) => Ok(Who {
                owner,
                permissions: token.permissions.clone(),
                repositories: token.repositories.clone(),
                token: Some(text.to_owned()),
            }),
        }
    }

    /// Checks signature and claims, and returns the App's id. Times are checked against the machine's clock, not the twin's, because the caller's
    /// clock cannot be moved along.
    fn check_app_jwt(&self, text: &str) -> Result<u64, &'static str> {
        const UNREADABLE: &str = "A JSON web token could not be decoded";
        let key = DecodingKey::from_rsa_pem(self.public_pem.as_bytes()).map_err(|_| UNREADABLE)?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Value>(text, &key, &rules).map_err(|_| UNREADABLE)?.claims;
        let now = Utc::now().timestamp();
        let iat = claims["iat"].as_i64().filter(|iat| *iat <= now);
        iat.ok_or("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")?;
        let exp = claims["exp"].as_i64().filter(|exp| *exp > now);
        let exp = exp.ok_or("'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")?;
        if exp > now + 600 {
            return Err("'Expiration time' claim ('exp') is too far in the future");
        }
        let is_issuer = |id: &u64| match &claims["iss"] {
            Value::Number(n) => n.as_u64() == Some(*id),
            Value::String(s) => *s == id.to_string() || *s == client_id(*id),
            _ => false,
        };
        let more = self.config.more_apps.iter().map(|app| app.app_id);
        let app = std::iter::once(self.config.app_id).chain(more).find(is_issuer);
        app.ok_or("Integration not found")
    }

    /// Creates an installation token: long, opaque, with the configured lifetime.
    pub(crate) fn mint(
        &mut self,
        installation: u64,
        permissions: BTreeMap<String, String>,
        repositories: Option<Arc<BTreeSet<u64>>>,
    ) -> (String, Token) {
        let now = self.now();
        if self.tokens.len() >= MAX_TOKENS {
            self.tokens.retain(|_, t| t.expires_at > now);
        }
        if self.tokens.len() >= MAX_TOKENS {
            self.tokens.clear();
        }
        let parts = (random_text(36), random_text(400), random_text(86));
        let text = format!("ghs_{}_{}.{}.{}", self.config.app_id, parts.0, parts.1, parts.2);
        let expires_at = now + delta(self.config.token_life);
        let token = Token { installation, expires_at, permissions, repositories };
        self.tokens.insert(text.clone(), token.clone());
        (text, token)
    }

    /// Expires one token.
    pub(crate) fn expire_token(&mut self, text: &str) {
        let now = self.now();
        if let Some(token) = self.tokens.get_mut(text) {
            token.expires_at = token.expires_at.min(now);
        }
    }

    /// Expires every token, or those of one installation.
    pub(crate) fn expire_tokens(&mut self, installation: Option<u64>) {
        let now = self.now();
        for token in self.tokens.values_mut() {
            if installation.is_none_or(|id| id == token.installation) {
                token.expires_at = token.expires_at.min(now);
            }
        }
    }
}
