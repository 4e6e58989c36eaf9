//! Lists: on connections of their own, a few at a time for each caller, and cancelled when the caller hangs up.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use domain::{Caller, Problem, ProblemCode};
use operations::{Bounds, Taken};
use store::{Lists, StoreError};

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
};

/// What one caller may have under way.
pub(crate) const BOUNDS: Bounds = Bounds { running: 4, waiting: 32, patience: Duration::from_secs(2) };

/// A connection to read one list with, on the caller's account.
#[derive(Debug)]
pub(crate) struct CallerLists {
    lists: Lists,
    _turn: Taken,
}

impl AppState {
    /// Takes a connection to read a list with.
    ///
    /// # Errors
    /// `rate_limited` when the caller has too many running; `database_unavailable` when all connections are taken.
    pub(crate) async fn lists(&self, caller: &Caller) -> ApiResult<CallerLists> {
        let turn = self.list_turns().take(&caller.requester).await.ok_or_else(|| {
            let detail = format!("You have {} lists running; wait for one to end.", BOUNDS.running);
            Problem::new(ProblemCode::RateLimited, detail).retry_after(2)
        })?;
        Ok(CallerLists { lists: self.store.lists().await?, _turn: turn })
    }
}

impl CallerLists {
    /// Gives the connection back with what was read.
    ///
    /// # Errors
    /// `database_unavailable` when the list took longer than lists may.
    pub(crate) fn finish<T>(self, read: Result<T, StoreError>) -> ApiResult<T> {
        match read {
            Ok(read) => {
                self.lists.done();
                Ok(read)
            }
            Err(error) if error.is_timeout() => {
                tracing::info!(%error, "a list took too long");
                let detail = "This list takes too long; narrow it with filters, or follow next_cursor instead of offset.";
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
