//! Tickets in wrong hands.

use std::num::NonZeroU32;

use harness::World;
use runtime::config::ServerGuards;
use serde_json::json;

use super::Scene;

#[tokio::test]
async fn every_bad_ticket_gets_one_and_the_same_answer() {
    let scene = Scene::of(World::builder().workers(0).start().await).await;
    let elsewhere =
        scene.ask_ticket(&scene.ada, json!({ "addresses": ["192.0.2.0/24"] })).await.assert_status(201).body;
    let expired = scene.ticket(&scene.ada).await.assert_status(201).body;
    let id = expired["ticket_id"].as_str().unwrap().parse().unwrap();
    scene.world.change("UPDATE claim_tickets SET expires_at = now() WHERE id = $1", id).await;
    let used = scene.ticket(&scene.ada).await.assert_status(201).body;
    scene.redemption(&used, "one").header("prefer", "respond-async").send().await.assert_status(202);
    let unknown = domain::TicketSecret::generate().unwrap();
    let unknown = json!({ "ticket": unknown.expose() });
    let mut answers = Vec::new();
    for ticket in [&elsewhere, &expired, &used, &unknown, &json!({ "ticket": "nonsense" })] {
        let refused = scene.redeem(ticket, "two").await.refused(403, "ticket_refused");
        answers.push((refused.body["title"].clone(), refused.body["detail"].clone()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(scene.world.count("SELECT count(*) FROM runners").await, 1);
    let noted =
        "SELECT coalesce(sum(occurrences), 0)::bigint FROM audit_log WHERE event_type = 'ticket.refused'";
    assert_eq!(scene.world.count(noted).await, 1, "equal refusals share a row");
}

#[tokio::test]
async fn identity_of_the_machine_is_checked_by_its_token() {
    let scene = Scene::new().await;
    let issuer = scene.world.issuer().url();
    let identity = json!({ "issuer": issuer, "subject": "vm-7", "claims": { "zone": "eu" } });
    let ticket = scene.ask_ticket(&scene.ada, json!({ "identity": identity })).await.assert_status(201).body;
    let right = scene.world.token(&json!({ "sub": "vm-7", "zone": "eu" }));
    let other = scene.world.token(&json!({ "sub": "vm-7", "zone": "us" }));
    scene.redeem(&ticket, "boot").await.refused(403, "ticket_refused");
    scene.redemption(&ticket, "boot").by(&other).send().await.refused(403, "ticket_refused");
    let broken = format!("{right}x");
    scene.redemption(&ticket, "boot").by(&broken).send().await.refused(401, "invalid_token");
    scene.redemption(&ticket, "boot").by(&right).send().await.assert_status(201);
    let by = "SELECT count(*) FROM claim_tickets WHERE redeemed_by LIKE '%#vm-7'";
    assert_eq!(scene.world.count(by).await, 1);
}

#[tokio::test]
async fn address_that_guesses_is_blocked_and_reported() {
    let three = NonZeroU32::new(3).unwrap();
    let guards = ServerGuards {
        refusals_per_minute: NonZeroU32::MIN,
        refusals_burst: three,
        ..ServerGuards::default()
    };
    let scene = Scene::of(World::builder().workers(0).guards(guards).start().await).await;
    for _ in 0..4 {
        let guess = json!({ "ticket": domain::TicketSecret::generate().unwrap().expose() });
        scene.redeem(&guess, "boot").await.refused(403, "ticket_refused");
    }
    let guess = json!({ "ticket": domain::TicketSecret::generate().unwrap().expose() });
    let blocked = scene.redeem(&guess, "boot").await.refused(429, "rate_limited");
    assert!(!blocked.header("retry-after").is_empty());
    let events =
        "SELECT count(*) FROM security_events WHERE event_type = 'ticket_guessing' AND severity = 'high'";
    assert_eq!(scene.world.count(events).await, 1);
}
