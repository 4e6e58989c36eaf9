//! Tests of several installations, each with one owner and one credential.

use super::*;

/// Two further installations: an organisation by App, an enterprise by token.
fn several(folder: &Folder) -> String {
    let file = |name: &str, text: &str| folder.write(name, text, 0o600).display().to_string();
    let (key, token) = (file("b.pem", "key"), file("token", "ghp_x"));
    let secret = file("hook", "the installation has its own secret\n");
    format!(
        r#"
        [[github_installations]]
        id = "second"
        org = "globex"
        app_id = 7
        app_installation_id = 8
        private_key_path = "{key}"
        webhook_secret_path = "{secret}"
        default_runner_group_id = 3
        [[github_installations]]
        id = "whole"
        enterprise = "initech"
        api_url = "https://ghes.example/api/v3"
        token_path = "{token}"
        rate_limits = false
        "#
    )
}

#[test]
fn further_installations_come_from_the_file() {
    let folder = Folder::new();
    let key = folder.write("a.pem", "key", 0o600);
    let mut given = complete().toml(&PathBuf::from("rts.toml"), &several(&folder)).unwrap();
    given = given.set("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap());
    given = given.set("GITHUB_WEBHOOK_SECRET", "the common secret");
    let config = Config::load(&given).unwrap();
    let pages: Vec<_> = config.github.installations.iter().map(InstallationConfig::web_url).collect();
    let enterprise = "https://ghes.example/enterprises/initech";
    assert_eq!(pages, ["https://github.com/acme", "https://github.com/globex", enterprise]);
    assert_eq!(config.github.installations[1].default_runner_group_id, 3);
    let [_, second, whole] = config.github_app.members.as_slice() else { panic!("three members") };
    assert!(matches!(second.credential, CredentialConfig::App { app_id: 7, app_installation_id: 8, .. }));
    assert!(matches!(whole.credential, CredentialConfig::Token { .. }) && !whole.rate_limits);
    let signs: Vec<_> =
        config.webhooks.secrets.iter().map(|one| (one.secret.expose(), one.installations.len())).collect();
    assert_eq!(signs, [("the common secret", 2), ("the installation has its own secret", 1)]);
}

#[test]
fn repository_of_a_managed_user_is_accepted() {
    let folder = Folder::new();
    let key = folder.write("a.pem", "key", 0o600);
    for (owner, name) in [("ada_acme", "tools"), ("acme", "x_y.z-1"), ("a", "b")] {
        let text =
            several(&folder).replacen("org = \"globex\"", &format!("repository = \"{owner}/{name}\""), 1);
        let given = complete().toml(&PathBuf::from("rts.toml"), &text).unwrap();
        let given = given.set("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap());
        let owners: Vec<_> =
            Config::load(&given).unwrap().github.installations.into_iter().map(|one| one.owner).collect();
        assert!(owners.contains(&GithubOwner::Repository(owner.into(), name.into())), "{owners:?}");
    }
}

#[test]
fn missing_installation_settings_are_named() {
    let folder = Folder::new();
    let good = several(&folder);
    let refused = |from: &str, to: &str| {
        let given = complete().toml(&PathBuf::from("rts.toml"), &good.replacen(from, to, 1)).unwrap();
        let key = folder.write("a.pem", "key", 0o600);
        let given = given.set("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap());
        let line = Config::load(&given).expect_err(to).to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    for (from, to, place) in [
        ("\"second\"", "\"default\"", "github_installations[0].id"),
        ("\"second\"", "\"Second\"", "github_installations[0].id"),
        ("org = \"globex\"", "", "github_installations[0].org"),
        ("\"globex\"", "\"glo/bex\"", "github_installations[0].org"),
        ("enterprise =", "enterprises =", "rts.toml has a bad github_installations"),
        ("app_id = 7", "app_id = 0", "github_installations[0].app_id"),
        ("app_id = 7", "", "github_installations[0].app_id"),
        ("b.pem", "nowhere.pem", "github_installations[0].private_key_path"),
        ("/hook", "/nothing", "github_installations[0].webhook_secret_path"),
        (
            "default_runner_group_id = 3",
            "default_runner_group_id = 0",
            "github_installations[0].default_runner_group_id",
        ),
        ("https://ghes", "http://ghes", "github_installations[1].api_url"),
        ("token_path =", "private_key_path =", "github_installations[1].token_path"),
        ("rate_limits = false", "app_id = 3", "github_installations[1].token_path"),
        ("id = \"whole\"", "id = \"second\"", "github_installations should be"),
        ("org = \"globex\"", "org = \"ACME\"", "github_installations should be"),
    ] {
        let line = refused(from, to);
        assert!(line.starts_with(place), "{line}");
    }
    let line = refused("token_path =", "private_key_path =");
    assert!(line.contains("GitHub accepts no App for an enterprise"), "{line}");
    assert!(refused("rate_limits", "rate_limit").contains("github_installations"), "no surprises");
}

#[test]
fn one_installation_has_one_owner_and_one_credential() {
    let folder = Folder::new();
    let token = folder.write("token", "ghp_x", 0o640);
    let enterprise = sources().set("GITHUB_ENTERPRISE", "initech").set("GITHUB_APP_ID", "1");
    let line = enterprise.section::<GithubAppConfig>().unwrap_err().to_string();
    assert!(line.starts_with("GITHUB_TOKEN_PATH should be set: GitHub accepts no App"), "{line}");
    let both = enterprise.set("GITHUB_TOKEN_PATH", token.to_str().unwrap());
    let line = both.section::<GithubAppConfig>().unwrap_err().to_string();
    assert!(line.starts_with("GITHUB_APP_ID should be unset"), "{line}");
    assert!(both.section::<GithubConfig>().is_ok(), "the API needs no credential");
    let line = both.set("GITHUB_ORG", "acme").section::<GithubConfig>().unwrap_err().to_string();
    assert!(line.starts_with("GITHUB_ENTERPRISE should be unset"), "{line}");
    let open = folder.write("open", "ghp_x", 0o644);
    let line =
        sources().set("GITHUB_TOKEN_PATH", open.to_str().unwrap()).section::<GithubAppConfig>().unwrap_err();
    assert!(line.to_string().starts_with("GITHUB_TOKEN_PATH should be"), "{line}");
}

/// Further Apps `app-2` and so on, up to this number of Apps, of this pool.
fn further_apps(folder: &Folder, apps: usize, pool: &str) -> String {
    let key = folder.write("further.pem", "key", 0o600).display().to_string();
    let table = |n: usize| {
        format!(
            "[[github_installations]]\nid = \"app-{n}\"\npool = \"{pool}\"\napp_id = {n}\napp_installation_id = {n}\nprivate_key_path = \"{key}\"\n"
        )
    };
    (2..=apps).map(table).collect()
}

fn load(folder: &Folder, toml: &str) -> Result<Config, ConfigError> {
    let key = folder.write("a.pem", "key", 0o600);
    let given = complete().toml(&PathBuf::from("rts.toml"), toml).unwrap();
    Config::load(&given.set("GITHUB_APP_PRIVATE_KEY_PATH", key.to_str().unwrap()))
}

#[test]
fn further_app_joins_the_pool_of_an_installation() {
    let folder = Folder::new();
    let config = load(&folder, &further_apps(&folder, 3, "default")).unwrap();
    assert_eq!(config.github.installations.len(), 1, "one owner, one sync run, one installation of teams");
    let of: Vec<_> =
        config.github.further_apps.iter().map(|(app, pool)| (app.as_str(), pool.as_str())).collect();
    assert_eq!(of, [("app-2", "default"), ("app-3", "default")]);
    let pools: Vec<_> = config.github_app.members.iter().map(|one| one.pool.is_some()).collect();
    assert_eq!(pools, [false, true, true]);
}

#[test]
fn wrong_pools_are_refused_with_their_place() {
    let folder = Folder::new();
    let good = further_apps(&folder, 3, "default");
    for (from, to, place) in [
        ("\"default\"", "\"nowhere\"", "github_installations[0].pool should be the id of an installation"),
        ("\"default\"", "\"app-3\"", "github_installations[0].pool should be the id of an installation"),
        ("\"default\"", "\"No Name\"", "github_installations[0].pool should be the id of an installation"),
        ("app_id = 2", "app_id = 2\norg = \"acme\"", "github_installations[0].pool should be left out"),
        (
            "app_id = 2",
            "app_id = 2\ndefault_runner_group_id = 3",
            "github_installations[0].pool should be left out",
        ),
        ("\"app-3\"", "\"app-2\"", "github_installations should be"),
        ("app_id = 2", "", "github_installations[0].app_id"),
    ] {
        let line = load(&folder, &good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(line.starts_with(place), "{line}");
    }
    let line = load(&folder, &further_apps(&folder, 17, "default")).unwrap_err().to_string();
    assert!(line.starts_with("github_installations[15].pool should be a pool of at most 16"), "{line}");
}

#[test]
fn number_of_installations_has_a_limit_that_can_be_set() {
    let folder = Folder::new();
    let key = folder.write("b.pem", "key", 0o600).display().to_string();
    let table = |n: usize| {
        format!(
            "[[github_installations]]\nid = \"i-{n}\"\norg = \"org-{n}\"\napp_id = 1\napp_installation_id = {n}\nprivate_key_path = \"{key}\"\n"
        )
    };
    let eighty: String = (1..80).map(table).collect();
    assert_eq!(load(&folder, &eighty).unwrap().github.installations.len(), 80);
    let limited = format!("max_installations = 79\n{eighty}");
    let line = load(&folder, &limited).unwrap_err().to_string();
    assert!(line.contains("at most 79 installations (`MAX_INSTALLATIONS`)"), "{line}");
    assert_eq!(
        load(&folder, &limited.replace("= 79\n[", "= 80\n[")).unwrap().redis.installations_per_claim,
        80
    );
}
