//! Settings of PostgreSQL, Redis and the first admins.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::Secret;
use url::Url;

use super::{ConfigError, Mode, Section, Setting, Sources, files, github::MAX_INSTALLATIONS, plaintext};
use crate::password_file;

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
const PASSWORD: Setting = Setting::new(
    "DATABASE_PASSWORD_FILE",
    "the path of a readable file that is not empty",
    "A file with the password of DATABASE_URL and DATABASE_READ_URL. When it changes, new connections use the new password.",
);
const POOLER: Setting = Setting::new(
    "DATABASE_POOLER",
    "`none` or `transaction`",
    "`transaction` if a pooler in transaction mode is in front of PostgreSQL. It must keep prepared statements \
     (PgBouncer 1.21 or later with max_prepared_statements).",
)
.or("none");
const READ: Setting = Setting::new(
    "DATABASE_READ_URL",
    "a postgres:// or postgresql:// URL",
    "A streaming replica for the lists of the API. Without it, and while the replica is behind, lists come from DATABASE_URL.",
)
.secret();
const READ_AGE: Setting = Setting::new(
    "DATABASE_READ_MAX_AGE_SECONDS",
    "seconds from 1 to 300",
    "Age of the replica's data up to which it is used.",
)
.or("10");
const REDIS_PASSWORD: Setting = Setting::new(
    "REDIS_PASSWORD_FILE",
    "the path of a readable file that is not empty",
    "A file with the password of REDIS_URL. New connections use what it holds then.",
);
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
    /// File with the password, which is read again when it changes.
    pub password_file: Option<PathBuf>,
    /// Whether a pooler in transaction mode is in front of the server.
    pub transaction_pooler: bool,
    /// Connection URL of a replica for lists.
    pub read_url: Option<Secret>,
    /// Age of the replica's data up to which it is used; 1 to 300 s.
    pub read_max_age: Duration,
}

impl Section for DatabaseConfig {
    const TITLE: &'static str = "PostgreSQL";
    const SETTINGS: &'static [Setting] =
        &[DATABASE, CONNECTIONS, PASSWORD, POOLER, READ, READ_AGE, plaintext::ALLOW];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self {
            url: store_url(sources, &DATABASE, is_postgres, plaintext::database)?,
            max_connections: sources.number(&CONNECTIONS, 1..=500)?,
            password_file: password(sources, &PASSWORD)?,
            transaction_pooler: sources.value(&POOLER, pooler)?,
            read_url: match sources.given(&READ)? {
                Some(_) => Some(store_url(sources, &READ, is_postgres, plaintext::database)?),
                None => None,
            },
            read_max_age: sources.seconds(&READ_AGE, 1..=300)?,
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
    /// File with the password, which is read for each new connection.
    pub password_file: Option<PathBuf>,
}

impl Section for RedisConfig {
    const TITLE: &'static str = "Redis";
    const SETTINGS: &'static [Setting] = &[REDIS, NAMESPACE, REDIS_PASSWORD];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self {
            url: store_url(sources, &REDIS, is_redis, plaintext::redis)?,
            namespace: sources.value(&NAMESPACE, namespace)?,
            installations_per_claim: sources.number(&MAX_INSTALLATIONS, 1..=1000)?,
            password_file: password(sources, &REDIS_PASSWORD)?,
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

/// Returns the path of a file with a password, which other users cannot read.
fn password(sources: &Sources, setting: &Setting) -> Result<Option<PathBuf>, ConfigError> {
    let usable = |text: &str| password_file::read(Path::new(text)).is_some().then(|| PathBuf::from(text));
    let path = sources.optional(setting, usable)?;
    if let Some(path) = &path {
        files::refuse_readable(path, sources.mode())?;
    }
    Ok(path)
}

/// Reads whether a pooler in transaction mode is in use.
fn pooler(text: &str) -> Option<bool> {
    match text {
        "none" | "session" => Some(false),
        "transaction" => Some(true),
        _ => None,
    }
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
