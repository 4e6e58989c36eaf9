//! A job's changes as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use domain::{Job, JobId};
use futures::stream::{self, Stream};
use tokio::time::{Instant, timeout};

use super::show::present;
use crate::{
    app::App, body::Id, caller::Authorised, error::ApiResult, openapi::problems, queueing, views::JobView,
    waiting::SAFETY_POLL,
};

/// Longest life of one stream; a client that wants more connects again.
const MAX_STREAM: Duration = Duration::from_mins(20);

problems! { EventProblems: NotFound; }

/// Follow a job as server-sent events.
///
/// Each event is named `status` and carries the job; the stream ends after the final one.
#[utoipa::path(
    get, path = "/jobs/{job_id}/events", tag = "jobs", params(("job_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "A stream of `status` events", body = JobView, content_type = "text/event-stream"),
        EventProblems,
    ),
)]
pub(crate) async fn events(
    State(app): State<App>,
    Authorised(caller): Authorised,
    Id(id): Id<JobId>,
) -> ApiResult<Response> {
    super::visible(&app, &caller, id).await?;
    Ok(Sse::new(changes(app, id)).keep_alive(KeepAlive::new()).into_response())
}

/// What a stream has told so far.
struct Told {
    app: App,
    id: JobId,
    last: Option<String>,
    ended: bool,
    until: Instant,
}

fn changes(app: App, id: JobId) -> impl Stream<Item = Result<Event, Infallible>> {
    let told = Told { app, id, last: None, ended: false, until: Instant::now() + MAX_STREAM };
    stream::unfold(told, |mut told| async move {
        let text = told.next().await?;
        let event = Event::default().event("status").data(&text);
        told.last = Some(text);
        Some((Ok(event), told))
    })
}

impl Told {
    /// The job when it has changed; none when there is nothing more to tell.
    async fn next(&mut self) -> Option<String> {
        while !self.ended && Instant::now() < self.until && !self.app.draining.is_cancelled() {
            let mut watch = self.app.announcements.watch(self.id);
            if let Some(job) = self.read().await {
                self.ended = job.state.is_final();
                let standing = queueing::standing(&self.app, &job).await;
                let text = serde_json::to_string(&present(job, standing.as_ref())).ok()?;
                if self.last.as_ref() != Some(&text) {
                    return Some(text);
                }
            }
            tokio::select! {
                _ = timeout(SAFETY_POLL, watch.next()) => {}
                () = self.app.draining.cancelled() => {}
            }
        }
        None
    }

    /// The job; none while the database is away, which a stream outlives.
    async fn read(&self) -> Option<Job> {
        self.app.store.read().await.ok()?.jobs().get(self.id).await.ok()?
    }
}
