//! `rts ticket`, as people and machines run it.

use std::os::unix::fs::OpenOptionsExt;

use harness::wait_until;

use super::Scene;

#[tokio::test]
async fn machine_starts_its_runner_with_nothing_but_a_ticket() {
    let scene = Scene::new().await;
    let member = scene.world.caller_environment(&scene.ada.token);
    let run = async |words: &[&str]| scene.world.command(words, &member).await;
    let create = ["ticket", "create", "--label", "linux", "--address", "127.0.0.0/8"];
    let made = run(&create).await.expect(0);
    let ticket = made.stdout.trim();
    assert!(ticket.starts_with("rtst_") && made.stderr.contains("can be redeemed until"), "{made:?}");
    let listed = run(&["ticket", "list", "--state", "open"]).await.expect(0);
    assert!(listed.stdout.contains("open") && !listed.stdout.contains(ticket), "{}", listed.stdout);

    let check = r#"test -n "$ACTIONS_RUNNER_INPUT_JITCONFIG" && test -z "$RTS_TICKET" && exit 7"#;
    let bare = scene.world.caller_environment("");
    let machine = [&bare[..], &[("RTS_TICKET", ticket)]].concat();
    let words = ["ticket", "redeem", "--exec", "sh", "-c", check];
    let started = scene.world.command(&words, &machine).await.expect(7);
    assert!(
        !started.stderr.contains(ticket) && !started.stderr.contains(scene.world.canary()),
        "{started:?}"
    );
    let sealed = "SELECT count(*) FROM credentials WHERE key_id = 'hpke:x25519' OR key_id IS NULL";
    assert_eq!(scene.world.count(sealed).await, 1);
    let again = scene.world.command(&words, &machine).await.expect(4);
    assert!(again.stderr.contains("ticket_refused"), "{}", again.stderr);
}

#[tokio::test]
async fn redemption_reads_a_file_and_resumes_after_a_time_out() {
    let scene = Scene::of(harness::World::builder().workers(0).start().await).await;
    let ticket = scene.ticket(&scene.ada).await.assert_status(201).body;
    let path = scene.world.folder().join("ticket");
    let mut file = std::fs::File::options();
    let file = file.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut &file, ticket["ticket"].as_str().unwrap().as_bytes()).unwrap();
    let machine = scene.world.caller_environment("");
    let words = ["ticket", "redeem", "--ticket-file", "ticket", "--config-file", "jit.config"];
    let late = [&words[..], &["--wait", "1s"]].concat();
    scene.world.command(&late, &machine).await.expect(6);
    let _worker = scene.world.start_worker();
    wait_until("the job is done", || async {
        scene.world.count("SELECT count(*) FROM jobs WHERE state = 'succeeded'").await == 1
    })
    .await;
    scene.world.command(&words, &machine).await.expect(0);
    assert!(std::fs::read_to_string(scene.world.folder().join("jit.config")).unwrap().len() > 100);
    assert_eq!(scene.world.count("SELECT count(*) FROM runners").await, 1);
    scene.world.command(&["ticket", "redeem", "--exec", "true"], &machine).await.expect(2);

    let other = scene.ticket(&scene.ada).await.assert_status(201).body;
    let member = scene.world.caller_environment(&scene.ada.token);
    let id = other["ticket_id"].as_str().unwrap();
    scene.world.command(&["ticket", "revoke", id], &member).await.expect(0);
    scene.world.command(&["ticket", "revoke", id], &member).await.expect(4);
}
