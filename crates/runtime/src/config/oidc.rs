//! Whose tokens are believed.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

use super::{
    ConfigError, Section, Setting, Sources,
    parse::{safe_url, short_text},
};

/// The file's array of tables for further issuers.
pub(super) const ISSUERS_KEY: &str = "oidc_issuers";

const ISSUER_LIMIT: usize = 32;
const AUDIENCE_LIMIT: usize = 16;

const ISSUER: Setting = Setting::new(
    "OIDC_ISSUER",
    "an https URL without query (http only on loopback)",
    "The issuer of the callers' tokens, letter for letter as in their `iss`. More issuers go into the file as \
     `[[oidc_issuers]]` tables with `issuer`, `audience`, `jwks_url` and `name`.",
);
const AUDIENCE: Setting = Setting::new(
    "OIDC_AUDIENCE",
    "1 to 16 audiences of up to 255 characters",
    "The audiences accepted from `OIDC_ISSUER`: one of them must be in the token's `aud`.",
)
.list();
const JWKS: Setting = Setting::new(
    "OIDC_JWKS_URL",
    "an https URL (http only on loopback)",
    "Where the issuer's keys are; found by discovery when not set.",
);

/// All trusted issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// At least one; issuers and names are unique.
    pub issuers: Vec<IssuerConfig>,
}

/// One trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// A short name for logs and metrics.
    pub name: String,
    /// Compared letter for letter with `iss`.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub audiences: Vec<String>,
    /// Where its keys are; `None` means discovery.
    pub jwks_url: Option<Url>,
}

/// One `[[oidc_issuers]]` table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    issuer: String,
    audience: OneOrMany,
    jwks_url: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Section for OidcConfig {
    const TITLE: &'static str = "Callers' tokens";
    const SETTINGS: &'static [Setting] = &[ISSUER, AUDIENCE, JWKS];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut issuers = Vec::new();
        if let Some(issuer) = sources.optional(&ISSUER, issuer)? {
            let audiences = sources.items(&AUDIENCE, AUDIENCE_LIMIT, |text| short_text(text, 255))?;
            if audiences.is_empty() {
                return Err(AUDIENCE.missing());
            }
            let jwks_url = sources.optional(&JWKS, safe_url)?;
            issuers.push(IssuerConfig { name: "default".to_owned(), issuer, audiences, jwks_url });
        }
        for (index, entry) in sources.tables::<IssuerEntry>(ISSUERS_KEY)?.into_iter().enumerate() {
            issuers.push(entry.check(index)?);
        }
        if issuers.is_empty() {
            return Err(ISSUER.missing());
        }
        unique(&issuers)?;
        Ok(Self { issuers })
    }
}

impl IssuerEntry {
    fn check(self, index: usize) -> Result<IssuerConfig, ConfigError> {
        let bad = |field: &str, expects: &str| ConfigError::Bad {
            place: format!("{ISSUERS_KEY}[{index}].{field}"),
            expects: expects.to_owned(),
            given: None,
        };
        let audiences = match self.audience {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        };
        let fits = (1..=AUDIENCE_LIMIT).contains(&audiences.len())
            && audiences.iter().all(|text| short_text(text, 255).is_some());
        if !fits {
            return Err(bad("audience", AUDIENCE.expects));
        }
        let name = self.name.unwrap_or_else(|| format!("issuer-{}", index + 1));
        Ok(IssuerConfig {
            name: short_text(&name, 40).ok_or_else(|| bad("name", "1 to 40 characters"))?,
            issuer: issuer(&self.issuer).ok_or_else(|| bad("issuer", ISSUER.expects))?,
            audiences,
            jwks_url: match self.jwks_url {
                Some(text) => Some(safe_url(&text).ok_or_else(|| bad("jwks_url", JWKS.expects))?),
                None => None,
            },
        })
    }
}

fn unique(issuers: &[IssuerConfig]) -> Result<(), ConfigError> {
    let urls: BTreeSet<_> = issuers.iter().map(|one| &one.issuer).collect();
    let names: BTreeSet<_> = issuers.iter().map(|one| &one.name).collect();
    let fits = issuers.len() <= ISSUER_LIMIT && urls.len() == issuers.len() && names.len() == issuers.len();
    let refused = || ConfigError::Bad {
        place: ISSUERS_KEY.to_owned(),
        expects: format!("at most {ISSUER_LIMIT} issuers, each issuer and each name once"),
        given: None,
    };
    fits.then_some(()).ok_or_else(refused)
}

/// Kept as written: `iss` is compared letter for letter, a trailing slash included.
fn issuer(text: &str) -> Option<String> {
    let url = safe_url(text).filter(|url| url.query().is_none())?;
    (text.len() <= 500 && url.as_str().trim_end_matches('/') == text.trim_end_matches('/'))
        .then(|| text.to_owned())
}
