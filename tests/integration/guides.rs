//! Guides: their shell blocks run as a reader would run them.

use std::process::Stdio;

use harness::{World, team_draft};
use tokio::process::Command;

/// Returns the shell blocks of a guide.
fn shell_blocks(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn every_line_of_the_administration_guide_works() {
    let world = World::start().await;
    let (root, demo) = (world.admin().await, world.team(team_draft("demo")).await);
    world.machine("ci", &demo).await;
    let blocks = shell_blocks(include_str!("../../docs/guides/administration.md"));
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
