//! The address of Redis: one server, a primary that Sentinels name, or the nodes of a cluster.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates};

use crate::QueueError;

const SENTINEL_PORT: u16 = 26_379;
const REDIS_PORT: u16 = 6_379;
/// Most Sentinels or cluster nodes in one address.
const MAX_HOSTS: usize = 32;

/// A parsed address, with the certificates to trust in every connection made from it.
#[derive(Clone)]
pub(crate) enum Address {
    /// One server. Its name is resolved again for each connection.
    Single(ConnectionInfo),
    /// The Sentinels that watch the primary `name`, and the settings of connections to that primary.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        /// Everything but host and port.
        primary: ConnectionInfo,
    },
    /// Some nodes of a Redis Cluster.
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Parses `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://host,host/name/db` and
    /// `redis+cluster://host,host`; `rediss+…` uses TLS. `roots` are the only certificates trusted, in PEM.
    ///
    /// # Errors
    /// [`QueueError::BadUrl`], which does not repeat the address: it may hold a password.
    pub(crate) fn parse(url: &str, roots: Option<&[u8]>) -> Result<Self, QueueError> {
        parse(url, roots).ok_or(QueueError::BadUrl)
    }

    /// Returns the address with another password for the servers that hold data.
    pub(crate) fn with_password(mut self, password: &str) -> Self {
        let servers: &mut [ConnectionInfo] = match &mut self {
            Self::Single(info) | Self::Sentinel { primary: info, .. } => std::slice::from_mut(info),
            Self::Cluster(nodes) => nodes,
        };
        for info in servers {
            let settings = info.redis_settings().clone().set_password(password);
            *info = info.clone().set_redis_settings(settings);
        }
        self
    }
}

fn parse(url: &str, roots: Option<&[u8]>) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let Some((transport, kind)) = scheme.split_once('+').filter(|(_, kind)| *kind != "unix") else {
        return info(url, roots).map(Address::Single);
    };
    let transport = match transport {
        "redis" | "valkey" => "redis",
        "rediss" | "valkeys" => "rediss",
        _ => return None,
    };
    let parts = Parts::split(rest)?;
    let node = |host: &str, login: &str, db: &str| info(&format!("{transport}://{login}{host}/{db}"), roots);
    match kind {
        "sentinel" => {
            let (name, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
            let login = parts.sentinel_login()?;
            let hosts = parts.hosts(SENTINEL_PORT)?;
            let sentinels = hosts.iter().map(|host| node(host, &login, "")).collect::<Option<_>>()?;
            let primary = node(hosts.first()?, parts.login, db)?;
            let named = !name.is_empty() && name.len() <= 200;
            named.then(|| Address::Sentinel { sentinels, name: name.to_owned(), primary })
        }
        "cluster" if parts.path.is_empty() && parts.query.is_empty() => {
            let hosts = parts.hosts(REDIS_PORT)?;
            Some(Address::Cluster(
                hosts.iter().map(|host| node(host, parts.login, "")).collect::<Option<_>>()?,
            ))
        }
        _ => None,
    }
}

/// The pieces of `[user:password@]host[:port][,host…][/path][?query]`.
struct Parts<'a> {
    /// Including its `@`, or empty.
    login: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn split(rest: &'a str) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let at = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, hosts) = authority.split_at(at);
        (!hosts.is_empty()).then_some(Self { login, hosts, path, query })
    }

    /// Every host with a port.
    fn hosts(&self, default_port: u16) -> Option<Vec<String>> {
        let with_port = |host: &str| match host.rsplit_once(':') {
            // The colons of a bare `[::1]` belong to the address.
            Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().ok().map(|_| host.to_owned()),
            _ if host.is_empty() => None,
            _ => Some(format!("{host}:{default_port}")),
        };
        let hosts = self.hosts.split(',').map(with_port).collect::<Option<Vec<_>>>()?;
        (hosts.len() <= MAX_HOSTS).then_some(hosts)
    }

    /// Returns the login of the Sentinels themselves, from the query: `user:password@`, or an empty text.
    fn sentinel_login(&self) -> Option<String> {
        let (mut user, mut password) = ("", None);
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("sentinel_username", value) => user = value,
                ("sentinel_password", value) => password = Some(value),
                _ => return None,
            }
        }
        match password {
            Some(password) => Some(format!("{user}:{password}@")),
            None => user.is_empty().then(String::new),
        }
    }
}

fn info(url: &str, roots: Option<&[u8]>) -> Option<ConnectionInfo> {
    trusting(url, roots).ok()
}

/// The address with these certificates in it, if it uses TLS.
fn trusting(url: &str, roots: Option<&[u8]>) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let (ConnectionAddr::TcpTls { .. }, Some(roots)) = (info.addr(), roots) else { return Ok(info) };
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(roots.to_vec()) };
    Ok(Client::build_with_tls(info, certificates)?.get_connection_info().clone())
}

/// Returns `info` with another host and port.
pub(crate) fn moved_to(info: &ConnectionInfo, new_host: &str, new_port: u16) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: new_host.to_owned(),
            port: new_port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(new_host.to_owned(), new_port),
    };
    info.clone().set_addr(addr)
}

/// Returns the address in `MOVED slot host:port`. A server that does not know its own name leaves the host out.
pub(crate) fn redirected(info: &ConnectionInfo, target: &str) -> Option<ConnectionInfo> {
    let (host, port) = target.rsplit_once(':')?;
    let own = match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.as_str(),
        _ => return None,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(moved_to(info, if host.is_empty() || host == "?" { own } else { host }, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(info: &ConnectionInfo) -> String {
        let redis = info.redis_settings();
        let login = (redis.username().unwrap_or("-"), redis.password().unwrap_or("-"));
        format!("{} {}:{} {}", info.addr(), login.0, login.1, redis.db())
    }

    fn sentinel(url: &str) -> Option<(Vec<String>, String, String)> {
        match Address::parse(url, None).ok()? {
            Address::Sentinel { sentinels, name, primary } => {
                Some((sentinels.iter().map(shown).collect(), name, shown(&primary)))
            }
            _ => None,
        }
    }

    #[test]
    fn sentinel_address_has_hosts_name_and_both_logins() {
        let (sentinels, name, primary) =
            sentinel("redis+sentinel://u:p%40@a,b:7,[::1]/main/3?sentinel_password=s").unwrap();
        assert_eq!(sentinels, ["a:26379 -:s 0", "b:7 -:s 0", "::1:26379 -:s 0"]);
        assert_eq!((name.as_str(), primary.as_str()), ("main", "a:26379 u:p@ 3"));
        assert!(sentinel("redis+sentinel://a/main").is_some() && sentinel("redis+sentinel://a").is_none());
        for bad in [
            "redis+sentinel://a,/m",
            "redis+sentinel://a:x/m",
            "redis+sentinel://a/m?x=1",
            "redis+sentinel:///m",
        ] {
            assert!(Address::parse(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn password_is_replaced_for_data_servers_alone() {
        let parse = |url: &str| Address::parse(url, None).unwrap().with_password("new");
        let Address::Sentinel { sentinels, primary, .. } =
            parse("redis+sentinel://u:old@a,b/main?sentinel_password=s")
        else {
            panic!()
        };
        assert_eq!(
            (shown(&sentinels[1]).as_str(), shown(&primary).as_str()),
            ("b:26379 -:s 0", "a:26379 u:new 0")
        );
        let Address::Cluster(nodes) = parse("redis+cluster://u@a,b") else { panic!() };
        assert_eq!(nodes.iter().map(shown).collect::<Vec<_>>(), ["a:6379 u:new 0", "b:6379 u:new 0"]);
        let Address::Single(info) = parse("redis://a:1/2") else { panic!() };
        assert_eq!(shown(&info), "a:1 -:new 2");
    }

    #[test]
    fn cluster_address_has_nodes() {
        let Ok(Address::Cluster(nodes)) = Address::parse("rediss+cluster://:p@a,b:7", None) else { panic!() };
        assert_eq!(nodes.iter().map(shown).collect::<Vec<_>>(), ["a:6379 -:p 0", "b:7 -:p 0"]);
        assert!(matches!(nodes[0].addr(), ConnectionAddr::TcpTls { .. }));
        assert!(Address::parse("redis+cluster://a/1", None).is_err(), "a cluster has no numbered databases");
    }

    #[test]
    fn redirect_without_host_keeps_the_host() {
        let Ok(Address::Single(info)) = Address::parse("redis://a:1", None) else { panic!() };
        assert_eq!(shown(&redirected(&info, ":7").unwrap()), "a:7 -:- 0");
        assert_eq!(shown(&redirected(&info, "::1:7").unwrap()), "::1:7 -:- 0");
        assert!(redirected(&info, "nonsense").is_none());
    }
}
