//! Tokens of profiles, in `$XDG_STATE_HOME/rts/credentials.toml`, which only its owner may read.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use domain::Secret;
use serde::Deserialize;

use super::{Provider, ServiceUrl, SignInOffer, Tokens, private_file};
use crate::{environment::Environment, error::ClientError};

/// Time before its end at which a token is refreshed.
const REFRESH_BEFORE_END: TimeDelta = TimeDelta::seconds(60);

/// Tokens of one profile.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// URL of the only service that the token may be sent to.
    url: String,
    token: String,
    /// End of the token, if it is known.
    expires_at: Option<DateTime<Utc>>,
    refresh_token: Option<String>,
    /// Issuer and client that a refresh token is for.
    issuer: Option<String>,
    client_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    profiles: BTreeMap<String, Entry>,
}

/// The file of tokens.
pub(crate) struct Credentials {
    path: PathBuf,
    document: Document,
}

/// A token to store.
pub(crate) struct NewCredential<'a> {
    /// Service that the token may be sent to.
    pub(crate) service: &'a ServiceUrl,
    /// Tokens of the person.
    pub(crate) tokens: &'a Tokens,
    /// Issuer and client, if the token can be refreshed.
    pub(crate) offer: Option<&'a SignInOffer>,
}

impl Credentials {
    /// Reads the file. A missing file has no tokens.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if others may read the file, or it is damaged.
    pub(crate) fn read(environment: &Environment) -> Result<Self, ClientError> {
        let path = state_folder(environment)?.join("credentials.toml");
        let fault = |reason: String| ClientError::Usage(format!("{}: {reason}", path.display()));
        let Some(text) = private_file::read_bounded(&path).map_err(|error| fault(error.to_string()))? else {
            return Ok(Self { path, document: Document::default() });
        };
        if private_file::is_open_to_others(&path).map_err(|error| fault(error.to_string()))? {
            return Err(fault(format!(
                "others may read this file, so its tokens may be known; `chmod 600 {}` after replacing them",
                path.display()
            )));
        }
        // The parser's message quotes the line, which holds a token.
        let document =
            toml::from_str(&text).map_err(|_| fault("the file is damaged; delete it and sign in".into()))?;
        Ok(Self { path, document })
    }

    /// Returns whether the profile has a token for this service.
    pub(crate) fn has_token(&self, profile: &str, service: &ServiceUrl) -> bool {
        self.entry(profile, service).is_some()
    }

    fn entry(&self, profile: &str, service: &ServiceUrl) -> Option<&Entry> {
        let entry = self.document.profiles.get(profile)?;
        ServiceUrl::parse(&entry.url).is_ok_and(|url| url == *service).then_some(entry)
    }

    /// Returns the token of a profile for this service. One that ends is refreshed first, under a lock, so that two
    /// commands do not use one refresh token.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if there is none, or the session is over.
    pub(crate) async fn token(
        environment: &Environment,
        profile: &str,
        service: &ServiceUrl,
    ) -> Result<Secret, ClientError> {
        let missing = || {
            ClientError::SignedOut(format!(
                "profile {profile} has no token for this service; run `rts login`"
            ))
        };
        let current = Self::read(environment)?;
        let entry = current.entry(profile, service).ok_or_else(missing)?;
        if !entry.ends_soon(Utc::now()) {
            return Ok(Secret::new(entry.token.as_str()));
        }
        let folder = state_folder(environment)?;
        let lock = tokio::task::spawn_blocking(move || private_file::lock_folder(&folder)).await;
        let _lock = lock
            .map_err(|error| ClientError::Failed(error.to_string()))?
            .map_err(|error| ClientError::Failed(format!("the tokens cannot be locked: {error}")))?;
        let mut latest = Self::read(environment)?;
        let entry = latest.entry(profile, service).cloned().ok_or_else(missing)?;
        let (Some(refresh), Some(issuer), Some(client), true) =
            (&entry.refresh_token, &entry.issuer, &entry.client_id, entry.ends_soon(Utc::now()))
        else {
            return Ok(Secret::new(entry.token));
        };
        let provider = Provider::discover(issuer).await?;
        let tokens = provider.refresh(client, &Secret::new(refresh.as_str())).await?;
        let renewed = Entry {
            token: tokens.bearer.expose().to_owned(),
            expires_at: tokens.expires_at,
            refresh_token: tokens.refresh.map(|refresh| refresh.expose().to_owned()),
            ..entry
        };
        latest.document.profiles.insert(profile.to_owned(), renewed);
        latest.write()?;
        Ok(tokens.bearer)
    }

    /// Stores the tokens of a profile, under a lock.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the file cannot be written.
    pub(crate) fn store(
        environment: &Environment,
        profile: &str,
        new: &NewCredential<'_>,
    ) -> Result<(), ClientError> {
        let refresh = new.tokens.refresh.as_ref().filter(|_| new.offer.is_some());
        let entry = Entry {
            url: new.service.as_str().to_owned(),
            token: new.tokens.bearer.expose().to_owned(),
            expires_at: new.tokens.expires_at,
            refresh_token: refresh.map(|refresh| refresh.expose().to_owned()),
            issuer: new.offer.map(|offer| offer.issuer.clone()),
            client_id: new.offer.map(|offer| offer.client_id.clone()),
        };
        Self::change(environment, |profiles| {
            profiles.insert(profile.to_owned(), entry);
        })
    }

    /// Forgets the tokens of one profile or of all.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the file cannot be written.
    pub(crate) fn forget(environment: &Environment, profile: Option<&str>) -> Result<(), ClientError> {
        Self::change(environment, |profiles| {
            profiles.retain(|name, _| profile.is_some_and(|gone| name != gone));
        })
    }

    fn change(
        environment: &Environment,
        change: impl FnOnce(&mut BTreeMap<String, Entry>),
    ) -> Result<(), ClientError> {
        let folder = state_folder(environment)?;
        let fault = |error: std::io::Error| ClientError::Failed(format!("{}: {error}", folder.display()));
        let _lock = private_file::lock_folder(&folder).map_err(fault)?;
        let mut credentials = Self::read(environment)?;
        change(&mut credentials.document.profiles);
        credentials.write()
    }

    fn write(&self) -> Result<(), ClientError> {
        private_file::replace(&self.path, &self.document.to_toml())
            .map_err(|error| ClientError::Failed(format!("{}: {error}", self.path.display())))
    }
}

impl Entry {
    /// Returns whether the token ends before a request with it would be answered.
    fn ends_soon(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end - now < REFRESH_BEFORE_END)
    }
}

fn state_folder(environment: &Environment) -> Result<PathBuf, ClientError> {
    let folder = environment.state_folder();
    folder.ok_or_else(|| ClientError::Usage("set HOME or XDG_STATE_HOME, to keep tokens".into()))
}

impl Document {
    /// The types have no `Serialize`, so that no other place can write a token.
    fn to_toml(&self) -> String {
        let mut profiles = toml::Table::new();
        for (name, entry) in &self.profiles {
            let mut table = toml::Table::new();
            table.insert("url".to_owned(), entry.url.clone().into());
            table.insert("token".to_owned(), entry.token.clone().into());
            let expires_at = entry.expires_at.map(|end| end.to_rfc3339());
            for (key, value) in [
                ("expires_at", &expires_at),
                ("refresh_token", &entry.refresh_token),
                ("issuer", &entry.issuer),
                ("client_id", &entry.client_id),
            ] {
                if let Some(value) = value {
                    table.insert(key.to_owned(), value.clone().into());
                }
            }
            profiles.insert(name.clone(), table.into());
        }
        let mut document = toml::Table::new();
        document.insert("profiles".to_owned(), profiles.into());
        document.to_string()
    }
}
