//! Services, tokens and lost answers.

use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::IntoResponse,
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Scene, serve};

/// A server that counts its requests. It answers the first ones with an error.
struct Stub {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Stub {
    /// Answers `failures` requests with `status` and later ones with an empty list of runners.
    async fn start(failures: usize, status: StatusCode) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let answer = move |State(requests): State<Arc<AtomicUsize>>| async move {
            let before = requests.fetch_add(1, Ordering::SeqCst);
            if before < failures {
                return (status, [(RETRY_AFTER, "0")]).into_response();
            }
            Json(json!({ "runners": [], "total": 0, "total_is_lower_bound": false })).into_response()
        };
        let router = Router::new().fallback(any(answer)).with_state(requests.clone());
        Self { url: serve(router).await, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn only_requests_without_effects_are_repeated() {
    let scene = Scene::new().await;
    let busy = Stub::start(2, StatusCode::SERVICE_UNAVAILABLE).await;
    let list = scene.run(&scene.ada, &["runner", "list", "--url", &busy.url]).await.expect(0);
    assert_eq!((busy.requests(), list.stderr.as_str()), (3, "0 of 0\n"));

    let busy = Stub::start(usize::MAX, StatusCode::SERVICE_UNAVAILABLE).await;
    let id = uuid::Uuid::nil().to_string();
    scene.run(&scene.ada, &["job", "cancel", &id, "--url", &busy.url]).await.expect(3);
    assert_eq!(busy.requests(), 1, "a change is sent once");
    scene.run(&scene.ada, &["runner", "list", "--url", &busy.url]).await.expect(3);
    assert_eq!(busy.requests(), 6, "five more sends, and no endless loop");

    let away = ["runner", "list", "--url", "http://127.0.0.1:1", "--error-format", "json"];
    let away = scene.run(&scene.ada, &away).await.expect(3);
    let problem: Value = serde_json::from_str(&away.stderr).unwrap();
    assert_eq!((&problem["code"], &problem["exit_code"]), (&json!("unavailable"), &json!(3)));
}

#[tokio::test]
async fn token_never_leaves_for_another_place() {
    let scene = Scene::new().await;
    let stub = Stub::start(0, StatusCode::OK).await;
    for bad in ["http://192.0.2.1", "http://localhost.example.com", "ftp://127.0.0.1"] {
        let refused = scene.run(&scene.ada, &["whoami", "--url", bad]).await.expect(2);
        assert!(!refused.stderr.contains(&scene.ada.token), "{}", refused.stderr);
    }
    scene.run(&scene.ada, &["call", "GET", "//192.0.2.1/x", "--url", &stub.url]).await.expect(2);
    let to = stub.url.clone();
    let redirect = Router::new().fallback(any(move || {
        let to = to.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", format!("{to}/api/v1/auth/me"))]) }
    }));
    let redirecting = serve(redirect).await;
    let said = scene.run(&scene.ada, &["whoami", "--url", &redirecting]).await.expect(2);
    assert!(said.stderr.contains("redirects"), "{}", said.stderr);
    assert_eq!(stub.requests(), 0, "no redirect was followed");
    // A proxy would see the token of a service on this machine.
    let proxy = [("http_proxy", stub.url.as_str()), ("HTTP_PROXY", stub.url.as_str())];
    scene.run_with(&scene.ada, &["whoami"], &proxy).await.expect(0);
    assert_eq!(stub.requests(), 0);
}

#[tokio::test]
async fn missing_and_refused_tokens_have_their_own_code() {
    let scene = Scene::new().await;
    let none = scene.run("", &["whoami"]).await.expect(5);
    assert!(none.stderr.contains("rts login"), "{}", none.stderr);
    scene.run("no.good.token", &["whoami"]).await.expect(5);
    let nowhere = scene.run_with(&scene.ada, &["whoami"], &[("RTS_URL", "")]).await.expect(2);
    assert!(nowhere.stderr.contains("--url"), "{}", nowhere.stderr);
    let lost = ["whoami", "--token-file", "/no/such/file"];
    scene.run(&scene.ada, &lost).await.expect(5);
}

#[tokio::test]
async fn github_actions_and_token_files_are_identities() {
    let scene = Scene::new().await;
    let token = scene.ada.token.clone();
    let router = Router::new().route(
        "/token",
        get(move |Query(query): Query<HashMap<String, String>>, headers: HeaderMap| async move {
            let known = headers.get("authorization").is_some_and(|value| value == "Bearer request-secret");
            match query["audience"].as_str() {
                "runner-tokens" if known => Json(json!({ "value": token })).into_response(),
                other if known => Json(json!({ "value": unsigned_token(other) })).into_response(),
                _ => StatusCode::FORBIDDEN.into_response(),
            }
        }),
    );
    let url = format!("{}/token?api-version=2.0", serve(router).await);
    let actions = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-secret"),
    ];
    let me = scene.run_with("", &["whoami"], &actions).await.expect(0);
    assert!(me.stdout.contains("ada@example.com") && me.stderr.contains("GitHub Actions"), "{me:?}");
    let other = scene.run_with("", &["token", "--audience", "elsewhere"], &actions).await.expect(0);
    assert_eq!(other.stdout.trim(), unsigned_token("elsewhere"));

    // A service that names an audience of others, and one of an earlier release, which names none.
    let config = get(async || Json(json!({ "issuers": [], "token_audience": "sts.amazonaws.com" })));
    let greedy = serve(Router::new().route("/api/v1/auth/config", config)).await;
    let refused = scene.run_with("", &["token", "--url", &greedy], &actions).await.expect(2);
    assert!(refused.stderr.contains("RTS_AUDIENCE"), "{}", refused.stderr);
    let chosen = [actions[0], actions[1], ("RTS_AUDIENCE", "sts.amazonaws.com")];
    let token = scene.run_with("", &["token", "--url", &greedy], &chosen).await.expect(0);
    assert_eq!(token.stdout.trim(), unsigned_token("sts.amazonaws.com"));
    let old = serve(Router::new()).await;
    let token = scene.run_with("", &["token", "--url", &old], &actions).await.expect(0);
    assert_eq!(token.stdout.trim(), unsigned_token("runner-token-service"));

    std::fs::write(scene.world.folder().join("token"), format!("{}\n", scene.ada.token)).unwrap();
    let me = scene.run("", &["whoami", "--token-file", "token"]).await.expect(0);
    assert!(me.stderr.contains("the file token"), "{}", me.stderr);
    scene.run_with("", &["whoami"], &[("RTS_ID_TOKEN", scene.ada.token.as_str())]).await.expect(0);
}

fn unsigned_token(audience: &str) -> String {
    let part = |claims: Value| URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{}.c2ln", part(json!({ "alg": "none" })), part(json!({ "aud": audience })))
}

#[tokio::test]
async fn token_for_another_audience_is_not_printed() {
    let scene = Scene::new().await;
    let token = async |who: &str, audience| scene.run(who, &["token", "--audience", audience]).await;
    let own = token(&scene.ada.token, "runner-tokens").await.expect(0);
    assert_eq!(own.stdout.trim(), scene.ada.token);
    let other = token(&scene.ada.token, "elsewhere").await.expect(5);
    assert!(other.stderr.contains("is for runner-tokens; wanted is elsewhere"), "{}", other.stderr);
    let opaque = token("no-jwt", "elsewhere").await.expect(5);
    assert!(opaque.stderr.contains("is no JWT") && !opaque.stderr.contains("no-jwt"), "{}", opaque.stderr);
    assert!(other.stdout.is_empty() && opaque.stdout.is_empty());
}

/// Signs in with a token on stdin.
async fn store_token(scene: &Scene, words: &[&str]) {
    let input = scene.world.folder().join("stdin");
    std::fs::write(&input, &scene.ada.token).unwrap();
    let home = scene.world.folder().to_str().unwrap().to_owned();
    scene
        .world
        .command_with_input(&[&["login", "--with-token"], words].concat(), &[("HOME", &home)], &input)
        .await
        .expect(0);
}

#[tokio::test]
async fn profiles_hold_a_url_and_its_own_token() {
    let scene = Scene::new().await;
    let (url, home) = (scene.world.url(), scene.world.folder());
    let bare = [("RTS_URL", "")];
    store_token(&scene, &["--url", url]).await;
    let me = scene.run_with("", &["whoami"], &bare).await.expect(0);
    assert!(me.stderr.contains("the profile default"), "{}", me.stderr);
    let file = home.join(".local/state/rts/credentials.toml");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    let settings = std::fs::read_to_string(home.join(".config/rts/config.toml")).unwrap();
    assert!(settings.contains(url) && !settings.contains(&scene.ada.token), "{settings}");

    // The token is for this URL, not for any that the caller or a file names.
    let stub = Stub::start(0, StatusCode::OK).await;
    scene.run_with("", &["whoami", "--url", &stub.url], &bare).await.expect(5);
    assert_eq!(stub.requests(), 0);

    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let refused = scene.run_with("", &["whoami"], &bare).await.expect(2);
    assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();

    scene.run_with("", &["whoami", "--profile", "none"], &bare).await.expect(2);
    assert!(scene.run_with("", &["profile", "list"], &bare).await.expect(0).stdout.starts_with("* default"));
    scene.run_with("", &["logout"], &bare).await.expect(0);
    scene.run_with("", &["whoami"], &bare).await.expect(5);
    scene.run_with("", &["profile", "remove", "default"], &bare).await.expect(0);
    scene.run_with("", &["profile", "use", "default"], &bare).await.expect(4);
}

#[tokio::test]
async fn token_is_tested_without_a_trace() {
    let scene = Scene::new().await;
    let admin = scene.world.admin().await;
    let input = scene.world.folder().join("token-to-test");
    let test = async |token: &str| {
        std::fs::write(&input, token).unwrap();
        let own = scene.world.caller_environment(&admin.token);
        scene.world.command_with_input(&["client", "test-token", "-o", "json"], &own, &input).await
    };
    assert_eq!(test(&scene.ada.token).await.expect(0).json()["outcome"], "user");
    let refused = test("no.good.token").await.expect(7);
    assert_eq!(refused.json()["outcome"], "refused");
    assert!(!refused.stderr.contains("no.good.token") && !refused.stdout.contains("no.good.token"));
}

#[tokio::test]
async fn command_of_a_profile_gives_the_token_for_its_service_alone() {
    let scene = Scene::new().await;
    let home = scene.world.folder();
    let config = home.join(".config/rts/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(home.join("token"), format!("{}\nuser: ada\n", scene.ada.token)).unwrap();
    let settings = format!(
        "profile = \"prod\"\n[profiles.prod]\nurl = \"{}\"\ncredential_command = \"echo >>asked; cat token\"\n",
        scene.world.url()
    );
    std::fs::write(&config, settings).unwrap();
    let run = async |words: &[&str]| scene.world.command(words, &[("HOME", home.to_str().unwrap())]).await;
    let said = run(&["whoami"]).await.expect(0);
    assert!(
        said.stdout.contains("ada") && said.stderr.contains("credential_command of the profile prod"),
        "{said:?}"
    );
    run(&["runner", "list"]).await.expect(0);
    let asked = || std::fs::read_to_string(home.join("asked")).unwrap().len();
    assert_eq!(asked(), 2, "once for each command");
    run(&["runner", "list", "--url", "http://127.0.0.1:1"]).await.expect(5);
    assert_eq!(asked(), 2, "no other service gets the token");

    std::fs::write(home.join("token"), "").unwrap();
    let empty = run(&["whoami"]).await.expect(5);
    assert!(empty.stderr.contains("credential_command"), "{}", empty.stderr);
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o664)).unwrap();
    let open = run(&["whoami"]).await.expect(2);
    assert!(open.stderr.contains("others may change"), "{}", open.stderr);
}

#[tokio::test]
async fn service_behind_a_private_authority_is_verified() {
    let scene = Scene::new().await;
    let (ours, other) = (harness::Authority::new("ours"), harness::Authority::new("other"));
    let port = harness::serve_by_https(&ours.issue(&["localhost"]), scene.world.url()).await;
    let url = format!("https://localhost:{port}");
    let file = |name: &str, authority: &harness::Authority| {
        let path = scene.world.folder().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path.display().to_string()
    };
    let (ours, other) = (file("ours.pem", &ours), file("other.pem", &other));
    let words = ["provision", "--label", "linux", "--url", &url, "--config-file", "jit.config"];
    // A wrong certificate stays wrong: nothing is tried again until the wait is over.
    let refused = scene.run_with(&scene.ada, &words, &[("SSL_CERT_FILE", &other)]).await.expect(2);
    let advice = "an authority that is not trusted; name the authority's file in SSL_CERT_FILE";
    assert!(refused.stderr.contains(advice), "{}", refused.stderr);
    assert_eq!(scene.count("SELECT count(*) FROM runners").await, 0);
    scene.run_with(&scene.ada, &words, &[("SSL_CERT_FILE", &ours)]).await.expect(0);
    let config = std::fs::read_to_string(scene.world.folder().join("jit.config")).unwrap();
    assert!(config.trim().len() > 100);
    assert_eq!(scene.count("SELECT count(*) FROM runners").await, 1);
    let by_name = format!("https://127.0.0.1:{port}");
    let words = ["whoami", "--url", &by_name];
    let other_name = scene.run_with(&scene.ada, &words, &[("SSL_CERT_FILE", &ours)]).await.expect(2);
    assert!(other_name.stderr.contains("another host name"), "{}", other_name.stderr);
}
