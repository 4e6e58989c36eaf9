//! A key namespace in Redis that belongs to one test.

use domain::Lane;
use queue::{Queue, QueueConfig};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};
use uuid::Uuid;

/// A unique key prefix on the Redis of `TEST_REDIS_URL`.
#[derive(Clone, Debug)]
pub struct RedisNamespace {
    url: String,
    namespace: String,
}

impl RedisNamespace {
    /// Returns a new, empty namespace.
    ///
    /// # Panics
    /// When `TEST_REDIS_URL` is not set.
    pub fn new() -> Self {
        Self::on(&crate::server("TEST_REDIS_URL"))
    }

    pub(crate) fn on(url: &str) -> Self {
        Self { url: url.to_owned(), namespace: format!("t-{}", Uuid::new_v4().simple()) }
    }

    /// Returns the URL of Redis and the prefix of the keys.
    pub fn url_and_prefix(&self) -> (&str, &str) {
        (&self.url, &self.namespace)
    }

    /// Returns a queue in this namespace. Each process makes its own.
    ///
    /// # Panics
    /// When the URL is not a Redis URL.
    pub fn queue(&self) -> Queue {
        Queue::connect(&QueueConfig::new(self.url.as_str(), self.namespace.as_str())).unwrap()
    }

    /// Creates a Redis user with the ACL `rules`, in which `{rts}` stands for this namespace's key prefix. Returns the
    /// URL
    /// for that user.
    ///
    /// # Panics
    /// When Redis refuses the rules.
    pub async fn create_user(&self, rules: &str) -> String {
        let (user, prefix) = (format!("user-{}", self.namespace), format!("{{{}}}", self.namespace));
        let rules = rules.replace("{rts}", &prefix);
        let words = ["SETUSER", user.as_str(), "on", ">secret"];
        let words: Vec<&str> = words.into_iter().chain(rules.split_whitespace()).collect();
        self.send_command::<String>("ACL", &words).await;
        let mut url = url::Url::parse(&self.url).unwrap();
        if url.scheme().ends_with("unix") {
            url.query_pairs_mut().append_pair("user", &user).append_pair("pass", "secret");
        } else {
            url.set_username(&user).and_then(|()| url.set_password(Some("secret"))).unwrap();
        }
        url.into()
    }

    /// Deletes all keys of the namespace, as a flush of Redis would.
    pub async fn flush(&self) {
        let keys = self.keys().await;
        if !keys.is_empty() {
            self.send_command::<u64>("DEL", &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
    }

    /// Returns all keys of the namespace.
    ///
    /// # Panics
    /// When Redis is unreachable.
    pub async fn keys(&self) -> Vec<String> {
        let mut connection = self.connect().await;
        let pattern = format!("{{{}}}:*", self.namespace);
        let (mut keys, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, page): (u64, Vec<String>) = scan.query_async(&mut connection).await.unwrap();
            keys.extend(page);
            cursor = next;
            if cursor == 0 {
                return keys;
            }
        }
    }

    /// Returns every key with its content, as text.
    ///
    /// # Panics
    /// When Redis is unreachable.
    pub async fn dump(&self) -> String {
        let mut text = String::new();
        for key in self.keys().await {
            let kind: String = self.send_command("TYPE", &[&key]).await;
            let value: redis::Value = match kind.as_str() {
                "string" => self.send_command("GET", &[&key]).await,
                "hash" => self.send_command("HGETALL", &[&key]).await,
                "list" => self.send_command("LRANGE", &[&key, "0", "-1"]).await,
                "set" => self.send_command("SMEMBERS", &[&key]).await,
                "zset" => self.send_command("ZRANGE", &[&key, "0", "-1", "WITHSCORES"]).await,
                "stream" => self.send_command("XRANGE", &[&key, "-", "+"]).await,
                "none" => continue,
                other => panic!("a key of type {other}"),
            };
            text += &[key.as_str(), " = ", &plain(&value), "\n"].concat();
        }
        text
    }

    /// Makes every delayed job of a lane due now. The caller wakes the queue afterwards.
    pub async fn make_due(&self, lane: Lane) {
        self.advance_budget("delayed", lane).await;
    }

    /// Expires every lease of a lane.
    pub async fn expire_leases(&self, lane: Lane) {
        self.advance_budget("leased", lane).await;
    }

    /// Makes Redis refuse all pauses, or accept them again.
    pub async fn refuse_pauses(&self, refuse: bool) {
        let key = format!("{{{}}}:pauses", self.namespace);
        self.send_command::<u64>("DEL", &[&key]).await;
        if refuse {
            self.send_command::<String>("SET", &[&key, "of another type"]).await;
        }
    }

    /// Ends every known hourly window.
    pub async fn open_windows(&self) {
        let key = format!("{{{}}}:limits:default", self.namespace);
        let fields: Vec<String> = self.send_command("HKEYS", &[&key]).await;
        for window in fields.iter().filter(|field| field.starts_with("w:")) {
            self.send_command::<u64>("HDEL", &[&key, window]).await;
        }
    }

    async fn advance_budget(&self, kind: &str, lane: Lane) {
        let key = format!("{{{}}}:{kind}:default:{lane}", self.namespace);
        let script = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do \
                      redis.call('ZADD', KEYS[1], 1, id) end return 1";
        self.send_command::<i64>("EVAL", &[script, "1", &key]).await;
    }

    /// Sends one command to Redis and returns its reply.
    ///
    /// # Panics
    /// When Redis is unreachable or the reply has another type.
    pub async fn send_command<T: FromRedisValue>(&self, word: &str, args: &[&str]) -> T {
        cmd(word).arg(args).query_async(&mut self.connect().await).await.unwrap()
    }

    async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.expect("the Redis of TEST_REDIS_URL")
    }
}

impl Default for RedisNamespace {
    fn default() -> Self {
        Self::new()
    }
}

/// Converts byte strings to text, so that they can be searched.
fn plain(value: &redis::Value) -> String {
    match value {
        redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        redis::Value::Array(items) | redis::Value::Set(items) => {
            items.iter().map(plain).collect::<Vec<_>>().join(" ")
        }
        redis::Value::Map(pairs) => {
            pairs.iter().map(|(k, v)| format!("{}={}", plain(k), plain(v))).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    }
}
