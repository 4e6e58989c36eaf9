//! Settings of PostgreSQL, Redis and the first admins.

use domain::Secret;
use url::Url;

use super::{ConfigError, Mode, Section, Setting, Sources, github::MAX_INSTALLATIONS, plaintext};

const DATABASE: Setting = Setting::new(
    "DATABASE_URL",
    "a postgres:// or postgresql:// URL",
    "PostgreSQL, which stores all data. A socket folder goes into `?host=`.",
)
.required()
.secret();
const CONNECTIONS: Setting = Setting::new(
    "DATABASE_MAX_CONNECTIONS",
    "a number from 1 to 500",
    "The largest number of connections one process opens.",
)
.or("10");
const REDIS: Setting = Setting::new(
    "REDIS_URL",
    "a redis://, rediss://, redis+unix://, redis+sentinel://host,host/name or redis+cluster://host,host URL",
    "Redis, which holds the queue. Losing its data loses no job. `rediss+sentinel://` and `rediss+cluster://` use TLS.",

)
.required()
.secret();
const NAMESPACE: Setting = Setting::new(
    "REDIS_NAMESPACE",
    "1 to 40 characters of a-z, 0-9, - and _",
    "The prefix of every key in Redis, so that several services can share one.",
)
.or("rts");
const ADMINS: Setting = Setting::new(
    "BOOTSTRAP_ADMINS",
    "up to 100 e-mail addresses",
    "Users who become admins at their first login. Without it there is no admin.",
)
.list();

/// Settings of PostgreSQL.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Connection URL, including the password.
    pub url: Secret,
    /// Maximum number of connections per process; 1 to 500.
    pub max_connections: u32,
}

impl Section for DatabaseConfig {
    const TITLE: &'static str = "PostgreSQL";
    const SETTINGS: &'static [Setting] = &[DATABASE, CONNECTIONS, plaintext::ALLOW];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self {
            url: store_url(sources, &DATABASE, is_postgres, plaintext::database)?,
            max_connections: sources.number(&CONNECTIONS, 1..=500)?,
        })
    }
}

/// Settings of Redis.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Connection URL, including the password.
    pub url: Secret,
    /// Prefix of every key; 1 to 40 characters.
    pub namespace: String,
    /// Installations that one claim examines at most.
    pub installations_per_claim: u16,
}

impl Section for RedisConfig {
    const TITLE: &'static str = "Redis";
    const SETTINGS: &'static [Setting] = &[REDIS, NAMESPACE];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self {
            url: store_url(sources, &REDIS, is_redis, plaintext::redis)?,
            namespace: sources.value(&NAMESPACE, namespace)?,
            installations_per_claim: sources.number(&MAX_INSTALLATIONS, 1..=1000)?,
        })
    }
}

/// Settings of the first admins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootstrapConfig {
    /// E-mail addresses, in lower case.
    pub admins: Vec<String>,
}

impl Section for BootstrapConfig {
    const TITLE: &'static str = "First admins";
    const SETTINGS: &'static [Setting] = &[ADMINS];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self { admins: sources.items(&ADMINS, 100, email)? })
    }
}

/// Reads the URL of a store. An unencrypted connection over a network is refused unless the operator allows it.
fn store_url(
    sources: &Sources,
    setting: &Setting,
    fits: impl FnOnce(&str) -> bool,
    is_exposed: impl FnOnce(&str) -> bool,
) -> Result<Secret, ConfigError> {
    let url = sources.secret(setting, fits)?;
    let allowed = sources.mode() == Mode::Development || sources.flag(&plaintext::ALLOW)?;
    if allowed || !is_exposed(url.expose()) {
        return Ok(url);
    }
    let expects = match setting.name {
        "REDIS_URL" => "a rediss:// URL for a server on another machine, or ALLOW_PLAINTEXT_STORES be true",
        _ => {
            "a URL with sslmode=verify-full (or verify-ca, require) for a server on another machine, or \
             ALLOW_PLAINTEXT_STORES be true"
        }
    };
    Err(sources.given(setting)?.map_or_else(|| setting.missing(), |given| given.refuse(expects)))
}

fn is_postgres(text: &str) -> bool {
    has_scheme(text, &["postgres", "postgresql"])
}

fn is_redis(text: &str) -> bool {
    const ONE: [&str; 6] = ["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys"];
    const SEVERAL: [&str; 8] = [
        "redis+sentinel",
        "rediss+sentinel",
        "redis+cluster",
        "rediss+cluster",
        "valkey+sentinel",
        "valkeys+sentinel",
        "valkey+cluster",
        "valkeys+cluster",
    ];
    // URLs with several hosts and ports do not conform to the URL standard.
    let several = text.split_once("://").filter(|(scheme, _)| SEVERAL.contains(scheme));
    has_scheme(text, &ONE)
        || several.is_some_and(|(_, rest)| plaintext::hosts(rest).iter().all(|host| !host.is_empty()))
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme()))
}

/// Reads a key prefix. Braces are refused: in a Redis Cluster they would be a hash tag.
fn namespace(text: &str) -> Option<String> {
    let fits = (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    fits.then(|| text.to_owned())
}

fn email(text: &str) -> Option<String> {
    let (name, host) = text.split_once('@')?;
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let fits = plain && text.len() <= 254 && !name.is_empty() && !host.is_empty() && !host.contains('@');
    fits.then(|| text.to_lowercase())
}
