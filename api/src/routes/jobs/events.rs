//! A job's changes as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use domain::{JobId, Problem, ProblemCode};
use futures::stream::{self, Stream};
use tokio::time::Instant;

use super::show::{etag, present};
use crate::{
    app::AppState,
    body::Id,
    caller::Authorised,
    error::ApiResult,
    openapi::problems,
    queueing,
    waiting::{JobWatch, WaitPlace, is_passing},
};

/// Longest life of one stream; a client that wants more connects again.
const MAX_STREAM: Duration = Duration::from_mins(20);
/// Seconds after which a caller with too many streams may try again.
const RETRY_AFTER: u64 = 5;

problems! { EventProblems: NotFound; }

/// Follow a job as server-sent events.
///
/// Each event is named `status` and its data is the job as JSON; one is sent at once, then one for each change, and the
/// stream ends after the final one, or when you may not see the job any more. `estimated_start_at` alone is no change.
#[utoipa::path(
    get, path = "/jobs/{job_id}/events", tag = "jobs", params(("job_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "A stream of `status` events", body = String, content_type = "text/event-stream"),
        EventProblems,
    ),
)]
pub(crate) async fn events(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Id(id): Id<JobId>,
) -> ApiResult<Response> {
    app.operations().visible_job(&caller, id).await?;
    let place = app.waits().enter(caller.requester).ok_or_else(|| {
        let detail = "You have too many event streams and waiting requests open; close some first.";
        Problem::new(ProblemCode::RateLimited, detail).retry_after(RETRY_AFTER)
    })?;
    let stream = JobStream {
        watch: JobWatch::new(&app, &caller, id),
        _place: place,
        last: None,
        ended: false,
        until: Instant::now() + MAX_STREAM,
    };
    Ok(Sse::new(changes(stream)).keep_alive(KeepAlive::new()).into_response())
}

/// One stream and what it has sent so far.
struct JobStream {
    watch: JobWatch,
    _place: WaitPlace,
    /// What tells the job last sent from others: all of it but the estimate.
    last: Option<String>,
    ended: bool,
    until: Instant,
}

fn changes(stream: JobStream) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok(Event::default().event("status").data(text)), stream))
    })
}

impl JobStream {
    /// The job when it has changed; none when there is nothing more to tell.
    async fn next(&mut self) -> Option<String> {
        let draining = self.watch.app.draining.clone();
        while !self.ended && Instant::now() < self.until && !draining.is_cancelled() {
            if self.last.is_some() {
                self.watch.changed(self.until).await;
            }
            let job = match self.watch.read().await {
                Ok(job) => job?,
                // A stream outlives an outage of the database.
                Err(error) if is_passing(&error) => {
                    if self.last.is_none() {
                        self.watch.changed(self.until).await;
                    }
                    continue;
                }
                Err(_) => return None,
            };
            self.ended = job.state.is_final();
            let standing = queueing::position(&self.watch.app, &job).await;
            let tag = etag(&job);
            let view = present(job, standing.as_ref());
            let mark = format!("{tag}{:?}{:?}", view.blocked_on, view.runner_name);
            if self.last.as_ref() != Some(&mark) {
                self.last = Some(mark);
                return serde_json::to_string(&view).ok();
            }
        }
        None
    }
}
