//! Bodies of provision requests and their validation.

use domain::{
    Caller, FieldError, MAX_LABELS, Problem, ProvisionRequest, RequestedName, RunnerVersion, SealingKey,
    TeamId, is_name_prefix, normalize_label,
};
use operations::check_text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A runner to provision. Send exactly one of `runner_name` and `runner_name_prefix`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProvisionBody {
    /// The exact name: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    #[schema(min_length = 1, max_length = 64, example = "gpu-builder-7")]
    pub(crate) runner_name: Option<String>,
    /// Prefix (1 to 51 characters) of a generated name. This is safer, since a generated name is never used twice.
    #[schema(min_length = 1, max_length = 51, example = "ci")]
    pub(crate) runner_name_prefix: Option<String>,
    /// Labels in addition to the team's required labels, which are always added.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["self-hosted", "linux"]))]
    pub(crate) labels: Vec<String>,
    /// GitHub's runner group; by default the default group.
    #[schema(minimum = 1)]
    pub(crate) runner_group_id: Option<i64>,
    /// Team, by name or id. Required for callers in several teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 50, example = "web")]
    pub(crate) team: Option<String>,
    /// Team, by id, instead of `team`.
    pub(crate) team_id: Option<Uuid>,
    /// Work folder on the runner's machine, a relative path; by default `_work`.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) work_folder: Option<String>,
    /// Runner software that you will start. The response warns if GitHub will soon refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2.336.0")]
    pub(crate) runner_version: Option<String>,
    /// X25519 public key (32 bytes as padded base64) of a key pair made for this request. The config is then sealed to
    /// it, and a repeated request must send the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 44, max_length = 44, example = "B6N8vBQgk8i3VdwbEOhstCY3Stqqu1uQlbvYxo1f+GE=")]
    pub(crate) sealing_key: Option<String>,
}

/// A runner that will register itself.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterBody {
    /// The exact name: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    #[schema(min_length = 1, max_length = 64, example = "old-builder-7")]
    pub(crate) runner_name: String,
    /// Labels in addition to the team's required labels, which are always added.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["self-hosted", "linux"]))]
    pub(crate) labels: Vec<String>,
    /// Team, by name or id. Required for callers in several teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 50, example = "web")]
    pub(crate) team: Option<String>,
    /// Team, by id, instead of `team`.
    pub(crate) team_id: Option<Uuid>,
    /// Whether the runner takes one workflow job and is then removed; by default true.
    #[serde(default = "default_ephemeral")]
    pub(crate) ephemeral: bool,
}

fn default_ephemeral() -> bool {
    true
}

impl RegisterBody {
    /// Checks all values. A registration token has no runner group: the runner joins the default group.
    ///
    /// # Errors
    /// `validation_failed` with all invalid values.
    pub(crate) fn check(&self, caller: &Caller) -> Result<(ProvisionRequest, Option<TeamId>), Problem> {
        let body = ProvisionBody {
            runner_name: Some(self.runner_name.clone()),
            runner_name_prefix: None,
            labels: self.labels.clone(),
            runner_group_id: None,
            team: self.team.clone(),
            team_id: self.team_id,
            work_folder: None,
            runner_version: None,
            sealing_key: None,
        };
        body.check(caller)
    }
}

/// Returns the key to which the config of a request is sealed.
///
/// # Errors
/// The fault of a text that is no usable key.
pub(crate) fn parse_sealing_key(text: Option<&str>) -> Result<Option<SealingKey>, FieldError> {
    let key = text.map(str::parse::<SealingKey>).transpose();
    key.map_err(|error| FieldError::new("/sealing_key", error.to_string()))
}

impl ProvisionBody {
    /// Checks all values. Returns the request and the team that it names.
    ///
    /// # Errors
    /// `validation_failed` with all invalid values.
    pub(crate) fn check(&self, caller: &Caller) -> Result<(ProvisionRequest, Option<TeamId>), Problem> {
        let request = self.check_beside(Vec::new())?;
        Ok((request, self.named_team(caller)))
    }

    /// Returns the team that the request names.
    pub(crate) fn named_team(&self, caller: &Caller) -> Option<TeamId> {
        let named = self.team.as_deref().map(|named| caller.named_team(named));
        named.or(self.team_id.map(TeamId::from))
    }

    /// Checks all values. `wrong` are errors that were found before.
    ///
    /// # Errors
    /// `validation_failed` with all invalid values.
    pub(crate) fn check_beside(&self, mut wrong: Vec<FieldError>) -> Result<ProvisionRequest, Problem> {
        if let Some(named) = &self.team {
            check_text(&mut wrong, "/team", named, 50);
            if self.team_id.is_some() {
                wrong.push(FieldError::new("/team_id", "not together with team"));
            }
        }
        let name = self.name().map_err(|error| wrong.push(error));
        let labels = self.labels(&mut wrong);
        if self.runner_group_id.is_some_and(|id| id < 1) {
            wrong.push(FieldError::new("/runner_group_id", "a positive number"));
        }
        let folder = self.work_folder.as_deref().unwrap_or("_work");
        if !is_work_folder(folder) {
            wrong.push(FieldError::new(
                "/work_folder",
                "a relative path of 1 to 100 printable characters without `..`",
            ));
        }
        let version = self.runner_version.as_deref().map(str::parse::<RunnerVersion>).transpose();
        let version =
            version.map_err(|error| wrong.push(FieldError::new("/runner_version", error.to_string())));
        match name {
            Ok(name) if wrong.is_empty() => Ok(ProvisionRequest {
                name,
                labels,
                runner_group_id: self.runner_group_id,
                work_folder: folder.to_owned(),
                runner_version: version.unwrap_or_default(),
            }),
            _ => Err(Problem::invalid(wrong)),
        }
    }

    /// Takes the key out of the body, so that the body's hash is that of the request without it.
    ///
    /// # Errors
    /// The fault of a text that is no usable key.
    pub(crate) fn take_sealing_key(&mut self) -> Result<Option<SealingKey>, FieldError> {
        parse_sealing_key(self.sealing_key.take().as_deref())
    }

    fn name(&self) -> Result<RequestedName, FieldError> {
        match (&self.runner_name, &self.runner_name_prefix) {
            (Some(name), None) => name
                .parse()
                .map(RequestedName::Exact)
                .map_err(|error: domain::BadRunnerName| FieldError::new("/runner_name", error.to_string())),
            (None, Some(prefix)) if is_name_prefix(prefix) => Ok(RequestedName::Prefix(prefix.clone())),
            (None, Some(_)) => Err(FieldError::new(
                "/runner_name_prefix",
                "1 to 51 characters of A-Z a-z 0-9 . _ - beginning with a letter or digit",
            )),
            (Some(_), Some(_)) => {
                Err(FieldError::new("/runner_name_prefix", "not together with runner_name"))
            }
            (None, None) => Err(FieldError::new("/runner_name_prefix", "send this or runner_name")),
        }
    }

    /// Returns the normalised labels.
    fn labels(&self, wrong: &mut Vec<FieldError>) -> Vec<String> {
        if self.labels.len() > MAX_LABELS {
            wrong.push(FieldError::new("/labels", "at most 100"));
            return Vec::new();
        }
        let mut normal = Vec::with_capacity(self.labels.len());
        for (at, label) in self.labels.iter().enumerate() {
            match normalize_label(label) {
                Ok(label) => normal.push(label),
                Err(reason) => wrong.push(FieldError::new(format!("/labels/{at}"), reason)),
            }
        }
        normal
    }
}

fn is_work_folder(folder: &str) -> bool {
    (1..=100).contains(&folder.len())
        && !folder.starts_with(['/', '\\'])
        && folder.chars().all(|c| c.is_alphanumeric() || " ._-/\\".contains(c))
        && folder.split(['/', '\\']).all(|part| part != "..")
}
