//! Calls for self-hosted runners and their groups.

use chrono::{DateTime, Utc};
use domain::Secret;
use http::StatusCode;
use serde::Deserialize;

use crate::{
    call::Call,
    client::GitHub,
    error::GitHubError,
    headers,
    lenient::Elements,
    models::{Deletion, Deprecation, Label, Listing, Page, RegistrationToken, Runner, RunnerGroup},
    path::encode,
    settings::Scope,
};

/// GitHub's largest page.
const PER_PAGE: u32 = 100;
/// GitHub keeps at most 10,000 runners in a group, so more pages would be an endless loop.
const MAX_PAGES: u32 = 100;

#[derive(Deserialize)]
struct PageWire {
    total_count: u64,
    runners: Elements<Runner>,
}

#[derive(Deserialize)]
struct LabelsWire {
    labels: Elements<Label>,
}

#[derive(Deserialize)]
struct TokenWire {
    token: String,
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct GroupsWire {
    runner_groups: Elements<RunnerGroup>,
}

impl GitHub {
    /// Returns one runner; `None` on GitHub's own plain 404.
    pub async fn get_runner(&self, id: i64) -> Result<Option<Runner>, GitHubError> {
        let call = Call::get("get_runner", self.actions(&format!("/runners/{id}")));
        match self.call(&call).await {
            Ok(reply) => match call.parse::<Runner>(&reply)? {
                found if found.id == id => Ok(Some(found)),
                _ => Err(call.malformed("the response is another runner")),
            },
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the runner with exactly this name, ignoring case. GitHub does not document whether its filter is exact,
    /// so the names are compared here, over at most 100 pages.
    pub async fn find_runner(&self, name: &str) -> Result<Option<Runner>, GitHubError> {
        let wanted = name.to_lowercase();
        let mut page = Some(1);
        for _ in 0..MAX_PAGES {
            let Some(number) = page else { return Ok(None) };
            let query = format!("/runners?name={}&per_page={PER_PAGE}&page={number}", encode(name));
            let call = Call::get("find_runner", self.actions(&query));
            let found = self.page(&call, number).await?;
            let hit = found.runners.into_iter().find(|runner| runner.name.to_lowercase() == wanted);
            if hit.is_some() {
                return Ok(hit);
            }
            page = found.next;
        }
        Err(too_many_pages("find_runner"))
    }

    /// Returns page `page` (from 1) of all runners with `per_page` (1 to 100) entries; conditional if `etag` is given.
    pub async fn list_runners(
        &self,
        page: u32,
        per_page: u32,
        etag: Option<&str>,
    ) -> Result<Listing, GitHubError> {
        let (page, per_page) = (page.max(1), per_page.clamp(1, PER_PAGE));
        let path = self.actions(&format!("/runners?per_page={per_page}&page={page}"));
        let call = Call::get("list_runners", path).if_none_match(etag);
        let reply = self.call(&call).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return match etag {
                Some(_) => Ok(Listing::NotModified),
                None => Err(call.malformed("304 to a request that set no condition")),
            };
        }
        read_page(&call, &reply, page).map(Listing::Page)
    }

    /// Removes a runner by force, unless it runs a job.
    pub async fn delete_runner(&self, id: i64) -> Result<Deletion, GitHubError> {
        let call = Call::delete("delete_runner", self.actions(&format!("/runners/{id}")));
        match self.call(&call).await {
            Ok(_) => Ok(Deletion::Deleted),
            Err(error) if error.is_not_found() => Ok(Deletion::Gone),
            Err(GitHubError::Refused { status: 422, .. }) => Ok(Deletion::Busy),
            // Older servers respond with 400.
            Err(GitHubError::Refused { status: 400, message, .. }) if message.contains("running a job") => {
                Ok(Deletion::Busy)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the custom labels of a runner (0 to 100) and returns all of its labels; `None` on GitHub's own plain
    /// 404. Idempotent.
    pub async fn set_labels(&self, id: i64, labels: &[String]) -> Result<Option<Vec<Label>>, GitHubError> {
        let call = Call::put("set_labels", self.actions(&format!("/runners/{id}/labels")))
            .json(&serde_json::json!({ "labels": labels }))?;
        match self.call(&call).await {
            Ok(reply) => Ok(Some(call.parse::<LabelsWire>(&reply)?.labels.readable(call.operation))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a token for `config.sh`, valid for an hour and any number of runners.
    pub async fn create_registration_token(&self) -> Result<RegistrationToken, GitHubError> {
        let call = Call::post("create_registration_token", self.actions("/runners/registration-token"));
        let reply = self.call(&call).await?;
        let wire: TokenWire = call.parse(&reply)?;
        let usable = !wire.token.is_empty() && wire.token.bytes().all(|b| b.is_ascii_graphic());
        if !usable {
            return Err(call.malformed("the token is empty or cannot be used"));
        }
        Ok(RegistrationToken { token: Secret::new(wire.token), expires_at: wire.expires_at })
    }

    /// Returns the dates until which GitHub supports a version; `None` if it does not say. Only GitHub Enterprise Cloud
    /// has this call.
    pub async fn get_runner_deprecation(&self, version: &str) -> Result<Option<Deprecation>, GitHubError> {
        let path = self.actions(&format!("/runners/deprecations/{}", encode(version)));
        let call = Call::get("get_runner_deprecation", path);
        match self.call(&call).await {
            Ok(reply) => call.parse(&reply).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns all runner groups, at most 10,000. Repositories have no groups, so no request is sent for them.
    pub async fn list_runner_groups(&self) -> Result<Vec<RunnerGroup>, GitHubError> {
        let mut groups = Vec::new();
        let mut page = if matches!(self.scope(), Scope::Repo { .. }) { None } else { Some(1) };
        for _ in 0..MAX_PAGES {
            let Some(number) = page else { return Ok(groups) };
            let query = format!("/runner-groups?per_page={PER_PAGE}&page={number}");
            let call = Call::get("list_runner_groups", self.actions(&query));
            let reply = self.call(&call).await?;
            let wire: GroupsWire = call.parse(&reply)?;
            groups.extend(wire.runner_groups.readable(call.operation));
            page = next_page(&call, &reply, number)?;
        }
        Err(too_many_pages("list_runner_groups"))
    }

    async fn page(&self, call: &Call, number: u32) -> Result<Page, GitHubError> {
        let reply = self.call(call).await?;
        read_page(call, &reply, number)
    }
}

fn read_page(call: &Call, reply: &crate::call::Reply, number: u32) -> Result<Page, GitHubError> {
    let wire: PageWire = call.parse(reply)?;
    Ok(Page {
        total_count: wire.total_count,
        unreadable: wire.runners.unreadable.clone(),
        runners: wire.runners.readable(call.operation),
        next: next_page(call, reply, number)?,
        etag: headers::etag(&reply.headers),
    })
}

/// Returns the next page's number. It must be larger than `number`, because the listing would otherwise never end.
fn next_page(call: &Call, reply: &crate::call::Reply, number: u32) -> Result<Option<u32>, GitHubError> {
    match headers::next_param(&reply.headers, "page").map(|next| next.parse()) {
        None => Ok(None),
        Some(Ok(next)) if next > number => Ok(Some(next)),
        Some(_) => Err(call.malformed("the next link does not lead to a later page")),
    }
}

fn too_many_pages(operation: &'static str) -> GitHubError {
    GitHubError::Malformed {
        operation,
        reason: "more than 100 pages".to_owned(),
        read_only: true,
        request_id: None,
    }
}
