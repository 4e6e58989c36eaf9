//! Checks of the credentials for GitHub, of the App's installations, and of its webhook.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use github::{
    Credential, Delivery, GitHub, GitHubError, GitHubSettings, Installation, NoopObserver, RateHeaders,
    Scope, SettingsError,
};
use operations::doctor::{Finding, compare_clock};
use runtime::config::{JobsConfig, LabelEnforcement, Sources, WebhookConfig};

/// Age up to which a failed delivery of a webhook is a warning.
const RECENT: TimeDelta = TimeDelta::hours(1);
/// Permissions that every App has, and those that this service uses.
const USED_PERMISSIONS: &[&str] =
    &["metadata", "actions", "administration", "organization_self_hosted_runners"];

/// An installation as the settings describe it.
struct Expected {
    name: String,
    scope: Scope,
    /// Whether workflow runs that a team does not allow are cancelled.
    enforces: bool,
    webhooks: bool,
}

/// The client of one installation.
struct Subject {
    github: GitHub,
    expected: Expected,
}

/// Checks one installation with a few requests.
pub(super) async fn examine(sources: &Sources, installation: installations::Installation) -> Vec<Finding> {
    let name = installation.id.to_string();
    let app_id = match &installation.github.credential {
        Credential::App { app_id, .. } => Some(app_id.clone()),
        Credential::Pat(_) => None,
    };
    let github = match client(installation.github) {
        Ok(github) => github,
        Err(error) => return vec![unusable(&name, &error)],
    };
    let enforces = |jobs: JobsConfig| jobs.label_enforcement == LabelEnforcement::Enforce;
    let expected = Expected {
        name,
        scope: github.scope().clone(),
        enforces: sources.section().is_ok_and(enforces),
        webhooks: sources.section::<WebhookConfig>().is_ok_and(|config| !config.secrets.is_empty()),
    };
    let subject = Subject { github, expected };
    let mut findings = match app_id {
        Some(app_id) => subject.examine_app(&app_id).await,
        None => Vec::new(),
    };
    findings.push(subject.examine_limits().await);
    findings.push(compare_clock("GitHub", Utc::now(), subject.github.now()));
    findings
}

fn client(settings: GitHubSettings) -> Result<GitHub, SettingsError> {
    GitHub::new(settings, Arc::new(NoopObserver))
}

fn unusable(name: &str, error: &SettingsError) -> Finding {
    let detail = format!("installation {name}: {}", domain::error_chain(error));
    let (group, repair) = match error {
        SettingsError::Key(_) => (
            "files",
            "Give the process the App's private key as GitHub made it (an RSA key in PEM), in a file with mode 0400.",
        ),
        SettingsError::EnterpriseNeedsPat => {
            ("github", "Set GITHUB_TOKEN_PATH to a file with a personal access token.")
        }
        _ => ("settings", "Correct the setting; `rts settings` describes it."),
    };
    Finding::fail(group, detail, repair)
}

impl Subject {
    fn failure(&self, what: &str, error: &GitHubError, repair: &str) -> Finding {
        let repair = match error {
            GitHubError::NotSent { .. } | GitHubError::Unclear { .. } => {
                "Let this machine reach GITHUB_API_URL, through HTTPS_PROXY if there is a proxy; GitHub's status page tells of outages."
            }
            GitHubError::Limited { .. } => "Wait: GitHub's rate limit is used up.",
            _ => repair,
        };
        Finding::fail("github", format!("installation {}: {what}: {error}", self.expected.name), repair)
    }

    async fn examine_app(&self, app_id: &str) -> Vec<Finding> {
        let app = match self.github.get_app().await {
            Ok(app) => app,
            Err(error) => {
                let repair = "Make a new private key on the App's page, and let GITHUB_APP_ID be the App ID of that page.";
                return vec![self.failure("GitHub refuses the App's key", &error, repair)];
            }
        };
        let mut findings = vec![self.expected.judge_app(app_id, app.id, &app.name)];
        match self.github.get_installation().await {
            Ok(installation) => findings.extend(self.expected.judge(&installation)),
            Err(error) => {
                let repair = "Open the App's installation on GitHub, and set GITHUB_APP_INSTALLATION_ID to the number at the end of its URL.";
                findings.push(self.failure("the App has no such installation", &error, repair));
            }
        }
        if self.expected.webhooks {
            findings.push(match self.github.list_failed_hook_deliveries(None, 100).await {
                Ok(page) => self.expected.judge_deliveries(&page.deliveries, self.github.now()),
                Err(error) => {
                    let detail = format!(
                        "installation {}: the deliveries cannot be listed: {error}",
                        self.expected.name
                    );
                    let repair =
                        "Give the App a webhook on its page, with the secret of GITHUB_WEBHOOK_SECRET.";
                    Finding::warn("webhooks", detail, repair)
                }
            });
        }
        findings
    }

    async fn examine_limits(&self) -> Finding {
        match self.github.rate_limit().await {
            Ok(windows) => self.expected.judge_limits(&windows),
            Err(error) => {
                let repair =
                    "Check that the installation is active; a personal access token may have expired.";
                self.failure("GitHub refuses the credential", &error, repair)
            }
        }
    }
}

impl Expected {
    fn judge_app(&self, app_id: &str, id: i64, app: &str) -> Finding {
        let name = &self.name;
        if id.to_string() == app_id {
            return Finding::ok("github", format!("installation {name}: the key is that of the App {app}"));
        }
        let detail =
            format!("installation {name}: the key is that of the App {id}, and GITHUB_APP_ID is {app_id}");
        Finding::fail(
            "github",
            detail,
            format!("Set GITHUB_APP_ID to {id}, or use the key of the other App."),
        )
    }

    fn judge(&self, installation: &Installation) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut fail = |detail: String, repair: String| {
            findings.push(Finding::fail("github", format!("installation {}: {detail}", self.name), repair));
        };
        let (owner, required) = match &self.scope {
            Scope::Org(org) => (org, "organization_self_hosted_runners"),
            Scope::Repo { owner, .. } => (owner, "administration"),
            Scope::Enterprise(slug) => (slug, "organization_self_hosted_runners"),
        };
        let account = installation.account.as_ref();
        let login = account.and_then(|account| account.login.as_deref().or(account.slug.as_deref()));
        if let Some(login) = login.filter(|login| !login.eq_ignore_ascii_case(owner)) {
            fail(
                format!("it is installed on {login}, and the settings name {owner}"),
                format!(
                    "Set GITHUB_ORG to {login}, or GITHUB_APP_INSTALLATION_ID to the installation on {owner}."
                ),
            );
        }
        if installation.suspended_at.is_some() {
            fail(
                "GitHub has suspended it".to_owned(),
                format!("Ask an owner of {owner} to unsuspend the App (Settings, GitHub Apps)."),
            );
        }
        if !is_granted(&installation.permissions, required) {
            fail(
                format!("the permission `{required}: write` is missing"),
                format!("Set it on the App's page, and let an owner of {owner} accept the new permissions."),
            );
        }
        findings.extend(self.judge_optional(installation));
        findings
    }

    fn judge_optional(&self, installation: &Installation) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut warn = |group, detail: String, repair: &str| {
            findings.push(Finding::warn(group, format!("installation {}: {detail}", self.name), repair));
        };
        if self.enforces && !is_granted(&installation.permissions, "actions") {
            let repair = "Set it on the App's page, or LABEL_POLICY_ENFORCEMENT to audit. Without it no workflow run is cancelled.";
            warn("github", "the permission `actions: write` is missing".to_owned(), repair);
        }
        let names = installation.permissions.keys().map(String::as_str);
        let surplus: Vec<&str> = names.filter(|name| !USED_PERMISSIONS.contains(name)).collect();
        if !surplus.is_empty() {
            let repair = "Remove them on the App's page: a stolen key could use them.";
            warn(
                "github",
                format!("permissions that this service does not use: {}", surplus.join(", ")),
                repair,
            );
        }
        if self.webhooks && !installation.events.iter().any(|event| event == "workflow_job") {
            let repair = "Subscribe the App to the event Workflow job, so that ended jobs are known at once.";
            warn("webhooks", "the App does not receive `workflow_job`".to_owned(), repair);
        }
        findings
    }

    fn judge_deliveries(&self, failed: &[Delivery], now: DateTime<Utc>) -> Finding {
        let name = &self.name;
        let recent: Vec<_> = failed.iter().filter(|one| one.delivered_at > now - RECENT).collect();
        let Some(last) = recent.first() else {
            return Finding::ok(
                "webhooks",
                format!("installation {name}: no delivery failed in the last hour"),
            );
        };
        let detail = format!(
            "installation {name}: {} deliveries failed in the last hour, the last with {} {}",
            recent.len(),
            last.status_code,
            last.status
        );
        let repair = "401 means another secret than GITHUB_WEBHOOK_SECRET; otherwise let GitHub reach /api/v1/webhooks/github. The scheduler requests missed deliveries again.";
        Finding::warn("webhooks", detail, repair)
    }

    fn judge_limits(&self, windows: &[RateHeaders]) -> Finding {
        let name = &self.name;
        let Some(core) = windows.iter().find(|window| window.resource == "core") else {
            return Finding::ok("github", format!("installation {name}: this GitHub states no limit"));
        };
        let left = format!("installation {name}: {} of {} requests are left", core.remaining, core.limit);
        if core.remaining * 10 >= core.limit {
            return Finding::ok("github", left);
        }
        let detail = format!("{left} until {}", core.reset_at.format("%H:%M UTC"));
        Finding::warn(
            "github",
            detail,
            "Look for other programs that use this App; jobs wait until the window ends.",
        )
    }
}

fn is_granted(permissions: &BTreeMap<String, String>, name: &str) -> bool {
    permissions.get(name).is_some_and(|level| level == "write" || level == "admin")
}

#[cfg(test)]
mod tests {
    use github::Account;
    use operations::doctor::Level;

    use super::*;

    fn expected() -> Expected {
        Expected { name: "default".into(), scope: Scope::Org("acme".into()), enforces: true, webhooks: true }
    }

    fn permissions(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), "write".to_owned())).collect()
    }

    fn installed() -> Installation {
        Installation {
            id: 1,
            account: Some(Account { login: Some("Acme".into()), slug: None }),
            target_type: None,
            repository_selection: None,
            permissions: permissions(&["organization_self_hosted_runners", "actions", "metadata"]),
            events: vec!["workflow_job".into()],
            suspended_at: None,
        }
    }

    fn only(findings: &[Finding], level: Level, text: &str) {
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].level == level && findings[0].detail.contains(text), "{findings:?}");
        assert!(findings[0].repair.is_some(), "{findings:?}");
    }

    #[test]
    fn each_fault_of_an_installation_is_found() {
        let judge = |installation: Installation| expected().judge(&installation);
        assert!(judge(installed()).is_empty());
        let account = Some(Account { login: Some("other".into()), slug: None });
        only(&judge(Installation { account, ..installed() }), Level::Fail, "installed on other");
        let suspended_at = Some(Utc::now());
        only(&judge(Installation { suspended_at, ..installed() }), Level::Fail, "suspended");
        let granted = permissions(&["actions"]);
        only(
            &judge(Installation { permissions: granted, ..installed() }),
            Level::Fail,
            "organization_self_hosted_runners",
        );
        let granted = permissions(&["organization_self_hosted_runners"]);
        only(&judge(Installation { permissions: granted, ..installed() }), Level::Warn, "actions: write");
        let granted = permissions(&["organization_self_hosted_runners", "actions", "contents"]);
        only(&judge(Installation { permissions: granted, ..installed() }), Level::Warn, "contents");
        only(&judge(Installation { events: Vec::new(), ..installed() }), Level::Warn, "workflow_job");
        only(&[expected().judge_app("7", 8, "rts")], Level::Fail, "the App 8");
    }

    #[test]
    fn failed_deliveries_of_the_last_hour_are_found() {
        let now = Utc::now();
        let delivery = |minutes| Delivery {
            id: 1,
            guid: "g".into(),
            delivered_at: now - TimeDelta::minutes(minutes),
            redelivery: false,
            status: "Unauthorized".into(),
            status_code: 401,
            event: "workflow_job".into(),
            action: None,
        };
        assert_eq!(expected().judge_deliveries(&[delivery(90)], now).level, Level::Ok);
        let recent = [delivery(1), delivery(2), delivery(90)];
        only(
            &[expected().judge_deliveries(&recent, now)],
            Level::Warn,
            "2 deliveries failed in the last hour, the last with 401",
        );
    }

    #[test]
    fn window_that_is_nearly_used_up_is_found() {
        let window = |remaining| RateHeaders {
            resource: "core".into(),
            limit: 5000,
            remaining,
            used: 5000 - remaining,
            reset_at: Utc::now(),
        };
        assert_eq!(expected().judge_limits(&[window(500)]).level, Level::Ok);
        only(&[expected().judge_limits(&[window(499)])], Level::Warn, "499 of 5000");
    }
}
