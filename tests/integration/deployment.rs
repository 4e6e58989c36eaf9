//! `docker-compose.yml`: confinement of containers, separation of secrets, and validity of settings.

use std::collections::{BTreeMap, BTreeSet};

const COMPOSE: &str = include_str!("../../docker-compose.yml");
const ENTRYPOINT: &str = include_str!("../../scripts/postgres-roles.sh");

/// Returns the ACL rules of the service's Valkey user, as documented in the file's head.
pub(crate) fn valkey_rules() -> &'static str {
    COMPOSE.lines().find_map(|line| line.split_once("user rts on >$(cat valkey) ")).unwrap().1
}

/// Returns the named blocks of a top-level section, or the top-level blocks, without comments.
fn blocks(text: &str, indent: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::<String, String>::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let head = line.strip_prefix(indent).filter(|rest| !rest.starts_with([' ', '-']) && !rest.is_empty());
        if let Some((key, rest)) = head.and_then(|head| head.split_once(':')) {
            name = key.to_owned();
            // An anchor in place of a value.
            if let Some(anchor) = rest.trim().strip_prefix('&') {
                found.insert(format!("*{anchor}"), String::new());
                name = format!("*{anchor}");
            }
        }
        let block = found.entry(name.clone()).or_default();
        block.push_str(line);
        block.push('\n');
    }
    found
}

/// Returns every service with its referenced blocks expanded.
fn services() -> BTreeMap<String, String> {
    let top = blocks(COMPOSE, "");
    let services = blocks(top["services"].split_once('\n').unwrap().1, "  ");
    let resolve = |text: &str| {
        let mut text = text.to_owned();
        while let Some((start, anchor)) = text.split_once("<<: *").map(|(start, rest)| (start.len(), rest)) {
            let name: String = anchor.chars().take_while(char::is_ascii_alphanumeric).collect();
            let block = top[&format!("*{name}")].split_once('\n').unwrap().1.to_owned();
            text = format!("{}{}\n{block}", &text[..start], &text[start + 5 + name.len()..]);
        }
        text
    };
    services.iter().map(|(name, text)| (name.clone(), resolve(text))).collect()
}

#[test]
fn every_container_is_confined() {
    let services = services();
    let names: Vec<_> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["api", "init-db", "postgres", "scheduler", "valkey", "worker"]);
    for (name, text) in &services {
        for key in [
            "read_only: true",
            "cap_drop: [ALL]",
            "no-new-privileges:true",
            "pids_limit: ",
            "mem_limit: ",
            "nofile: ",
            "tmpfs: ",
            "networks: ",
        ] {
            assert!(text.contains(key), "{name} has no {key}");
        }
        assert!(!text.contains("cap_add") && !text.contains("privileged: true"), "{name}");
        assert_eq!(text.contains("ports:"), name == "api", "{name}");
        let data_only = matches!(name.as_str(), "postgres" | "valkey" | "init-db");
        assert_eq!(text.contains("networks: [data]"), data_only, "{name}");
    }
    for image in COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
        let version = image.split_once(':').map(|(_, version)| version);
        assert!(image == "runner-token-service" || version.is_some_and(|v| v.contains('.')), "{image}");
    }
    assert!(COMPOSE.contains("data: { internal: true }"));
}

#[test]
fn every_process_has_a_health_check_and_the_tls_example_refuses_plain_stores() {
    let services = services();
    for name in ["api", "worker", "scheduler", "postgres", "valkey"] {
        assert!(services[name].contains("healthcheck:"), "{name}");
    }
    let tls = include_str!("../../docker-compose.tls.yml");
    for service in services.keys() {
        assert!(tls.contains(&format!("\n  {service}:\n")), "{service} has no TLS");
    }
    for line in ["ALLOW_PLAINTEXT_STORES: \"false\"", "ssl=on", "--tls-port", "sslmode=verify-full"] {
        assert!(tls.contains(line), "{line}");
    }
}

#[test]
fn images_are_pinned_by_digest_and_run_without_privileges() {
    let file = include_str!("../../Dockerfile");
    let bases: Vec<&str> = file.lines().filter(|line| line.starts_with("FROM ")).collect();
    assert_eq!(bases.len(), 3);
    for base in &bases {
        let digest = base.split("@sha256:").nth(1).and_then(|rest| rest.split(' ').next());
        assert!(digest.is_some_and(|hex| hex.len() == 64), "{base}");
    }
    assert!(
        bases[2].contains("distroless/cc-debian12:nonroot@"),
        "the last stage is the image of production"
    );
    assert_eq!(file.matches("USER 10001:10001").count(), 2);
    for workflow in
        [include_str!("../../.github/workflows/ci.yml"), include_str!("../../.github/workflows/release.yml")]
    {
        for action in workflow.lines().filter_map(|line| line.split("uses: ").nth(1)) {
            let hash = action.split('@').nth(1).and_then(|rest| rest.split(' ').next());
            assert!(hash.is_some_and(|hex| hex.len() == 40), "{action}");
        }
    }
}

#[test]
fn released_program_is_the_one_whose_size_is_checked() {
    let release = include_str!("../../.github/workflows/release.yml");
    let place = |step: &str| release.find(step).unwrap();
    assert!(
        place("./dev program auditable") < place("tar -C target/small"),
        "built and checked, then packed"
    );
    let dev = include_str!("../../dev");
    let place = |step: &str| dev.find(step).unwrap();
    let build = "build --profile small --locked -p cli --bin rts --no-default-features";
    assert!(place(build) < place("sh scripts/program_size.sh"), "built, then checked");
    assert!(include_str!("../../.github/workflows/ci.yml").contains("./dev program"));
}

#[test]
fn every_service_has_only_its_own_secrets() {
    let services = services();
    let secrets = |name: &str| -> String {
        let list = services[name].lines().find_map(|line| line.trim().strip_prefix("secrets: ")).unwrap();
        list.to_owned()
    };
    assert_eq!(secrets("api"), "[api.toml]");
    assert_eq!(secrets("init-db"), "[init.toml]");
    assert_eq!(secrets("worker"), "[worker.toml, github_app_key]");
    assert_eq!(secrets("scheduler"), "[scheduler.toml, github_app_key]");
    assert!(!services["api"].contains("GITHUB_APP"));
    let written = |file: &str| COMPOSE.lines().find(|line| line.ends_with(&format!("> {file}"))).unwrap();
    assert!(!written("api.toml").contains("token_keys"));
    assert!(!written("scheduler.toml").contains("credential_keys"));
    assert!(
        ["api.toml", "worker.toml", "scheduler.toml"]
            .iter()
            .all(|file| written(file).contains("database app"))
    );
    assert!(
        services["init-db"].contains("--app-role, rts_app") && ENTRYPOINT.contains("CREATE ROLE rts_app")
    );
}

#[test]
fn every_variable_is_a_setting() {
    let settings: BTreeSet<&str> =
        runtime::config::settings().iter().flat_map(|(_, all)| all.iter().map(|one| one.name)).collect();
    let files = ["RTS_CONFIG", "RTS_COMMIT", "PART_CPUS", "PART_MEMORY", "POSTGRES_MEMORY", "VALKEY_MEMORY"];
    let images = ["POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"];
    let named = COMPOSE.lines().filter(|line| !line.starts_with('#')).flat_map(|line| {
        line.split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .filter(|word| word.trim_matches('_').contains('_'))
    });
    for name in named {
        let known = settings.contains(name) || files.contains(&name) || images.contains(&name);
        assert!(known, "{name} is not a setting");
    }
}
