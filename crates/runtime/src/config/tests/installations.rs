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
