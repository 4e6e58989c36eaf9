//! Database access for lists: own connections, a few at a time per caller and for a share of the time, cancelled when
//! the caller disconnects.

mod credit;
mod turns;

use std::{
    convert::Infallible,
    ops::{Deref, DerefMut},
    time::Duration,
};

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderName, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use domain::{Caller, Problem, ProblemCode, whole_seconds};
use serde::Serialize;
use store::{Lists, StoreError};

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
};
use turns::{ListTurn, NoTurn};

pub(crate) use turns::ListTurns;

/// Seconds after which a caller with too many lists tries again.
const BUSY_RETRY_SECONDS: u64 = 2;

/// Time beyond the replica's greatest age for which a caller's own changes count as recent: the longest transaction.
const CHANGE_MARGIN: Duration = Duration::from_secs(30);
/// Header of a list that a replica answered: the age of its data in seconds.
const DATA_AGE: HeaderName = HeaderName::from_static("x-data-age");

/// Server that a list may come from. A request of the API may be answered by a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListSource {
    /// The server that takes the writes.
    Primary,
    /// The replica, if there is one, its data is young, and the caller has changed nothing lately.
    Replica,
}

impl<S: Sync> FromRequestParts<S> for ListSource {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::Replica)
    }
}

/// Answer to a list. The caller is charged until its JSON is written or its body is taken.
#[derive(Debug)]
#[must_use]
pub(crate) struct Listing<B> {
    body: B,
    turn: ListTurn,
    age: Option<Duration>,
}

impl<B> Listing<B> {
    /// Returns the body, to show it as a page.
    pub(crate) fn into_body(self) -> B {
        let Self { body, turn, age: _ } = self;
        drop(turn);
        body
    }
}

impl<B: Serialize> IntoResponse for Listing<B> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        drop(self.turn);
        if let Some(age) = self.age {
            response.headers_mut().insert(DATA_AGE, whole_seconds(age).into());
        }
        response
    }
}

/// Connection for one list, counted against the caller's turns and charged to its credit.
#[derive(Debug)]
pub(crate) struct CallerLists {
    lists: Lists,
    turn: ListTurn,
    /// Age of the data, if a replica answers.
    age: Option<Duration>,
}

impl AppState {
    /// Returns a connection to read one list with.
    ///
    /// # Errors
    /// `rate_limited` when the caller has too many running or its lists took too much time; `database_unavailable` when
    /// all connections are taken.
    pub(crate) async fn lists(&self, caller: &Caller) -> ApiResult<CallerLists> {
        self.lists_from(ListSource::Primary, caller).await
    }

    /// Returns a connection to read one list with, from this source.
    ///
    /// # Errors
    /// As [`Self::lists`].
    pub(crate) async fn lists_from(&self, source: ListSource, caller: &Caller) -> ApiResult<CallerLists> {
        let mut turn = self.list_turns().acquire(caller.requester).await.map_err(refusal)?;
        let (lists, age) = if source == ListSource::Replica && self.may_read_replica(caller).await? {
            self.store.replica_lists().await?
        } else {
            (self.store.lists().await?, None)
        };
        turn.start_timing();
        Ok(CallerLists { lists, turn, age })
    }

    /// Returns whether a replica would show everything that the caller itself has changed. Each change writes an audit
    /// row, so this holds for changes through other processes too.
    async fn may_read_replica(&self, caller: &Caller) -> ApiResult<bool> {
        let Some(max_age) = self.store.replica_max_age() else { return Ok(false) };
        let within = TimeDelta::from_std(max_age + CHANGE_MARGIN).unwrap_or(TimeDelta::MAX);
        Ok(!self.store.conn().await?.audit().has_recent(caller.requester, within).await?)
    }
}

fn refusal(reason: NoTurn) -> Problem {
    let (detail, seconds) = match reason {
        NoTurn::TooMany => ("Too many of your lists are running; wait until one ends.", BUSY_RETRY_SECONDS),
        NoTurn::OutOfCredit(wait) => (
            "Your lists took more time than your share; narrow them with filters, or read fewer of them.",
            whole_seconds(wait),
        ),
    };
    Problem::new(ProblemCode::RateLimited, detail).retry_after(seconds)
}

impl CallerLists {
    /// Returns the connection to its pool and the answer with the body built from the rows.
    ///
    /// # Errors
    /// `database_unavailable` when the list took longer than allowed.
    pub(crate) fn respond<T, B>(
        self,
        read: Result<T, StoreError>,
        body: impl FnOnce(T) -> B,
    ) -> ApiResult<Listing<B>> {
        match read {
            Ok(read) => {
                self.lists.done();
                Ok(Listing { body: body(read), turn: self.turn, age: self.age })
            }
            Err(error) if error.is_timeout() => {
                tracing::info!(%error, "list took too long");
                let detail =
                    "This list takes too long; narrow it with filters, or use next_cursor instead of offset.";
                Err(Problem::new(ProblemCode::DatabaseUnavailable, detail).retry_after(5).into())
            }
            Err(error) => Err(ApiError::from(error)),
        }
    }
}

impl Deref for CallerLists {
    type Target = Lists;

    fn deref(&self) -> &Lists {
        &self.lists
    }
}

impl DerefMut for CallerLists {
    fn deref_mut(&mut self) -> &mut Lists {
        &mut self.lists
    }
}
