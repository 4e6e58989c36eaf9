//! Runners that registered themselves: a sync run binds them to GitHub's ids and compares their labels and group with
//! the granted ones. GitHub cannot bind labels and group for a registration token.

use std::collections::{HashMap, HashSet};

use domain::{
    ActionTaken, AuditEntry, InstallationId, LabelBreach, LabelPolicy, SecurityEvent, SeenRunner, Severity,
    TeamId,
};
use runtime::config::LabelEnforcement;
use serde_json::{Value, json};
use store::{AwaitedRunner, RegisteredRunner, Store, Tx};

use crate::{Parts, StepError};

/// Runners handled by one run; the next runs find the others.
const MAX_RUNNERS_PER_RUN: i64 = 1000;

/// Differences between a runner and what its requester was granted.
#[derive(Default)]
struct Breach {
    labels: Option<LabelBreach>,
    /// Group of the runner, if it is not the granted one.
    group: Option<i64>,
}

impl Breach {
    const fn is_none(&self) -> bool {
        self.labels.is_none() && self.group.is_none()
    }
}

/// Awaited runner as GitHub lists it, with its differences from the grant.
struct Arrival<'s> {
    runner: AwaitedRunner,
    found: &'s SeenRunner,
    breach: Breach,
}

/// Conclusions of a run about runners that registered themselves.
pub(super) struct SelfRegisteredRunners<'s> {
    enforce: bool,
    /// Runners that were refused earlier and comply with the policy now.
    accepted: Vec<(AwaitedRunner, &'s SeenRunner)>,
    /// Awaited runners that GitHub lists now.
    arrived: Vec<Arrival<'s>>,
}

/// Compiled label policies, one per team.
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
        let elsewhere =
            runner.runner_group_id.zip(found.runner_group_id).filter(|(granted, actual)| granted != actual);
        let labels = self.0.get(&runner.team).and_then(|policy| policy.breach(&found.labels));
        Breach { labels, group: elsewhere.map(|(_, actual)| actual) }
    }
}

/// Checks the awaited and the refused runners against their teams' policies. It runs before the run's transaction,
/// since a policy may have a hundred patterns to compile.
pub(super) async fn check_policies<'s>(
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
    let mut checked = SelfRegisteredRunners { enforce, accepted: Vec::new(), arrived: Vec::new() };
    for runner in refused {
        let Some(found) = runner.github_id.and_then(|id| seen.get(&id).copied()) else { continue };
        if found.name == runner.name && (!enforce || policies.breach(&runner, found).is_none()) {
            checked.accepted.push((runner, found));
        }
    }
    if awaited.is_empty() {
        return Ok(checked);
    }
    let by_name: HashMap<&str, &'s SeenRunner> =
        seen.values().map(|runner| (runner.name.as_str(), *runner)).collect();
    for runner in awaited {
        let Some(found) = by_name.get(runner.name.as_str()).copied() else { continue };
        let breach = policies.breach(&runner, found);
        checked.arrived.push(Arrival { runner, found, breach });
    }
    Ok(checked)
}

impl SelfRegisteredRunners<'_> {
    /// Binds the awaited runners and marks those that violate the policy. A runner that was marked earlier and complies
    /// now may stay. The run orders the removal of marked runners.
    pub(super) async fn write(self, tx: &mut Tx) -> Result<(), StepError> {
        for (runner, found) in &self.accepted {
            tx.self_registered().accept(runner.id, &names(found)).await?;
        }
        for arrival in &self.arrived {
            record_arrival(tx, arrival, self.enforce).await?;
        }
        Ok(())
    }
}

async fn record_arrival(tx: &mut Tx, arrival: &Arrival<'_>, enforce: bool) -> Result<(), StepError> {
    let Arrival { runner, found, breach } = arrival;
    let refused = !breach.is_none() && enforce;
    // A refused runner keeps its requested labels in the row; other rows get the labels that GitHub lists.
    let labels = if refused { runner.labels.clone() } else { names(found) };
    let foreign = breach.labels.as_ref().map(|labels| labels.refused.as_slice());
    let foreign = foreign.filter(|labels| !labels.is_empty());
    let registered =
        RegisteredRunner { github_id: found.github_id, labels: &labels, refused, foreign_labels: foreign };
    if !tx.self_registered().bind_github_id(runner.id, &registered).await? {
        return Ok(());
    }
    tx.audit().write(&entry(runner, found, json!({}))).await?;
    if let Some(labels) = &breach.labels {
        let details = json!({ "missing": labels.missing, "refused": labels.refused });
        raise_alarm(tx, arrival, "label_policy_violation", details, enforce).await?;
    }
    if let Some(group) = breach.group {
        let details = json!({ "granted_group_id": runner.runner_group_id, "found_group_id": group });
        raise_alarm(tx, arrival, "runner_group_violation", details, enforce).await?;
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

async fn raise_alarm(
    tx: &mut Tx,
    arrival: &Arrival<'_>,
    event_type: &'static str,
    details: Value,
    enforce: bool,
) -> Result<(), StepError> {
    let Arrival { runner, found, .. } = arrival;
    tracing::warn!(runner = %runner.id, github_runner_id = found.github_id, event_type,
        "a self-registered runner violates its team's policy");
    let action_taken = if enforce { ActionTaken::RemovalRequested } else { ActionTaken::None };
    let event = SecurityEvent { event_type, severity: Severity::High, action_taken: action_taken.as_str() };
    Ok(tx.audit().alarm(&event, &entry(runner, found, details)).await?)
}
