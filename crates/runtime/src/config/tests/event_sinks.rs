//! Tests of the sinks of events.

use domain::{AuditChain, Severity};

use super::*;

const SIGNING_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Two sinks: one by flat settings, one by a table of the file.
fn two(folder: &Folder) -> Sources {
    let key = |name: &str| folder.write(name, &format!("{SIGNING_KEY}\n"), 0o600).display().to_string();
    let text = format!(
        r#"
        [[event_sinks]]
        name = "siem"
        url = "http://localhost:9000/hook?token=hunter2"
        secret_paths = ["{}", "{}"]
        types = ["rts.audit.*"]
        min_severity = "high"
        "#,
        key("new"),
        key("old"),
    );
    let given = file(&text).unwrap().set("EVENT_SINK_URL", "https://events.example/hunter2");
    given.set("EVENT_SINK_SECRET_PATHS", key("default")).set("EVENT_SOURCE", "https://runners.example/")
}

#[test]
fn sinks_come_from_settings_and_file() {
    let folder = Folder::new();
    let config: EventSinksConfig = two(&folder).section().unwrap();
    let [default, siem] = config.sinks.as_slice() else { panic!("two sinks") };
    assert_eq!((default.name.as_str(), siem.name.as_str()), ("default", "siem"));
    assert_eq!((default.keys().unwrap().len(), siem.keys().unwrap().len()), (1, 2));
    let wants =
        |sink: &EventSinkConfig| AuditChain::ALL.iter().map(|chain| sink.filter.wants(*chain)).collect();
    let (of_default, of_siem): (Vec<bool>, Vec<bool>) = (wants(default), wants(siem));
    assert_eq!((of_default, of_siem), (vec![false, true], vec![true, false]));
    assert_eq!((default.filter.min_severity, siem.filter.min_severity), (Severity::Low, Severity::High));
    assert_eq!(config.source, "https://runners.example/");
    assert!(!format!("{config:?}").contains("hunter2"), "a URL may hold a token");

    let none: EventSinksConfig = sources().section().unwrap();
    assert_eq!((none.sinks.len(), none.source.as_str()), (0, "/rts"));
}

#[test]
fn keys_are_read_again_and_checked_again() {
    let folder = Folder::new();
    let config: EventSinksConfig = two(&folder).section().unwrap();
    folder.write("old", SIGNING_KEY, 0o644);
    assert!(config.sinks[1].keys().unwrap_err().ends_with("old"), "other users may read it now");
    folder.write("old", "another text", 0o600);
    assert!(config.sinks[1].keys().is_err());
}

#[test]
fn faults_of_sinks_are_named() {
    let folder = Folder::new();
    let open = folder.write("open", SIGNING_KEY, 0o604).display().to_string();
    for (name, value) in [
        ("EVENT_SINK_URL", "http://events.example/"),
        ("EVENT_SINK_URL", "https://ada:hunter2@events.example/"),
        ("EVENT_SINK_SECRET_PATHS", &open),
        ("EVENT_SINK_SECRET_PATHS", "nowhere"),
        ("EVENT_SINK_TYPES", "team.create"),
        ("EVENT_SINK_MIN_SEVERITY", "urgent"),
        ("EVENT_SOURCE", "a b"),
    ] {
        let line = two(&folder).set(name, value).section::<EventSinksConfig>().expect_err(value).to_string();
        assert!(line.starts_with(name) && !line.contains("hunter2"), "{line}");
    }
    let unsigned = sources().set("EVENT_SINK_URL", "https://events.example/");
    let line = unsigned.section::<EventSinksConfig>().unwrap_err().to_string();
    assert!(line.starts_with("EVENT_SINK_SECRET_PATHS is not set"), "{line}");

    let key = folder.write("key", SIGNING_KEY, 0o600).display().to_string();
    let table = format!(
        "[[event_sinks]]\nname = \"siem\"\nurl = \"https://siem.example/\"\nsecret_paths = [\"{key}\"]\n"
    );
    for (from, to, place) in [
        ("\"siem\"", "\"default\"", "event_sinks[0].name"),
        ("https:", "http:", "event_sinks[0].url"),
        ("/key", "/nowhere", "event_sinks[0].secret_paths"),
        ("\"]", "\"]\ntypes = []", "event_sinks[0].types"),
        ("\"]", "\"]\nmin_severity = \"\"", "event_sinks[0].min_severity"),
        ("\"]", "\"]\nkind = 1", "rts.toml has a bad event_sinks"),
    ] {
        let given = file(&table.replacen(from, to, 1)).unwrap();
        let line = given.section::<EventSinksConfig>().expect_err(to).to_string();
        assert!(line.starts_with(place), "{line}");
    }
    let twice = file(&table.repeat(2)).unwrap().section::<EventSinksConfig>().unwrap_err().to_string();
    assert!(twice.starts_with("event_sinks should be"), "{twice}");
}
