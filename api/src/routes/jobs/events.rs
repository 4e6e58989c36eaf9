//! Changes of a job as server-sent events.

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

use super::show::{etag, job_view};
use crate::{
    app::AppState,
    body::Id,
    caller::Authorised,
    error::ApiResult,
    openapi::problems,
    queueing,
    waiting::{JobWatch, WaitSlot, is_temporary},
};

/// Longest life of one stream; the client then connects again.
const MAX_STREAM: Duration = Duration::from_mins(20);
/// Seconds after which a caller with too many streams may try again.
const RETRY_AFTER_SECONDS: u64 = 5;

problems! { EventProblems: NotFound; }

/// One event of the stream, by the names of its fields.
struct JobStreamEvent {
    event: &'static str,
    /// The job as JSON, as `GET /jobs/{job_id}` returns it.
    data: String,
}

/// Follow a job as server-sent events.
///
/// Each event has the name `status` and the job as JSON. One is sent at once, then one for each change. The stream ends
/// after the final state, or when you may no longer see the job. A change of `estimated_start_at` alone sends no event.
#[utoipa::path(
    get, path = "/jobs/{job_id}/events", tag = "jobs", params(("job_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "A stream of events, each with a `Job` as its data", body = String,
            content_type = "text/event-stream",
            example = "event: status\ndata: {\"job_id\":\"…\",\"state\":\"running\"}\n\n"),
        EventProblems,
    ),
)]
pub(crate) async fn events(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Id(id): Id<JobId>,
) -> ApiResult<Response> {
    app.operations().visible_job(&caller, id).await?;
    let slot = app.waits().acquire(caller.requester).ok_or_else(|| {
        let detail = "You have too many event streams and waiting requests open; close some first.";
        Problem::new(ProblemCode::RateLimited, detail).retry_after(RETRY_AFTER_SECONDS)
    })?;
    let stream = JobStream {
        watch: JobWatch::new(&app, &caller, id),
        _slot: slot,
        last: None,
        ended: false,
        until: Instant::now() + MAX_STREAM,
    };
    Ok(Sse::new(event_stream(stream)).keep_alive(KeepAlive::new()).into_response())
}

/// One stream and its progress.
struct JobStream {
    watch: JobWatch,
    _slot: WaitSlot,
    /// Fingerprint of the job last sent: everything except the estimate.
    last: Option<String>,
    ended: bool,
    until: Instant,
}

fn event_stream(stream: JobStream) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(stream, |mut stream| async move {
        let JobStreamEvent { event, data } = stream.next().await?;
        Some((Ok(Event::default().event(event).data(data)), stream))
    })
}

impl JobStream {
    /// Returns the job when it has changed, `None` at the end of the stream.
    async fn next(&mut self) -> Option<JobStreamEvent> {
        let draining = self.watch.app.draining.clone();
        while !self.ended && Instant::now() < self.until && !draining.is_cancelled() {
            if self.last.is_some() {
                self.watch.wait_for_change(self.until).await;
            }
            let job = match self.watch.read().await {
                Ok(job) => job?,
                // A stream outlives an outage of the database.
                Err(error) if is_temporary(&error) => {
                    if self.last.is_none() {
                        self.watch.wait_for_change(self.until).await;
                    }
                    continue;
                }
                Err(_) => return None,
            };
            self.ended = job.state.is_final();
            let position = queueing::position(&self.watch.app, &job).await;
            let tag = etag(&job);
            let view = job_view(job, position.as_ref());
            let fingerprint = format!("{tag}{:?}{:?}", view.blocked_on, view.runner_name);
            if self.last.as_ref() != Some(&fingerprint) {
                self.last = Some(fingerprint);
                return serde_json::to_string(&view)
                    .ok()
                    .map(|data| JobStreamEvent { event: "status", data });
            }
        }
        None
    }
}
