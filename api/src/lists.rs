//! Database access for lists: own connections, a few at a time per caller and for a share of the time, cancelled when
//! the caller disconnects.

mod credit;
mod turns;

use std::ops::{Deref, DerefMut};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
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

/// Answer to a list. The caller is charged until its JSON is written or its body is taken.
#[derive(Debug)]
#[must_use]
pub(crate) struct Listing<B> {
    body: B,
    turn: ListTurn,
}

impl<B> Listing<B> {
    /// Returns the body, to show it as a page.
    pub(crate) fn into_body(self) -> B {
        let Self { body, turn } = self;
        drop(turn);
        body
    }
}

impl<B: Serialize> IntoResponse for Listing<B> {
    fn into_response(self) -> Response {
        let response = Json(self.body).into_response();
        drop(self.turn);
        response
    }
}

/// Connection for one list, counted against the caller's turns and charged to its credit.
#[derive(Debug)]
pub(crate) struct CallerLists {
    lists: Lists,
    turn: ListTurn,
}

impl AppState {
    /// Returns a connection to read one list with.
    ///
    /// # Errors
    /// `rate_limited` when the caller has too many running or its lists took too much time; `database_unavailable` when
    /// all connections are taken.
    pub(crate) async fn lists(&self, caller: &Caller) -> ApiResult<CallerLists> {
        let mut turn = self.list_turns().acquire(caller.requester).await.map_err(refusal)?;
        let lists = self.store.lists().await?;
        turn.start_timing();
        Ok(CallerLists { lists, turn })
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
                Ok(Listing { body: body(read), turn: self.turn })
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
