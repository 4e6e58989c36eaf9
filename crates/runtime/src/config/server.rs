//! Settings of the HTTP server.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use ipnet::IpNet;
use url::Url;

use super::{
    ConfigError, Mode, Section, Setting, Sources,
    parse::{safe_url, short_text, web_url},
};

const HOST: Setting = Setting::new(
    "SERVICE_HOST",
    "a host name or an address",
    "Address the API listens on. `0.0.0.0` or `::` for every interface.",
)
.or("127.0.0.1");
const PORT: Setting = Setting::new(
    "SERVICE_PORT",
    "a port from 0 to 65535",
    "The port the API listens on; 0 picks a free one.",
)
.or("8080");
const WAIT: Setting = Setting::new(
    "DEFAULT_WAIT_SECONDS",
    "seconds from 0 to 25",
    "How long a request waits for its job when the caller does not say.",
)
.or("0");
const PROXIES: Setting = Setting::new(
    "TRUSTED_PROXIES",
    "up to 64 networks such as 10.0.0.0/8",
    "Proxies whose `X-Forwarded-For` (else `Forwarded`) is trusted.",
)
.list();
const PUBLIC: Setting = Setting::new(
    "PUBLIC_URL",
    "an https URL without user or fragment (http only on loopback)",
    "The service's address as its callers see it. Tokens and runner configs cross it, so it must not be plain http.",
);
const METRICS: Setting = Setting::new(
    "METRICS_LISTEN",
    "an address and a port such as 127.0.0.1:9102",
    "Address on which the API serves `/metrics` instead of on its own port, and `/health`, `/docs` and `/openapi.json` too.",
);
const DOCS: Setting = Setting::new(
    "PUBLIC_DOCS",
    "true or false",
    "Whether the API's own port serves `/docs` and `/openapi.json`. `METRICS_LISTEN` always does.",
)
.or("true");
const RATE: Setting = Setting::new(
    "API_RATE_LIMIT_PER_MINUTE",
    "a number from 1 to 1000000",
    "Requests one caller may make in a minute, on each replica.",
)
.or("600");
const BURST: Setting = Setting::new(
    "API_RATE_LIMIT_BURST",
    "a number from 1 to 100000",
    "Requests one caller may make at once, on each replica.",
)
.or("100");

const REFUSALS: Setting = Setting::new(
    "API_REFUSALS_PER_MINUTE",
    "a number from 1 to 1000000",
    "Requests of one address that may be refused for their token in a minute, on each replica; then the address waits.",
)
.or("60");
const REFUSALS_BURST: Setting = Setting::new(
    "API_REFUSALS_BURST",
    "a number from 1 to 100000",
    "Requests of one address that may be refused for their token at once, on each replica.",
)
.or("300");
const CONNECTIONS: Setting = Setting::new(
    "API_CONNECTIONS_PER_ADDRESS",
    "a number from 1 to 10000",
    "Connections one address (IPv6: one /64) may hold; trusted proxies are exempt.",
)
.or("256");
const WAITS: Setting = Setting::new(
    "API_WAITS_PER_CALLER",
    "a number from 1 to 10000",
    "Event streams and waiting requests one caller may have open, on each replica.",
)
.or("20");
const LIST_TIME: Setting = Setting::new(
    "API_LIST_TIME_PERCENT",
    "a number from 1 to 10000",
    "Time that lists of all callers may take on each replica, in percent of the time that passes; one caller gets half of it.",
)
.or("50");

const TICKET_LIFE: Setting = Setting::new(
    "TICKET_MAX_LIFE_SECONDS",
    "seconds from 60 to 604800",
    "Longest time for which a claim ticket can be redeemed. Callers ask for less, by default 15 minutes.",
)
.or("86400");

const SESSION_IDLE: Setting = Setting::new(
    "SESSION_IDLE_SECONDS",
    "seconds from 60 to 604800",
    "Time without a request after which a session of the dashboard ends.",
)
.or("28800");
const SESSION_LONGEST: Setting = Setting::new(
    "SESSION_MAX_SECONDS",
    "seconds from 60 to 2592000",
    "Time after which a session of the dashboard ends although it is used.",
)
.or("86400");

/// Lifetimes of sessions of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Longest time without a request.
    pub idle: Duration,
    /// Longest life.
    pub longest: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle: Duration::from_hours(8), longest: Duration::from_hours(24) }
    }
}

/// Limits that protect the API from excessive requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerGuards {
    /// Refusals one address may cause per minute.
    pub refusals_per_minute: NonZeroU32,
    /// Refusals one address may cause at once.
    pub refusals_burst: NonZeroU32,
    /// Concurrent connections of one address.
    pub connections_per_address: NonZeroU32,
    /// Concurrent event streams and waiting requests of one caller.
    pub waits_per_caller: NonZeroU32,
    /// Time of all callers' lists, in percent of the time that passes.
    pub list_time_percent: NonZeroU32,
}

impl Default for ServerGuards {
    fn default() -> Self {
        const REFUSALS: NonZeroU32 = NonZeroU32::new(60).unwrap();
        const BURST: NonZeroU32 = NonZeroU32::new(300).unwrap();
        const CONNECTIONS: NonZeroU32 = NonZeroU32::new(256).unwrap();
        const WAITS: NonZeroU32 = NonZeroU32::new(20).unwrap();
        const LIST_TIME: NonZeroU32 = NonZeroU32::new(50).unwrap();
        Self {
            refusals_per_minute: REFUSALS,
            refusals_burst: BURST,
            connections_per_address: CONNECTIONS,
            waits_per_caller: WAITS,
            list_time_percent: LIST_TIME,
        }
    }
}

/// Address and limits of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Host name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 selects a free one.
    pub port: u16,
    /// Time a request waits for its job by default; 0 to 25 s.
    pub default_wait: Duration,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// Address of the service as its callers see it.
    pub public_url: Option<Url>,
    /// Separate address for `/metrics`; `None` serves them beside the API.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the API's own port serves its description.
    pub public_docs: bool,
    /// Requests one caller may make per minute.
    pub rate_per_minute: NonZeroU32,
    /// Requests one caller may make at once.
    pub rate_burst: NonZeroU32,
    /// Limits against excessive requests.
    pub guards: ServerGuards,
    /// Longest life of a claim ticket.
    pub ticket_max_life: Duration,
    /// Lifetimes of sessions of the dashboard.
    pub sessions: SessionLimits,
}

impl ServerConfig {
    /// Returns `host:port`, for a listener.
    pub fn listen_on(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port).to_string(),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Section for ServerConfig {
    const TITLE: &'static str = "Server";
    const SETTINGS: &'static [Setting] = &[
        HOST,
        PORT,
        WAIT,
        PROXIES,
        PUBLIC,
        METRICS,
        DOCS,
        RATE,
        BURST,
        REFUSALS,
        REFUSALS_BURST,
        CONNECTIONS,
        WAITS,
        LIST_TIME,
        TICKET_LIFE,
        SESSION_IDLE,
        SESSION_LONGEST,
    ];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Self {
            host: sources.value(&HOST, host)?,
            port: sources.number(&PORT, 0..=u16::MAX)?,
            default_wait: sources.seconds(&WAIT, 0..=25)?,
            trusted_proxies: TrustedProxies(sources.items(&PROXIES, 64, network)?),
            public_url: sources.optional(&PUBLIC, |text| public_url(text, sources.mode()))?,
            metrics_listen: sources.optional(&METRICS, |text| text.parse().ok())?,
            public_docs: sources.flag(&DOCS)?,
            rate_per_minute: sources.value(&RATE, |text| positive(text, 1_000_000))?,
            rate_burst: sources.value(&BURST, |text| positive(text, 100_000))?,
            guards: ServerGuards {
                refusals_per_minute: sources.value(&REFUSALS, |text| positive(text, 1_000_000))?,
                refusals_burst: sources.value(&REFUSALS_BURST, |text| positive(text, 100_000))?,
                connections_per_address: sources.value(&CONNECTIONS, |text| positive(text, 10_000))?,
                waits_per_caller: sources.value(&WAITS, |text| positive(text, 10_000))?,
                list_time_percent: sources.value(&LIST_TIME, |text| positive(text, 10_000))?,
            },
            ticket_max_life: sources.seconds(&TICKET_LIFE, 60..=604_800)?,
            sessions: SessionLimits {
                idle: sources.seconds(&SESSION_IDLE, 60..=604_800)?,
                longest: sources.seconds(&SESSION_LONGEST, 60..=2_592_000)?,
            },
        })
    }
}

fn public_url(text: &str, mode: Mode) -> Option<Url> {
    if mode == Mode::Development { web_url(text) } else { safe_url(text) }
}

fn host(text: &str) -> Option<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fits = text.parse::<IpAddr>().is_ok() || text.chars().all(name);
    short_text(text, 253).filter(|_| fits)
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn positive(text: &str, limit: u32) -> Option<NonZeroU32> {
    text.parse::<NonZeroU32>().ok().filter(|n| n.get() <= limit)
}

/// Networks of the deployment's own proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Returns whether `ip` is a trusted proxy. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// Parses addresses and networks separated by commas; `None` if one of them is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|one| network(one.trim())).collect::<Option<_>>().map(Self)
    }

    /// Returns whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
