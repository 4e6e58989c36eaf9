//! Pages of machine clients: addition, the test of a token, and the end of access.

use harness::{Browser, Team, World, logs, provision_body, team_draft};

use super::{audit_rows, shown};

async fn scene() -> (World, Team, Browser) {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let root = world.sign_in(&world.admin().await).await;
    (world, red, root)
}

#[tokio::test]
async fn client_is_added_with_a_rule_and_faults_are_named() {
    let (world, red, root) = scene().await;
    assert!(root.get("/clients").await.text.contains("No machine may ask for runners yet."));
    let form = root.get(&format!("/clients/new?team={}", red.id)).await.assert_status(200);
    assert!(form.text.contains(&red.id.to_string()), "{}", form.text);
    let issuer = world.issuer().url().to_owned();
    let fields = |team, claims, subject| {
        [
            ("client_id", "octo-deploy"),
            ("issuer", issuer.as_str()),
            ("team", team),
            ("description", "<i>deploys</i>"),
            ("subject", subject),
            ("claims", claims),
        ]
    };
    let subject = "repo:octo-org/deploy:environment:prod";
    for (team, claims, subject, pointer) in [
        ("blue", "", subject, "/team_id"),
        ("red", "no equals sign", subject, "/rule/claims"),
        ("red", "a=b", "", "/rule/subject"),
        ("red", "", "*", "/rule"),
    ] {
        let wrong = root.post("/clients/new", &fields(team, claims, subject)).await.assert_status(422);
        assert!(shown(&wrong).contains(pointer), "{pointer}: {}", wrong.text);
    }
    let made = root.post("/clients/new", &fields("red", "repository_owner_id=42", subject)).await;
    let page = root.get(made.assert_status(303).header("location")).await.assert_status(200);
    assert!(shown(&page).contains(subject) && page.text.contains("repository_owner_id"), "{}", page.text);
    assert!(!page.text.contains("<i>deploys"), "{}", page.text);
    root.post("/clients/new", &fields("red", "", subject)).await.assert_status(409);
    assert_eq!(audit_rows(&world, "client.create").await, 1);
    assert!(root.get("/clients?q=octo").await.text.contains("1 machine client"));
}

#[tokio::test]
async fn token_is_tested_and_never_repeated() {
    logs::record("trace");
    let (world, red, root) = scene().await;
    let machine = world.machine("deploy", &red).await;
    let fields = [("token", machine.token.as_str()), ("compare_with", "")];
    let tested = root.post("/clients/test", &fields).await.assert_status(200);
    let text = shown(&tested);
    assert!(text.contains("It acts as the machine client `deploy`."), "{text}");
    assert!(text.contains(&format!("/clients/{}", machine.id)), "{text}");
    let bad =
        root.post("/clients/test", &[("token", "nonsense"), ("compare_with", "")]).await.assert_status(200);
    assert!(bad.text.contains("refused") && !bad.text.contains("nonsense"), "{}", bad.text);
    root.post("/clients/test", &[("token", ""), ("compare_with", "")]).await.assert_status(422);
    root.post("/clients/test", &[("token", "x"), ("compare_with", "y")]).await.assert_status(422);
    let ada = world.sign_in(&world.user("ada", &[&red]).await).await;
    ada.post("/clients/test", &fields).await.assert_status(403);
    let signature = machine.token.rsplit('.').next().unwrap();
    for (place, text) in [("the page", &tested.text), ("the log", &logs::recorded())] {
        assert!(!text.contains(signature), "{place} has the token");
    }
}

#[tokio::test]
async fn client_loses_access_and_gets_it_back() {
    let (world, red, root) = scene().await;
    let machine = world.machine("deploy", &red).await;
    let asked = world.provision(&machine, provision_body("ci")).await;
    let path = format!("/clients/{}", machine.id);
    let preview = root.get(&format!("{path}/deactivate")).await.assert_status(200);
    assert!(preview.text.contains("1 open request is cancelled."), "{}", preview.text);
    let reason = [("comment", "its key leaked")];
    let vera = world.sign_in(&world.viewer("vera").await).await;
    for action in ["deactivate", "activate", "remove"] {
        vera.post(&format!("{path}/{action}"), &reason).await.assert_status(403);
        vera.get(&format!("{path}/{action}")).await.assert_status(403);
        root.post(&format!("{path}/{action}"), &[("comment", "")]).await.assert_status(422);
    }
    root.post(&format!("{path}/deactivate"), &reason).await.assert_status(303);
    world.jit(&machine, &provision_body("ci")).await.refused(403, "inactive");
    let root_job = world.text("SELECT state FROM jobs WHERE id = $1", asked.job).await;
    assert_eq!(root_job, "cancelled");
    root.post(&format!("{path}/activate"), &reason).await.assert_status(303);
    world.provision(&machine, provision_body("ci")).await;
    root.post(&format!("{path}/remove"), &reason).await.assert_status(303);
    root.get(&path).await.assert_status(404);
    assert_eq!(
        (audit_rows(&world, "client.update").await, audit_rows(&world, "client.delete").await),
        (2, 1)
    );
}
