//! Filters of lists that are checked or looked up.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Problem;
use operations::check_text;
use store::{HistorySearch, NamedRequesters, Period, RunnerSearch, Search};
use uuid::Uuid;

use crate::{error::ApiResult, lists::CallerLists};

/// Age of the oldest jobs in a list whose filter no index serves.
const MAX_SCAN: TimeDelta = TimeDelta::hours(24);
/// Longest text of a search, in characters.
const MAX_SEARCH: usize = 100;

/// Returns the period of a list.
///
/// # Errors
/// `validation_failed` at `until` if it ends before it begins.
pub(crate) fn list_period(
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<Period, Problem> {
    match (since, until) {
        (Some(since), Some(until)) if until < since => Err(Problem::field("query:until", "before since")),
        _ => Ok(Period { since, until }),
    }
}

/// Checks the text of a search.
fn check_search(pointer: &str, text: Option<&str>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    if let Some(text) = text {
        check_text(&mut errors, pointer, text, MAX_SEARCH);
    }
    operations::settle(errors)
}

/// Returns the search for a text in names.
///
/// # Errors
/// `validation_failed` at `q`.
pub(crate) fn name_search(text: Option<&str>) -> Result<Search, Problem> {
    check_search("query:q", text)?;
    Ok(Search::anywhere(text))
}

/// Returns the search for runners.
///
/// # Errors
/// `validation_failed` at `q`; database errors.
pub(crate) async fn runner_search(
    lists: &mut CallerLists,
    text: Option<&str>,
) -> ApiResult<Option<RunnerSearch>> {
    check_search("query:q", text)?;
    let Some(text) = text else { return Ok(None) };
    Ok(Some(lists.requesters().search(text).await?))
}

/// Returns the search for jobs, audit rows or security events.
///
/// # Errors
/// `validation_failed` at `q`; database errors.
pub(crate) async fn history_search(
    lists: &mut CallerLists,
    text: Option<&str>,
) -> ApiResult<Option<HistorySearch>> {
    check_search("query:q", text)?;
    let Some(text) = text else { return Ok(None) };
    Ok(Some(lists.requesters().history(text).await?))
}

/// Returns the runners that a filter names, by id or by the beginning of their names, at most 100.
///
/// # Errors
/// `validation_failed` at `runner`; database errors.
pub(crate) async fn named_runners(
    lists: &mut CallerLists,
    text: Option<&str>,
) -> ApiResult<Option<Vec<Uuid>>> {
    check_search("query:runner", text)?;
    let Some(text) = text else { return Ok(None) };
    Ok(Some(lists.requesters().runners(text).await?))
}

/// Returns the begin of a list whose filter no index serves: as given, else a day ago.
pub(crate) fn begin_of_scan(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    since.or(Some(now - MAX_SCAN))
}

/// Returns the requesters with an identity. An unknown identity has no requester, and the list is empty: a filter must
/// not reveal which identities exist.
///
/// # Errors
/// Database errors.
pub(crate) async fn named_requesters(
    lists: &mut CallerLists,
    identity: Option<&str>,
) -> ApiResult<Option<NamedRequesters>> {
    let Some(identity) = identity else { return Ok(None) };
    Ok(Some(lists.requesters().named(identity).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_and_search_have_bounds() {
        let now = Utc::now();
        assert!(list_period(Some(now), Some(now)).is_ok() && list_period(None, Some(now)).is_ok());
        assert!(list_period(Some(now), Some(now - TimeDelta::seconds(1))).is_err());
        assert!(name_search(Some(&"x".repeat(101))).is_err() && name_search(Some(" ")).is_err());
        assert!(name_search(None).is_ok() && name_search(Some("ada")).is_ok());
    }
}
