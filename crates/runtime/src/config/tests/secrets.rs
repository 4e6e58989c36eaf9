//! Tests of keys and other secrets: strength, file permissions and absence from messages.

use super::*;

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
        "each process then mints its own token"
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
fn secret_is_in_no_message_and_no_debug() {
    let canary = "canary-5f2e";
    let line = refusal::<DatabaseConfig>("DATABASE_URL", &format!("mysql://u:{canary}@h/db"));
    assert!(!line.contains(canary), "{line}");
    let given = sources().set("DATABASE_URL", format!("postgres://u:{canary}@localhost/db"));
    assert!(!format!("{:?}", given.section::<DatabaseConfig>().unwrap()).contains(canary));
    let broken = file(&format!("database_url = \"postgres://u:{canary}@h")).err().unwrap().to_string();
    assert!(!broken.contains(canary) && !broken.contains('\n'), "{broken}");
}

#[test]
fn world_readable_key_is_refused_in_production() {
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
fn secrets_of_examples_are_refused() {
    for url in ["postgres://rts:change-me@localhost:5432/rts", "postgres://rts:CHANGEME@localhost/rts"] {
        let line = refusal::<DatabaseConfig>("DATABASE_URL", url);
        assert!(line.contains("placeholder"), "{line}");
    }
    refusal::<WebhookConfig>("GITHUB_WEBHOOK_SECRET", "change-me-change-me");
    // The bytes 00 01 02 … 1f, and 1f 1e … 00.
    for key in
        ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="]
    {
        refusal::<SecretsConfig>("CREDENTIAL_KEYS", &format!("k1:{key}"));
        let dev = Sources::empty(Mode::Development).set("CREDENTIAL_KEYS", format!("k1:{key}"));
        assert!(dev.section::<SecretsConfig>().is_ok());
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
