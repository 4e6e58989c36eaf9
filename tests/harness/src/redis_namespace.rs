//! One test's corner of Redis.

use domain::Lane;
use queue::{Queue, QueueConfig};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};
use uuid::Uuid;

/// A namespace of its own on the Redis of `TEST_REDIS_URL`.
#[derive(Clone, Debug)]
pub struct RedisNamespace {
    url: String,
    namespace: String,
}

impl RedisNamespace {
    /// A fresh one.
    ///
    /// # Panics
    /// When `TEST_REDIS_URL` is not set.
    pub fn new() -> Self {
        Self::on(&crate::server("TEST_REDIS_URL"))
    }

    pub(crate) fn on(url: &str) -> Self {
        Self { url: url.to_owned(), namespace: format!("t-{}", Uuid::new_v4().simple()) }
    }

    /// Its address and the prefix of its keys.
    pub(crate) fn place(&self) -> (&str, &str) {
        (&self.url, &self.namespace)
    }

    /// A handle on the queue; each process makes its own.
    ///
    /// # Panics
    /// When the address is no Redis address.
    pub fn queue(&self) -> Queue {
        Queue::connect(&QueueConfig::new(self.url.as_str(), self.namespace.as_str())).unwrap()
    }

    /// Makes a user of this Redis that may do what `rules` say, where `{rts}` stands for the prefix of this corner's keys.
    /// Returns the address for that user.
    ///
    /// # Panics
    /// When Redis refuses the rules.
    pub async fn admit(&self, rules: &str) -> String {
        let (user, prefix) = (format!("user-{}", self.namespace), format!("{{{}}}", self.namespace));
        let rules = rules.replace("{rts}", &prefix);
        let words = ["SETUSER", user.as_str(), "on", ">secret"];
        let words: Vec<&str> = words.into_iter().chain(rules.split_whitespace()).collect();
        self.ask::<String>("ACL", &words).await;
        let mut url = url::Url::parse(&self.url).unwrap();
        if url.scheme().ends_with("unix") {
            url.query_pairs_mut().append_pair("user", &user).append_pair("pass", "secret");
        } else {
            url.set_username(&user).and_then(|()| url.set_password(Some("secret"))).unwrap();
        }
        url.into()
    }

    /// Forgets everything, as a flush of this Redis would.
    pub async fn flush(&self) {
        let keys = self.keys().await;
        if !keys.is_empty() {
            self.ask::<u64>("DEL", &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
    }

    /// All keys.
    ///
    /// # Panics
    /// When Redis is away.
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

    /// Every key and everything in it, as text.
    ///
    /// # Panics
    /// When Redis is away.
    pub async fn dump(&self) -> String {
        let mut text = String::new();
        for key in self.keys().await {
            let kind: String = self.ask("TYPE", &[&key]).await;
            let value: redis::Value = match kind.as_str() {
                "string" => self.ask("GET", &[&key]).await,
                "hash" => self.ask("HGETALL", &[&key]).await,
                "list" => self.ask("LRANGE", &[&key, "0", "-1"]).await,
                "set" => self.ask("SMEMBERS", &[&key]).await,
                "zset" => self.ask("ZRANGE", &[&key, "0", "-1", "WITHSCORES"]).await,
                "stream" => self.ask("XRANGE", &[&key, "-", "+"]).await,
                "none" => continue,
                other => panic!("a key of type {other}"),
            };
            text += &[key.as_str(), " = ", &plain(&value), "\n"].concat();
        }
        text
    }

    /// Lets every delayed job of a lane be due, as time would. Ring the bell afterwards.
    pub async fn make_due(&self, lane: Lane) {
        self.advance_budget("delayed", lane).await;
    }

    /// Lets every lease of a lane run out, as time would.
    pub async fn expire_leases(&self, lane: Lane) {
        self.advance_budget("leased", lane).await;
    }

    /// Makes Redis refuse every pause, or forgets that it did.
    pub async fn refuse_pauses(&self, refuse: bool) {
        let key = format!("{{{}}}:pauses", self.namespace);
        self.ask::<u64>("DEL", &[&key]).await;
        if refuse {
            self.ask::<String>("SET", &[&key, "of another type"]).await;
        }
    }

    /// Lets every primary window that is known be over, as time would.
    pub async fn open_windows(&self) {
        let key = format!("{{{}}}:limits:default", self.namespace);
        let fields: Vec<String> = self.ask("HKEYS", &[&key]).await;
        for window in fields.iter().filter(|field| field.starts_with("w:")) {
            self.ask::<u64>("HDEL", &[&key, window]).await;
        }
    }

    async fn advance_budget(&self, kind: &str, lane: Lane) {
        let key = format!("{{{}}}:{kind}:default:{lane}", self.namespace);
        let script = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do \
                      redis.call('ZADD', KEYS[1], 1, id) end return 1";
        self.ask::<i64>("EVAL", &[script, "1", &key]).await;
    }

    /// Asks Redis as it is.
    ///
    /// # Panics
    /// When Redis is away, or answers something else.
    pub async fn ask<T: FromRedisValue>(&self, word: &str, args: &[&str]) -> T {
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

/// Byte strings as text, so that they can be searched.
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
