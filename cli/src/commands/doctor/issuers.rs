//! Checks of the trusted issuers, and of a token.

use std::path::Path;

use oidc::{OidcError, TrustedIssuer, Verifier};
use operations::doctor::Finding;
use runtime::config::{OidcConfig, Sources};

use crate::wiring;

/// Most bytes of a token's file.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// Fetches the keys of every issuer, and verifies the token if there is one.
pub(super) async fn examine(sources: &Sources, token: Option<&Path>) -> Vec<Finding> {
    let Ok(config) = sources.section::<OidcConfig>() else { return Vec::new() };
    let issuers = config.issuers.into_iter().map(TrustedIssuer::from).collect();
    let verifier = match wiring::verifier(sources, issuers) {
        Ok(verifier) => verifier,
        Err(error) => {
            let detail = format!("no issuer can be asked: {error:#}");
            return vec![Finding::fail(
                "issuers",
                detail,
                "Repair the certificates that EXTRA_CA_FILE names, or those of the system.",
            )];
        }
    };
    let mut findings = Vec::new();
    for (issuer, fetched) in verifier.examine().await {
        findings.push(match fetched {
            Ok(()) => Finding::ok("issuers", format!("the keys of {issuer} can be fetched")),
            Err(reason) => {
                let repair = "Let the setting be the issuer letter for letter as its discovery document names it, the final slash included, and let this machine reach it.";
                Finding::fail("issuers", format!("the keys of {issuer} cannot be fetched: {reason}"), repair)
            }
        });
    }
    if let Some(path) = token {
        findings.push(verify(&verifier, path).await);
    }
    findings
}

async fn verify(verifier: &Verifier, path: &Path) -> Finding {
    let token = match read(path) {
        Ok(token) => token,
        Err(error) => {
            let repair = "Name a file that holds one bearer token.";
            return Finding::fail("issuers", format!("{}: {error}", path.display()), repair);
        }
    };
    match verifier.verify(token.trim()).await {
        Ok(_) => Finding::ok("issuers", "the token is accepted"),
        Err(error) => Finding::fail("issuers", format!("the token is refused: {error}"), repair(&error)),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn repair(error: &OidcError) -> &'static str {
    match error {
        OidcError::WrongAudience => "Request the token for the audience that OIDC_AUDIENCE names.",
        OidcError::UnknownIssuer | OidcError::IssuerSlash { .. } => {
            "Let OIDC_ISSUER, or an issuer of the file, be the token's issuer letter for letter."
        }
        OidcError::Expired => "Request a new token.",
        OidcError::NotYetValid => "Set the clocks of this machine and of the identity provider.",
        OidcError::KeysUnavailable => "Let this machine reach the issuer.",
        OidcError::WrongKind(_) => "Request an access token, or allow ID tokens for this issuer.",
        _ => "Request a token of a trusted issuer; the message says what is wrong with this one.",
    }
}
