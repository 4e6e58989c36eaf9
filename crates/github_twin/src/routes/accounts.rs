//! Routes of organisations, users and repositories, which client libraries read before any runner call.

use serde_json::{Value, json};

use super::{Call, Need, Route};
use crate::{
    answer::Answer,
    state::State,
    views::{self, time},
};

/// Login of the user who triggers the twin's workflow jobs.
pub(crate) const PERSON: &str = "octo-person";

const fn open(template: &'static str, run: fn(&mut State, &Call) -> Answer) -> Route {
    Route { method: "GET", template, need: Need::Open, run }
}

pub(super) static ROUTES: &[Route] = &[
    open("/", root),
    open("/orgs/{org}", organization),
    open("/users/{username}", user),
    Route {
        method: "GET",
        template: "/repos/{owner}/{repo}",
        need: Need::Permission("metadata", false),
        run: repository,
    },
    Route {
        method: "GET",
        template: "/orgs/{org}/hooks",
        need: Need::Permission("organization_hooks", false),
        run: hooks,
    },
    Route {
        method: "GET",
        template: "/repos/{owner}/{repo}/hooks",
        need: Need::Permission("repository_hooks", false),
        run: hooks,
    },
];

/// Returns the URLs of the API.
fn root(state: &mut State, _: &Call) -> Answer {
    let address = |(name, path): &(&str, &str)| ((*name).to_owned(), json!(format!("{}{path}", state.base)));
    let mut view: serde_json::Map<String, Value> = ADDRESSES.iter().map(address).collect();
    let settings = "https://github.com/settings/connections/applications{/client_id}";
    view.insert("current_user_authorizations_html_url".into(), json!(settings));
    Answer::ok(Value::Object(view))
}

const ADDRESSES: [(&str, &str); 30] = [
    ("current_user_url", "/user"),
    ("code_search_url", "/search/code?q={query}{&page,per_page,sort,order}"),
    ("commit_search_url", "/search/commits?q={query}{&page,per_page,sort,order}"),
    ("emails_url", "/user/emails"),
    ("emojis_url", "/emojis"),
    ("events_url", "/events"),
    ("feeds_url", "/feeds"),
    ("followers_url", "/user/followers"),
    ("following_url", "/user/following{/target}"),
    ("gists_url", "/gists{/gist_id}"),
    ("issue_search_url", "/search/issues?q={query}{&page,per_page,sort,order}"),
    ("issues_url", "/issues"),
    ("keys_url", "/user/keys"),
    ("label_search_url", "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}"),
    ("notifications_url", "/notifications"),
    ("organization_url", "/orgs/{org}"),
    ("organization_repositories_url", "/orgs/{org}/repos{?type,page,per_page,sort}"),
    ("organization_teams_url", "/orgs/{org}/teams"),
    ("public_gists_url", "/gists/public"),
    ("rate_limit_url", "/rate_limit"),
    ("repository_url", "/repos/{owner}/{repo}"),
    ("repository_search_url", "/search/repositories?q={query}{&page,per_page,sort,order}"),
    ("current_user_repositories_url", "/user/repos{?type,page,per_page,sort}"),
    ("starred_url", "/user/starred{/owner}{/repo}"),
    ("starred_gists_url", "/gists/starred"),
    ("topic_search_url", "/search/topics?q={query}{&page,per_page}"),
    ("user_url", "/users/{user}"),
    ("user_organizations_url", "/user/orgs"),
    ("user_repositories_url", "/users/{user}/repos{?type,page,per_page,sort}"),
    ("user_search_url", "/search/users?q={query}{&page,per_page,sort,order}"),
];

fn organization(state: &mut State, call: &Call) -> Answer {
    let Some(login) = state.organization(call.param("org")) else { return Answer::not_found() };
    let mut view = views::organization(&state.base, login);
    let since = json!(time(state.started));
    merge(
        &mut view,
        json!({
            "html_url": format!("https://github.com/{login}"), "type": "Organization", "name": login,
            "has_organization_projects": true, "has_repository_projects": true, "public_repos": 0,
            "public_gists": 0, "followers": 0, "following": 0, "is_verified": false,
            "created_at": since, "updated_at": since, "archived_at": null,
        }),
    );
    Answer::ok(view)
}

/// Returns an organisation, the user who triggers jobs, or the account of the App.
fn user(state: &mut State, call: &Call) -> Answer {
    let name = call.param("username");
    let bot = format!("{}[bot]", state.config.app_slug);
    let (login, kind) = match state.organization(name) {
        Some(login) => (login, "Organization"),
        None if name.eq_ignore_ascii_case(&bot) => (bot.as_str(), "Bot"),
        None if name.eq_ignore_ascii_case(PERSON) => (PERSON, "User"),
        None => return Answer::not_found(),
    };
    let since = json!(time(state.started));
    let mut view = views::account(&state.base, login, kind);
    merge(
        &mut view,
        json!({
            "name": login, "company": null, "blog": "", "location": null, "email": null, "hireable": null,
            "bio": null, "twitter_username": null, "public_repos": 0, "public_gists": 0, "followers": 0,
            "following": 0, "created_at": since, "updated_at": since,
        }),
    );
    Answer::ok(view)
}

fn repository(state: &mut State, call: &Call) -> Answer {
    let Some(found) = state.repository(call.param("owner"), call.param("repo")) else {
        return Answer::not_found();
    };
    let mut view = state.repository_view(found);
    (view["organization"], view["has_discussions"]) = (view["owner"].clone(), json!(false));
    (view["network_count"], view["subscribers_count"]) = (json!(0), json!(0));
    Answer::ok(view)
}

/// Returns an empty list: the twin's only webhook is that of the App.
fn hooks(_: &mut State, _: &Call) -> Answer {
    Answer::ok(json!([]))
}

fn merge(view: &mut Value, more: Value) {
    if let (Some(view), Value::Object(more)) = (view.as_object_mut(), more) {
        view.extend(more);
    }
}
