//! Parser for webhook bodies. It keeps the few needed fields and drops the rest, which can be megabytes.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{InstallationChange, InstallationEvent, WebhookEvent, WorkflowJob};
use crate::{MAX_LABEL, MAX_LABELS, clean_json};

/// Maximum length of a kept name, in characters.
const MAX_NAME: usize = 256;

/// Maximum total length of kept labels, in bytes.
const MAX_LABEL_BYTES: usize = 32 * 1024;

/// Classification of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event that this service processes.
    Event(WebhookEvent),
    /// An event or action that is not relevant.
    Ignored,
    /// A relevant event that differs from GitHub's documentation; the text says where.
    Malformed(String),
}

/// One parsed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Action of the event, at most 100 characters.
    pub action: Option<String>,
    /// Source of the delivery.
    pub source: WebhookSource,
    /// Content of the delivery.
    pub content: Content,
}

/// Source of a delivery, as the body states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookSource {
    /// GitHub's id of the App installation; webhooks without an App have none.
    pub installation: Option<i64>,
    /// Login of the organisation.
    pub organization: Option<String>,
    /// Slug of the enterprise.
    pub enterprise: Option<String>,
}

/// A body that is not valid JSON.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the body is not valid JSON")]
pub struct InvalidJson;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    action: Value,
    #[serde(default)]
    installation: Value,
    #[serde(default)]
    organization: Value,
    #[serde(default)]
    enterprise: Value,
    #[serde(default)]
    sender: Value,
    #[serde(default)]
    repository: Value,
    #[serde(default)]
    workflow_job: Value,
}

impl Delivery {
    /// Parses the body of an event (`X-GitHub-Event`).
    ///
    /// # Errors
    /// [`InvalidJson`]; every valid JSON document can be parsed.
    pub fn read(event: &str, body: &[u8]) -> Result<Self, InvalidJson> {
        let body: Body = match serde_json::from_str(&clean_json(body)) {
            Ok(body) => body,
            Err(error) if error.is_data() => {
                let content = Content::Malformed("the body is not a JSON object".to_owned());
                return Ok(Self { action: None, source: WebhookSource::default(), content });
            }
            Err(_) => return Err(InvalidJson),
        };
        let action = body.action.as_str().map(|text| text.chars().take(100).collect::<String>());
        let content = match (event, action.as_deref()) {
            ("workflow_job", Some("in_progress")) => job(&body, false),
            ("workflow_job", Some("completed")) => job(&body, true),
            ("installation", Some("suspend")) => installation(&body, InstallationChange::Suspend),
            ("installation", Some("deleted")) => installation(&body, InstallationChange::Deleted),
            ("installation", Some("unsuspend")) => installation(&body, InstallationChange::Unsuspend),
            ("installation", Some("new_permissions_accepted")) => {
                installation(&body, InstallationChange::NewPermissionsAccepted)
            }
            _ => Ok(Content::Ignored),
        };
        Ok(Self {
            action,
            source: source(&body),
            content: content.unwrap_or_else(|place| Content::Malformed(format!("{place} is missing"))),
        })
    }
}

/// Returns the source. For a repository outside any organisation it is the repository's owner.
fn source(body: &Body) -> WebhookSource {
    let logins = [
        &body.organization["login"],
        &body.installation["account"]["login"],
        &body.repository["owner"]["login"],
    ];
    WebhookSource {
        installation: number(&body.installation["id"]),
        organization: logins.into_iter().find_map(text),
        enterprise: text(&body.enterprise["slug"]),
    }
}

fn job(body: &Body, completed: bool) -> Result<Content, &'static str> {
    let job = &body.workflow_job;
    let times: &[&str] =
        if completed { &["completed_at", "started_at", "created_at"] } else { &["started_at", "created_at"] };
    let runner_name = text(&job["runner_name"]);
    let in_group = |name: &str| job["runner_group_name"].as_str() == Some(name);
    Ok(Content::Event(WebhookEvent::WorkflowJob(WorkflowJob {
        id: number(&job["id"]).ok_or("workflow_job.id")?,
        run_id: number(&job["run_id"]).ok_or("workflow_job.run_id")?,
        completed,
        repository: text(&body.repository["full_name"]).ok_or("repository.full_name")?,
        workflow: text(&job["workflow_name"]),
        name: text(&job["name"]),
        labels: labels(&job["labels"]),
        runner_id: number(&job["runner_id"]).filter(|id| *id != 0),
        // Names of this service's runners contain no space.
        hosted: in_group("GitHub Actions") || runner_name.as_deref().is_some_and(is_hosted),
        runner_name,
        at: times.iter().find_map(|name| time(&job[*name])),
        conclusion: text(&job["conclusion"]),
    })))
}

fn is_hosted(name: &str) -> bool {
    name.strip_prefix("GitHub Actions ").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

fn installation(body: &Body, change: InstallationChange) -> Result<Content, &'static str> {
    number(&body.installation["id"]).ok_or("installation.id")?;
    let suspended = time(&body.installation["suspended_at"]);
    let updated = time(&body.installation["updated_at"]);
    Ok(Content::Event(WebhookEvent::Installation(InstallationEvent {
        change,
        at: if change == InstallationChange::Suspend { suspended.max(updated) } else { updated },
        by: text(&body.sender["login"]),
    })))
}

/// Returns a positive whole number, given as a number or as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|number| *number >= 0)
}

/// Returns a text that is not empty, cut to its maximum length.
fn text(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    (!text.is_empty()).then_some(text)
}

/// Returns the labels up to the maximum size. Dropped labels are replaced by one label that no runner has, so that a
/// job cannot hide a label behind many others.
fn labels(value: &Value) -> Vec<String> {
    let mut all = value.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(label);
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for label in all.by_ref() {
        bytes += label.len();
        if kept.len() == MAX_LABELS || bytes > MAX_LABEL_BYTES {
            kept.push("…".to_owned());
            break;
        }
        kept.push(label);
    }
    kept
}

fn label(value: &Value) -> Option<String> {
    let name = value.as_str().or_else(|| value["name"].as_str())?;
    Some(name.chars().take(MAX_LABEL).collect())
}

/// Parses RFC 3339, or seconds since 1970 as in older events.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    match value.as_i64() {
        Some(seconds) => DateTime::from_timestamp(seconds, 0),
        None => DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.to_utc()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(event: &str, body: &Value) -> Delivery {
        Delivery::read(event, body.to_string().as_bytes()).unwrap()
    }

    fn running() -> Value {
        json!({
            "action": "in_progress", "installation": { "id": 7 },
            "repository": { "full_name": "octo/web" },
            "workflow_job": {
                "id": 1, "run_id": 2, "status": "in_progress", "labels": ["gpu"], "runner_id": 3, "runner_name": "box",
                "runner_group_name": "Default", "workflow_name": "CI", "started_at": "2026-01-01T00:00:00Z",
            },
        })
    }

    fn job_in(body: &Value) -> WorkflowJob {
        match read("workflow_job", body).content {
            Content::Event(WebhookEvent::WorkflowJob(job)) => job,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn running_job_is_read() {
        let delivery = read("workflow_job", &running());
        assert_eq!(
            (delivery.action.as_deref(), delivery.source.installation),
            (Some("in_progress"), Some(7))
        );
        let job = job_in(&running());
        assert_eq!((job.id, job.run_id, job.completed, job.hosted), (1, 2, false, false));
        assert_eq!((job.repository.as_str(), job.workflow.as_deref()), ("octo/web", Some("CI")));
        assert_eq!((job.runner_id, job.runner_name.as_deref()), (Some(3), Some("box")));
        assert_eq!(job.at.unwrap().timestamp(), 1_767_225_600);
    }

    #[test]
    fn where_it_comes_from_is_read() {
        let mut body = json!({ "organization": { "login": "acme" }, "enterprise": { "slug": "initech" },
            "repository": { "owner": { "login": "else" } } });
        let from = |body: &Value| read("ping", body).source;
        let whose = |organization: &str| WebhookSource {
            installation: None,
            organization: Some(organization.to_owned()),
            enterprise: Some("initech".to_owned()),
        };
        assert_eq!(from(&body), whose("acme"));
        body["organization"] = json!(null);
        assert_eq!(from(&body), whose("else"));
        body["installation"] = json!({ "id": "x", "account": { "login": "globex" } });
        assert_eq!(from(&body), whose("globex"));
    }

    #[test]
    fn no_runner_is_null_empty_or_zero() {
        for (id, name) in [(json!(null), json!(null)), (json!(0), json!(""))] {
            let mut body = running();
            body["workflow_job"]["runner_id"] = id;
            body["workflow_job"]["runner_name"] = name;
            assert_eq!((job_in(&body).runner_id, job_in(&body).runner_name), (None, None));
        }
    }

    #[test]
    fn jobs_on_machines_of_github_are_known() {
        let mut body = running();
        body["workflow_job"]["runner_name"] = json!("GitHub Actions 12");
        assert!(job_in(&body).hosted);
        let mut body = running();
        body["workflow_job"]["runner_group_name"] = json!("GitHub Actions");
        assert!(job_in(&body).hosted);
    }

    #[test]
    fn ignored_and_malformed_events_are_distinguished() {
        let mut queued = running();
        queued["action"] = json!("queued");
        assert_eq!(read("workflow_job", &queued).content, Content::Ignored);
        assert_eq!(read("ping", &json!({ "zen": "x" })).content, Content::Ignored);
        let mut odd = running();
        odd["workflow_job"] = json!([]);
        assert!(matches!(read("workflow_job", &odd).content, Content::Malformed(_)));
        assert!(matches!(
            read("installation", &json!({ "action": "suspend" })).content,
            Content::Malformed(_)
        ));
        assert!(matches!(read("workflow_job", &json!("x")).content, Content::Malformed(_)));
        assert_eq!(Delivery::read("workflow_job", b"payload=%7B%7D"), Err(InvalidJson));
    }

    #[test]
    fn installation_event_has_its_time() {
        let body = json!({ "action": "suspend", "sender": { "login": "octocat" },
            "installation": { "id": 7, "updated_at": 1_557_933_591, "suspended_at": "2021-04-28T22:32:50.000-04:00" } });
        let Content::Event(WebhookEvent::Installation(news)) = read("installation", &body).content else {
            panic!()
        };
        assert_eq!(news.change, InstallationChange::Suspend);
        assert_eq!(news.at.unwrap().to_rfc3339(), "2021-04-29T02:32:50+00:00");
        assert_eq!(news.by.as_deref(), Some("octocat"));
    }

    #[test]
    fn text_postgres_cannot_store_is_replaced() {
        let mut body = running();
        body["workflow_job"]["labels"] = json!(["a\0b"]);
        let text = body.to_string().replacen("\"box\"", "\"b\\u0000\\ud800x\"", 1);
        let Content::Event(WebhookEvent::WorkflowJob(job)) =
            Delivery::read("workflow_job", text.as_bytes()).unwrap().content
        else {
            panic!()
        };
        assert_eq!(job.labels, ["a\u{fffd}b"]);
        assert_eq!(job.runner_name.as_deref(), Some("b\u{fffd}\u{fffd}x"));
        let odd = br#"{"action":"a\u0000b"}"#;
        let action = Delivery::read("ping", odd).unwrap().action.unwrap();
        assert!(!action.contains('\0'), "{action:?}");
    }

    #[test]
    fn stored_texts_have_bounds() {
        let mut body = running();
        body["workflow_job"]["labels"] = json!(vec!["x".repeat(9999); 9999]);
        body["workflow_job"]["workflow_name"] = json!("y".repeat(9999));
        let job = job_in(&body);
        assert_eq!((job.labels.len(), job.labels[0].len(), job.workflow.unwrap().len()), (101, 256, 256));
        assert_eq!(job.labels[100], "…", "the number of omitted values is kept");
        let mut body = running();
        body["workflow_job"]["labels"] = json!(vec!["é".repeat(256); 100]);
        let labels = job_in(&body).labels;
        assert_eq!((labels.len(), labels.last().map(String::as_str)), (65, Some("…")));
    }
}
