//! The shell client, run by `sh` as its users run it.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
};

use harness::{Machine, World, team_draft};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::Command,
};

struct Scene {
    world: World,
    pipeline: Machine,
}

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        let team = world.team(team_draft("red")).await;
        let pipeline = world.machine("pipeline", &team).await;
        Self { world, pipeline }
    }

    /// Runs the client with this token.
    async fn client(&self, token: &str, words: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/rts.sh");
        let mut sh = Command::new("sh");
        sh.arg(script).args(words).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        sh.env("RTS_URL", self.world.url()).env("RTS_TOKEN", token).output().await.unwrap()
    }

    async fn pipeline(&self, words: &[&str]) -> Output {
        self.client(&self.pipeline.token, words).await
    }

    async fn runners(&self) -> i64 {
        self.world.count("SELECT count(*) FROM runners").await
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn same_key_gives_the_same_config_and_one_runner() {
    let scene = Scene::new().await;
    let words = ["provision", "--label", "linux", "--key", "build-7"];
    let (first, again) = (scene.pipeline(&words).await, scene.pipeline(&words).await);
    assert!(first.status.success() && again.status.success(), "{}", text(&first.stderr));
    assert!(!first.stdout.is_empty());
    assert_eq!(first.stdout, again.stdout);
    assert_eq!(scene.runners().await, 1);
}

#[tokio::test]
async fn started_command_has_the_config_in_its_environment_and_returns_its_code() {
    let scene = Scene::new().await;
    let check = r#"test -n "$ACTIONS_RUNNER_INPUT_JITCONFIG" && exit 7"#;
    let output = scene.pipeline(&["provision", "--label", "linux", "--exec", "sh", "-c", check]).await;
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "the config is written to no other file");
}

#[tokio::test]
async fn config_file_is_new_and_readable_by_its_owner_alone() {
    let scene = Scene::new().await;
    let file = scene.world.folder().join("jit.config");
    let words = ["provision", "--label", "linux", "--config-file", file.to_str().unwrap()];
    assert!(scene.pipeline(&words).await.status.success());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::metadata(&file).unwrap().len() > 100);
    assert_eq!(scene.pipeline(&words).await.status.code(), Some(2));
    assert_eq!(scene.runners().await, 1, "an existing file stops the client before its request");
}

/// Sends these responses to one connection each, then closes every further connection without a response. Returns the
/// URL.
async fn silent_after(responses: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut responses = responses.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            if let Some(response) = responses.next() {
                let _ = stream.write_all(response.as_bytes()).await;
                let _ = stream.shutdown().await;
                // A close with unread bytes would reset the connection before the client reads the response.
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
            }
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn failed_connection_shows_no_text_of_the_call_before() {
    let scene = Scene::new().await;
    let response = |status: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    let job = r#"{"job_id":"7","state":"succeeded","code":"old_code","detail":"text of the call before"}"#;
    let service = silent_after(vec![response("202 Accepted", job), response("200 OK", job)]).await;
    let output = scene.pipeline(&["provision", "--url", &service, "--label", "linux"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("(000)") && !said.contains("call before"), "{said}");
}

#[tokio::test]
async fn service_behind_a_private_authority_is_verified() {
    let scene = Scene::new().await;
    let (ours, other) = (harness::Authority::new("ours"), harness::Authority::new("other"));
    let port = harness::serve_by_https(&ours.issue(&["localhost"]), scene.world.url()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/rts.sh");
    for (authority, code) in [(&other, 2), (&ours, 0)] {
        let file = scene.world.folder().join("authority.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        let mut sh = Command::new("sh");
        sh.arg(&script).args(["provision", "--label", "linux"]).env_clear().env("PATH", "/usr/bin:/bin");
        sh.env("RTS_URL", format!("https://localhost:{port}")).env("RTS_TOKEN", &scene.pipeline.token);
        let output = sh.env("CURL_CA_BUNDLE", &file).output().await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).contains("CURL_CA_BUNDLE"), code == 2, "{}", text(&output.stderr));
    }
    assert_eq!(scene.runners().await, 1);
}

#[tokio::test]
async fn team_is_named_by_its_name() {
    let scene = Scene::new().await;
    let words = ["provision", "--label", "linux", "--team", "RED"];
    let named = scene.pipeline(&words).await;
    assert!(named.status.success(), "{}", text(&named.stderr));
    let other = scene.pipeline(&["provision", "--label", "linux", "--team", "blue"]).await;
    assert_eq!(other.status.code(), Some(4));
    assert!(text(&other.stderr).contains("team_forbidden"), "{}", text(&other.stderr));
}

#[tokio::test]
async fn workflow_asks_for_no_audience_of_other_services() {
    let config = axum::Json(serde_json::json!({ "issuers": [], "token_audience": "sts.amazonaws.com" }));
    let router = axum::Router::new().route("/api/v1/auth/config", axum::routing::get(async || config));
    let greedy = crate::client::serve(router).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/rts.sh");
    let mut sh = Command::new("sh");
    sh.arg(script).args(["whoami", "--url", &greedy]).env_clear().env("PATH", "/usr/bin:/bin");
    // A request for a token would fail with another code.
    sh.env("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1/?x=1");
    let output = sh.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret").output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("RTS_AUDIENCE"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn exit_codes_tell_failures_apart() {
    let scene = Scene::new().await;
    let refused = scene.pipeline(&["provision", "--label", "ubuntu-latest"]).await;
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("label_policy_violation"), "{}", text(&refused.stderr));
    assert_eq!(scene.client("no.good.token", &["whoami"]).await.status.code(), Some(5));
    assert_eq!(scene.pipeline(&["provision"]).await.status.code(), Some(2));
    let odd = ["provision", "--wait", "soon", "--label", "linux"];
    assert_eq!(scene.pipeline(&odd).await.status.code(), Some(2));
    let away = ["provision", "--url", "http://127.0.0.1:1", "--label", "linux", "--wait", "0"];
    assert_eq!(scene.pipeline(&away).await.status.code(), Some(6));
}

#[tokio::test]
async fn machine_without_anything_gets_the_client_from_the_service() {
    let scene = Scene::new().await;
    let served = scene.world.request("GET", "/rts.sh").send().await.assert_status(200);
    assert!(served.header("content-type").starts_with("text/x-shellscript"));
    assert_eq!(served.text, include_str!("../../clients/rts.sh"));
}

#[tokio::test]
async fn person_signs_in_by_the_device_flow_and_the_token_is_for_this_service_alone() {
    let scene = Scene::new().await;
    let team = scene.world.team(team_draft("blue")).await;
    scene.world.user("ada", &[&team]).await;
    let home = scene.world.folder().join("home");
    let client = |url: &str, words: &[&str]| {
        let mut sh = Command::new("sh");
        sh.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/rts.sh")).args(words);
        sh.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &home).env("RTS_URL", url);
        sh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sh
    };
    let mut login = client(scene.world.url(), &["login"]).spawn().unwrap();
    let mut said = BufReader::new(login.stderr.take().unwrap()).lines();
    let line = said.next_line().await.unwrap().unwrap();
    let page =
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("{line}"));
    let confirm = reqwest::Client::builder().no_proxy().build().unwrap();
    let confirmed = confirm.get(format!("{page}&person=ada")).send().await.unwrap();
    assert_eq!(confirmed.status(), 200);
    assert!(login.wait().await.unwrap().success());
    let me = client(scene.world.url(), &["whoami"]).output().await.unwrap();
    assert!(text(&me.stdout).contains("ada@example.com"), "{}", text(&me.stderr));
    let folder = home.join(".config/rts.sh");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let other = client("http://other.example", &["whoami"]).output().await.unwrap();
    assert_eq!(other.status.code(), Some(5), "no other service gets the token: {}", text(&other.stderr));
}
