//! The larger JSON objects of GitHub: users, organisations, repositories, the App, installations.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    groups::Group,
    rate_limits::Owner,
    repositories::Repository,
    routes::Call,
    state::{Installation, Runner, State},
};

/// Formats a time as GitHub does: RFC 3339 with `Z` and whole seconds.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns the client id of an App; accepted as `iss` beside the number.
pub(crate) fn client_id(app_id: u64) -> String {
    format!("Iv23twin{app_id:012}")
}

/// Returns a number derived from the name, so that ids are equal in every run.
pub(crate) fn stable_id(name: &str) -> u64 {
    let fold = |n: u64, b: u8| (n ^ u64::from(b.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, fold) % 900_000_000 + 10_000_000
}

fn node_id(kind: &str, id: u64) -> String {
    format!("{kind}_kgDO{id:08X}")
}

/// Returns a user or an organisation as an account.
pub(crate) fn account(base: &str, login: &str, kind: &str) -> Value {
    let id = stable_id(login);
    let url = format!("{base}/users/{login}");
    json!({
        "login": login, "id": id, "node_id": node_id(&kind[..1], id),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"), "gravatar_id": "",
        "url": url, "html_url": format!("https://github.com/{login}"),
        "followers_url": format!("{url}/followers"), "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"), "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"), "type": kind, "site_admin": false,
    })
}

/// Returns the `organization` of a webhook.
pub(crate) fn organization(base: &str, login: &str) -> Value {
    let id = stable_id(login);
    let url = format!("{base}/orgs/{login}");
    json!({
        "login": login, "id": id, "node_id": node_id("O", id), "url": url,
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"), "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"), "description": login,
    })
}

/// Returns the `repository` of a webhook; `full_name` is `owner/name`.
pub(crate) fn repository(base: &str, full_name: &str, since: DateTime<Utc>) -> Value {
    let (owner, name) = full_name.split_once('/').unwrap_or((full_name, full_name));
    let (id, url) = (stable_id(full_name), format!("{base}/repos/{full_name}"));
    let page = format!("https://github.com/{full_name}");
    let mut view = json!({
        "id": id, "node_id": node_id("R", id), "name": name, "full_name": full_name, "private": true,
        "owner": account(base, owner, "Organization"), "html_url": page, "description": null, "fork": false,
        "created_at": time(since), "updated_at": time(since), "pushed_at": time(since),
        "clone_url": format!("{page}.git"), "git_url": format!("git://github.com/{full_name}.git"),
        "ssh_url": format!("git@github.com:{full_name}.git"), "svn_url": page, "homepage": null,
        "language": null, "mirror_url": null, "license": null, "archived": false, "disabled": false,
        "has_issues": true, "has_projects": true, "has_downloads": true, "has_wiki": true,
        "has_pages": false, "size": 1, "default_branch": "main",
    });
    for (key, path) in REPOSITORY_PATHS {
        view[key] = json!(format!("{url}/{path}").trim_end_matches('/'));
    }
    for key in REPOSITORY_COUNTS {
        view[key] = json!(0);
    }
    view
}

const REPOSITORY_PATHS: [(&str, &str); 37] = [
    ("archive_url", "{archive_format}{/ref}"),
    ("assignees_url", "assignees{/user}"),
    ("blobs_url", "git/blobs{/sha}"),
    ("branches_url", "branches{/branch}"),
    ("collaborators_url", "collaborators{/collaborator}"),
    ("comments_url", "comments{/number}"),
    ("commits_url", "commits{/sha}"),
    ("compare_url", "compare/{base}...{head}"),
    ("contents_url", "contents/{+path}"),
    ("contributors_url", "contributors"),
    ("deployments_url", "deployments"),
    ("downloads_url", "downloads"),
    ("events_url", "events"),
    ("forks_url", "forks"),
    ("git_commits_url", "git/commits{/sha}"),
    ("git_refs_url", "git/refs{/sha}"),
    ("git_tags_url", "git/tags{/sha}"),
    ("hooks_url", "hooks"),
    ("issue_comment_url", "issues/comments{/number}"),
    ("issue_events_url", "issues/events{/number}"),
    ("issues_url", "issues{/number}"),
    ("keys_url", "keys{/key_id}"),
    ("labels_url", "labels{/name}"),
    ("languages_url", "languages"),
    ("merges_url", "merges"),
    ("milestones_url", "milestones{/number}"),
    ("notifications_url", "notifications{?since,all,participating}"),
    ("pulls_url", "pulls{/number}"),
    ("releases_url", "releases{/id}"),
    ("stargazers_url", "stargazers"),
    ("statuses_url", "statuses/{sha}"),
    ("subscribers_url", "subscribers"),
    ("subscription_url", "subscription"),
    ("tags_url", "tags"),
    ("teams_url", "teams"),
    ("trees_url", "git/trees{/sha}"),
    ("url", ""),
];

const REPOSITORY_COUNTS: [&str; 7] = [
    "stargazers_count",
    "watchers_count",
    "forks_count",
    "open_issues_count",
    "forks",
    "open_issues",
    "watchers",
];

/// Returns a runner in GitHub's format.
pub(crate) fn runner(r: &Runner) -> Value {
    let mut view = json!({
        "id": r.id, "name": r.name, "os": r.os, "status": r.status, "busy": r.busy,
        "labels": r.labels, "runner_group_id": r.runner_group_id, "ephemeral": r.ephemeral,
    });
    if let Some(version) = &r.version {
        view["version"] = json!(version);
    }
    view
}

/// Returns a runner group of the organisation or enterprise that a call names.
pub(crate) fn group(base: &str, call: &Call, g: &Group) -> Value {
    let (kind, owner, selected) = match call.param("org") {
        "" => ("enterprises", call.param("enterprise"), "organizations"),
        org => ("orgs", org, "repositories"),
    };
    let url = format!("{base}/{kind}/{owner}/actions/runner-groups/{}", g.id);
    let mut view = json!({
        "id": g.id, "name": g.name, "visibility": g.visibility, "default": g.default,
        "runners_url": format!("{url}/runners"), "hosted_runners_url": format!("{url}/hosted-runners"),
        "allows_public_repositories": g.public, "restricted_to_workflows": g.restricted,
        "selected_workflows": g.workflows, "workflow_restrictions_read_only": false,
    });
    if kind == "orgs" {
        view["inherited"] = json!(false);
    }
    if g.visibility == "selected" {
        view[format!("selected_{selected}_url")] = json!(format!("{url}/{selected}"));
    }
    view
}

impl State {
    /// Returns a repository in the form common to all calls.
    pub(crate) fn repository_view(&self, r: &Repository) -> Value {
        repository(&self.base, &r.full_name, self.started)
    }

    /// Returns the URL name of an App.
    pub(crate) fn app_slug(&self, app: u64) -> &str {
        let more = self.config.more_apps.iter().find(|one| one.app_id == app);
        more.map_or(&self.config.app_slug, |one| &one.slug)
    }

    /// Returns an App.
    pub(crate) fn app_view(&self, app: u64) -> Value {
        let (config, since, slug) = (&self.config, time(self.started), self.app_slug(app));
        json!({
            "id": app, "slug": slug, "node_id": node_id("A", app),
            "client_id": client_id(app), "owner": account(&self.base, &config.org, "Organization"),
            "name": slug, "description": null, "external_url": "https://example.com",
            "html_url": format!("https://github.com/apps/{slug}"),
            "created_at": since, "updated_at": since, "permissions": config.permissions,
            "events": ["workflow_job"],
            "installations_count": self.installations.iter().filter(|one| one.app == app).count(),
        })
    }

    /// Returns one installation of an App.
    pub(crate) fn installation_view(&self, i: &Installation) -> Value {
        let (base, since, slug) = (&self.base, time(self.started), self.app_slug(i.app));
        let suspended_by = i.suspended_at.map(|_| account(base, &i.org, "User"));
        json!({
            "id": i.id, "account": account(base, &i.org, "Organization"), "repository_selection": "all",
            "access_tokens_url": format!("{base}/app/installations/{}/access_tokens", i.id),
            "repositories_url": format!("{base}/installation/repositories"),
            "html_url": format!("https://github.com/organizations/{}/settings/installations/{}", i.org, i.id),
            "app_id": i.app, "app_slug": slug, "client_id": client_id(i.app),
            "target_id": stable_id(&i.org), "target_type": "Organization", "permissions": i.permissions,
            "events": ["workflow_job"], "created_at": since, "updated_at": time(i.updated_at), "single_file_name": null,
            "has_multiple_single_files": false, "single_file_paths": [],
            "suspended_by": suspended_by, "suspended_at": i.suspended_at.map(time),
        })
    }

    /// Returns one rate-limit resource as `/rate_limit` shows it.
    pub(crate) fn rate_view(&mut self, owner: Owner, resource: &str) -> Value {
        let now = self.now();
        let [limit, remaining, used, reset] = self.meter.view(owner, resource, now).unwrap_or_default();
        json!({"limit": limit, "remaining": remaining, "used": used, "reset": reset})
    }
}
