//! Machine clients: matching of tokens to clients, and the subject recorded for each request.

use harness::{World, provision_body, team_draft};
use serde_json::{Value, json};

use super::{alarmed, audited, me};

/// Two workflows of one repository, both identified as the client `deploy`.
struct Workflows {
    world: World,
    prod: String,
    pull_request: String,
}

async fn workflows(workers: usize) -> Workflows {
    let world = World::builder().workers(workers).start().await;
    let red = world.team(team_draft("red")).await;
    let root = world.admin().await;
    let rule =
        json!({ "client_id": "deploy", "team_id": red.id, "rule": { "subject": "repo:octo-org/deploy:*" } });
    world.post("/admin/oauth-clients", &root, &rule).await.assert_status(201);
    let token = |of: &str, run: &str| {
        world.token(&json!({ "sub": format!("repo:octo-org/deploy:{of}"), "repository": "octo-org/deploy", "run_id": run,
            "actor": "ada", "ref": "refs/heads/main", "event_name": "push", "jti": format!("jti-{run}"),
            "job_workflow_ref": "octo-org/deploy/.github/workflows/x.yml@refs/heads/main" }))
    };
    let (prod, pull_request) = (token("environment:prod", "1001"), token("pull_request", "1002"));
    Workflows { world, prod, pull_request }
}

#[tokio::test]
async fn config_is_only_for_the_subject_that_asked() {
    let Workflows { world, prod, pull_request } = workflows(1).await;
    let ask = |token: &str| {
        let ask = world
            .ask("POST", "/runners/jit")
            .by(token)
            .header("Idempotency-Key", "k")
            .header("Prefer", "wait=25");
        ask.json(&provision_body("ci"))
    };
    let made = ask(&prod).send().await.assert_status(201).body;
    let replay = ask(&pull_request).send().await.refused(403, "credential_denied");
    assert!(!replay.text.contains(made["encoded_jit_config"].as_str().unwrap()));
    let path = format!("/jobs/{}/credential", made["job_id"].as_str().unwrap());
    world.ask("POST", &path).by(&pull_request).send().await.refused(403, "credential_denied");
    assert_eq!(alarmed(&world, "credential_denied").await.len(), 2);
    let again = ask(&prod).send().await.assert_status(201).body;
    assert_eq!(again["encoded_jit_config"], made["encoded_jit_config"]);
    world.ask("POST", &path).by(&prod).send().await.assert_status(200);
    let rows = audited(&world, "credential.fetch").await;
    assert!(rows.len() >= 4);
    for row in &rows {
        let claims = &row["data"]["claims"];
        let (sub, run) =
            if row["success"] == true { ("environment:prod", "1001") } else { ("pull_request", "1002") };
        assert_eq!(claims["sub"], format!("repo:octo-org/deploy:{sub}"), "{row}");
        assert_eq!((&claims["run_id"], &claims["actor"]), (&json!(run), &json!("ada")));
        for name in ["repository", "ref", "event_name", "job_workflow_ref", "jti"] {
            assert!(claims[name].is_string(), "{name} {row}");
        }
    }
    assert_eq!(audited(&world, "runner.provision").await[0]["data"]["claims"]["run_id"], "1001");
}

#[tokio::test]
async fn job_is_cancelled_only_by_the_subject_that_asked() {
    let Workflows { world, prod, pull_request } = workflows(0).await;
    let job = world.jit(&prod, &provision_body("ci")).await.assert_status(202).body["job_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/jobs/{job}");
    world.get(&path, &pull_request).await.assert_status(200);
    world.ask("DELETE", &path).by(&pull_request).send().await.refused(403, "credential_denied");
    assert_eq!(alarmed(&world, "credential_denied").await.len(), 1);
    world.ask("DELETE", &path).by(&prod).send().await.assert_status(200);
}

#[tokio::test]
async fn rules_without_an_owner_are_refused() {
    let world = World::builder().workers(0).start().await;
    let (red, root) = (world.team(team_draft("red")).await, world.admin().await);
    let add = async |rule: Value| {
        let body = json!({ "client_id": rule.to_string(), "team_id": red.id, "rule": rule });
        world.post("/admin/oauth-clients", &root, &body).await
    };
    for subject in
        ["*", "r*", "repo:*", "*:*", "*/*", "repo:*:ref:refs/heads/main", "repo:acme*", "project_path:*"]
    {
        assert_eq!(
            add(json!({ "subject": subject })).await.refused(422, "validation_failed").pointers(),
            ["/rule"]
        );
    }
    for rule in [
        json!({ "subject": "repo:a\0cme/x" }),
        json!({ "subject": "repo:acme/x", "claims": { "a\0": 1 } }),
        json!({ "subject": "repo:acme/x", "claims": { "a": "\0" } }),
    ] {
        let refused = add(rule).await.refused(422, "validation_failed");
        assert!(refused.pointers()[0].starts_with("/rule"), "{}", refused.text);
    }
    add(json!({ "subject": "*", "claims": { "repository_owner_id": "77" } })).await.assert_status(201);
    me(&world, &world.token(&json!({ "sub": "any", "repository_owner_id": "77" }))).await.assert_status(200);
    me(&world, &world.token(&json!({ "sub": "any", "repository_owner_id": "78" })))
        .await
        .refused(403, "unknown_principal");
}

#[tokio::test]
async fn rule_is_found_and_checked_among_ten_thousand() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let many = "INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
        SELECT gen_random_uuid(), 'c' || n, $1, $2, jsonb_build_object('subject', 'repo:acme/app-' || n || ':*', 'claims', '{}'::jsonb)
        FROM generate_series(1, 10000) n";
    let done =
        sqlx::query(many).bind(world.issuer().url()).bind(red.id.uuid()).execute(world.sql()).await.unwrap();
    assert_eq!(done.rows_affected(), 10_000);
    sqlx::query("ANALYZE oauth_clients").execute(world.sql()).await.unwrap();
    let token = |n: u32| world.token(&json!({ "sub": format!("repo:acme/app-{n}:ref:refs/heads/main") }));
    for n in [1, 5000, 10_000] {
        let body = me(&world, &token(n)).await.assert_status(200).body;
        assert_eq!(body["identity"], format!("c{n}"));
    }
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT id FROM oauth_clients WHERE issuer = (SELECT min(issuer) FROM oauth_clients) AND rule IS NOT NULL
            AND claim_rule_key(rule) = ANY(ARRAY['s:repo:acme/app-7:x', 'p:repo:acme/', 'p:repo:acme/app-7:'])",
    )
    .fetch_all(world.sql())
    .await
    .unwrap();
    assert!(plan.join("\n").contains("oauth_clients_rule"), "{plan:?}");
    let root = world.admin().await;
    let second = json!({ "client_id": "second", "team_id": blue.id, "rule": { "subject": "repo:acme/app-777:ref:*" } });
    world.post("/admin/oauth-clients", &root, &second).await.assert_status(201);
    me(&world, &token(777)).await.refused(403, "unknown_principal");
    me(&world, &token(778)).await.assert_status(200);
}

#[tokio::test]
async fn database_gives_each_rule_a_key_that_its_tokens_have() {
    let world = World::builder().workers(0).start().await;
    for (subject, claims, token) in [
        ("repo:acme/deploy:*", json!({}), json!({ "sub": "repo:acme/deploy:ref:refs/heads/main" })),
        ("repo:acme/de?loy*", json!({}), json!({ "sub": "repo:acme/deploy:x" })),
        ("repo:acme/deploy", json!({ "ref": "x" }), json!({ "sub": "repo:acme/deploy", "ref": "x" })),
        ("a:b:c:d:e:f:g:h:i:j:*", json!({}), json!({ "sub": "a:b:c:d:e:f:g:h:i:j:k" })),
        ("org/ORG/project|x#*", json!({}), json!({ "sub": "org/ORG/project|x#y" })),
        (
            "*",
            json!({ "ref": "m", "repository_id": 7 }),
            json!({ "sub": "s", "ref": "m", "repository_id": 7 }),
        ),
        ("r*", json!({ "tenant": "ü\"\\" }), json!({ "sub": "r", "tenant": "ü\"\\" })),
        ("r*", json!({ "flag": true }), json!({ "sub": "r", "flag": true })),
        (
            &format!("x/y/{}", "ü".repeat(400)),
            json!({}),
            json!({ "sub": format!("x/y/{}", "ü".repeat(400)) }),
        ),
    ] {
        let rule = json!({ "subject": subject, "claims": claims });
        let key: String =
            sqlx::query_scalar("SELECT claim_rule_key($1)").bind(&rule).fetch_one(world.sql()).await.unwrap();
        let facts = domain::TokenFacts {
            issuer: "i".into(),
            subject: token["sub"].as_str().unwrap().into(),
            email: None,
            binding_email: None,
            name: None,
            claims: token.as_object().unwrap().clone(),
        };
        assert!(facts.rule_keys().contains(&key), "{rule}: {key} is none of {:?}", facts.rule_keys());
    }
}

#[tokio::test]
async fn rule_of_an_earlier_release_without_an_owner_fits_no_token() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let rule = domain::ClaimRule { subject: "repo:*".into(), claims: std::collections::BTreeMap::new() };
    world.client("open", &red, Some(rule)).await;
    me(&world, &world.token(&json!({ "sub": "repo:evil/x:ref" }))).await.refused(403, "unknown_principal");
    let open = world.store().conn().await.unwrap().clients().with_open_rules().await.unwrap();
    assert_eq!(open, [("open".to_owned(), world.issuer().url().to_owned())]);
}

#[tokio::test]
async fn rule_of_a_newer_release_fits_no_token_and_is_left_alone() {
    let Workflows { world, .. } = workflows(0).await;
    // Refusals of a principal are remembered, so each request has a subject of its own.
    let token = |of: &str| {
        let sub = format!("repo:octo-org/deploy:environment:{of}");
        world.token(&json!({ "sub": sub, "ref": "refs/heads/main" }))
    };
    me(&world, &token("before")).await.assert_status(200);
    let newer = [
        r#"{"subject": "repo:octo-org/deploy:*", "claims": {}, "not_before": "2030-01-01"}"#,
        r#"{"subject": "repo:octo-org/deploy:*", "claims": {"ref": {"any_of": ["refs/heads/main"]}}}"#,
    ];
    for (nth, rule) in newer.iter().enumerate() {
        let change = "UPDATE oauth_clients SET rule = $1, last_used_at = NULL";
        let rule: Value = serde_json::from_str(rule).unwrap();
        sqlx::query(change).bind(&rule).execute(world.sql()).await.unwrap();
        me(&world, &token(&nth.to_string())).await.refused(403, "unknown_principal");
        let kept: Value =
            sqlx::query_scalar("SELECT rule FROM oauth_clients WHERE last_used_at IS NULL AND is_active")
                .fetch_one(world.sql())
                .await
                .unwrap();
        assert_eq!(kept, rule);
    }
    let blue = world.team(team_draft("blue")).await;
    let ours = domain::ClaimRule {
        subject: "repo:octo-org/deploy:environment:*".into(),
        claims: std::collections::BTreeMap::new(),
    };
    world.client("blue", &blue, Some(ours)).await;
    let change = "UPDATE oauth_clients SET rule = rule || '{\"claims\": {}, \"not_before\": 1}' WHERE client_id = 'deploy'";
    sqlx::query(change).execute(world.sql()).await.unwrap();
    me(&world, &token("doubtful")).await.refused(403, "unknown_principal");
    let gone = "UPDATE oauth_clients SET deleted_at = now(), is_active = false WHERE client_id = 'deploy'";
    sqlx::query(gone).execute(world.sql()).await.unwrap();
    assert_eq!(me(&world, &token("after")).await.assert_status(200).body["identity"], "blue");
    let metrics = world.request("GET", "/metrics").send().await.text;
    assert!(metrics.contains(r#"rts_unreadable_total{store="postgres"}"#), "reported");
}

#[tokio::test]
async fn subject_of_a_long_branch_name_is_accepted() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let root = world.admin().await;
    let rule =
        json!({ "client_id": "deploy", "team_id": red.id, "rule": { "subject": "repo:acme/deploy:*" } });
    world.post("/admin/oauth-clients", &root, &rule).await.assert_status(201);
    let sub = format!("repo:acme/deploy:ref:refs/heads/{}", "x".repeat(980));
    me(&world, &world.token(&json!({ "sub": sub }))).await.assert_status(200);
}

#[tokio::test]
async fn unreadable_claims_of_a_valid_token_are_refused_without_a_server_error() {
    let world = World::builder().workers(0).start().await;
    for claims in [
        json!({ "sub": "x", "azp": "a\0b", "gty": "client-credentials" }),
        json!({ "sub": "x", "repository": "a\0b", "jti": "\0", "x\0y": "z", "run_id": 1e300 }),
        json!({ "sub": "x", "email": "a\0b@example.com", "email_verified": true, "name": "\0" }),
        json!({ "sub": "x", "client_id": "y".repeat(5000), "gty": "client-credentials" }),
        json!({ "sub": "x", "deep": { "a\0": ["\0"] }, "text": "\\u0000" }),
        json!({ "sub": "x", "preferred_username": 7, "scope": 7, "scp": {}, "azp": [] }),
    ] {
        me(&world, &world.token(&claims)).await.refused(403, "unknown_principal");
    }
    assert_eq!(audited(&world, "principal.unknown").await.len(), 1);
}

#[tokio::test]
async fn rule_with_the_owner_alone_is_found_among_thousands_by_its_claims() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(team_draft("red")).await, world.team(team_draft("blue")).await);
    let many = "INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
        SELECT gen_random_uuid(), 'c' || n, $1, $2,
            jsonb_build_object('subject', 'repo:acme/*', 'claims', jsonb_build_object('repository_id', n::text))
        FROM generate_series(1, 5000) n";
    sqlx::query(many).bind(world.issuer().url()).bind(red.id.uuid()).execute(world.sql()).await.unwrap();
    let token =
        |id: &str| world.token(&json!({ "sub": "repo:acme/x:ref:refs/heads/main", "repository_id": id }));
    assert_eq!(me(&world, &token("4711")).await.assert_status(200).body["identity"], "c4711");
    me(&world, &token("5001")).await.refused(403, "unknown_principal");
    let several = "INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
        SELECT gen_random_uuid(), 'd' || n, $1, $2, '{\"subject\": \"repo:acme/x*\", \"claims\": {}}' FROM generate_series(1, 300) n";
    sqlx::query(several).bind(world.issuer().url()).bind(blue.id.uuid()).execute(world.sql()).await.unwrap();
    me(&world, &token("4711")).await.refused(403, "unknown_principal");
}
