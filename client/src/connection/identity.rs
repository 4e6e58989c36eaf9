//! The caller's token, and the places it comes from.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use domain::Secret;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use super::{
    Credentials, ServiceUrl, Target, api_client,
    audience::{audiences, named_by},
    credential_command, private_file,
};
use crate::{args::ConnectionArgs, environment::Environment, error::ClientError, output::plain};

/// Token that Kubernetes projects into a pod.
const KUBERNETES_TOKEN: &str = "/var/run/secrets/rts/token";
/// Most bytes of a token.
const MAX_TOKEN: usize = 16 * 1024;
const ACTIONS_TIMEOUT: Duration = Duration::from_secs(20);

/// Place that a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file: `--token-file`, `RTS_TOKEN_FILE`, or the one that Kubernetes projects.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// The token endpoint of GitHub Actions.
    Actions,
    /// A profile's entry in the file of tokens.
    Profile(String),
    /// The command of a profile that prints a token.
    Command {
        /// Name of the profile.
        profile: String,
        /// The command, for a shell.
        command: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Actions => f.write_str("GitHub Actions"),
            Self::Profile(name) => write!(f, "the profile {name}"),
            Self::Command { profile, .. } => write!(f, "the credential_command of the profile {profile}"),
        }
    }
}

impl Source {
    /// Returns whether a later read may give a newer token.
    pub(crate) fn is_renewable(&self) -> bool {
        !matches!(self, Self::Variable(_))
    }
}

/// Source of the caller's token for one service.
#[derive(Clone)]
pub(crate) struct Identity {
    /// Place that the token comes from.
    pub(crate) source: Source,
    environment: Environment,
    service: ServiceUrl,
    /// Audience that the service names for tokens of pipelines.
    audience: Arc<OnceCell<String>>,
}

impl Identity {
    /// Chooses the first source that is there: `--token-file`, a profile that was named, `RTS_TOKEN_FILE`, `RTS_TOKEN`,
    /// GitHub Actions, `RTS_ID_TOKEN`, the token of Kubernetes, the current profile.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if there is none, [`ClientError::Usage`] if the file of tokens is open to others.
    pub(crate) fn find(
        args: &ConnectionArgs,
        environment: &Environment,
        target: &Target,
    ) -> Result<Self, ClientError> {
        let of = |source| Self {
            source,
            environment: environment.clone(),
            service: target.url.clone(),
            audience: Arc::default(),
        };
        if let Some(path) = &args.token_file {
            return Ok(of(Source::File(path.clone())));
        }
        let profile = profile_source(environment, target)?;
        if let (true, Some(source)) = (target.profile_is_chosen, &profile) {
            return Ok(of(source.clone()));
        }
        let found = environment_source(environment).or(profile);
        found.map(of).ok_or_else(|| {
            ClientError::SignedOut(format!(
                "no token for {}: run `rts login`, or set RTS_TOKEN or --token-file; in GitHub Actions allow `id-token: write`",
                target.url.host()
            ))
        })
    }

    /// Reads a token for an audience. GitHub Actions issues one; every other source has one token, which must be for it.
    ///
    /// # Errors
    /// Those of [`Self::token`], and [`ClientError::SignedOut`] if the token is for another audience.
    pub(crate) async fn token_for(&self, audience: &str) -> Result<Secret, ClientError> {
        let token = self.read_token(Some(audience)).await?;
        let fault = match audiences(&token) {
            Some(all) if all.iter().any(|one| one == audience) => return Ok(token),
            Some(all) if all.is_empty() => "names no audience".to_owned(),
            Some(all) => format!("is for {}", plain(&all.join(", "))),
            None => "is no JWT, so its audience is unknown".to_owned(),
        };
        let wanted = plain(audience);
        Err(ClientError::SignedOut(format!("the token from {} {fault}; wanted is {wanted}", self.source)))
    }

    /// Reads the token.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if the source has no token (any more), [`ClientError::Unavailable`] if GitHub does not
    /// answer.
    pub(crate) async fn token(&self) -> Result<Secret, ClientError> {
        self.read_token(None).await
    }

    async fn read_token(&self, audience: Option<&str>) -> Result<Secret, ClientError> {
        let gone =
            |reason: String| ClientError::SignedOut(format!("no token from {}: {reason}", self.source));
        let token = match &self.source {
            Source::File(path) => {
                let read = private_file::read_bounded(path).map_err(|error| gone(error.to_string()))?;
                Secret::new(read.ok_or_else(|| gone("there is no such file".into()))?.trim())
            }
            Source::Variable(name) => Secret::new(self.environment.get(name).unwrap_or_default().trim()),
            Source::Actions => self.request_from_actions(audience).await?,
            Source::Command { command, .. } => credential_command::read_token(command).await.map_err(gone)?,
            Source::Profile(name) => Credentials::token(&self.environment, name, &self.service).await?,
        };
        check_token(&token).map_err(gone)?;
        Ok(token)
    }

    async fn request_from_actions(&self, audience: Option<&str>) -> Result<Secret, ClientError> {
        #[derive(Deserialize)]
        struct Issued {
            value: String,
        }
        let get = |name| self.environment.get(name).unwrap_or_default();
        let bad = || ClientError::Usage("ACTIONS_ID_TOKEN_REQUEST_URL is not an https URL".into());
        let mut url = Url::parse(get("ACTIONS_ID_TOKEN_REQUEST_URL")).map_err(|_| bad())?;
        let origin = ServiceUrl::parse(&url.origin().ascii_serialization()).map_err(|_| bad())?;
        let audience = match audience.or_else(|| self.environment.get("RTS_AUDIENCE")) {
            Some(audience) => audience,
            None => self.audience.get_or_try_init(|| named_by(&self.service)).await?,
        };
        url.query_pairs_mut().append_pair("audience", audience);
        let http = api_client::http_client(&origin, ACTIONS_TIMEOUT)?;
        let away = |error: reqwest::Error| {
            ClientError::Unavailable(format!("GitHub Actions gave no token: {}", error.without_url()))
        };
        let answer =
            http.get(url).bearer_auth(get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")).send().await.map_err(away)?;
        let answer = answer.error_for_status().map_err(away)?;
        let body = api_client::read_body(answer).await?;
        let issued: Issued = serde_json::from_slice(&body)
            .map_err(|_| ClientError::Unavailable("GitHub Actions answered without a token".into()))?;
        Ok(Secret::new(issued.value))
    }
}

fn environment_source(environment: &Environment) -> Option<Source> {
    let has = |name: &str| environment.get(name).is_some();
    if let Some(path) = environment.get("RTS_TOKEN_FILE") {
        return Some(Source::File(path.into()));
    }
    if has("RTS_TOKEN") {
        return Some(Source::Variable("RTS_TOKEN"));
    }
    if has("ACTIONS_ID_TOKEN_REQUEST_URL") && has("ACTIONS_ID_TOKEN_REQUEST_TOKEN") {
        return Some(Source::Actions);
    }
    if has("RTS_ID_TOKEN") {
        return Some(Source::Variable("RTS_ID_TOKEN"));
    }
    let projected = PathBuf::from(KUBERNETES_TOKEN);
    projected.is_file().then_some(Source::File(projected))
}

/// Returns the profile in use as a source, if it has a token or a command for the chosen URL.
fn profile_source(environment: &Environment, target: &Target) -> Result<Option<Source>, ClientError> {
    let Some((name, profile)) = &target.profile else { return Ok(None) };
    let is_its_url = ServiceUrl::parse(&profile.url).is_ok_and(|url| url == target.url);
    if let (Some(command), true) = (&profile.credential_command, is_its_url) {
        return Ok(Some(Source::Command { profile: name.clone(), command: command.clone() }));
    }
    let known = Credentials::read(environment)?.has_token(name, &target.url);
    Ok(known.then(|| Source::Profile(name.clone())))
}

/// Checks that a token can be sent in a header.
pub(crate) fn check_token(token: &Secret) -> Result<(), String> {
    let text = token.expose();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let good = text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good && HeaderValue::from_str(text).is_ok() { Ok(()) } else { Err("it is no bearer token".to_owned()) }
}
