//! Searches: patterns, and the requesters that a text names.

use domain::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// Most users, most machine clients, and most runners that one text names. A list of what has happened reads all rows of
/// them.
const MAX_NAMED: i64 = 50;
/// Number of the newest runners whose names are compared with one text.
const MAX_NEWEST: i64 = 10_000;
/// Most runners of all ages that are found by one beginning of their name.
const MAX_BY_NAME: i64 = 5_000;

/// Queries for requesters on one connection.
#[derive(Debug)]
pub struct Requesters<'c>(pub(crate) &'c mut PgConnection);

/// Users and machine clients that a text names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedRequesters {
    pub(crate) users: Vec<Uuid>,
    pub(crate) clients: Vec<Uuid>,
}

impl NamedRequesters {
    /// Returns the user, if the text names exactly one user and no machine client.
    pub fn only_user(&self) -> Option<UserId> {
        match (self.users.as_slice(), self.clients.as_slice()) {
            ([one], []) => Some((*one).into()),
            _ => None,
        }
    }
}

/// A search for runners: by the beginning of the name, by a label, or by the beginning of the requester's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerSearch {
    pub(crate) name_pattern: Option<String>,
    pub(crate) label: String,
    pub(crate) requesters: NamedRequesters,
}

/// A search in lists of what has happened: jobs, audit rows, security events. The text names runners and requesters by
/// the beginning of their names, newest first, or it is an id, an event type or an error code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistorySearch {
    pub(crate) text: String,
    pub(crate) id: Option<Uuid>,
    pub(crate) runners: Vec<Uuid>,
    pub(crate) requesters: NamedRequesters,
    /// Identities of the requesters, as audit rows and security events have them.
    pub(crate) identities: Vec<String>,
}

/// A search for a text anywhere in a name, ignoring case. Queries fold pattern and name by `lower`: a database of the
/// collation `C` leaves letters other than those of ASCII as they are, and a text folded here would miss them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search(Option<String>);

impl Search {
    /// Returns a search for this text; `None` finds everything.
    pub fn anywhere(text: Option<&str>) -> Self {
        Self(text.map(|text| format!("%{}%", escaped(text))))
    }

    pub(crate) fn pattern(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Returns the text with the characters escaped that `LIKE` gives a meaning.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

impl Requesters<'_> {
    /// Returns the requesters of this identity: a user by e-mail address, by `issuer#subject` or by id, and machine
    /// clients by client id or by id, removed ones included.
    pub async fn named(&mut self, identity: &str) -> Result<NamedRequesters> {
        let id: Option<Uuid> = identity.parse().ok();
        let (issuer, subject) = identity.split_once('#').unzip();
        let users = sqlx::query_scalar!(
            "SELECT id FROM users WHERE lower(email) = lower($1) OR id = $2 OR (issuer = $3 AND subject = $4) LIMIT $5",
            identity,
            id,
            issuer,
            subject,
            MAX_NAMED,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let clients = sqlx::query_scalar!(
            "SELECT id FROM oauth_clients WHERE client_id = $1 OR id = $2 ORDER BY id DESC LIMIT $3",
            identity,
            id,
            MAX_NAMED,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(NamedRequesters { users, clients })
    }

    /// Returns the search for jobs, audit rows and security events about `text`.
    pub async fn history(&mut self, text: &str) -> Result<HistorySearch> {
        let RunnerSearch { requesters, .. } = self.search(text).await?;
        let runners = self.runners(text).await?;
        let identities = sqlx::query_scalar!(
            r#"SELECT coalesce(email, issuer || '#' || subject) AS "identity!" FROM users
                WHERE id = ANY($1) AND coalesce(email, issuer || '#' || subject) IS NOT NULL
             UNION SELECT client_id FROM oauth_clients WHERE id = ANY($2)"#,
            &requesters.users,
            &requesters.clients,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let id = text.trim().parse().ok();
        Ok(HistorySearch { text: text.to_lowercase(), id, runners, requesters, identities })
    }

    /// Returns the runners with this id, or whose name begins with this text, newest first.
    pub async fn runners(&mut self, text: &str) -> Result<Vec<Uuid>> {
        if let Ok(id) = text.trim().parse() {
            return Ok(vec![id]);
        }
        // The newest runners by age, and others by name: one scan by age would read all runners for an old name, and one
        // by name a large part of them for a common beginning.
        Ok(sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM (
                SELECT id FROM (SELECT id, name FROM runners ORDER BY id DESC LIMIT $3) newest WHERE lower(name) LIKE $1
                UNION
                (SELECT id FROM runners WHERE lower(name) LIKE $1 ORDER BY lower(name) USING ~<~ LIMIT $4)
             ) found ORDER BY id DESC LIMIT $2"#,
            format!("{}%", escaped(&text.to_lowercase())),
            MAX_NAMED,
            MAX_NEWEST,
            MAX_BY_NAME,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the search for runners whose name begins with `text`, that have it as a label, or whose requester's
    /// e-mail address, display name or client id begins with it.
    pub async fn search(&mut self, text: &str) -> Result<RunnerSearch> {
        let pattern = format!("{}%", escaped(&text.to_lowercase()));
        let users = sqlx::query_scalar!(
            "SELECT id FROM users WHERE lower(email) LIKE lower($1) OR lower(display_name) LIKE lower($1)
             ORDER BY id DESC LIMIT $2",
            format!("{}%", escaped(text)),
            MAX_NAMED,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let clients = sqlx::query_scalar!(
            "SELECT id FROM oauth_clients WHERE lower(client_id) LIKE $1 ORDER BY id DESC LIMIT $2",
            pattern,
            MAX_NAMED,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(RunnerSearch {
            name_pattern: Some(pattern),
            label: text.to_lowercase(),
            requesters: NamedRequesters { users, clients },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_a_search_are_plain_characters() {
        assert_eq!(Search::anywhere(Some(r"50%_\A")).pattern(), Some(r"%50\%\_\\A%"));
        assert_eq!(Search::anywhere(None).pattern(), None);
    }
}
