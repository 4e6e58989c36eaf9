//! Tests of the layers of settings and of the permissions of their files.

use super::*;

#[test]
fn environment_wins_and_empty_counts_as_unset() {
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
fn message_names_the_layer_of_the_wrong_value() {
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
fn bad_dotenv_line_is_refused_without_quoting_it() {
    let folder = Folder::new();
    let dotenv = folder.write(".env", "SERVICE_PORT=1\nDATABASE_URL='canary\n", 0o600);
    let line = sources().dotenv_file(&dotenv).err().unwrap().to_string();
    assert!(line.ends_with("has a bad line after SERVICE_PORT"), "{line}");
}

#[test]
fn unknown_keys_of_the_file_are_errors() {
    assert_eq!(
        file("servce_port = 1").err().unwrap().to_string(),
        "`servce_port` in rts.toml is not a setting"
    );
    assert!(file("rts_config = 'other.toml'").is_err());
    assert!(
        file("[[oidc_issuers]]\nissuer='https://a'\naudience='b'\nsurprise=1")
            .unwrap()
            .section::<OidcConfig>()
            .is_err()
    );
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
