//! Tests of the configuration: defaults, refused values and the documentation of settings.

mod event_sinks;
mod installations;
mod issuers;
mod layers;
mod secrets;

use std::{fs, path::PathBuf, time::Duration};

use super::*;

const KEY: &str = "k1:8b+DqaSnd8h5QZ9yCkXd0nFvs2ZJpw8hT5mB1XrVtGk=";

fn sources() -> Sources {
    Sources::empty(Mode::Production)
}

fn file(text: &str) -> Result<Sources, ConfigError> {
    sources().toml(&PathBuf::from("rts.toml"), text)
}

/// Returns the one-line error of a refused value.
fn refusal<T: Section + std::fmt::Debug>(name: &str, value: &str) -> String {
    let given = complete().set(name, value);
    let line = given.section::<T>().expect_err("a bad value must be refused").to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(line.starts_with(name), "{line}");
    line
}

/// Returns sources with every required setting that needs no file.
fn complete() -> Sources {
    sources()
        .set("DATABASE_URL", "postgres://rts@localhost/rts")
        .set("REDIS_URL", "redis://localhost")
        .set("GITHUB_ORG", "acme")
        .set("GITHUB_APP_ID", "1")
        .set("GITHUB_APP_INSTALLATION_ID", "2")
        .set("OIDC_ISSUER", "https://idp.example/")
        .set("OIDC_AUDIENCE", "rts")
        .set("CREDENTIAL_KEYS", KEY)
}

/// A private folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("rts-config-{:032x}", rand::random::<u128>()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn defaults_are_as_documented() {
    let server: ServerConfig = sources().section().unwrap();
    assert_eq!(server.listen_on(), "127.0.0.1:8080");
    assert_eq!((server.rate_per_minute.get(), server.rate_burst.get()), (600, 100));
    assert_eq!(server.default_wait, Duration::ZERO);
    let jobs: JobsConfig = sources().section().unwrap();
    assert_eq!(jobs.worker_concurrency, 8);
    assert_eq!(jobs.jit_config_ttl, Duration::from_hours(1));
    assert_eq!(jobs.sync_interval, Duration::from_mins(5));
    assert_eq!(jobs.stale_after, Duration::from_hours(24));
    assert_eq!(jobs.label_enforcement, LabelEnforcement::Enforce);
    assert!(!jobs.drift_deletes_busy && !jobs.registration_tokens);
    let log: LogConfig = sources().section().unwrap();
    assert_eq!(log.level, "info");
}

#[test]
fn complete_configuration_loads() {
    let folder = Folder::new();
    let key = folder.write("app.pem", "key", 0o600);
    let given = complete().set("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap());
    let config = Config::load(&given).unwrap();
    let [home] = config.github.installations.as_slice() else { panic!("one installation") };
    assert_eq!((home.id.as_str(), home.web_url().as_str()), ("default", "https://github.com/acme"));
    let app = CredentialConfig::App { app_id: 1, app_installation_id: 2, private_key_path: key };
    assert_eq!(config.github_app.members[0].credential, app);
    assert!(config.webhooks.secrets.is_empty());
    assert_eq!(config.oidc.issuers[0].issuer, "https://idp.example/");
    assert_eq!(config.secrets.pairs()[0].0, "k1");
}

#[test]
fn bad_value_is_named_in_one_line() {
    refusal::<ServerConfig>("SERVICE_HOST", "not a host");
    let line = refusal::<ServerConfig>("SERVICE_PORT", "70000");
    assert_eq!(line, "SERVICE_PORT should be a port from 0 to 65535, not `70000`");
    refusal::<ServerConfig>("DEFAULT_WAIT_SECONDS", "26");
    refusal::<ServerConfig>("DEFAULT_WAIT_SECONDS", "-1");
    refusal::<ServerConfig>("TRUSTED_PROXIES", "10.0.0.0/8,nowhere");
    refusal::<ServerConfig>("PUBLIC_URL", "ftp://x");
    refusal::<ServerConfig>("PUBLIC_URL", "http://runners.example.com");
    refusal::<RedisConfig>("REDIS_URL", "redis+sentinel://a,,b/main");
    refusal::<OutgoingConfig>("HTTPS_PROXY", "socks5://proxy");
    refusal::<OutgoingConfig>("EXTRA_CA_FILE", "/nowhere/ca.pem");
    refusal::<OutgoingConfig>("SSL_CERT_FILE", "/dev/null");
    refusal::<ServerConfig>("API_RATE_LIMIT_PER_MINUTE", "0");
    refusal::<ServerConfig>("API_RATE_LIMIT_BURST", "1.5");
    refusal::<DatabaseConfig>("DATABASE_URL", "mysql://x");
    refusal::<DatabaseConfig>("DATABASE_MAX_CONNECTIONS", "0");
    refusal::<RedisConfig>("REDIS_URL", "localhost");
    refusal::<RedisConfig>("REDIS_NAMESPACE", "a{b}");
    refusal::<GithubConfig>("GITHUB_API_URL", "http://github.example");
    refusal::<GithubConfig>("GITHUB_ORG", "a/b");
    refusal::<WebhookConfig>("GITHUB_WEBHOOK_SECRET", "short");
    refusal::<GithubConfig>("GITHUB_ENTERPRISE", "a");
    refusal::<GithubConfig>("DEFAULT_RUNNER_GROUP_ID", "0");
    refusal::<GithubAppConfig>("GITHUB_APP_ID", "Iv1.x");
    refusal::<GithubAppConfig>("GITHUB_APP_INSTALLATION_ID", "0");
    refusal::<GithubAppConfig>("GITHUB_APP_PRIVATE_KEY_PATH", "/nowhere/app.pem");
    refusal::<OidcConfig>("OIDC_ISSUER", "http://idp.example");
    refusal::<OidcConfig>("OIDC_AUDIENCE", &"a".repeat(256));
    refusal::<OidcConfig>("OIDC_JWKS_URL", "file:///etc/passwd");
    refusal::<JobsConfig>("WORKER_CONCURRENCY", "81");
    refusal::<JobsConfig>("WORKER_LEASE_SECONDS", "0");
    refusal::<JobsConfig>("WORKER_LEASE_SECONDS", "61");
    refusal::<JobsConfig>("JIT_CONFIG_TTL_SECONDS", "59");
    refusal::<JobsConfig>("SYNC_INTERVAL_SECONDS", "0");
    refusal::<JobsConfig>("CLEANUP_STALE_RUNNERS_HOURS", "0");
    refusal::<JobsConfig>("LABEL_POLICY_ENFORCEMENT", "warn");
    refusal::<JobsConfig>("LABEL_DRIFT_DELETE_BUSY_RUNNERS", "maybe");
    refusal::<JobsConfig>("ENABLE_REGISTRATION_TOKENS", "2");
    refusal::<LogConfig>("LOG_LEVEL", "loud");
    refusal::<LogConfig>("LOG_FORMAT", "xml");
    refusal::<BootstrapConfig>("BOOTSTRAP_ADMINS", "nobody");
}

#[test]
fn required_settings_are_missed_by_name() {
    let line = sources().section::<DatabaseConfig>().unwrap_err().to_string();
    assert_eq!(line, "DATABASE_URL is not set; it should be a postgres:// or postgresql:// URL");
    let no_audience = sources().set("OIDC_ISSUER", "https://idp.example").section::<OidcConfig>();
    assert!(no_audience.unwrap_err().to_string().starts_with("OIDC_AUDIENCE is not set"));
    assert!(sources().section::<OidcConfig>().unwrap_err().to_string().starts_with("OIDC_ISSUER is not set"));
}

#[test]
fn proxies_are_networks_or_addresses() {
    let given = sources().set("TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.1, fd00::/8");
    let proxies = given.section::<ServerConfig>().unwrap().trusted_proxies;
    for inside in ["10.1.2.3", "192.168.1.1", "::ffff:10.1.2.3", "fd00::1"] {
        assert!(proxies.contains(inside.parse().unwrap()), "{inside}");
    }
    assert!(!proxies.contains("192.168.1.2".parse().unwrap()));
}

#[test]
fn loopback_may_be_plain_http() {
    for url in ["http://localhost:8080", "http://127.0.0.1:1/api/v3", "http://[::1]:9"] {
        let given = complete().set("GITHUB_API_URL", url);
        assert!(given.section::<GithubConfig>().is_ok(), "{url}");
    }
    for url in
        ["http://localhost.evil.example", "http://127.0.0.1@evil.example", "https://u:p@github.example"]
    {
        refusal::<GithubConfig>("GITHUB_API_URL", url);
    }
}

#[test]
fn log_levels_of_other_loggers_are_understood() {
    for (given, level) in [("WARNING", "warn"), ("critical", "error"), ("info,api=debug", "info,api=debug")] {
        assert_eq!(sources().set("LOG_LEVEL", given).section::<LogConfig>().unwrap().level, level);
    }
}

#[test]
fn settings_texts_are_as_reviewed() {
    insta::assert_snapshot!("settings", help());
    insta::assert_snapshot!("settings-markdown", markdown());
}

#[test]
fn every_setting_is_documented_once() {
    let names: Vec<_> = settings().iter().flat_map(|(_, all)| all.iter().map(|s| s.name)).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len());
    for name in names {
        assert!(help().contains(name) && markdown().contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn stores_on_other_machines_need_tls_or_permission() {
    let line = refusal::<DatabaseConfig>("DATABASE_URL", "postgres://u:canary@db/x");
    assert!(line.contains("sslmode=verify-full") && line.contains("ALLOW_PLAINTEXT_STORES"), "{line}");
    let line = refusal::<RedisConfig>("REDIS_URL", "redis://:canary@cache:6379");
    assert!(line.contains("rediss://") && line.contains("ALLOW_PLAINTEXT_STORES"), "{line}");
    assert!(!line.contains("canary"), "{line}");
    let far = |sources: Sources| {
        sources.set("DATABASE_URL", "postgres://u@db/x").set("REDIS_URL", "redis+sentinel://s1,s2:7/main")
    };
    for allowed in [sources().set("ALLOW_PLAINTEXT_STORES", "true"), Sources::empty(Mode::Development)] {
        assert!(far(allowed.clone()).section::<DatabaseConfig>().is_ok());
        assert!(far(allowed).section::<RedisConfig>().is_ok());
    }
    let encrypted = sources().set("REDIS_URL", "rediss+cluster://n1,n2").section::<RedisConfig>();
    assert!(encrypted.is_ok());
}
