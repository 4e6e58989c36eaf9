//! Detection of unencrypted store connections over a network.

use url::Url;

use super::Setting;

pub(super) const ALLOW: Setting = Setting::new(
    "ALLOW_PLAINTEXT_STORES",
    "true or false",
    "Whether PostgreSQL and Redis on other machines may be reached without TLS: passwords and jobs then cross the \
     network in clear. Only for networks that no other party can read.",
)
.or("false");

/// Returns whether PostgreSQL is on another machine and the connection may be unencrypted. The driver falls back to
/// clear text unless `sslmode` forbids it.
pub(super) fn database(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let last = |names: &[&str]| {
        let all = url.query_pairs().filter(|(name, _)| names.contains(&name.as_ref()));
        all.last().map(|(_, value)| value.into_owned())
    };
    let socket = url.query_pairs().any(|(name, value)| name == "host" && value.starts_with('/'));
    let host = last(&["host", "hostaddr"]).or_else(|| url.host_str().map(str::to_owned));
    let encrypted = last(&["sslmode", "ssl-mode"])
        .is_some_and(|mode| matches!(mode.as_str(), "require" | "verify-ca" | "verify-full"));
    !encrypted && !socket && !host.is_none_or(|host| is_local(&host))
}

/// Returns whether one of the servers in a Redis URL is on another machine and reached unencrypted.
pub(super) fn redis(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let transport = scheme.split('+').next().unwrap_or_default();
    let clear = matches!(transport, "redis" | "valkey") && !scheme.ends_with("+unix");
    clear && !hosts(rest).iter().all(|host| is_local(host))
}

/// Returns the hosts of `[user:password@]host[:port][,host…][/…]`, without ports.
pub(super) fn hosts(rest: &str) -> Vec<&str> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let without_port = |host| match str::rsplit_once(host, ':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    hosts.split(',').map(without_port).collect()
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let socket = bare.is_empty() || bare.starts_with(['/', '@']) || bare.starts_with("%2f");
    let name = bare == "localhost" || bare.ends_with(".localhost");
    socket || name || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_on_another_machine_needs_tls() {
        for url in [
            "postgres://u@db/x",
            "postgres://u@db/x?sslmode=prefer",
            "postgres://u@db/x?sslmode=disable",
            "postgres://u@10.0.0.1/x?sslmode=require&sslmode=allow",
            "postgres://localhost/x?host=db",
            "postgresql://localhost/x?hostaddr=10.1.1.1",
        ] {
            assert!(database(url), "{url}");
        }
        for url in [
            "postgres://u@db/x?sslmode=require",
            "postgres://u@db/x?sslmode=verify-full",
            "postgres://u@localhost/x",
            "postgres://127.0.0.1:5/x",
            "postgres://[::1]/x",
            "postgres://u@localhost/x?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/x",
            "postgres:///x",
        ] {
            assert!(!database(url), "{url}");
        }
    }

    #[test]
    fn redis_on_another_machine_needs_tls() {
        for url in [
            "redis://cache:6379",
            "redis://u:p@10.0.0.1/1",
            "valkey://cache",
            "redis+sentinel://localhost,s2:26379/main",
            "redis+cluster://[2001:db8::1]:6379",
        ] {
            assert!(redis(url), "{url}");
        }
        for url in [
            "rediss://cache",
            "rediss+sentinel://s1,s2/main",
            "redis://localhost:6379",
            "redis://[::1]:6379",
            "redis+unix:///run/redis.sock",
            "unix:///run/redis.sock",
            "redis+cluster://127.0.0.1:1,127.0.0.1:2",
        ] {
            assert!(!redis(url), "{url}");
        }
    }
}
