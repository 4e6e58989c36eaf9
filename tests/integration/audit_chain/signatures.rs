//! Signatures of checkpoints.

use domain::{AuditChain, AuditKeys, AuditPublicKeys};
use operations::ChainFinding;
use scheduler::{
    Parts, StepError,
    chain::{self, ChainMemory},
};

use super::Scene;

fn keys(ids: &[&str]) -> Option<AuditKeys> {
    let secret = |id: &&str| ((*id).to_owned(), vec![id.as_bytes()[0]; 32].into());
    AuditKeys::derive(&ids.iter().map(secret).collect::<Vec<_>>()).unwrap()
}

fn codes(findings: &[ChainFinding]) -> Vec<&'static str> {
    findings.iter().map(ChainFinding::code).collect()
}

impl Scene {
    /// Writes a row and runs the step with these keys until the row is chained.
    async fn chain_with(&self, ids: &[&str]) {
        self.write("signed", 1).await;
        let parts = Parts { audit_keys: keys(ids), ..self.parts() };
        super::chain_all(&self.world, &parts, &ChainMemory::default()).await;
    }

    async fn refused_with(&self, ids: &[&str]) {
        let parts = Parts { audit_keys: keys(ids), ..self.parts() };
        let refused = chain::run(parts, ChainMemory::default()).await;
        assert!(matches!(refused, Err(StepError::Incomplete)), "{refused:?}");
    }

    async fn verify_by(&self, ids: &[&str]) -> Vec<&'static str> {
        let public = keys(ids).map(|keys| keys.public_keys()).unwrap_or_default();
        codes(&self.verify_with(public, None).await.findings)
    }
}

#[tokio::test]
async fn keys_may_come_later_and_change_while_the_old_one_is_known() {
    let scene = Scene::new().await;
    scene.chain_with(&[]).await;
    assert_eq!(scene.verify_by(&[]).await, [""; 0]);
    assert_eq!(scene.verify_by(&["a"]).await, ["checkpoint_unsigned", "block_unsigned"]);
    scene.chain_with(&["a"]).await;
    assert_eq!(scene.verify_by(&["a"]).await, [""; 0]);
    scene.refused_with(&["b"]).await;
    scene.chain_with(&["b", "a"]).await;
    assert_eq!(scene.verify_by(&["b"]).await, [""; 0]);
    assert_eq!(scene.verify_by(&["a"]).await, ["checkpoint_of_unknown_key", "block_unsigned"]);
    let public: AuditPublicKeys = keys(&["b"]).unwrap().public_keys();
    assert_eq!(AuditPublicKeys::parse(&public.texts()).unwrap(), public);
}

#[tokio::test]
async fn chain_goes_on_without_a_lost_key_and_says_so() {
    let scene = Scene::new().await;
    scene.chain_with(&["a"]).await;
    scene.refused_with(&["b"]).await;
    scene.sql("UPDATE audit_checkpoints SET signed_at = signed_at - interval '20 minutes'").await;
    for _ in 0..2 {
        scene.chain_with(&["b"]).await;
        assert_eq!(scene.verify_by(&["b"]).await, ["key_missing"]);
    }
    let events = "SELECT count(*) FROM security_events WHERE violation_data ->> 'fault' = 'key_missing'";
    assert_eq!(scene.world.count(events).await, 2, "one of each chain");
    let said = scene.verify_with(keys(&["b"]).unwrap().public_keys(), None).await.findings[0].to_string();
    assert!(said.contains("\"a\""), "{said}");
    // The owner of the tables cannot take the finding away.
    scene.sql("UPDATE audit_checkpoints SET missing_key_id = NULL, missing_position = NULL").await;
    assert_eq!(scene.verify_by(&["b"]).await, ["checkpoint_changed", "block_unsigned"]);
    scene.refused_with(&["b"]).await;
}

#[tokio::test]
async fn checkpoints_changed_by_the_owner_are_not_signed_again() {
    let scene = Scene::new().await;
    scene.chain_with(&["a"]).await;
    scene.chain_with(&["a"]).await;
    for change in [
        // Everything so far would count as removed for its age.
        "UPDATE audit_checkpoints SET base_position = position, base_hash = hash, base_transaction = head_transaction,
            base_id = head_id, base_newest = now() WHERE chain = 'audit_log'",
        "UPDATE audit_checkpoints SET signature = NULL, key_id = NULL WHERE chain = 'audit_log';
         INSERT INTO audit_checkpoints SELECT chain, day - 1, position, hash, head_transaction, head_id, base_position,
            base_hash, base_transaction, base_id, base_newest, signed_at, 'a', '' FROM audit_checkpoints
            WHERE chain = 'audit_log'",
    ] {
        scene.sql("CREATE TABLE saved AS SELECT * FROM audit_checkpoints").await;
        scene.sql(change).await;
        assert!(!scene.verify_by(&["a"]).await.is_empty());
        scene.refused_with(&["a"]).await;
        scene
            .sql("DELETE FROM audit_checkpoints; INSERT INTO audit_checkpoints SELECT * FROM saved; DROP TABLE saved")
            .await;
    }
    let events = "SELECT count(*) FROM security_events WHERE event_type = 'audit_chain_broken' AND severity = 'critical'";
    assert_eq!(scene.world.count(events).await, 2);
    assert_eq!(scene.verify_by(&["a"]).await, [""; 0]);
    assert_eq!(AuditChain::ALL.len(), 2);
}
