//! Examples: the script of each runs against the twin, with a fake token endpoint and a stand-in of the runner.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use harness::{Machine, Team, World, team_draft};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::serve;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
const AUDIENCE: &str = "runner-tokens";

/// Stand-in of the runner: it has the config in its environment alone, and no token of its caller.
const RUN: &str = r#"#!/bin/sh
set -eu
[ $# = 0 ] || exit 90
printf '%s\n' "$ACTIONS_RUNNER_INPUT_JITCONFIG" >"$PROOF"
[ "$(wc -c <"$PROOF")" -gt 100 ] || exit 91
if cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -qFf "$PROOF"; then exit 92; fi
if env | grep -qE '^(RTS_TOKEN|RTS_TOKEN_FILE|RTS_ID_TOKEN|ACTIONS_ID_TOKEN_REQUEST_TOKEN)='; then exit 93; fi
"#;

/// A service, a caller and the servers that a machine finds where it runs.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) pipeline: Machine,
    pub(crate) team: Team,
    /// Address of the token endpoints and of the runner software.
    pub(crate) outside: String,
}

/// Tokens for a request that identifies itself, and the runner software.
async fn outside(token: String, software: PathBuf) -> String {
    let tokens = |value: String, header: &'static str, proof: &'static str| {
        move |headers: HeaderMap, Query(asked): Query<Value>| async move {
            let known =
                headers.get(header).is_some_and(|given| given == proof) && asked["audience"] == AUDIENCE;
            if known { (StatusCode::OK, value) } else { (StatusCode::FORBIDDEN, String::new()) }
        }
    };
    let actions = tokens(json!({ "value": token }).to_string(), "authorization", "bearer request-secret");
    let identity = "/metadata/instance/service-accounts/default/identity";
    let router = Router::new()
        .route("/actions", get(actions))
        .route(identity, get(tokens(token, "metadata-flavor", "Google")))
        .route("/metadata/instance/id", get(|| async { "4711" }))
        .route("/runner.tar.gz", get(|State(software): State<PathBuf>| async { fs::read(software).unwrap() }))
        .with_state(software);
    serve(router).await
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let world = World::start().await;
        let team = world.team(team_draft("red")).await;
        let pipeline = world.machine("pipeline", &team).await;
        let home = world.folder().join("actions-runner");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("run.sh"), RUN).unwrap();
        fs::set_permissions(home.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let software = world.folder().join("runner.tar.gz");
        let mut tar = Command::new("tar");
        tar.args(["-czf", software.to_str().unwrap(), "-C", home.to_str().unwrap(), "run.sh"]);
        assert!(tar.status().await.unwrap().success());
        fs::write(world.folder().join("token"), &pipeline.token).unwrap();
        let outside = outside(pipeline.token.clone(), software).await;
        Self { world, pipeline, team, outside }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.world.folder().join(name).display().to_string()
    }

    /// Runs a script with this environment in the folder `inside`.
    async fn run(&self, script: &str, inside: &str, environment: &[(&str, &str)]) -> Output {
        let mut sh = Command::new("/bin/sh");
        sh.args(["-eu", "-c", script]).current_dir(self.path(inside)).env_clear().stdin(Stdio::null());
        sh.env("PATH", "/usr/bin:/bin").env("HOME", self.world.folder()).env("PROOF", self.path("proof"));
        sh.env("RTS_URL", self.world.url()).envs(environment.iter().copied());
        sh.output().await.unwrap()
    }

    /// Runs a script that must start one runner with a config of its own.
    pub(crate) async fn starts_a_runner(&self, script: &str, inside: &str, environment: &[(&str, &str)]) {
        let before = self.runners().await;
        let output = self.run(script, inside, environment).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{:?}\n{said}", output.status.code());
        let config = fs::read_to_string(self.path("proof")).unwrap();
        assert!(!said.contains(config.trim()) && !said.contains(&self.pipeline.token), "{said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains(config.trim()), "{script}");
        fs::remove_file(self.path("proof")).unwrap();
        assert_eq!(self.runners().await, before + 1, "{script}");
    }

    /// Returns the number of runners of the pipeline whose config was handed out.
    async fn runners(&self) -> i64 {
        let handed_out = "SELECT count(*) FROM runners JOIN jobs ON jobs.runner_id = runners.id
            JOIN credentials ON credentials.job_id = jobs.id
            WHERE 'gpu-1' = ANY(labels) AND owner_client IS NOT NULL AND first_read_at IS NOT NULL";
        self.world.count(handed_out).await
    }
}

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&example(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the text between two marks.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    text.split_once(begin).unwrap().1.split_once(end).unwrap().0
}

#[tokio::test]
async fn pipelines_start_runners_with_their_own_identity() {
    let scene = Scene::new().await;
    let workflow = yaml("github-actions.yml");
    assert_eq!(workflow["permissions"], json!({ "id-token": "write" }));
    let job = &workflow["jobs"]["runner"];
    let url = format!("{}/actions?x=1", scene.outside);
    let environment = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-secret"),
        ("RUNNER_TEMP", &scene.path("")),
        ("GITHUB_RUN_ID", "1"),
        ("GITHUB_RUN_ATTEMPT", "1"),
    ];
    scene.starts_a_runner(job["steps"][0]["run"].as_str().unwrap(), "", &environment).await;

    let pipeline = yaml("gitlab-ci.yml");
    let job = &pipeline["github-runner"];
    assert_eq!(job["id_tokens"]["RTS_ID_TOKEN"]["aud"], AUDIENCE);
    let lines: Vec<&str> =
        job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let environment = [("RTS_ID_TOKEN", scene.pipeline.token.as_str()), ("CI_JOB_ID", "2")];
    scene.starts_a_runner(&lines.join("\n"), "", &environment).await;

    let build = example("Jenkinsfile");
    assert!(build.contains("variable: 'RTS_TOKEN_FILE'"));
    let environment = [("RTS_TOKEN_FILE", scene.path("token")), ("BUILD_TAG", "jenkins-runner-3".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    scene.starts_a_runner(between(&build, "sh '''", "'''"), "", &environment).await;
}

#[tokio::test]
async fn terraform_hands_the_config_over_by_standard_input() {
    let scene = Scene::new().await;
    let module = example("terraform/main.tf");
    if let Some(tools) = harness::tool("TEST_CLIENTS") {
        let parse = "import hcl2, sys; print(len(hcl2.load(sys.stdin)['resource']))";
        let mut python = Command::new(tools.join("bin/python"));
        python
            .args(["-c", parse])
            .stdin(fs::File::open(Path::new(EXAMPLES).join("terraform/main.tf")).unwrap());
        let output = python.output().await.unwrap();
        assert_eq!(output.stdout, b"1\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    let given = ["RTS_URL", "RTS_TOKEN_FILE", "START", "RUN"];
    assert!(given.iter().all(|name| between(&module, "environment = {", "}").contains(name)));
    let start = scene.path("start-runner");
    let machine = "#!/bin/sh\nunset RTS_TOKEN_FILE\nACTIONS_RUNNER_INPUT_JITCONFIG=$(cat) exec ./actions-runner/run.sh\n";
    fs::write(&start, machine).unwrap();
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).unwrap();
    let environment = [("RTS_TOKEN_FILE", scene.path("token")), ("START", start), ("RUN", "4".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    scene.starts_a_runner(between(&module, "<<-EOT\n", "    EOT"), "", &environment).await;
}

/// Returns the command of a container with its paths inside `folder`, and its plain environment.
fn container(container: &Value, folder: &Path) -> (String, Vec<(String, String)>) {
    assert_eq!(container["command"], json!(["/bin/sh", "-eu", "-c"]));
    let place = |text: &str| {
        let mut text = text.to_owned();
        for mount in container["volumeMounts"].as_array().unwrap() {
            let path = mount["mountPath"].as_str().unwrap();
            // A mark of its own, since the folder may itself lie in a path that is mounted.
            text =
                text.replace(&format!("{path}/"), &format!("<volumes>/{}/", mount["name"].as_str().unwrap()));
        }
        text.replace("<volumes>", &folder.join("volumes").display().to_string())
    };
    let variables = container["env"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let variables = variables.filter_map(|one| Some((one["name"].as_str()?, one["value"].as_str()?)));
    let variables = variables.filter(|(name, _)| *name != "RTS_URL");
    let variables = variables.map(|(name, value)| (name.to_owned(), place(value))).collect();
    (place(container["args"][0].as_str().unwrap()), variables)
}

#[tokio::test]
async fn init_container_hands_config_or_client_to_the_runner_container() {
    let scene = Scene::new().await;
    let folder = scene.world.folder();
    for volume in ["token", "handover", "client", "scratch"] {
        fs::create_dir_all(folder.join("volumes").join(volume)).unwrap();
    }
    fs::copy(folder.join("token"), folder.join("volumes/token/token")).unwrap();
    for name in ["kubernetes/job.yaml", "kubernetes/deployment.yaml"] {
        let pod = &yaml(name)["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"], AUDIENCE);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(
            pod["securityContext"]["runAsUser"], 1001,
            "the runner reads what the init container wrote"
        );
        let (script, environment) = container(&pod["initContainers"][0], folder);
        let mut environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.push(("POD_UID", "7f1c"));
        let output = scene.run(&script, "", &environment).await;
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        let (script, environment) = container(&pod["containers"][0], folder);
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if name == "kubernetes/job.yaml" {
            assert!(environment.is_empty(), "the runner container of a job has no identity");
            assert_eq!(pod["volumes"][1]["emptyDir"]["medium"], "Memory");
            let output = scene.run(&script, "actions-runner", &environment).await;
            assert!(
                output.status.success() && !folder.join("volumes/handover/config").exists(),
                "{output:?}"
            );
            fs::remove_file(scene.path("proof")).unwrap();
        } else {
            // The second start is that after the first job.
            scene.starts_a_runner(&script, "actions-runner", &environment).await;
            scene.starts_a_runner(&script, "actions-runner", &environment).await;
        }
    }
    assert_eq!(scene.runners().await, 3);
}

#[tokio::test]
async fn machines_start_runners_with_their_own_identity() {
    let scene = Scene::new().await;
    let (metadata, software) =
        (format!("{}/metadata", scene.outside), format!("{}/runner.tar.gz", scene.outside));
    let vm = scene.path("vm");
    let environment = [
        ("METADATA", metadata.as_str()),
        ("RUNNER_SOFTWARE", &software),
        ("RUNNER_HOME", &vm),
        ("AFTERWARDS", "true"),
    ];
    scene.starts_a_runner(&example("vm/runner.sh"), "", &environment).await;

    let opt = scene.path("opt");
    fs::create_dir(&opt).unwrap();
    let seed = yaml("cloud-init.yaml");
    assert!(example("cloud-init.yaml").starts_with("#cloud-config\n"));
    for file in seed["write_files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap().replace("/opt/actions-runner", &opt);
        fs::write(&path, file["content"].as_str().unwrap().replace("/opt/actions-runner", &opt)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let start = seed["runcmd"][1].as_str().unwrap().strip_prefix("su -s /bin/sh runner ").unwrap();
    let environment = [("METADATA", metadata.as_str()), ("RUNNER_SOFTWARE", &software)];
    scene.starts_a_runner(&start.replace("/opt/actions-runner", &opt), "opt", &environment).await;

    let unit = example("systemd/rts-runner@.service");
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/rts.sh");
    let said = |text: &str| text.replace("%d", &scene.path("")).replace("%H-%i", "host-1");
    let command = said(between(&unit, "\nExecStart=", "\n")).replace("/usr/local/lib/rts.sh", client);
    let token = said(between(&unit, "\nEnvironment=RTS_TOKEN_FILE=", "\n"));
    scene.starts_a_runner(&command, "actions-runner", &[("RTS_TOKEN_FILE", &token)]).await;
}
