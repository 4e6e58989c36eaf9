//! Pages of lists, and the visibility of their rows.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Caller, Requester};
use uuid::Uuid;

/// Largest `total` that is counted exactly: counting everything would cost more than the page itself.
pub const MAX_TOTAL: i64 = 10_000;

/// Bytes of stored text after which a page ends before its `limit`; the queries get it as a parameter.
pub(crate) const MAX_PAGE_BYTES: i64 = 2_000_000;

/// Largest difference between the clock of the process that made an id and the database's clock.
const CLOCK_SKEW: TimeDelta = TimeDelta::hours(1);

/// Part of a list: newest first, after `before` (a keyset cursor), then `offset` rows further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most rows, 1 to 1000.
    pub limit: i64,
    /// Number of rows to skip.
    pub offset: i64,
    /// Only rows older than this id.
    pub before: Option<Uuid>,
}

/// Period in which the rows of a list were written. An absent bound is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Only rows since this time.
    pub since: Option<DateTime<Utc>>,
    /// Only rows until this time.
    pub until: Option<DateTime<Utc>>,
}

impl Period {
    /// Returns the smallest id of a row written in the period, for clocks that differ by less than an hour.
    pub(crate) fn first_id(&self) -> Option<Uuid> {
        self.since.and_then(first_id)
    }

    /// Returns the largest id of a row written in the period, for clocks that differ by less than an hour.
    pub(crate) fn last_id(&self) -> Option<Uuid> {
        let millis = self.until?.checked_add_signed(CLOCK_SKEW)?.timestamp_millis();
        let millis = u128::from(u64::try_from(millis).ok()?) + 1;
        Some(Uuid::from_u128((millis << 80) - 1))
    }
}

/// Returns the smallest id of a row written since this time, for clocks that differ by less than an hour. Ids begin
/// with their time, so the index on ids finds the rows.
pub(crate) fn first_id(since: DateTime<Utc>) -> Option<Uuid> {
    let millis = since.checked_sub_signed(CLOCK_SKEW)?.timestamp_millis();
    Some(Uuid::from_u128(u128::from(u64::try_from(millis).ok()?) << 80))
}

/// One page and the number of rows on all pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows, without those this version of the program cannot read.
    pub items: Vec<T>,
    /// Number of rows without `limit`, `offset` and `before`; at most [`MAX_TOTAL`] if it is a lower bound.
    pub total: i64,
    /// Whether there are more than `total`.
    pub total_is_lower_bound: bool,
    /// Id of the last row, if there may be more after it.
    pub next: Option<Uuid>,
}

impl<T> Listed<T> {
    /// Returns a page whose rows were counted up to one more than [`MAX_TOTAL`].
    pub(crate) fn bounded(items: Vec<T>, counted: i64, next: Option<Uuid>) -> Self {
        let total_is_lower_bound = counted > MAX_TOTAL;
        Self { items, total: counted.min(MAX_TOTAL), total_is_lower_bound, next }
    }

    /// Returns a page of a list that is short enough to be counted completely.
    pub fn counted(items: Vec<T>, total: i64, next: Option<Uuid>) -> Self {
        Self { items, total, total_is_lower_bound: false, next }
    }
}

impl Page {
    /// The part of a list that is counted: up to one row more than [`MAX_TOTAL`].
    pub(crate) const COUNTED: Self = Self { before: None, limit: MAX_TOTAL + 1, offset: 0 };

    /// Returns the id of the last row if there may be more: the page has `limit` rows, or it ended early by its size. A
    /// page that the queries end early has at least half of `MAX_PAGE_BYTES` by the estimate in `bytes`.
    pub fn next(&self, rows: usize, bytes: usize, last: Option<Uuid>) -> Option<Uuid> {
        let full = i64::try_from(rows).is_ok_and(|rows| rows >= self.limit);
        let heavy = i64::try_from(bytes).is_ok_and(|bytes| bytes >= MAX_PAGE_BYTES / 2);
        last.filter(|_| full || heavy)
    }
}

/// Calls a query macro with the ids of the rows of `$table` that are visible and fit `$filter`.
///
/// The parameters `$1` to `$4` are those of [`Visible`]; the last part is the order with the parameters of limit and
/// offset. Rows of everybody are one scan, and so are a member's when `$few` holds: an index of the filter then finds few
/// rows. Otherwise a member's rows are the newest of their own and of each of their teams, found by an index each: one
/// scan with `OR` would read the newest rows of all teams until enough of them are the member's.
macro_rules! visible_ids {
    ($query:ident($($first:tt)*), $table:tt, $owned:tt, $few:tt, $filter:tt,
        ($order:tt, $limit:tt, $offset:tt), $tail:tt $(, $arg:expr)* $(,)?) => {
        $query!(
            $($first)* "(SELECT id FROM " + $table
            + " WHERE ($1 OR " + $few + " AND (" + $owned + " OR team_id = ANY($4))) AND " + $filter + $order
            + " LIMIT " + $limit + " OFFSET " + $offset + ")
             UNION ALL (SELECT id FROM (
                (SELECT id FROM " + $table + " WHERE NOT ($1 OR " + $few + ") AND (" + $owned + ") AND " + $filter
            + $order + " LIMIT " + $limit + " + " + $offset + ")
                UNION
                (SELECT of_team.id FROM unnest($4::uuid[]) AS mine(team) CROSS JOIN LATERAL (
                    SELECT id FROM " + $table + " WHERE NOT ($1 OR " + $few + ") AND team_id = mine.team AND " + $filter
            + $order + " LIMIT " + $limit + " + " + $offset + ") of_team)) visible" + $order
            + " LIMIT " + $limit + " OFFSET " + $offset + ")" + $tail
            $(, $arg)*
        )
    };
}
pub(crate) use visible_ids;

/// The rows a caller may see: all, their own, or their teams'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    pub(crate) all: bool,
    pub(crate) user: Option<Uuid>,
    pub(crate) client: Option<Uuid>,
    pub(crate) teams: Vec<Uuid>,
}

impl Visible {
    /// Returns the visibility of `caller`'s rows.
    pub fn to(caller: &Caller) -> Self {
        Self {
            all: caller.sees_everything(),
            user: caller.requester.user().map(Uuid::from),
            client: caller.requester.client().map(Uuid::from),
            teams: caller.teams.iter().map(|team| team.id.uuid()).collect(),
        }
    }

    /// Returns the visibility of all rows.
    pub const fn everything() -> Self {
        Self { all: true, user: None, client: None, teams: Vec::new() }
    }
}

/// Returns the user id and the client id of a requester; at least one is `None`.
pub(crate) fn owner_columns(requester: Option<Requester>) -> (Option<Uuid>, Option<Uuid>) {
    (
        requester.and_then(Requester::user).map(Uuid::from),
        requester.and_then(Requester::client).map(Uuid::from),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_exists_when_rows_or_bytes_were_full() {
        let page = Page { limit: 3, offset: 0, before: None };
        let last = Some(Uuid::now_v7());
        assert_eq!(page.next(3, 0, last), last);
        assert_eq!(page.next(1, 1_500_000, last), last);
        assert_eq!(page.next(2, 900_000, last), None);
        assert_eq!(page.next(0, 0, None), None);
    }

    #[test]
    fn ids_of_rows_of_a_time_are_between_its_first_and_last_id() {
        let now = Utc::now();
        let only = |at: DateTime<Utc>| Period { since: Some(at), until: Some(at) };
        let bound = only(now).first_id().unwrap();
        assert!(Uuid::now_v7() > bound);
        assert!(bound > only(now - TimeDelta::hours(2)).first_id().unwrap());
        let bound = only(now).last_id().unwrap();
        assert!(Uuid::now_v7() < bound && bound < only(now + TimeDelta::hours(2)).last_id().unwrap());
        assert_eq!((Period::default().first_id(), Period::default().last_id()), (None, None));
    }
}
