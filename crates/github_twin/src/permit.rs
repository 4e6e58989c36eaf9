//! Authorisation of callers for paths, in GitHub's order of checks.

use crate::{
    answer::Answer,
    rate_limits::Owner,
    routes::{Call, Need},
    state::State,
};

impl State {
    /// Refuses a call that its credential does not cover, with GitHub's status.
    pub(crate) fn permit(&self, call: &Call) -> Result<(), Answer> {
        match (call.route.need, call.owner()) {
            (Need::Open, _) | (Need::Installation, Owner::Installation(_)) => Ok(()),
            (Need::App, Owner::App(_)) => self.check_repository(call),
            (Need::App, Owner::Installation(_) | Owner::Person(_)) => {
                Err(Answer::error(401, "A JSON web token could not be decoded"))
            }
            (_, Owner::Anonymous) => Err(Answer::error(401, "Requires authentication")),
            (Need::Installation, Owner::Person(_)) => {
                Err(Answer::error(403, "Resource not accessible by personal access token"))
            }
            (Need::Permission(..) | Need::Enterprise | Need::Installation, Owner::App(_))
            | (Need::Enterprise, Owner::Installation(_)) => {
                Err(Answer::error(403, "Resource not accessible by integration"))
            }
            (Need::Enterprise, Owner::Person(nth)) => {
                self.check_scope(nth, "manage_runners:enterprise")?;
                let known = |slug: &String| slug.eq_ignore_ascii_case(call.param("enterprise"));
                self.config.enterprises.iter().any(known).then_some(()).ok_or_else(Answer::not_found)
            }
            (Need::Permission(name, _), Owner::Person(nth)) => {
                self.check_scope(nth, personal_scope(name))?;
                let known = call.account().is_none_or(|account| self.organization(account).is_some());
                known.then_some(()).ok_or_else(Answer::not_found)?;
                self.check_repository(call)
            }
            (Need::Permission(name, write), Owner::Installation(id)) => {
                let org = self.installation(id).map_or("", |i| i.org.as_str());
                if call.account().is_some_and(|a| !a.eq_ignore_ascii_case(org)) {
                    return Err(Answer::not_found());
                }
                self.check_repository(call)?;
                if call.who.may(name, write) {
                    return Ok(());
                }
                Err(Answer::forbidden(name, if write { "write" } else { "read" }))
            }
        }
    }

    /// Checks that the repository of the path exists and is among those of the token. GitHub responds 404 for both.
    fn check_repository(&self, call: &Call) -> Result<(), Answer> {
        if call.param("repo").is_empty() {
            return Ok(());
        }
        let known = self.repository(call.param("owner"), call.param("repo"));
        let covered = known.is_some_and(|repository| call.who.covers(repository.id));
        if covered { Ok(()) } else { Err(Answer::not_found()) }
    }

    /// Checks a personal token's access: an object out of reach is reported as missing.
    fn check_scope(&self, nth: usize, scope: &str) -> Result<(), Answer> {
        let token = self.config.personal_tokens.get(nth);
        let may = token.is_some_and(|token| token.scopes.iter().any(|one| one == scope));
        if may { Ok(()) } else { Err(Answer::not_found()) }
    }
}

/// Returns the scope of a classic personal token that corresponds to an App's permission.
fn personal_scope(permission: &str) -> &'static str {
    match permission {
        "organization_self_hosted_runners" => "admin:org",
        "organization_hooks" => "admin:org_hook",
        _ => "repo",
    }
}
