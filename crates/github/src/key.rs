//! App private keys, used to sign, and personal access tokens, used as they are.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Secret;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    file::ReloadingFile,
    key_error::KeyError,
    settings::{GitHubSettings, KeySource, TokenSource},
};

/// Seconds by which a JWT is dated back, for clocks ahead of GitHub's.
const BACKDATED_SECONDS: i64 = 60;
/// Life of a JWT. GitHub accepts ten minutes at most.
const LIFETIME_SECONDS: i64 = 9 * 60;

/// Signs App JWTs with the newest usable key.
pub(crate) struct AppKey {
    app_id: String,
    key: Source<EncodingKey>,
}

/// The newest usable personal access token.
#[derive(Clone)]
pub(crate) struct Pat(Arc<Source<Secret>>);

enum Source<T> {
    Given(T),
    File(ReloadingFile<T>),
}

impl<T: Clone> Source<T> {
    fn get(&self) -> T {
        match self {
            Self::Given(value) => value.clone(),
            Self::File(file) => file.get(),
        }
    }
}

/// Claims that GitHub requires, and a random `jti`, because two JWTs of one second must differ.
#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
    jti: Uuid,
}

impl AppKey {
    /// Reads the key and proves that it can sign.
    pub(crate) fn new(app_id: &str, source: &KeySource, settings: &GitHubSettings) -> Result<Self, KeyError> {
        let key = match source {
            KeySource::Pem(pem) => Source::Given(parse_key(pem.expose())?),
            KeySource::File(path) => Source::File(ReloadingFile::open(path, settings, parse_key)?),
        };
        Ok(Self { app_id: app_id.to_owned(), key })
    }

    /// Returns a new JWT as of `now` (GitHub's clock). Reads the disk: call it where blocking is allowed.
    pub(crate) fn sign(&self, now: DateTime<Utc>) -> Result<Secret, KeyError> {
        let now = now.timestamp();
        let claims = Claims {
            iat: now - BACKDATED_SECONDS,
            exp: now + LIFETIME_SECONDS,
            iss: &self.app_id,
            jti: Uuid::new_v4(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key.get())
            .map(Secret::new)
            .map_err(|_| KeyError::NotRsa)
    }
}

impl Pat {
    /// Reads the token.
    pub(crate) fn new(source: &TokenSource, settings: &GitHubSettings) -> Result<Self, KeyError> {
        let source = match source {
            TokenSource::Text(token) => Source::Given(parse_token(token.expose())?),
            TokenSource::File(path) => Source::File(ReloadingFile::open(path, settings, parse_token)?),
        };
        Ok(Self(Arc::new(source)))
    }

    /// Returns the current token.
    pub(crate) async fn token(&self) -> Result<Secret, KeyError> {
        let Source::File(_) = &*self.0 else { return Ok(self.0.get()) };
        let source = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || source.get()).await.map_err(|_| KeyError::NoToken)
    }
}

fn parse_key(pem: &str) -> Result<EncodingKey, KeyError> {
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| KeyError::NotRsa)?;
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &serde_json::json!({}), &key)
        .map_err(|_| KeyError::NotRsa)?;
    Ok(key)
}

fn parse_token(text: &str) -> Result<Secret, KeyError> {
    let text = text.trim();
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| Secret::new(text)).ok_or(KeyError::NoToken)
}
