//! The permission to administer.

use domain::{AuditEntry, Caller, Origin, Problem, ProblemCode, TeamId};
use serde_json::{Value, json};
use uuid::Uuid;

/// The permission to administer, and how the audit log names its holder. A value of this type is the permission.
#[derive(Clone, Debug)]
pub struct Administrator {
    entry: AuditEntry,
    /// Details added to every audit row.
    data: Value,
}

/// A person at the command line of a machine with the database's password.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Command that was typed.
    pub command: &'static str,
    /// Name of the account on the machine.
    pub os_user: String,
    /// Name of the machine.
    pub host: String,
}

impl Administrator {
    /// Returns the permission of an admin who calls the API.
    ///
    /// # Errors
    /// `admin_required` if the caller is no admin.
    pub fn from_caller(caller: &Caller, origin: &Origin) -> std::result::Result<Self, Problem> {
        if !caller.is_admin {
            return Err(Problem::new(
                ProblemCode::AdminRequired,
                "Only admins may do this; ask an admin of this service.",
            ));
        }
        Ok(Self { entry: AuditEntry::by(caller, origin, ""), data: json!({}) })
    }

    /// Returns the permission of an operator. Anyone who can reach the database can change everything anyway.
    pub fn from_operator(operator: &Operator) -> Self {
        let data = json!({ "by": operator.command, "os_user": operator.os_user, "host": operator.host });
        let identity = Some(format!("{}@{}", operator.os_user, operator.host));
        Self { entry: AuditEntry { identity, ..AuditEntry::service("") }, data }
    }

    /// Returns the permission of a setting, by its name. The settings contain the database's password.
    pub fn from_setting(name: &'static str) -> Self {
        Self { entry: AuditEntry::service(""), data: json!({ "by": name }) }
    }

    /// Returns the identity of the holder, as audit rows have it; `None` for a setting.
    pub fn identity(&self) -> Option<&str> {
        self.entry.identity.as_deref()
    }

    /// Returns the permission for a part of something larger; its audit rows have the larger one's id as `name`.
    #[must_use]
    pub(crate) fn within(mut self, name: &str, id: Uuid) -> Self {
        if let Some(data) = self.data.as_object_mut() {
            data.insert(name.to_owned(), json!(id));
        }
        self
    }

    /// Returns the name that rows and answers show for the holder.
    pub fn shown_name(&self) -> &str {
        let setting = self.data.get("by").and_then(Value::as_str);
        self.identity().or(setting).unwrap_or("the service")
    }

    /// Returns the audit row of a change; `details` is a JSON object.
    pub fn record(&self, event_type: &'static str, team: Option<TeamId>, details: Value) -> AuditEntry {
        let mut data = self.data.clone();
        if let (Some(data), Value::Object(details)) = (data.as_object_mut(), details) {
            data.extend(details);
        }
        AuditEntry { event_type, team, data, ..self.entry.clone() }
    }
}
