//! Guides: their shell blocks run as a reader would run them.

use std::{path::PathBuf, process::Stdio};

use harness::{DevRun, Ending, World, team_draft};
use tokio::process::Command;

/// Returns the shell blocks of a guide.
fn shell_blocks(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Returns the shell blocks of the administration guide: of its part by API, and of its part from a file.
fn administration_guide() -> [Vec<&'static str>; 2] {
    let text = include_str!("../../docs/guides/administration.md");
    let (by_api, from_file) = text.split_once("\n## The same from a file\n").unwrap();
    [shell_blocks(by_api), shell_blocks(from_file)]
}

#[tokio::test]
async fn every_line_of_the_administration_guide_works() {
    let world = World::start().await;
    let (root, demo) = (world.admin().await, world.team(team_draft("demo")).await);
    world.machine("ci", &demo).await;
    let [blocks, _] = administration_guide();
    assert!(blocks.len() > 10, "{}", blocks.len());
    assert!(blocks[0].contains("ADMIN_TOKEN=") && !blocks[1].contains("ADMIN_TOKEN="));
    let script = blocks[1..].concat();
    let mut bash = Command::new("bash");
    bash.args(["-eu", "-o", "pipefail", "-c", &script]).env_clear().env("PATH", "/usr/bin:/bin");
    bash.env("API", format!("{}/api/v1", world.url())).env("ISSUER", world.issuer().url());
    bash.env("ADMIN_TOKEN", &root.token).env("PIPELINE", "ci").env("PIPELINE_SECRET", "ci-secret");
    let output = bash.stdin(Stdio::null()).output().await.unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && stderr.is_empty(), "{stdout}\n{stderr}");
    for shown in [
        r#""outcome": "machine_client""#,
        r#""subject_fits": false"#,
        r#""code": "label_policy_violation""#,
        r#""role": "viewer""#,
        r#""deactivation_reason": "moved to web""#,
        r#""glob:web-*""#,
        r#""root@example.com""#,
    ] {
        assert!(stdout.contains(shown), "{shown}: {stdout}");
    }

    let web = "SELECT count(*) FROM runners JOIN teams ON teams.id = team_id
        WHERE teams.name = 'web' AND 'web-large' = ANY(labels) AND status = 'pending'";
    assert_eq!(world.count(web).await, 1);
    let members =
        "SELECT count(*) FROM team_members JOIN teams ON teams.id = team_id WHERE name IN ('web', 'ml')";
    assert_eq!(world.count(members).await, 4);
    let inactive =
        "SELECT count(*) FROM users WHERE email = 'vera@example.com' AND is_admin AND NOT is_active";
    assert_eq!(world.count(inactive).await, 1);
}

#[tokio::test]
async fn two_teams_are_set_up_from_the_file_of_the_administration_guide() {
    let world = World::start().await;
    let root = world.admin().await;
    let [_, blocks] = administration_guide();
    assert!(blocks.len() > 3, "{}", blocks.len());
    let mut bash = Command::new("bash");
    bash.args(["-eu", "-o", "pipefail", "-c", &blocks.concat()]).env_clear().env("PATH", "/usr/bin:/bin");
    bash.env("API", format!("{}/api/v1", world.url())).env("ADMIN_TOKEN", &root.token);
    bash.env("RTS", world.rts()).env("TMPDIR", world.folder());
    let output = bash.stdin(Stdio::null()).output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for shown in ["✖ label gpu-a100: matches none", "ask root@example.com", "label_policy_violation"] {
        assert!(stdout.contains(shown) || stderr.contains(shown), "{shown}: {stdout}\n{stderr}");
    }
    assert!(stdout.ends_with("\n4\n"), "{stdout}\n{stderr}");
    let members =
        "SELECT count(*) FROM team_members JOIN teams ON teams.id = team_id WHERE name IN ('shop', 'games')";
    assert_eq!(world.count(members).await, 3);
    let client = "SELECT count(*) FROM oauth_clients JOIN teams ON teams.id = team_id
        WHERE client_id = 'shop-deploy' AND teams.name = 'shop' AND oauth_clients.is_active";
    assert_eq!(world.count(client).await, 1);
}

/// Returns a folder that PostgreSQL's account can reach when the tests run as root.
fn folder() -> PathBuf {
    let path = PathBuf::from(format!("/var/tmp/rts-tour-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&path).unwrap();
    path
}

#[tokio::test]
async fn tour_shows_what_it_says_in_the_development_mode() {
    let folder = folder();
    let data = folder.join("data");
    let mut run = DevRun::start(&folder, &["--data", data.to_str().unwrap()], &[]);
    run.ready().await;
    let api = run.address("API").replace("/api/v1", "");
    let mut tour = Command::new("sh");
    tour.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tour.sh")).env_clear();
    tour.env("PATH", "/usr/bin:/bin").env("RTS", run.program()).env("DATABASE_URL", run.address("database"));
    tour.env("API", api).env("ISSUER", run.address("issuer")).env("CONTROL", run.address("its control"));
    let output = tour.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for shown in [
        r#""kind": "user""#,
        "run.sh has a config of",
        r#""runners": 1"#,
        r#""busy": true"#,
        r#""code": "label_policy_violation""#,
        r#""allowed": false"#,
        "runner.provision\tdemo@example.com\tfalse",
        "runner.deprovision\tdemo@example.com\ttrue",
        "audit_log",
        r#""is_active": false"#,
    ] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{stderr}");
    }
    assert!(run.end(Ending::Interrupt).await.success());
    std::fs::remove_dir_all(folder).unwrap();
}
