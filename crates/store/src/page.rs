//! Pages of lists, and what a caller may see of them.

use domain::{Caller, Requester};
use uuid::Uuid;

/// Which part of a list: newest first, after `before` (a keyset cursor) and then `offset` rows further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most rows, 1 to 1000.
    pub limit: i64,
    /// Rows to skip.
    pub offset: i64,
    /// Only rows older than this id.
    pub before: Option<Uuid>,
}

/// One page and the number of rows on all pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// How many there are without `limit`, `offset` and `before`.
    pub total: i64,
}

/// Which rows a caller may see: all, their own, their teams'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    pub(crate) all: bool,
    pub(crate) user: Option<Uuid>,
    pub(crate) client: Option<Uuid>,
    pub(crate) teams: Vec<Uuid>,
}

impl Visible {
    /// What `caller` may see.
    pub fn to(caller: &Caller) -> Self {
        Self {
            all: caller.is_admin,
            user: caller.requester.user().map(Uuid::from),
            client: caller.requester.client().map(Uuid::from),
            teams: caller.teams.iter().map(|team| team.id.uuid()).collect(),
        }
    }

    /// Everything.
    pub const fn everything() -> Self {
        Self { all: true, user: None, client: None, teams: Vec::new() }
    }
}

/// The two owner columns of a requester.
pub(crate) fn owner_columns(requester: Option<Requester>) -> (Option<Uuid>, Option<Uuid>) {
    (
        requester.and_then(Requester::user).map(Uuid::from),
        requester.and_then(Requester::client).map(Uuid::from),
    )
}
