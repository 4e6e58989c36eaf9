//! Who is who: bindings, subjects of machine clients, claim rules, and what is written down about strangers.

use futures::future::join_all;
use harness::{Answer, Person, World, draft, wish};
use serde_json::{Value, json};
use store::UserDraft;

async fn me(world: &World, token: &str) -> Answer {
    world.get("/auth/me", token).await
}

/// A token of the first issuer with a verified e-mail.
fn login(world: &World, sub: &str, email: &str) -> String {
    world.token(&json!({ "sub": sub, "email": email, "email_verified": true }))
}

async fn invite(world: &World, root: &Person, body: Value) -> Value {
    world.post("/admin/users", root, &body).await.expect(201).body
}

async fn audited(world: &World, event: &str) -> Vec<Value> {
    let sql =
        "SELECT jsonb_build_object('data', event_data, 'ip', request_ip, 'success', success) FROM audit_log
        WHERE event_type = $1 ORDER BY id";
    sqlx::query_scalar(sql).bind(event).fetch_all(world.sql()).await.unwrap()
}

async fn alarmed(world: &World, event: &str) -> Vec<Value> {
    let sql = "SELECT jsonb_build_object('data', violation_data, 'severity', severity) FROM security_events
        WHERE event_type = $1 ORDER BY id";
    sqlx::query_scalar(sql).bind(event).fetch_all(world.sql()).await.unwrap()
}

#[tokio::test]
async fn invitation_binds_only_a_verified_email_of_its_issuer() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let root = world.admin().await;
    let ceo = invite(&world, &root, json!({ "email": "ceo@corp.example", "is_admin": true })).await;
    assert_eq!(ceo["issuer"], world.issuer().url(), "every user has an issuer");
    let unverified = json!({ "sub": "evil", "email": "CEO@corp.example" });
    me(&world, &world.token(&unverified)).await.refused(403, "unknown_principal");
    let elsewhere = json!({ "sub": "evil", "email": "CEO@corp.example", "email_verified": true });
    me(&world, &world.issuers[1].token(&elsewhere).unwrap()).await.refused(403, "unknown_principal");
    assert!(audited(&world, "user.bind").await.iter().all(|row| row["success"] == false));

    let first = me(&world, &login(&world, "ceo-sub", "CEO@corp.example")).await.expect(200);
    assert_eq!(first.body["id"], ceo["id"]);
    let bound = audited(&world, "user.bind").await;
    let bound: Vec<_> = bound.iter().filter(|row| row["success"] == true).collect();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0]["data"]["subject"], "ceo-sub");
    assert_eq!(bound[0]["data"]["issuer"], world.issuer().url());
    assert_eq!(bound[0]["ip"], "127.0.0.1");
    assert_eq!(alarmed(&world, "admin_bound").await.len(), 1);

    for _ in 0..30 {
        me(&world, &login(&world, "second", "ceo@corp.example")).await.refused(403, "unknown_principal");
    }
    let refused = alarmed(&world, "user_bind_refused").await;
    let twice: Vec<_> = refused.iter().filter(|event| event["data"]["reason"] == "bound_already").collect();
    assert_eq!(twice.len(), 1, "thirty tries are one event");
    assert_eq!(twice[0]["severity"], "high");
}

#[tokio::test]
async fn invitation_older_than_thirty_days_binds_nobody() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let ada = invite(&world, &root, json!({ "email": "ada@example.com" })).await;
    let id = ada["id"].as_str().unwrap().parse().unwrap();
    world.change("UPDATE users SET created_at = now() - interval '31 days' WHERE id = $1", id).await;
    let token = login(&world, "ada", "ada@example.com");
    let refused = me(&world, &token).await.refused(403, "unknown_principal");
    assert!(refused.body["detail"].as_str().unwrap().contains("30 days"), "{}", refused.text);
    world.change("UPDATE users SET invited_at = now() - interval '29 days' WHERE id = $1", id).await;
    me(&world, &token).await.expect(200);
}

#[tokio::test]
async fn two_first_requests_at_once_are_both_answered() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    for nth in 0..10 {
        let email = format!("new-{nth}@example.com");
        invite(&world, &root, json!({ "email": email })).await;
        let token = login(&world, &format!("sub-{nth}"), &email);
        for answer in join_all((0..5).map(|_| me(&world, &token))).await {
            answer.expect(200);
        }
    }
    assert_eq!(audited(&world, "user.bind").await.len(), 10);
}

#[tokio::test]
async fn invited_person_is_not_taken_for_a_rules_client() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let red = world.team(draft("red")).await;
    let rule = json!({ "client_id": "all", "team_id": red.id, "rule": { "subject": "people/acme/*" } });
    world.post("/admin/oauth-clients", &root, &rule).await.expect(201);
    invite(&world, &root, json!({ "email": "ada@example.com" })).await;
    let machine = me(&world, &world.token(&json!({ "sub": "people/acme/bot" }))).await.expect(200);
    assert_eq!(machine.body["kind"], "client");
    let unverified = json!({ "sub": "people/acme/ada", "email": "ada@example.com" });
    me(&world, &world.token(&unverified)).await.refused(403, "unknown_principal");
    let ada = me(&world, &login(&world, "people/acme/ada", "ada@example.com")).await.expect(200);
    assert_eq!(ada.body["kind"], "user");
}

#[tokio::test]
async fn users_and_clients_name_a_configured_issuer() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let root = world.admin().await;
    let red = world.team(draft("red")).await;
    let (first, slash) = (world.issuer().url().to_owned(), format!("{}/", world.issuer().url()));
    for issuer in ["https://elsewhere.example", slash.as_str()] {
        let users = [
            json!({ "email": "a@example.com", "issuer": issuer }),
            json!({ "oidc_sub": "a", "issuer": issuer }),
        ];
        for body in users {
            let refused = world.post("/admin/users", &root, &body).await.refused(422, "validation_failed");
            assert_eq!(refused.pointers(), ["/issuer"]);
            assert!(refused.text.contains(&first), "{}", refused.text);
        }
        let body = json!({ "client_id": "c", "team_id": red.id, "issuer": issuer });
        let refused =
            world.post("/admin/oauth-clients", &root, &body).await.refused(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/issuer"]);
    }
    assert_eq!(invite(&world, &root, json!({ "oidc_sub": "sub-only" })).await["issuer"], first);
    let other = world.issuers[1].url();
    assert_eq!(
        invite(&world, &root, json!({ "email": "b@example.com", "issuer": other })).await["issuer"],
        other
    );
    let said =
        me(&world, &world.token(&json!({ "iss": slash, "sub": "x" }))).await.refused(401, "invalid_token");
    assert!(
        said.text.contains(&format!("`{slash}`")) && said.text.contains(&format!("`{first}`")),
        "{}",
        said.text
    );
}

#[tokio::test]
async fn me_names_user_email_subject_and_roles() {
    let world = World::builder().workers(0).start().await;
    let (red, root) = (world.team(draft("red")).await, world.admin().await);
    let ada = world.user("ada", &[&red]).await;
    let body = me(&world, &ada.token).await.expect(200).body;
    assert_eq!((&body["user_id"], &body["email"]), (&json!(ada.id), &json!("ada@example.com")));
    assert_eq!((&body["oidc_sub"], &body["roles"]), (&json!("ada"), &json!(["member"])));
    assert_eq!(body["teams"], json!([{ "id": red.id, "name": "red", "is_active": true }]));
    assert_eq!(me(&world, &root.token).await.expect(200).body["roles"], json!(["admin"]));
    let bot = world.machine("bot", &red).await;
    let body = me(&world, &bot.token).await.expect(200).body;
    assert_eq!(
        (&body["user_id"], &body["email"], &body["oidc_sub"]),
        (&Value::Null, &Value::Null, &json!("bot@clients"))
    );
}

#[tokio::test]
async fn unknown_principal_is_told_what_was_read() {
    let world = World::builder().workers(0).start().await;
    let known = json!({ "sub": "nobody", "azp": "webapp", "email": "x@example.com", "email_verified": true });
    let detail =
        me(&world, &world.token(&known)).await.refused(403, "unknown_principal").body["detail"].clone();
    for word in [world.issuer().url(), "nobody", "webapp", "x@example.com"] {
        assert!(detail.as_str().unwrap().contains(word), "{detail}");
    }
    let bare = me(&world, &world.token(&json!({ "sub": "nobody" }))).await.refused(403, "unknown_principal");
    assert!(bare.text.contains("no e-mail") && bare.text.contains("no client id"), "{}", bare.text);
}

/// Two workflows of one repository, both the client `deploy`.
struct Workflows {
    world: World,
    prod: String,
    pull_request: String,
}

async fn workflows(workers: usize) -> Workflows {
    let world = World::builder().workers(workers).start().await;
    let red = world.team(draft("red")).await;
    let root = world.admin().await;
    let rule =
        json!({ "client_id": "deploy", "team_id": red.id, "rule": { "subject": "repo:octo-org/deploy:*" } });
    world.post("/admin/oauth-clients", &root, &rule).await.expect(201);
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
        ask.json(&wish("ci"))
    };
    let made = ask(&prod).send().await.expect(201).body;
    let replay = ask(&pull_request).send().await.refused(403, "credential_denied");
    assert!(!replay.text.contains(made["encoded_jit_config"].as_str().unwrap()));
    let path = format!("/jobs/{}/credential", made["job_id"].as_str().unwrap());
    world.ask("POST", &path).by(&pull_request).send().await.refused(403, "credential_denied");
    assert_eq!(alarmed(&world, "credential_denied").await.len(), 2);
    let again = ask(&prod).send().await.expect(201).body;
    assert_eq!(again["encoded_jit_config"], made["encoded_jit_config"]);
    world.ask("POST", &path).by(&prod).send().await.expect(200);
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
    let job = world.jit(&prod, &wish("ci")).await.expect(202).body["job_id"].as_str().unwrap().to_owned();
    let path = format!("/jobs/{job}");
    world.get(&path, &pull_request).await.expect(200);
    world.ask("DELETE", &path).by(&pull_request).send().await.refused(403, "credential_denied");
    assert_eq!(alarmed(&world, "credential_denied").await.len(), 1);
    world.ask("DELETE", &path).by(&prod).send().await.expect(200);
}

#[tokio::test]
async fn rules_without_an_owner_are_refused() {
    let world = World::builder().workers(0).start().await;
    let (red, root) = (world.team(draft("red")).await, world.admin().await);
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
    add(json!({ "subject": "*", "claims": { "repository_owner_id": "77" } })).await.expect(201);
    me(&world, &world.token(&json!({ "sub": "any", "repository_owner_id": "77" }))).await.expect(200);
    me(&world, &world.token(&json!({ "sub": "any", "repository_owner_id": "78" })))
        .await
        .refused(403, "unknown_principal");
}

#[tokio::test]
async fn rule_is_found_and_doubted_among_ten_thousand() {
    let world = World::builder().workers(0).start().await;
    let (red, blue) = (world.team(draft("red")).await, world.team(draft("blue")).await);
    let many = "INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
        SELECT gen_random_uuid(), 'c' || n, $1, $2, jsonb_build_object('subject', 'repo:acme/app-' || n || ':*', 'claims', '{}'::jsonb)
        FROM generate_series(1, 10000) n";
    let done =
        sqlx::query(many).bind(world.issuer().url()).bind(red.id.uuid()).execute(world.sql()).await.unwrap();
    assert_eq!(done.rows_affected(), 10_000);
    sqlx::query("ANALYZE oauth_clients").execute(world.sql()).await.unwrap();
    let token = |n: u32| world.token(&json!({ "sub": format!("repo:acme/app-{n}:ref:refs/heads/main") }));
    for n in [1, 5000, 10_000] {
        let body = me(&world, &token(n)).await.expect(200).body;
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
    world.post("/admin/oauth-clients", &root, &second).await.expect(201);
    me(&world, &token(777)).await.refused(403, "unknown_principal");
    me(&world, &token(778)).await.expect(200);
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
    let red = world.team(draft("red")).await;
    let rule = domain::ClaimRule { subject: "repo:*".into(), claims: std::collections::BTreeMap::new() };
    world.client("open", &red, Some(rule)).await;
    me(&world, &world.token(&json!({ "sub": "repo:evil/x:ref" }))).await.refused(403, "unknown_principal");
    let open = world.store().read().await.unwrap().clients().with_open_rules().await.unwrap();
    assert_eq!(open, [("open".to_owned(), world.issuer().url().to_owned())]);
}

#[tokio::test]
async fn unbound_person_is_invited_anew_and_binds_another_subject() {
    let world = World::builder().workers(0).start().await;
    let root = world.admin().await;
    let ada = invite(&world, &root, json!({ "email": "ada@example.com" })).await;
    let id = ada["id"].as_str().unwrap();
    me(&world, &login(&world, "old", "ada@example.com")).await.expect(200);
    let old = "UPDATE users SET created_at = now() - interval '1 year', invited_at = NULL WHERE id = $1";
    world.change(old, id.parse().unwrap()).await;
    me(&world, &login(&world, "new", "ada@example.com")).await.refused(403, "unknown_principal");
    world.post(&format!("/admin/users/{id}/unbind"), &root, &json!({})).await.expect(200);
    me(&world, &login(&world, "new", "ada@example.com")).await.expect(200);
    me(&world, &login(&world, "old", "ada@example.com")).await.refused(403, "unknown_principal");
}

#[tokio::test]
async fn strangers_and_probing_users_write_a_bounded_number_of_rows() {
    let world = World::builder().workers(0).start().await;
    let ada = world.user("ada", &[]).await;
    for nth in 0..60 {
        let stranger = world.token(&json!({ "sub": format!("repo:evil/x-{nth}:y"), "repository": "evil/x" }));
        me(&world, &stranger).await.refused(403, "unknown_principal");
        me(&world, &stranger).await.refused(403, "unknown_principal");
        world.get("/admin/users", &ada).await.refused(403, "admin_required");
    }
    let (rows, events) =
        (audited(&world, "principal.unknown").await, alarmed(&world, "unknown_principal").await);
    assert!(
        (1..=25).contains(&rows.len()) && (1..=25).contains(&events.len()),
        "{} {}",
        rows.len(),
        events.len()
    );
    assert_eq!(rows[0]["data"]["claims"]["sub"], "repo:evil/x-0:y");
    let probes = audited(&world, "admin.denied").await;
    assert_eq!(probes.len(), 1);
    assert_eq!(probes[0]["data"]["path"], "/api/v1/admin/users");
    world.change("UPDATE users SET is_active = false WHERE id = $1", ada.id.uuid()).await;
    for _ in 0..5 {
        me(&world, &ada.token).await.refused(403, "inactive");
    }
    assert_eq!(audited(&world, "principal.inactive").await.len(), 1);
    assert_eq!(alarmed(&world, "inactive_principal").await.len(), 1);
}

#[tokio::test]
async fn subject_of_a_long_branch_name_is_accepted() {
    let world = World::builder().workers(0).start().await;
    let red = world.team(draft("red")).await;
    let root = world.admin().await;
    let rule =
        json!({ "client_id": "deploy", "team_id": red.id, "rule": { "subject": "repo:acme/deploy:*" } });
    world.post("/admin/oauth-clients", &root, &rule).await.expect(201);
    let sub = format!("repo:acme/deploy:ref:refs/heads/{}", "x".repeat(980));
    me(&world, &world.token(&json!({ "sub": sub }))).await.expect(200);
}

#[tokio::test]
async fn invitation_without_an_issuer_is_for_the_first_that_binds_people() {
    let world = World::builder().workers(0).issuers(2).start().await;
    let old = UserDraft { issuer: None, subject: None, ..world.user_draft("ada") };
    world.person(old, &[]).await;
    let claims = json!({ "sub": "a", "email": "ada@example.com", "email_verified": true });
    me(&world, &world.issuers[1].token(&claims).unwrap()).await.refused(403, "unknown_principal");
    me(&world, &world.token(&claims)).await.expect(200);
}
