//! Database access for lists: own connections, a few at a time per caller, cancelled when the caller disconnects.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use domain::{Caller, Problem, ProblemCode};
use operations::{TurnLimits, TurnPermit};
use store::{Lists, StoreError};

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
};

/// Limits on the lists that one caller has running.
pub(crate) const LIST_BOUNDS: TurnLimits =
    TurnLimits { running: 4, waiting: 32, max_wait: Duration::from_secs(2) };

/// Connection for one list, counted against the caller's limit.
#[derive(Debug)]
pub(crate) struct CallerLists {
    lists: Lists,
    _turn: TurnPermit,
}

impl AppState {
    /// Returns a connection to read one list with.
    ///
    /// # Errors
    /// `rate_limited` when the caller has too many running; `database_unavailable` when all connections are taken.
    pub(crate) async fn lists(&self, caller: &Caller) -> ApiResult<CallerLists> {
        let turn = self.list_turns().acquire(&caller.requester).await.ok_or_else(|| {
            let detail = format!("You have {} lists running; wait until one ends.", LIST_BOUNDS.running);
            Problem::new(ProblemCode::RateLimited, detail).retry_after(2)
        })?;
        Ok(CallerLists { lists: self.store.lists().await?, _turn: turn })
    }
}

impl CallerLists {
    /// Returns the connection to its pool and the rows to the caller.
    ///
    /// # Errors
    /// `database_unavailable` when the list took longer than allowed.
    pub(crate) fn finish<T>(self, read: Result<T, StoreError>) -> ApiResult<T> {
        match read {
            Ok(read) => {
                self.lists.done();
                Ok(read)
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
