//! The plan of an application: every change with its values before and after.

use std::collections::BTreeMap;

use domain::{AuditEntry, TeamId, sha256_hex};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Administrator, record::extend};

/// Kind of a planned change's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A person.
    Person,
    /// A team.
    Team,
    /// A member of a team.
    Member,
    /// A machine client.
    Client,
}

/// Planned change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A new row.
    Create,
    /// Changed values.
    Update,
    /// Equal values of a row that was made by hand and belongs to the files from now on.
    Adopt,
    /// The end of an access that can be restored.
    Deactivate,
    /// The end of a membership.
    Remove,
}

impl Subject {
    /// Returns the text used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Team => "team",
            Self::Member => "member",
            Self::Client => "client",
        }
    }
}

impl Action {
    /// Returns the text used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Adopt => "adopt",
            Self::Deactivate => "deactivate",
            Self::Remove => "remove",
        }
    }
}

impl Consent {
    /// Returns the text used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemoveAdmin => "remove_admin",
            Self::Many => "many",
        }
    }
}

/// One planned change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanItem {
    /// Kind of its subject.
    pub subject: Subject,
    /// Change.
    pub action: Action,
    /// Name of the subject: an e-mail address, a team's name or a client id.
    pub name: String,
    /// Name of the team of a member or machine client.
    pub team: Option<String>,
    /// Values before the change, without equal ones.
    pub before: Value,
    /// Values after the change, without equal ones.
    pub after: Value,
    /// Team of the audit row.
    #[serde(skip)]
    pub(super) team_id: Option<TeamId>,
}

impl PlanItem {
    pub(super) fn new(subject: Subject, action: Action, name: impl Into<String>) -> Self {
        Self {
            subject,
            action,
            name: name.into(),
            team: None,
            before: json!({}),
            after: json!({}),
            team_id: None,
        }
    }

    /// Returns the item of a change from `before` to `after`.
    #[must_use]
    pub(super) fn with(self, delta: Option<(Value, Value)>) -> Self {
        let (before, after) = delta.unwrap_or_else(|| (json!({}), json!({})));
        Self { before, after, ..self }
    }

    /// Returns the item of a team's part.
    #[must_use]
    pub(super) fn of_team(self, name: &str, id: TeamId) -> Self {
        Self { team: Some(name.to_owned()), team_id: Some(id), ..self }
    }

    const fn event_type(&self) -> &'static str {
        match (self.subject, self.action) {
            (Subject::Person, Action::Create) => "user.create",
            (Subject::Person, Action::Deactivate) => "user.deactivate",
            (Subject::Person, _) => "user.update",
            (Subject::Team, Action::Create) => "team.create",
            (Subject::Team, Action::Deactivate) => "team.deactivate",
            (Subject::Team, _) => "team.update",
            (Subject::Member, Action::Remove) => "member.remove",
            (Subject::Member, _) => "member.add",
            (Subject::Client, Action::Create) => "client.create",
            (Subject::Client, _) => "client.update",
        }
    }

    /// Returns the audit row of the change; `applied` names the owner and the plan.
    pub(super) fn entry(&self, admin: &Administrator, applied: &Value) -> AuditEntry {
        let mut details =
            json!({ "name": self.name, "action": self.action, "before": self.before, "after": self.after });
        extend(&mut details, json!({ "applied": applied }));
        admin.record(self.event_type(), self.team_id, details)
    }
}

/// Consent that a plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// An admin loses the role or the access.
    RemoveAdmin,
    /// More than a fifth of the people lose their access or a team.
    Many,
}

/// The plan of an application.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Hash of the changes: equal plans have equal ids.
    pub id: String,
    /// The changes.
    pub items: Vec<PlanItem>,
    /// Number of values in the files that are as wanted.
    pub unchanged: usize,
    /// Remarks, such as people who stay deactivated.
    pub remarks: Vec<String>,
    /// Consents that the plan needs.
    pub needs: Vec<Consent>,
    /// Whether the changes were made.
    pub applied: bool,
}

impl Plan {
    pub(super) fn new(
        items: Vec<PlanItem>,
        unchanged: usize,
        remarks: Vec<String>,
        needs: Vec<Consent>,
    ) -> Self {
        let text = serde_json::to_vec(&items).unwrap_or_default();
        Self { id: sha256_hex(&text), items, unchanged, remarks, needs, applied: false }
    }

    /// Returns the number of changes by action.
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        let mut counts = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.action).or_default() += 1;
        }
        counts
    }
}
