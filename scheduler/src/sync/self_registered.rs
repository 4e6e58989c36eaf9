//! Runners that registered themselves: known from now on by GitHub's id, and their labels and group held against what was
//! granted, which could not be bound for them beforehand.

use std::collections::{HashMap, HashSet};

use domain::{
    ActionTaken, AuditEntry, InstallationId, LabelBreach, LabelPolicy, SecurityEvent, SeenRunner, Severity,
    TeamId,
};
use runtime::config::LabelEnforcement;
use serde_json::{Value, json};
use store::{AwaitedRunner, RegisteredRunner, Store, Tx};

use crate::{Parts, StepError};

/// Most of one pass; the others are found by the next.
const MAX_RUNNERS_PER_RUN: i64 = 1000;

/// In what a runner is not what it was allowed to be.
#[derive(Default)]
struct Breach {
    labels: Option<LabelBreach>,
    /// The group it is in instead of the one it was told.
    group: Option<i64>,
}

impl Breach {
    const fn is_none(&self) -> bool {
        self.labels.is_none() && self.group.is_none()
    }
}

/// What a run concludes about runners that registered themselves.
pub(super) struct SelfRegisteredRunners<'s> {
    enforce: bool,
    /// Refused before, and within the policy now.
    accepted: Vec<(AwaitedRunner, &'s SeenRunner)>,
    /// Awaited, and listed now.
    arrived: Vec<(AwaitedRunner, &'s SeenRunner, Breach)>,
}

/// The compiled label policies, one per team.
struct Policies(HashMap<TeamId, LabelPolicy>);

impl Policies {
    async fn read(store: &Store, runners: impl Iterator<Item = &AwaitedRunner>) -> Result<Self, StepError> {
        let teams: HashSet<TeamId> = runners.map(|runner| runner.team).collect();
        let mut policies = HashMap::new();
        for id in teams {
            let team = store.conn().await?.teams().policy(id).await?;
            policies.extend(team.map(|team| (id, team.label_policy())));
        }
        Ok(Self(policies))
    }

    fn breach(&self, runner: &AwaitedRunner, found: &SeenRunner) -> Breach {
        let elsewhere = runner.runner_group_id.zip(found.runner_group_id).filter(|(told, is)| told != is);
        let labels = self.0.get(&runner.team).and_then(|policy| policy.breach(&found.labels));
        Breach { labels, group: elsewhere.map(|(_, is)| is) }
    }
}

/// Holds the awaited and the refused runners against their teams' policies: before the transaction of the run, since a
/// policy may be a hundred patterns to compile.
pub(super) async fn judge<'s>(
    parts: &Parts,
    installation: &InstallationId,
    seen: &HashMap<i64, &'s SeenRunner>,
) -> Result<SelfRegisteredRunners<'s>, StepError> {
    let enforce = parts.enforcement == LabelEnforcement::Enforce;
    let mut conn = parts.store.conn().await?;
    let refused = conn.self_registered().refused(installation, MAX_RUNNERS_PER_RUN).await?;
    let awaited = conn.self_registered().awaited(installation, MAX_RUNNERS_PER_RUN).await?;
    drop(conn);
    let policies = Policies::read(&parts.store, refused.iter().chain(&awaited)).await?;
    let mut newcomers = SelfRegisteredRunners { enforce, accepted: Vec::new(), arrived: Vec::new() };
    for runner in refused {
        let Some(found) = runner.github_id.and_then(|id| seen.get(&id).copied()) else { continue };
        if found.name == runner.name && (!enforce || policies.breach(&runner, found).is_none()) {
            newcomers.accepted.push((runner, found));
        }
    }
    if awaited.is_empty() {
        return Ok(newcomers);
    }
    let by_name: HashMap<&str, &'s SeenRunner> =
        seen.values().map(|runner| (runner.name.as_str(), *runner)).collect();
    for runner in awaited {
        let Some(found) = by_name.get(runner.name.as_str()).copied() else { continue };
        let breach = policies.breach(&runner, found);
        newcomers.arrived.push((runner, found, breach));
    }
    Ok(newcomers)
}

impl SelfRegisteredRunners<'_> {
    /// Takes in the awaited, and marks those that break the policy; a runner that was marked before and does not break it
    /// any more may stay. The run orders the removal of the marked.
    pub(super) async fn write(self, tx: &mut Tx) -> Result<(), StepError> {
        for (runner, found) in &self.accepted {
            tx.self_registered().accept(runner.id, &names(found)).await?;
        }
        for (runner, found, breach) in self.arrived {
            record_arrival(tx, (&runner, found), breach, self.enforce).await?;
        }
        Ok(())
    }
}

async fn record_arrival(
    tx: &mut Tx,
    (runner, found): (&AwaitedRunner, &SeenRunner),
    breach: Breach,
    enforce: bool,
) -> Result<(), StepError> {
    let refused = !breach.is_none() && enforce;
    // What is refused stays what it was asked to be; anything else is what the runner is like from now on.
    let labels = if refused { runner.labels.clone() } else { names(found) };
    let foreign = breach.labels.as_ref().map(|labels| labels.refused.as_slice());
    let foreign = foreign.filter(|labels| !labels.is_empty());
    let registered =
        RegisteredRunner { github_id: found.github_id, labels: &labels, refused, foreign_labels: foreign };
    if !tx.self_registered().bind_github_id(runner.id, &registered).await? {
        return Ok(());
    }
    tx.audit().write(&entry(runner, found, json!({}))).await?;
    if let Some(labels) = breach.labels {
        let details = json!({ "missing": labels.missing, "refused": labels.refused });
        alarm(tx, (runner, found), ("label_policy_violation", details), enforce).await?;
    }
    if let Some(group) = breach.group {
        let details = json!({ "granted_group_id": runner.runner_group_id, "found_group_id": group });
        alarm(tx, (runner, found), ("runner_group_violation", details), enforce).await?;
    }
    Ok(())
}

fn names(found: &SeenRunner) -> Vec<String> {
    found.labels.iter().map(|label| label.name.clone()).collect()
}

fn entry(runner: &AwaitedRunner, found: &SeenRunner, mut data: Value) -> AuditEntry {
    data["github_runner_id"] = json!(found.github_id);
    data["registered_itself"] = json!(true);
    AuditEntry {
        runner: Some(runner.id),
        runner_name: Some(runner.name.clone()),
        team: Some(runner.team),
        data,
        ..AuditEntry::service("runner.registered")
    }
}

async fn alarm(
    tx: &mut Tx,
    (runner, found): (&AwaitedRunner, &SeenRunner),
    (event_type, details): (&'static str, Value),
    enforce: bool,
) -> Result<(), StepError> {
    tracing::warn!(runner = %runner.id, github_runner_id = found.github_id, event_type,
        "a runner registered itself as it may not be");
    let action_taken = if enforce { ActionTaken::RemovalRequested } else { ActionTaken::None };
    let event = SecurityEvent { event_type, severity: Severity::High, action_taken: action_taken.as_str() };
    Ok(tx.audit().alarm(&event, &entry(runner, found, details)).await?)
}
