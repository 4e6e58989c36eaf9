//! Servers, clocks and webhooks that are broken for real.

use devstack::{Server, WrongClock};
use harness::{World, wait_until};
use scheduler::{Leadership, leader};
use serde_json::Value;

use super::{examine, only};

const SECRET: &str = "a webhook secret of the doctor";

/// Returns the findings that the API reports.
async fn report(world: &World) -> Vec<Value> {
    let admin = world.admin().await;
    let report = world.get("/admin/doctor", &admin).await.assert_status(200).body;
    report["findings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn redis_that_may_drop_keys_and_redis_that_is_away_are_found() {
    let world = World::builder().own_servers().scheduler().start().await;
    wait_until("the queue is marked", || async {
        world.queue().epoch().await.is_ok_and(|epoch| epoch.is_some())
    })
    .await;
    let policy = ["SET", "maxmemory-policy", "allkeys-lru"];
    let _: String = world.redis().send_command("CONFIG", &policy).await;
    let (code, findings) = examine(&world, &["--only", "redis"], &[]).await;
    only(&findings, "fail", "redis", "allkeys-lru");
    assert_eq!(code, 7);
    let policy = ["SET", "maxmemory-policy", "noeviction"];
    let _: String = world.redis().send_command("CONFIG", &policy).await;
    let (code, findings) = examine(&world, &["--only", "redis"], &[]).await;
    assert_eq!(code, 0, "{findings:#?}");

    world.servers(|stack| stack.kill(Server::Redis)).await;
    let (code, findings) = examine(&world, &["--only", "redis"], &[]).await;
    only(&findings, "fail", "redis", "cannot be used");
    assert_eq!(code, 7);
    let reported = report(&world).await;
    let of_redis = |finding: &&Value| finding["group"] == "redis" && finding["level"] == "fail";
    assert!(reported.iter().any(|finding| of_redis(&finding)), "{reported:#?}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn clocks_that_differ_are_found() {
    for (server, name) in [(Server::Redis, "Redis"), (Server::Postgres, "PostgreSQL")] {
        let clock = WrongClock { server, seconds: -600 };
        let world = World::builder().workers(0).wrong_clock(clock).start().await;
        let (code, findings) = examine(&world, &["--only", "clock"], &[]).await;
        only(&findings, "fail", "clock", &format!("this machine and {name} differ by"));
        assert_eq!(code, 7);
    }
}

#[tokio::test]
async fn webhooks_that_do_not_arrive_are_found() {
    let world = World::builder().workers(0).webhooks(SECRET).start().await;
    let examine = async || {
        let (_, findings) =
            examine(&world, &["--only", "webhooks"], &[("GITHUB_WEBHOOK_SECRET", SECRET)]).await;
        findings
    };
    let findings = examine().await;
    assert!(findings.iter().all(|finding| finding["level"] == "ok"), "{findings:#?}");
    sqlx::query("ALTER TABLE webhook_inbox ADD CONSTRAINT broken CHECK (event <> 'workflow_job')")
        .execute(world.sql())
        .await
        .unwrap();
    world.twin.control().queue_job("acme/web", &["gpu-7"]).unwrap();
    world.twin.webhooks_sent().await;
    only(&examine().await, "warn", "webhooks", "1 deliveries failed in the last hour");
}

#[tokio::test]
async fn indexes_of_another_order_of_texts_are_found() {
    let world = World::builder().workers(0).start().await;
    let (_, findings) = examine(&world, &["--only", "postgres"], &[]).await;
    assert!(findings.iter().all(|finding| finding["level"] != "fail"), "{findings:#?}");
    // What a database of another operating system looks like.
    sqlx::query("UPDATE pg_database SET datcollversion = '0.1' WHERE datname = current_database()")
        .execute(world.sql())
        .await
        .unwrap();
    let (code, findings) = examine(&world, &["--only", "postgres"], &[]).await;
    only(&findings, "fail", "postgres", "version 0.1 of the collation");
    assert_eq!(code, 7);
    let repair = findings.iter().find_map(|finding| finding["repair"].as_str()).unwrap();
    assert!(repair.contains("REFRESH COLLATION VERSION"), "{repair}");
    let reported = report(&world).await;
    assert!(
        reported.iter().any(|finding| finding["detail"].to_string().contains("collation")),
        "{reported:#?}"
    );
}

#[tokio::test]
async fn second_database_on_the_same_keys_is_found() {
    let (world, other) =
        tokio::join!(World::builder().workers(0).start(), World::builder().workers(0).start());
    let (ours, foreign) = (Leadership::new("here"), Leadership::new("there"));
    assert!(ours.acquire(world.store()).await.unwrap() && foreign.acquire(other.store()).await.unwrap());
    let leads = async |leadership: &Leadership| {
        leader::report(world.scheduler_parts(), leadership.clone()).await.unwrap();
    };
    let found = async || {
        let (_, findings) = examine(&world, &["--only", "redis"], &[]).await;
        let names = |finding: &&Value| finding["detail"].as_str().unwrap().contains("of another database");
        findings.iter().filter(names).cloned().collect::<Vec<_>>()
    };
    // It reported before ours led, as a scheduler does that hands over.
    leads(&foreign).await;
    leads(&ours).await;
    assert_eq!(found().await, [Value::Null; 0]);
    wait_until("the other database is found", || async {
        leads(&foreign).await;
        leads(&ours).await;
        !found().await.is_empty()
    })
    .await;
    let findings = found().await;
    assert!(findings[0]["detail"].to_string().contains(foreign.holder()), "{findings:#?}");
    assert!(findings[0]["repair"].to_string().contains("REDIS_NAMESPACE"), "{findings:#?}");
    assert_eq!((findings.len(), &findings[0]["level"]), (1, &Value::from("fail")));
}
