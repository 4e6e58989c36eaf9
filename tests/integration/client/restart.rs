//! `rts provision --exec` while the service restarts.

use std::process::Stdio;

use domain::InstallationId;
use harness::{World, wait_until};

use super::Scene;

#[tokio::test]
async fn command_gets_its_runner_although_the_api_restarts() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let api = scene.world.program("api", &[]);
    let address = api.address().await;
    let mut command = tokio::process::Command::new(scene.world.rts());
    let check = r#"test -n "$ACTIONS_RUNNER_INPUT_JITCONFIG" && exit 7"#;
    command.args(["provision", "--label", "linux", "--exec", "sh", "-c", check]).env_clear();
    command.envs(scene.world.caller_environment(&scene.ada.token)).env("PATH", "/usr/bin:/bin");
    command
        .env("RTS_URL", format!("http://{address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let mut running = command.spawn().unwrap();
    let backlogs = async || scene.world.queue().team_backlogs(&InstallationId::default()).await.unwrap();
    wait_until("its job is in the queue", async || backlogs().await.len() == 1).await;
    api.kill();

    // The answer to the accepted request is lost, and the job ends while no API is there.
    let _worker = scene.world.start_worker();
    let ready = "SELECT count(*) FROM jobs WHERE state = 'succeeded'";
    wait_until("the job is done", || async { scene.count(ready).await == 1 }).await;
    assert!(running.try_wait().unwrap().is_none(), "it waits for the service");
    let _api = scene.world.program("api", &[("SERVICE_PORT", &address.port().to_string())]);
    assert_eq!(running.wait().await.unwrap().code(), Some(7));
    assert_eq!(scene.count("SELECT count(*) FROM runners").await, 1, "the runner of the first request");
}
