//! Names as people type them, turned into ids of the API.

use serde_json::Value;
use uuid::Uuid;

use super::nouns::{CLIENT, RUNNER, TEAM, USER};
use crate::{
    connection::{MAX_PAGE, Pages},
    error::ClientError,
    output::{Noun, plain, scalar},
    session::Session,
};

/// Most pages that are searched for a name.
const MAX_PAGES_SEARCHED: usize = 50;
/// Longest text that the service searches for, in characters.
const MAX_SEARCH: usize = 100;

/// Returns the id of the runner with this id or name, the newest one of its name.
pub(crate) async fn runner(session: &Session, text: &str) -> Result<String, ClientError> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let found = find(session, &RUNNER, &["runner_name"], text).await?;
    first(&found, &RUNNER, "runner", text)
}

/// Returns the id of the named team, or of the profile's default team; `None` if there is neither.
pub(crate) async fn chosen_team(
    session: &Session,
    named: Option<&String>,
) -> Result<Option<String>, ClientError> {
    match named.or(session.default_team.as_ref()) {
        Some(text) => Ok(Some(team(session, text).await?)),
        None => Ok(None),
    }
}

/// Returns the id of the team with this id or name, among those that the caller may see.
pub(crate) async fn team(session: &Session, text: &str) -> Result<String, ClientError> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let me = session.get(&["auth", "me"]).await?;
    let own = me["teams"].as_array().into_iter().flatten();
    let mut named = own.filter(|team| same(&team["name"], text));
    if let Some(id) = named.next().and_then(|team| team["id"].as_str()) {
        return Ok(id.to_owned());
    }
    if me["is_admin"] != true && !has_role(&me, "viewer") {
        return Err(ClientError::NotFound(format!("you have no team {text:?}; `rts team list` shows yours")));
    }
    let by_id = Noun { name: "id", ..TEAM };
    let found = find(session, &by_id, &["name"], text).await?;
    only(&found, &by_id, "team", text)
}

/// Returns the id of the person with this id, e-mail address or subject.
pub(crate) async fn user(session: &Session, text: &str) -> Result<String, ClientError> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let found = find(session, &USER, &["email", "oidc_sub"], text).await?;
    only(&found, &USER, "user", text)
}

/// Returns our id of the machine client with this id or client id.
pub(crate) async fn client(session: &Session, text: &str) -> Result<String, ClientError> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let found = find(session, &CLIENT, &["client_id"], text).await?;
    only(&found, &CLIENT, "machine client", text)
}

fn is_id(text: &str) -> bool {
    text.parse::<Uuid>().is_ok()
}

fn has_role(me: &Value, role: &str) -> bool {
    me["roles"].as_array().is_some_and(|roles| roles.iter().any(|one| one == role))
}

fn same(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(text))
}

/// Returns the items of a list one of whose members is this text, without case.
async fn find(
    session: &Session,
    noun: &Noun,
    members: &[&str],
    text: &str,
) -> Result<Vec<Value>, ClientError> {
    // Subjects may be longer than a search; then every page is read.
    let search = (text.chars().count() <= MAX_SEARCH).then_some(text);
    let request = session.list_request(noun).query("limit", Some(MAX_PAGE)).query("q", search);
    let mut pages = Pages::new(&session.client, request, noun.key);
    let mut found = Vec::new();
    for _ in 0..MAX_PAGES_SEARCHED {
        let Some(items) = pages.next().await? else { break };
        let fits = |item: &Value| members.iter().any(|member| same(&item[*member], text));
        found.extend(items.into_iter().filter(fits));
    }
    Ok(found)
}

fn first(found: &[Value], noun: &Noun, kind: &str, text: &str) -> Result<String, ClientError> {
    let unknown = || ClientError::NotFound(format!("there is no {kind} {text:?} that you may see"));
    found.first().map(|item| scalar(&item[noun.name])).ok_or_else(unknown)
}

fn only(found: &[Value], noun: &Noun, kind: &str, text: &str) -> Result<String, ClientError> {
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().map(|item| scalar(&item[noun.name])).collect();
        return Err(ClientError::Usage(format!(
            "several are called {:?}; name one by its id: {}",
            plain(text),
            ids.join(", ")
        )));
    }
    first(found, noun, kind, text)
}
