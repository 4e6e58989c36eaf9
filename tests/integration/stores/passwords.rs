//! Passwords that change while the service runs.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use harness::{World, eventually, provision_body, team_draft, tool};
use redis::cmd;

use super::pooler::PgBouncer;

fn write_private(path: &Path, password: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, password).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
    // A file is replaced whole, as Kubernetes and cloud agents do.
    fs::rename(draft, path).unwrap();
}

#[tokio::test]
async fn new_connections_to_redis_use_the_new_password() {
    let world = World::builder().own_servers().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let (file, url) = (world.folder().join("redis-password"), world.redis().url_and_prefix().0.to_owned());
    let mut admin = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut change = async |password: &str| {
        cmd("CONFIG")
            .arg("SET")
            .arg("requirepass")
            .arg(password)
            .query_async::<()>(&mut admin)
            .await
            .unwrap();
        write_private(&file, password);
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        kill.query_async::<i64>(&mut admin).await.unwrap();
    };
    change("the-first").await;
    let env = [("REDIS_PASSWORD_FILE", file.to_str().unwrap())];
    let (api, worker) = (world.program("api", &env), world.program("worker", &env));
    let address = api.address().await;
    for password in ["the-second", "the-third"] {
        let answer =
            world.ask_at(address, "POST", "/runners/jit", &ada).json(&provision_body("ci")).send().await;
        let job = answer.assert_status(202).body["job_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(world.until_final_at(address, &ada, job).await["state"], "succeeded");
        change(password).await;
    }
    for program in [api, worker] {
        assert!(!program.output().contains("the-second"), "no password is logged");
        program.stop().await;
    }
    cmd("CONFIG").arg("SET").arg("requirepass").arg("").query_async::<()>(&mut admin).await.unwrap();
}

#[tokio::test]
async fn new_connections_to_the_database_use_the_new_password() {
    if let Some(program) = tool("TEST_PGBOUNCER") {
        change_database_password(&program).await;
    }
}

async fn change_database_password(program: &Path) {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let pooler = PgBouncer::start(program, &world, "the-first").await;
    let file = world.folder().join("database-password");
    write_private(&file, "the-first\n");
    let url = pooler.url(&world, "of-nobody");
    let api = world.program(
        "api",
        &[
            ("DATABASE_URL", url.as_str()),
            ("DATABASE_POOLER", "transaction"),
            ("DATABASE_PASSWORD_FILE", file.to_str().unwrap()),
        ],
    );
    let address = api.address().await;
    world.ask_at(address, "GET", "/auth/me", &ada).send().await.assert_status(200);
    write_private(&file, "the-second\n");
    pooler.set_password("the-second");
    eventually("the process has read the new password", || async {
        api.output().contains("the database password has changed").then_some(())
    })
    .await;
    // More requests at once than there are connections: new ones are opened.
    let ask = || async { world.ask_at(address, "GET", "/auth/me", &ada).send().await.status };
    let answers = futures::future::join_all((0..40).map(|_| ask())).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert!(!api.output().contains("the-second"), "no password is logged");
    api.stop().await;
}

#[tokio::test]
async fn password_file_that_others_can_read_or_that_is_missing_stops_the_start() {
    let world = World::builder().workers(0).start().await;
    let file = world.folder().join("open-password");
    for name in ["DATABASE_PASSWORD_FILE", "REDIS_PASSWORD_FILE"] {
        let _ = fs::remove_file(&file);
        let missing = world.command(&["worker"], &[(name, file.to_str().unwrap())]).await;
        assert!(missing.code != Some(0) && missing.stderr.contains(name), "{}", missing.stderr);
        fs::write(&file, "hunter2").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let open = world.command(&["worker"], &[(name, file.to_str().unwrap())]).await;
        assert!(open.stderr.contains("may be read by other users"), "{}", open.stderr);
        assert!(!open.stderr.contains("hunter2"));
    }
}
