//! Settings of the trusted token issuers.

mod sign_in;

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use url::Url;

pub use self::sign_in::{CliSignIn, WebSignIn};
use super::{
    ConfigError, Section, Setting, Sources,
    parse::{safe_url, short_text},
};

/// Key of the file's array of tables with further issuers.
pub(super) const ISSUERS_KEY: &str = "oidc_issuers";

const ISSUER_LIMIT: usize = 32;
const AUDIENCE_LIMIT: usize = 16;
const DOMAIN_LIMIT: usize = 64;

const ISSUER: Setting = Setting::new(
    "OIDC_ISSUER",
    "an https URL without query (http only on loopback)",
    "The issuer of the callers' tokens, exactly as in their `iss`. More issuers go into the file as \
     `[[oidc_issuers]]` tables with `issuer`, `audience`, `jwks_url`, `name`, `binds_people`, `email_trusted`, \
     `email_domains`, `max_token_age_seconds`, `accept`, `cli_client_id`, `cli_scopes`, `client_id` and \
     `client_secret_path`.",
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
    "URL of the issuer's keys; found by discovery when not set.",
);
const BINDS_PEOPLE: Setting = Setting::new(
    "OIDC_BINDS_PEOPLE",
    "true or false",
    "Whether people an admin named by e-mail are bound to identities of `OIDC_ISSUER`. Without it: yes, unless a \
     `[[oidc_issuers]]` table says `binds_people = true`. The first issuer that binds people is the one of users for \
     whom an admin names no issuer.",
);
const EMAIL_TRUSTED: Setting = Setting::new(
    "OIDC_EMAIL_TRUSTED",
    "true or false",
    "Whether every `email` of `OIDC_ISSUER` is verified, also where the token does not say `email_verified: true`. Only \
     for providers whose users cannot choose their address.",
)
.or("false");
const EMAIL_DOMAINS: Setting = Setting::new(
    "OIDC_EMAIL_DOMAINS",
    "up to 64 domains such as `example.com`",
    "Domains whose e-mail addresses `OIDC_ISSUER` may bind to people; subdomains are domains of their own. Without it: any.",
)
.list();
const MAX_TOKEN_AGE: Setting = Setting::new(
    "OIDC_MAX_TOKEN_AGE_SECONDS",
    "0 to 31536000 seconds",
    "Tokens of `OIDC_ISSUER` that are older, or live longer, are refused. 0: any age.",
)
.or("86400");
const ACCEPT: Setting = Setting::new(
    "OIDC_ACCEPT",
    "`any`, `access` or `id`",
    "Kinds of tokens accepted from `OIDC_ISSUER`: access tokens, ID tokens, or both.",
)
.or("any");

/// All trusted issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// At least one issuer; issuers and names are unique.
    pub issuers: Vec<IssuerConfig>,
}

impl OidcConfig {
    /// Returns the audience for programs that choose the audience of their token, such as workflows of GitHub Actions:
    /// that of GitHub's issuer if it is trusted, otherwise that of the first issuer.
    pub fn token_audience(&self) -> Option<&str> {
        let actions = self.issuers.iter().find(|one| is_github_actions(&one.issuer));
        actions.or(self.issuers.first())?.audiences.first().map(String::as_str)
    }
}

/// Returns whether workflows get their tokens from this issuer: on github.com, GHE.com or a GitHub Enterprise Server.
fn is_github_actions(issuer: &str) -> bool {
    let hosted = issuer.strip_prefix("https://").is_some_and(|rest| rest.starts_with("token.actions."));
    hosted || issuer.ends_with("/_services/token")
}

/// One trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Short name for logs and metrics.
    pub name: String,
    /// Issuer, compared exactly with `iss`.
    pub issuer: String,
    /// Accepted audiences; `aud` must contain one of them.
    pub audiences: Vec<String>,
    /// URL of its keys; `None` means discovery.
    pub jwks_url: Option<Url>,
    /// Rights of its tokens beyond naming an identity.
    pub policy: IssuerPolicy,
    /// Sign-in of `rts login`; `None` if it has none.
    pub cli: Option<CliSignIn>,
    /// Sign-in to the dashboard; `None` if it has none.
    pub web: Option<WebSignIn>,
}

/// Rights of an issuer's tokens beyond naming an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerPolicy {
    /// Whether a user's e-mail address may be bound to an identity of this issuer. `None` means only if the admin named
    /// the issuer with the address. The first issuer with `Some(true)` is the default for users without a named issuer.
    pub binds_people: Option<bool>,
    /// Whether every `email` counts as verified.
    pub email_trusted: bool,
    /// Domains, in lower case, whose addresses may be bound to users; empty means any.
    pub email_domains: Vec<String>,
    /// Maximum age and lifetime of tokens; `None` means unlimited.
    pub max_token_age: Option<Duration>,
    /// Accepted kinds of tokens.
    pub accept: AcceptedTokens,
}

impl Default for IssuerPolicy {
    fn default() -> Self {
        let max_token_age = Some(DEFAULT_TOKEN_AGE);
        let accept = AcceptedTokens::Any;
        Self { binds_people: None, email_trusted: false, email_domains: Vec::new(), max_token_age, accept }
    }
}

impl IssuerPolicy {
    /// Returns whether an invitation of this e-mail address may be bound to an identity of the issuer.
    pub fn binds_email(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
        let listed = || self.email_domains.iter().any(|listed| listed.eq_ignore_ascii_case(domain));
        self.binds_people != Some(false) && (self.email_domains.is_empty() || listed())
    }
}

/// Accepted kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptedTokens {
    /// Access and ID tokens.
    Any,
    /// Access tokens, and tokens that do not state their kind.
    Access,
    /// ID tokens, and tokens that do not state their kind.
    Id,
}

const DEFAULT_TOKEN_AGE: Duration = Duration::from_hours(24);
const MAX_TOKEN_AGE_SECONDS: u64 = 31_536_000;

/// One `[[oidc_issuers]]` table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    issuer: String,
    audience: OneOrMany,
    jwks_url: Option<String>,
    name: Option<String>,
    binds_people: Option<bool>,
    #[serde(default)]
    email_trusted: bool,
    #[serde(default)]
    email_domains: Vec<String>,
    max_token_age_seconds: Option<u64>,
    accept: Option<AcceptedTokens>,
    cli_client_id: Option<String>,
    cli_scopes: Option<Vec<String>>,
    client_id: Option<String>,
    client_secret_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Section for OidcConfig {
    const TITLE: &'static str = "Callers' tokens";
    const SETTINGS: &'static [Setting] = &[
        ISSUER,
        AUDIENCE,
        JWKS,
        BINDS_PEOPLE,
        EMAIL_TRUSTED,
        EMAIL_DOMAINS,
        MAX_TOKEN_AGE,
        ACCEPT,
        sign_in::CLI_CLIENT,
        sign_in::CLI_SCOPES,
        sign_in::WEB_CLIENT,
        sign_in::WEB_SECRET,
    ];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut issuers = Vec::new();
        if let Some(issuer) = sources.optional(&ISSUER, issuer)? {
            let audiences = sources.items(&AUDIENCE, AUDIENCE_LIMIT, |text| short_text(text, 255))?;
            if audiences.is_empty() {
                return Err(AUDIENCE.missing());
            }
            let jwks_url = sources.optional(&JWKS, safe_url)?;
            let policy = policy(sources)?;
            let (cli, web) = (CliSignIn::load(sources)?, WebSignIn::load(sources)?);
            let name = "default".to_owned();
            issuers.push(IssuerConfig { name, issuer, audiences, jwks_url, policy, cli, web });
        }
        for (index, entry) in sources.tables::<IssuerEntry>(ISSUERS_KEY)?.into_iter().enumerate() {
            issuers.push(entry.check(index)?);
        }
        if issuers.is_empty() {
            return Err(ISSUER.missing());
        }
        unique(&issuers)?;
        let stated = issuers.iter().any(|one| one.policy.binds_people == Some(true));
        if let Some(first) = issuers.first_mut().filter(|_| !stated) {
            first.policy.binds_people = first.policy.binds_people.or(Some(true));
        }
        Ok(Self { issuers })
    }
}

impl OidcConfig {
    /// Returns the default issuer for users without a named issuer: the first that binds users.
    pub fn binding_issuer(&self) -> Option<&str> {
        let mut binding = self.issuers.iter().filter(|one| one.policy.binds_people == Some(true));
        binding.next().map(|one| one.issuer.as_str())
    }
}

/// Returns the policy of `OIDC_ISSUER`.
fn policy(sources: &Sources) -> Result<IssuerPolicy, ConfigError> {
    let binds_people = sources.given(&BINDS_PEOPLE)?.map(|_| sources.flag(&BINDS_PEOPLE)).transpose()?;
    let seconds = sources.number(&MAX_TOKEN_AGE, 0..=MAX_TOKEN_AGE_SECONDS)?;
    let accept = sources.value(&ACCEPT, |text| match text {
        "any" => Some(AcceptedTokens::Any),
        "access" => Some(AcceptedTokens::Access),
        "id" => Some(AcceptedTokens::Id),
        _ => None,
    })?;
    let email_trusted = sources.flag(&EMAIL_TRUSTED)?;
    let email_domains = sources.items(&EMAIL_DOMAINS, DOMAIN_LIMIT, domain)?;
    Ok(IssuerPolicy { binds_people, email_trusted, email_domains, max_token_age: age(seconds), accept })
}

/// Returns the maximum age; 0 means unlimited.
fn age(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
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
        let seconds = self.max_token_age_seconds.unwrap_or(DEFAULT_TOKEN_AGE.as_secs());
        if seconds > MAX_TOKEN_AGE_SECONDS {
            return Err(bad("max_token_age_seconds", MAX_TOKEN_AGE.expects));
        }
        let email_domains: Option<Vec<String>> = self.email_domains.iter().map(|text| domain(text)).collect();
        let email_domains = email_domains.filter(|domains| domains.len() <= DOMAIN_LIMIT);
        let policy = IssuerPolicy {
            binds_people: self.binds_people,
            email_trusted: self.email_trusted,
            email_domains: email_domains.ok_or_else(|| bad("email_domains", EMAIL_DOMAINS.expects))?,
            max_token_age: age(seconds),
            accept: self.accept.unwrap_or(AcceptedTokens::Any),
        };
        let name = self.name.unwrap_or_else(|| format!("issuer-{}", index + 1));
        let cli = CliSignIn::check(self.cli_client_id.as_deref(), self.cli_scopes, bad)?;
        let web = WebSignIn::check(self.client_id.as_deref(), self.client_secret_path.as_deref(), bad)?;
        Ok(IssuerConfig {
            name: short_text(&name, 40).ok_or_else(|| bad("name", "1 to 40 characters"))?,
            issuer: issuer(&self.issuer).ok_or_else(|| bad("issuer", ISSUER.expects))?,
            audiences,
            jwks_url: match self.jwks_url {
                Some(text) => Some(safe_url(&text).ok_or_else(|| bad("jwks_url", JWKS.expects))?),
                None => None,
            },
            policy,
            cli,
            web,
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

/// Reads a domain, in lower case.
fn domain(text: &str) -> Option<String> {
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let fits = clean && (1..=253).contains(&text.len()) && text.split('.').all(|label| !label.is_empty());
    fits.then(|| text.to_ascii_lowercase())
}

/// Reads an issuer, unchanged: `iss` is compared exactly, including a final slash.
fn issuer(text: &str) -> Option<String> {
    let url = safe_url(text).filter(|url| url.query().is_none())?;
    (text.len() <= 500 && url.as_str().trim_end_matches('/') == text.trim_end_matches('/'))
        .then(|| text.to_owned())
}
