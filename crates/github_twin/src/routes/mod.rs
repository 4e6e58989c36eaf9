//! Routes of the API with their required credentials and handlers.

pub(crate) mod accounts;
mod app;
mod group_members;
mod groups;
mod hooks;
mod jit;
mod labels;
pub(crate) mod meta;
mod runners;
mod workflow;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{answer::Answer, auth::Who, rate_limits::Owner, state::State};

/// Credential that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// No credential.
    Open,
    /// The App's JWT.
    App,
    /// Any installation token.
    Installation,
    /// An installation token with this permission; `true` means write.
    Permission(&'static str, bool),
    /// A personal token with `manage_runners:enterprise`: GitHub accepts no App token here.
    Enterprise,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) template: &'static str,
    pub(crate) need: Need,
    pub(crate) run: fn(&mut State, &Call) -> Answer,
}

/// A parsed request, with everything its handler needs.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) route: &'static Route,
    pub(crate) params: Vec<(&'static str, String)>,
    pub(crate) query: Arc<[(String, String)]>,
    pub(crate) body: Bytes,
    pub(crate) who: Who,
    pub(crate) version: String,
    /// Page-slip fault: (items missed, hidden in `total_count`).
    pub(crate) slip: Option<(usize, bool)>,
}

impl Call {
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v.as_str())
    }

    /// Returns a numeric path parameter; 0, the id of no object, when it is not a number.
    pub(crate) fn id(&self, name: &str) -> u64 {
        self.param(name).parse().unwrap_or(0)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Returns `orgs/<org>`, `repos/<owner>/<repo>` or `enterprises/<slug>`, in lower case.
    pub(crate) fn scope(&self) -> String {
        let text = match (self.param("org"), self.param("enterprise")) {
            ("", "") => format!("repos/{}/{}", self.param("owner"), self.param("repo")),
            ("", slug) => format!("enterprises/{slug}"),
            (org, _) => format!("orgs/{org}"),
        };
        text.to_lowercase()
    }

    /// Returns the account whose objects the path names, if it names one.
    pub(crate) fn account(&self) -> Option<&str> {
        [self.param("org"), self.param("owner"), self.param("username")].into_iter().find(|a| !a.is_empty())
    }

    /// Returns the body as an object; an empty body counts as `{}`.
    pub(crate) fn object(&self) -> Result<Value, Answer> {
        if self.body.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(v) if v.is_object() => Ok(v),
            Ok(_) => Err(Answer::error(400, "Body should be a JSON object")),
            Err(_) => Err(Answer::error(400, "Problems parsing JSON")),
        }
    }

    /// Returns page size (1 to 100, default 30) and page number from 1.
    pub(crate) fn page(&self) -> (usize, usize) {
        let number = |name| self.query(name).and_then(|v| v.parse::<usize>().ok()).filter(|n| *n > 0);
        (number("per_page").unwrap_or(30).min(100), number("page").unwrap_or(1).min(1_000_000))
    }

    /// Returns one page of `all` under `key`, with `total_count` and the `link` header.
    pub(crate) fn list<T>(&self, base: &str, key: &str, all: &[T], view: impl Fn(&T) -> Value) -> Answer {
        let (size, page) = self.page();
        let views: Vec<Value> = all.iter().skip((page - 1) * size).take(size).map(view).collect();
        let answer = Answer::ok(json!({"total_count": all.len(), key: views}));
        match self.link(base, all.len()) {
            Some(link) => answer.with("link", link),
            None => answer,
        }
    }

    /// Returns the `link` header of one page; `None` when everything fits on one.
    pub(crate) fn link(&self, base: &str, total: usize) -> Option<String> {
        let (size, page) = self.page();
        let last = total.div_ceil(size).max(1);
        if last == 1 && page == 1 {
            return None;
        }
        let kept = self.query.iter().filter(|(n, _)| n != "page" && n != "per_page");
        let url = |p: usize| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(kept.clone());
            query.append_pair("per_page", &size.to_string()).append_pair("page", &p.to_string());
            format!("<{base}{}?{}>", self.path(), query.finish())
        };
        let mut parts = Vec::new();
        if page > 1 {
            parts.push(format!("{}; rel=\"prev\"", url((page - 1).min(last))));
        }
        if page < last {
            parts.push(format!("{}; rel=\"next\"", url(page + 1)));
            parts.push(format!("{}; rel=\"last\"", url(last)));
        }
        if page > 1 {
            parts.push(format!("{}; rel=\"first\"", url(1)));
        }
        Some(parts.join(", "))
    }

    fn path(&self) -> String {
        let mut path = self.route.template.to_owned();
        for (name, value) in &self.params {
            path = path.replace(&format!("{{{name}}}"), &encoded(value));
        }
        path
    }

    /// Returns the resource that `x-ratelimit-resource` counts this call for.
    pub(crate) fn resource(&self, jit: &str) -> String {
        let jit_call = self.route.template.ends_with("/generate-jitconfig");
        if jit_call { jit.to_owned() } else { "core".to_owned() }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.who.owner
    }
}

fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20")
}

type Params = Vec<(&'static str, String)>;

/// Returns the route of a method and a path without base path and query.
pub(crate) fn find(method: &str, path: &str) -> Option<(&'static Route, Params)> {
    let method = if method == "HEAD" { "GET" } else { method };
    let tables = [runners::ROUTES, labels::ROUTES, groups::ROUTES, app::ROUTES, hooks::ROUTES];
    let tables =
        tables.into_iter().chain([group_members::ROUTES, workflow::ROUTES, meta::ROUTES, accounts::ROUTES]);
    let fits = |r: &'static Route| (r.method == method).then(|| bind(r.template, path)).flatten();
    tables.flatten().find_map(|r| fits(r).map(|params| (r, params)))
}

fn bind(template: &'static str, path: &str) -> Option<Params> {
    let (mut want, mut have) = (template.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (want.next(), have.next()) {
            (None, None) => return Some(params),
            (Some(w), Some(h)) if w.starts_with('{') => {
                let name = w.trim_start_matches('{').trim_end_matches('}');
                params.push((name, decoded(h).filter(|v| !v.is_empty())?));
            }
            (Some(w), Some(h)) if w == h => {}
            _ => return None,
        }
    }
}

fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_paths_win_and_parameters_are_decoded() {
        let (route, _) = find("GET", "/orgs/o/actions/runners/downloads").unwrap();
        assert!(route.template.ends_with("/downloads"));
        let (_, params) = find("DELETE", "/orgs/o/actions/runners/7/labels/a%2Fb%20c").unwrap();
        assert_eq!(params[2].1, "a/b c");
        assert!(find("GET", "/orgs/o/actions/runners/").is_none());
        assert!(find("PATCH", "/orgs/o/actions/runners").is_none());
        assert!(find("GET", "/orgs//actions/runners").is_none());
    }
}
