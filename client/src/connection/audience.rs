//! Audiences of tokens: those of a token, read without a check of the signature, which is the service's work, and the one
//! that a service names for tokens of pipelines.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Secret;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{ServiceUrl, api_client};
use crate::{error::ClientError, output::plain};

/// Audience of a service that names none, as the shell client and the action have it too.
const DEFAULT_AUDIENCE: &str = "runner-token-service";
/// Audiences that only services of this kind have.
const OWN_AUDIENCES: [&str; 2] = [DEFAULT_AUDIENCE, "runner-tokens"];
const TIMEOUT: Duration = Duration::from_secs(20);
/// Pauses before the service is asked again.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Returns the audiences that a JWT names, or `None` for a token that is no JWT.
pub(crate) fn audiences(token: &Secret) -> Option<Vec<String>> {
    let mut parts = token.expose().split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(match &claims["aud"] {
        Value::Array(several) => several.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    })
}

/// Asks the service for the audience of tokens of pipelines.
///
/// # Errors
/// [`ClientError::Unavailable`] if the service does not answer, [`ClientError::Usage`] if the audience may be another
/// service's: a token for it would be good there too.
pub(crate) async fn named_by(service: &ServiceUrl) -> Result<String, ClientError> {
    let mut pauses = PAUSES.into_iter();
    let named = loop {
        match (ask(service).await, pauses.next()) {
            (Ok(named), _) => break named,
            (Err(ClientError::Unavailable(_)), Some(pause)) => tokio::time::sleep(pause).await,
            (Err(error), _) => return Err(error),
        }
    };
    let Some(named) = named else { return Ok(DEFAULT_AUDIENCE.to_owned()) };
    if is_own(&named, &service.host()) {
        return Ok(named);
    }
    let (host, named) = (service.host(), plain(&named));
    Err(ClientError::Usage(format!(
        "{host} names the audience {named:?}, which other services may have too; set RTS_AUDIENCE to it if that is right"
    )))
}

/// Returns the audience that the service names. A service of an earlier release names none.
async fn ask(service: &ServiceUrl) -> Result<Option<String>, ClientError> {
    #[derive(Deserialize)]
    struct Config {
        token_audience: Option<String>,
    }
    let away = |error: reqwest::Error| match api_client::untrusted(&error, service) {
        Some(fault) => fault,
        None => {
            ClientError::Unavailable(format!("{} does not answer: {}", service.host(), error.without_url()))
        }
    };
    let http = api_client::http_client(service, TIMEOUT)?;
    let answer = http.get(service.api(&["auth", "config"])).send().await.map_err(away)?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let body = api_client::read_body(answer.error_for_status().map_err(away)?).await?;
    let config: Config = serde_json::from_slice(&body)
        .map_err(|_| ClientError::Failed("the service does not say where to sign in".to_owned()))?;
    Ok(config.token_audience)
}

/// Returns whether an audience belongs to services of this kind, or to this host.
fn is_own(audience: &str, host: &str) -> bool {
    let address = audience.strip_prefix("https://").unwrap_or(audience);
    let of_host = address.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    OWN_AUDIENCES.contains(&audience) || of_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audience_of_another_service_is_not_taken_over() {
        let host = "runners.example.com";
        for own in ["runner-tokens", "runner-token-service", host, "https://runners.example.com/api"] {
            assert!(is_own(own, host), "{own}");
        }
        for other in
            ["sts.amazonaws.com", "sigstore", "", "runners.example.com.evil", "https://runners.example"]
        {
            assert!(!is_own(other, host), "{other}");
        }
    }

    #[test]
    fn claim_is_one_text_or_several() {
        let of = |claims: &str| {
            audiences(&Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))).unwrap()
        };
        assert_eq!(of(r#"{"aud":"rts"}"#), ["rts"]);
        assert_eq!(of(r#"{"aud":["rts","other",7]}"#), ["rts", "other"]);
        assert!(of(r#"{"sub":"ada"}"#).is_empty());
        for opaque in ["", "opaque", "a.b", "a.%%.c", "a.bm8.c"] {
            assert_eq!(audiences(&Secret::new(opaque)), None, "{opaque}");
        }
    }
}
