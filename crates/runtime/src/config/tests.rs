mod installations;

use std::{fs, path::PathBuf, time::Duration};

use super::*;

const KEY: &str = "k1:8b+DqaSnd8h5QZ9yCkXd0nFvs2ZJpw8hT5mB1XrVtGk=";

fn sources() -> Sources {
    Sources::empty(Mode::Production)
}

fn file(text: &str) -> Result<Sources, ConfigError> {
    sources().toml(&PathBuf::from("rts.toml"), text)
}

/// The one line a bad value ends the start with.
fn refusal<T: Section + std::fmt::Debug>(name: &str, value: &str) -> String {
    let given = complete().set(name, value);
    let line = given.section::<T>().expect_err("a bad value must be refused").to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(line.starts_with(name), "{line}");
    line
}

/// Every required setting that needs no file.
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

/// A folder of this test alone, removed at its end.
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
fn a_complete_configuration_loads() {
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
fn a_bad_value_is_named_in_one_line() {
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
fn credential_keys_are_checked() {
    let same = "A".repeat(43);
    let cases = ["k1", ":AA==", "k1:AAAA", &format!("{KEY},{KEY}"), &format!("k1:{same}="), ","];
    for bad in cases {
        let line = refusal::<SecretsConfig>("CREDENTIAL_KEYS", bad);
        assert!(!line.contains(&same), "{line}");
    }
    let five = (0..5).map(|n| KEY.replace("k1", &format!("k{n}"))).collect::<Vec<_>>().join(",");
    refusal::<SecretsConfig>("CREDENTIAL_KEYS", &five);
    let token_keys = |keys: &str| complete().set("TOKEN_KEYS", keys).section::<TokenKeysConfig>();
    assert!(
        sources().section::<TokenKeysConfig>().unwrap().keys.is_empty(),
        "each process has its own token then"
    );
    let other = "t1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    assert_eq!(token_keys(other).unwrap().keys.len(), 1);
    let line = token_keys(&KEY.replace("k1", "t1")).unwrap_err().to_string();
    assert!(line.contains("TOKEN_KEYS") && line.contains("CREDENTIAL_KEYS"), "the API has that key: {line}");
    for bad in ["k1", &format!("t1:{same}="), &format!("{other},{other}")] {
        refusal::<TokenKeysConfig>("TOKEN_KEYS", bad);
    }
    let two = sources().set("CREDENTIAL_KEYS", format!("{}, {KEY}", KEY.replace("k1", "k2")));
    let keys: SecretsConfig = two.section().unwrap();
    assert_eq!(format!("{:?}", keys.keys), "[CredentialKey(k2), CredentialKey(k1)]");
}

#[test]
fn a_secret_is_in_no_message_and_no_debug() {
    let canary = "canary-5f2e";
    let line = refusal::<DatabaseConfig>("DATABASE_URL", &format!("mysql://u:{canary}@h/db"));
    assert!(!line.contains(canary), "{line}");
    let given = sources().set("DATABASE_URL", format!("postgres://u:{canary}@localhost/db"));
    assert!(!format!("{:?}", given.section::<DatabaseConfig>().unwrap()).contains(canary));
    let broken = file(&format!("database_url = \"postgres://u:{canary}@h")).err().unwrap().to_string();
    assert!(!broken.contains(canary) && !broken.contains('\n'), "{broken}");
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
fn the_environment_wins_and_empty_counts_as_unset() {
    let folder = Folder::new();
    let dotenv = folder.write(".env", "SERVICE_PORT=2\nexport LOG_LEVEL='warn'\nSERVICE_HOST=\n", 0o600);
    let layers = file("service_port = 1\nservice_host = '10.0.0.1'\nworker_concurrency = 3").unwrap();
    let layers = layers.dotenv_file(&dotenv).unwrap();
    assert_eq!(layers.section::<ServerConfig>().unwrap().port, 2);
    assert_eq!(layers.section::<ServerConfig>().unwrap().host, "10.0.0.1");
    assert_eq!(layers.section::<JobsConfig>().unwrap().worker_concurrency, 3);
    assert_eq!(layers.section::<LogConfig>().unwrap().level, "warn");
    let layers = layers.set("SERVICE_PORT", "3").set("LOG_LEVEL", " ").set("UNKNOWN", "ignored");
    assert_eq!(layers.section::<ServerConfig>().unwrap().port, 3);
    assert_eq!(layers.section::<LogConfig>().unwrap().level, "warn");
    assert!(layers.has("SERVICE_PORT") && !layers.has("DATABASE_URL"));
}

#[test]
fn a_message_says_which_layer_is_wrong() {
    let folder = Folder::new();
    let dotenv = folder.write(".env", "SERVICE_PORT=x\n", 0o600);
    let line = sources().dotenv_file(&dotenv).unwrap().section::<ServerConfig>().unwrap_err().to_string();
    assert!(line.starts_with("SERVICE_PORT in .env should be"), "{line}");
    let line = file("service_port = 'x'").unwrap().section::<ServerConfig>().unwrap_err().to_string();
    assert!(line.starts_with("service_port in rts.toml should be"), "{line}");
    let line = file("service_port = [1]").unwrap().section::<ServerConfig>().unwrap_err().to_string();
    assert!(line.starts_with("service_port in rts.toml should be"), "{line}");
}

#[test]
fn a_bad_dotenv_line_is_refused_without_quoting_it() {
    let folder = Folder::new();
    let dotenv = folder.write(".env", "SERVICE_PORT=1\nDATABASE_URL='canary\n", 0o600);
    let line = sources().dotenv_file(&dotenv).err().unwrap().to_string();
    assert!(line.ends_with("has a bad line after SERVICE_PORT"), "{line}");
}

#[test]
fn unknown_keys_of_the_file_are_errors() {
    assert_eq!(file("servce_port = 1").err().unwrap().to_string(), "`servce_port` in rts.toml is no setting");
    assert!(file("rts_config = 'other.toml'").is_err());
    assert!(
        file("[[oidc_issuers]]\nissuer='https://a'\naudience='b'\nsurprise=1")
            .unwrap()
            .section::<OidcConfig>()
            .is_err()
    );
}

#[test]
fn further_issuers_come_from_the_file() {
    let text = r#"
        oidc_audience = ["rts", "rts-ci"]
        [[oidc_issuers]]
        issuer = "https://token.actions.githubusercontent.com"
        audience = "rts"
        name = "actions"
        [[oidc_issuers]]
        issuer = "http://127.0.0.1:9000"
        audience = ["a", "b"]
        jwks_url = "http://127.0.0.1:9000/keys"
    "#;
    let given = file(text).unwrap().set("OIDC_ISSUER", "https://idp.example/");
    let issuers = given.section::<OidcConfig>().unwrap().issuers;
    let names: Vec<_> = issuers.iter().map(|one| (one.name.as_str(), one.audiences.len())).collect();
    assert_eq!(names, [("default", 2), ("actions", 1), ("issuer-2", 2)]);
    let twice = given.set("OIDC_ISSUER", "https://token.actions.githubusercontent.com");
    assert!(twice.section::<OidcConfig>().unwrap_err().to_string().starts_with("oidc_issuers should be"));
    let bad = file("[[oidc_issuers]]\nissuer='http://idp.example'\naudience='x'").unwrap();
    let line = bad.section::<OidcConfig>().unwrap_err().to_string();
    assert!(line.starts_with("oidc_issuers[0].issuer should be"), "{line}");
}

#[test]
fn the_first_issuer_binds_people_unless_another_says_so() {
    let load = |text: &str, env: &[(&str, &str)]| {
        let mut sources =
            file(text).unwrap().set("OIDC_ISSUER", "https://idp.example").set("OIDC_AUDIENCE", "rts");
        for (name, value) in env {
            sources = sources.set(name, *value);
        }
        sources.section::<OidcConfig>()
    };
    let binds =
        |config: &OidcConfig| config.issuers.iter().map(|one| one.policy.binds_people).collect::<Vec<_>>();
    let table = "[[oidc_issuers]]\nissuer='https://b.example'\naudience='rts'\n";
    let config = load(table, &[]).unwrap();
    assert_eq!(binds(&config), [Some(true), None]);
    assert_eq!(config.binding_issuer(), Some("https://idp.example"));
    assert_eq!(config.issuers[0].policy.max_token_age, Some(Duration::from_hours(24)));

    let marked =
        format!("{table}binds_people=true\nemail_trusted=true\nmax_token_age_seconds=0\naccept='access'");
    let config = load(&marked, &[]).unwrap();
    assert_eq!(binds(&config), [None, Some(true)]);
    assert_eq!(config.binding_issuer(), Some("https://b.example"));
    let policy = &config.issuers[1].policy;
    assert_eq!(
        (policy.email_trusted, policy.max_token_age, policy.accept),
        (true, None, AcceptedTokens::Access)
    );

    let config =
        load(table, &[("OIDC_BINDS_PEOPLE", "false"), ("OIDC_EMAIL_TRUSTED", "true"), ("OIDC_ACCEPT", "id")])
            .unwrap();
    assert_eq!(config.binding_issuer(), None);
    let policy = &config.issuers[0].policy;
    assert_eq!(
        (policy.binds_people, policy.email_trusted, policy.accept),
        (Some(false), true, AcceptedTokens::Id)
    );
    for (name, value) in
        [("OIDC_BINDS_PEOPLE", "perhaps"), ("OIDC_ACCEPT", "jwt"), ("OIDC_MAX_TOKEN_AGE_SECONDS", "31536001")]
    {
        assert!(load(table, &[(name, value)]).unwrap_err().to_string().contains(name), "{name}");
    }
    assert!(load(&format!("{table}max_token_age_seconds=31536001"), &[]).is_err());
    assert!(load(&format!("{table}accept='jwt'"), &[]).is_err());
}

#[test]
fn email_domains_are_read_in_lower_case() {
    let load = |domains: &str, table: &str| {
        let text = format!("[[oidc_issuers]]\nissuer='https://b.example'\naudience='rts'\n{table}");
        let sources =
            file(&text).unwrap().set("OIDC_ISSUER", "https://idp.example").set("OIDC_AUDIENCE", "rts");
        sources.set("OIDC_EMAIL_DOMAINS", domains).section::<OidcConfig>()
    };
    let config = load("Corp.example,example.com", "email_domains=['Partner.example']").unwrap();
    assert_eq!(config.issuers[0].policy.email_domains, ["corp.example", "example.com"]);
    assert_eq!(config.issuers[1].policy.email_domains, ["partner.example"]);
    for bad in ["@corp.example", "corp..example", "corp example"] {
        assert!(load(bad, "").unwrap_err().to_string().contains("OIDC_EMAIL_DOMAINS"), "{bad}");
    }
    let table = load("corp.example", "email_domains=['*.example']").unwrap_err().to_string();
    assert!(table.contains("email_domains"), "{table}");
}

#[test]
fn a_world_readable_key_is_only_for_development() {
    let folder = Folder::new();
    let key = folder.write("app.pem", "key", 0o644);
    refusal::<GithubAppConfig>("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap());
    let dev = Sources::empty(Mode::Development)
        .set("GITHUB_APP_ID", "1")
        .set("GITHUB_APP_INSTALLATION_ID", "2")
        .set("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap());
    assert!(dev.section::<GithubAppConfig>().is_ok());
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
fn stores_on_other_machines_need_tls_or_the_operators_word() {
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

#[test]
fn secrets_of_examples_are_refused() {
    for url in ["postgres://rts:change-me@localhost:5432/rts", "postgres://rts:CHANGEME@localhost/rts"] {
        let line = refusal::<DatabaseConfig>("DATABASE_URL", url);
        assert!(line.contains("placeholder"), "{line}");
    }
    refusal::<WebhookConfig>("GITHUB_WEBHOOK_SECRET", "change-me-change-me");
    // 00 01 02 … 1f, and 1f 1e … 00.
    for key in
        ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="]
    {
        refusal::<SecretsConfig>("CREDENTIAL_KEYS", &format!("k1:{key}"));
        let dev = Sources::empty(Mode::Development).set("CREDENTIAL_KEYS", format!("k1:{key}"));
        assert!(dev.section::<SecretsConfig>().is_ok());
    }
}

#[test]
fn file_with_secrets_that_others_may_read_stops_the_start() {
    let folder = Folder::new();
    let secret = format!("credential_keys = '{KEY}'\n");
    let open = folder.write("open.toml", &secret, 0o644);
    let line = sources().file(&open).err().unwrap().to_string();
    assert!(line.contains("open.toml holds secrets"), "{line}");
    assert!(Sources::empty(Mode::Development).file(&open).is_ok());
    for (mode, name) in [(0o600, "own.toml"), (0o640, "group.toml"), (0o400, "read.toml")] {
        assert!(sources().file(&folder.write(name, &secret, mode)).is_ok(), "{name}");
    }
    assert!(sources().file(&folder.write("plain.toml", "service_port = 1\n", 0o644)).is_ok(), "no secret");
    let dotenv = folder.write("open.env", "DATABASE_URL=postgres://localhost/x\n", 0o644);
    assert!(sources().dotenv_file(&dotenv).is_err());
    assert!(sources().dotenv_file(&folder.write("plain.env", "SERVICE_PORT=1\n", 0o644)).is_ok());
}

#[test]
fn file_that_others_may_write_stops_the_start() {
    let folder = Folder::new();
    for mode in [0o666, 0o602] {
        let toml = folder.write("rts.toml", "service_port = 1\n", mode);
        let line = sources().file(&toml).err().unwrap().to_string();
        assert!(line.contains("may be written by other users"), "{line}");
        let dotenv = folder.write(".env", "SERVICE_PORT=1\n", mode);
        assert!(sources().dotenv_file(&dotenv).is_err());
        assert!(Sources::empty(Mode::Development).dotenv_file(&dotenv).is_ok());
    }
}

#[test]
fn proxy_keeps_its_password_out_of_messages_and_spares_this_machine() {
    let given =
        sources().set("HTTPS_PROXY", "http://u:canary@proxy:3128").set("NO_PROXY", "a.example, .b.example");
    let proxy = given.section::<OutgoingConfig>().unwrap().proxy.unwrap();
    assert!(!format!("{proxy:?}").contains("canary"));
    assert_eq!(proxy.url.password(), Some("canary"));
    assert_eq!(proxy.except, "localhost,.localhost,127.0.0.0/8,::1,a.example,.b.example");
    let bare = sources().set("HTTPS_PROXY", "proxy:3128").section::<OutgoingConfig>().unwrap().proxy.unwrap();
    assert_eq!(bare.url.as_str(), "http://proxy:3128/");
}
