//! Search for the server that accepts writes: a single server, a Sentinel primary or a cluster node.

use domain::PasswordSource;
use futures::future::select_ok;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError, ServerErrorKind,
    aio::MultiplexedConnection, cmd,
};

use crate::address::{self, Address};

/// Most redirections followed in a row.
const MAX_REDIRECTS: usize = 5;

/// A write that changes nothing. A replica refuses it, and a cluster node that does not own the slot redirects it.
/// Unlike a real write, a server with full memory accepts it; jobs must still be able to end there.
const PROBE: &str = "redis.call('DEL', KEYS[1]) return 1";

/// Searches for the server again on each call.
pub(crate) struct Finder {
    address: Address,
    /// A key of our hash slot that never exists.
    key: String,
    /// Source of the password for each search.
    password: Option<PasswordSource>,
}

/// A server that has just accepted a write.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) client: Client,
    pub(crate) connection: MultiplexedConnection,
}

impl Finder {
    pub(crate) fn new(address: Address, key: String, password: Option<PasswordSource>) -> Self {
        Self { address, key, password }
    }

    /// Returns the address with the current password.
    async fn current_address(&self) -> Address {
        let Some(source) = self.password.clone() else { return self.address.clone() };
        let password = tokio::task::spawn_blocking(move || source()).await.ok().flatten();
        match password {
            Some(password) => self.address.clone().with_password(password.expose()),
            None => self.address.clone(),
        }
    }

    /// Returns whether the address uses TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        let first = match &self.address {
            Address::Single(info) | Address::Sentinel { primary: info, .. } => Some(info),
            Address::Cluster(nodes) => nodes.first(),
        };
        first.is_some_and(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }))
    }

    /// Returns a connection to a server that has just accepted a write. All Sentinels or nodes are asked at once, so
    /// that an unavailable one causes no delay.
    pub(crate) async fn find(&self) -> Result<Found, RedisError> {
        match &self.current_address().await {
            Address::Single(info) => self.prove(info.clone()).await,
            Address::Sentinel { sentinels, name, primary } => {
                let ask = |sentinel: &ConnectionInfo| {
                    let sentinel = sentinel.clone();
                    Box::pin(async move {
                        let (host, port) = primary_of(sentinel, name).await?;
                        self.prove(address::moved_to(primary, &host, port)).await
                    })
                };
                Ok(select_ok(sentinels.iter().map(ask)).await?.0)
            }
            Address::Cluster(nodes) => {
                let all = nodes.iter().map(|node| Box::pin(self.prove(node.clone())));
                Ok(select_ok(all).await?.0)
            }
        }
    }

    /// Connects and writes, following a cluster's redirections.
    async fn prove(&self, mut info: ConnectionInfo) -> Result<Found, RedisError> {
        let mut redirects = 0;
        loop {
            let found = connect(info.clone()).await?;
            let mut probe = cmd("EVAL");
            probe.arg(PROBE).arg(1).arg(&self.key);
            let Err(error) = probe.query_async::<()>(&mut found.connection.clone()).await else {
                return Ok(found);
            };
            redirects += 1;
            match redirection(&info, &error) {
                Some(next) if redirects <= MAX_REDIRECTS => info = next,
                _ => return Err(error),
            }
        }
    }
}

fn redirection(info: &ConnectionInfo, error: &RedisError) -> Option<ConnectionInfo> {
    let moved = error.kind() == ServerErrorKind::Moved.into();
    let (target, _slot) = error.redirect_node().filter(|_| moved)?;
    address::redirected(info, target)
}

async fn connect(info: ConnectionInfo) -> Result<Found, RedisError> {
    let client = Client::open(info)?;
    let connection = client.get_multiplexed_async_connection_with_config(&settings()).await?;
    Ok(Found { client, connection })
}

/// Returns settings without the library's time limits: the caller limits the whole call.
pub(crate) fn settings() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

/// Asks one Sentinel for the primary's address.
async fn primary_of(sentinel: ConnectionInfo, name: &str) -> Result<(String, u16), RedisError> {
    let mut connection = connect(sentinel).await?.connection;
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let primary: Option<(String, u16)> = ask.query_async(&mut connection).await?;
    primary.ok_or_else(|| {
        RedisError::from((redis::ErrorKind::Client, "the Sentinel does not know this primary"))
    })
}

/// Whether the server says that commands must be sent elsewhere, or later.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    const CODES: [&str; 9] = [
        "READONLY",
        "MOVED",
        "ASK",
        "TRYAGAIN",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "LOADING",
        // Sent to a blocked BLPOP when its server becomes a replica.
        "UNBLOCKED",
        // A primary that has lost its replicas and is configured not to write alone.
        "NOREPLICAS",
    ];
    let listed = |word: &str| CODES.contains(&word);
    if error.code().is_some_and(listed) {
        return true;
    }
    // Redis 6.2 and Valkey wrap the answer to a script's command: `ERR Error running script (…): -READONLY You can't …`.
    let detail = error.detail().unwrap_or_default();
    detail.contains("non local key in a cluster node")
        || detail.split_ascii_whitespace().filter_map(|word| word.strip_prefix('-')).any(listed)
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::is_refusal;

    fn refused(answer: &str) -> bool {
        let Ok(Value::ServerError(error)) = parse_redis_value(format!("-{answer}\r\n").as_bytes()) else {
            panic!("{answer}")
        };
        is_refusal(&error.into())
    }

    #[test]
    fn responses_that_name_another_server_are_refusals() {
        for answer in [
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica. script: f1, on @user_script:2.",
            "ERR Error running script (call to f_1): @user_script:2: @user_script: 2: -READONLY You can't write",
            "ERR Error running script (call to f_1): @user_script:2: -LOADING Redis is loading the dataset in memory",
            "ERR Script attempted to access a non local key in a cluster node script: f_1",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "LOADING Redis is loading the dataset in memory",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            "NOREPLICAS Not enough good replicas to write.",
        ] {
            assert!(refused(answer), "{answer}");
        }
    }

    #[test]
    fn errors_of_any_server_are_no_refusals() {
        for answer in [
            "ERR wrong number of arguments",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR Error running script (call to f_1): @user_script:2: user said READONLY",
            "NOSCRIPT No matching script.",
        ] {
            assert!(!refused(answer), "{answer}");
        }
    }
}
