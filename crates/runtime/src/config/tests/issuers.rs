//! Tests of the settings of token issuers.

use super::*;

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
fn first_issuer_binds_people_unless_another_says_so() {
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
