//! Live data of the operators' pages. One task of the process reads and draws while any page listens; each stream
//! begins with the whole picture and then sends what has changed.

use std::{
    convert::Infallible,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use chrono::{DateTime, Utc};
use domain::{Problem, ProblemCode};
use futures::stream::{self, Stream};
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, timeout_at},
};

use super::{
    SignedIn, StreamVisitor, UiForm, UiResult, UiRoutes, board::Board, cookies, notice, session::safe_return,
    status::Status, visitor,
};
use crate::{app::AppState, body::Params, waiting::WaitSlot};

/// Time between two pictures.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest life of one stream; the page then connects again.
const MAX_STREAM: Duration = Duration::from_mins(20);
/// Time between two checks of the listener's session.
const RECHECK: Duration = Duration::from_secs(30);
/// Sessions of streams that are looked up at the same time.
const MAX_LOOKUPS: usize = 4;
/// Seconds for which a browser remembers that its live data is stopped.
const REMEMBERED_SECONDS: u64 = 180 * 86_400;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/live", stream).post("/session/live", remember)
}

/// The newest drawn fragments of this process, and whether a task draws them.
#[derive(Debug)]
pub(crate) struct Live {
    drawn: watch::Sender<Option<Arc<Drawn>>>,
    is_drawing: Arc<Mutex<bool>>,
    lookups: Semaphore,
}

impl Default for Live {
    fn default() -> Self {
        let lookups = Semaphore::new(MAX_LOOKUPS);
        Self { drawn: watch::Sender::new(None), is_drawing: Arc::default(), lookups }
    }
}

/// Fragments of the pages.
#[derive(Debug)]
struct Drawn {
    as_of: String,
    status: String,
    queue: String,
    board: String,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusFragment<'a> {
    status: &'a Status,
}

#[derive(Template)]
#[template(path = "asof.html")]
struct AsOfFragment {
    as_of: DateTime<Utc>,
}

#[derive(Template)]
#[template(path = "board-queue.html")]
struct QueueFragment<'a> {
    board: &'a Board,
}

#[derive(Template)]
#[template(path = "board-live.html")]
struct BoardFragment<'a> {
    board: &'a Board,
}

impl Live {
    /// Waits for a turn to look up the session of a stream; the turn ends with the value.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.lookups.acquire().await.ok()
    }

    /// Returns the drawn fragments as they change, and begins to draw if no task does.
    fn listen(&self, app: &AppState) -> watch::Receiver<Option<Arc<Drawn>>> {
        let mut is_drawing = self.is_drawing.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = self.drawn.subscribe();
        if !*is_drawing {
            *is_drawing = true;
            // Listeners must not begin with a picture of the last time.
            self.drawn.send_replace(None);
            tokio::spawn(draw(app.clone(), self.drawn.clone(), self.is_drawing.clone()));
        }
        listener
    }
}

/// Draws every second until no page listens or the process begins to stop.
async fn draw(app: AppState, drawn: watch::Sender<Option<Arc<Drawn>>>, is_drawing: Arc<Mutex<bool>>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.draining.cancelled() => return,
        }
        {
            let mut is_drawing = is_drawing.lock().unwrap_or_else(PoisonError::into_inner);
            if drawn.receiver_count() == 0 {
                *is_drawing = false;
                return;
            }
        }
        if let Some(next) = draw_once(&app).await {
            drawn.send_replace(Some(Arc::new(next)));
        }
    }
}

async fn draw_once(app: &AppState) -> Option<Drawn> {
    let snapshot = app.snapshots().get(app).await?;
    let status = Status::of(&snapshot);
    let board = Board::of(&snapshot, app.installations.keys());
    Some(Drawn {
        as_of: AsOfFragment { as_of: status.as_of }.render().ok()?,
        status: StatusFragment { status: &status }.render().ok()?,
        queue: QueueFragment { board: &board }.render().ok()?,
        board: BoardFragment { board: &board }.render().ok()?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveParams {
    /// Whether the page is the board.
    #[serde(default)]
    board: bool,
    /// Whether to send one picture as HTML, for pages whose stream fails.
    #[serde(default)]
    once: bool,
}

async fn stream(
    State(app): State<AppState>,
    StreamVisitor(visitor): StreamVisitor,
    headers: HeaderMap,
    Params(params): Params<LiveParams>,
) -> UiResult<Response> {
    if params.once {
        let drawn = draw_once(&app).await;
        let html = drawn.map(|drawn| changes(None, &drawn, params.board)).unwrap_or_default();
        return Ok(Html(html).into_response());
    }
    let slot = app.waits().acquire(visitor.caller.requester).ok_or_else(|| {
        let detail = "You have too many live pages open; close some first.";
        Problem::new(ProblemCode::RateLimited, detail).retry_after(5)
    })?;
    let stream = LiveStream {
        drawn: app.live().listen(&app),
        cookie: cookies::read(&headers, cookies::SESSION).unwrap_or_default().to_owned(),
        app,
        sent: None,
        has_board: params.board,
        // Streams that began together do not check their sessions together.
        check_at: Instant::now() + RECHECK.mul_f64(rand::random_range(0.5..1.0)),
        until: Instant::now() + MAX_STREAM,
        _slot: slot,
    };
    let mut response = Sse::new(events(stream)).keep_alive(KeepAlive::new()).into_response();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// One stream and what it has sent.
struct LiveStream {
    app: AppState,
    drawn: watch::Receiver<Option<Arc<Drawn>>>,
    cookie: String,
    sent: Option<Arc<Drawn>>,
    has_board: bool,
    check_at: Instant,
    until: Instant,
    _slot: WaitSlot,
}

fn events(stream: LiveStream) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok(Event::default().retry(INTERVAL).data(text)), stream))
    })
}

impl LiveStream {
    /// Returns the next changes, `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if Instant::now() >= self.check_at {
                self.check_session().await?;
            }
            let changed = tokio::select! {
                changed = timeout_at(self.until, self.drawn.changed()) => changed,
                () = self.app.draining.cancelled() => return None,
            };
            changed.ok()?.ok()?;
            let Some(drawn) = self.drawn.borrow_and_update().clone() else { continue };
            let text = changes(self.sent.as_deref(), &drawn, self.has_board);
            self.sent = Some(drawn);
            if !text.is_empty() {
                return Some(text);
            }
        }
    }

    /// Returns `None` if the session has ended, or its person may no longer see everything. A database that is away ends
    /// no stream.
    async fn check_session(&mut self) -> Option<()> {
        self.check_at = Instant::now() + RECHECK;
        match visitor::find_in_turn(&self.app, &self.cookie).await {
            Ok(Ok(found)) => found.filter(|(_, caller)| caller.sees_everything()).map(|_| ()),
            Ok(Err(_)) | Err(_) => Some(()),
        }
    }
}

/// Returns the fragments that differ from those sent before.
fn changes(sent: Option<&Drawn>, drawn: &Drawn, has_board: bool) -> String {
    let mut text = String::new();
    let mut add = |target: &str, new: &str, old: Option<&str>| {
        if old != Some(new) {
            let _infallible =
                write!(text, "<hx-partial hx-target=\"#{target}\" hx-swap=\"innerMorph\">{new}</hx-partial>");
        }
    };
    add("asof", &drawn.as_of, sent.map(|sent| sent.as_of.as_str()));
    add("status", &drawn.status, sent.map(|sent| sent.status.as_str()));
    if has_board {
        add("queue", &drawn.queue, sent.map(|sent| sent.queue.as_str()));
        add("board", &drawn.board, sent.map(|sent| sent.board.as_str()));
    }
    text
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remember {
    paused: bool,
    to: Option<String>,
}

/// Remembers in this browser whether its pages show live data.
async fn remember(SignedIn(_): SignedIn, UiForm(form): UiForm<Remember>) -> Response {
    let mut response = notice::redirect(&safe_return(form.to.as_deref()));
    let cookie = if form.paused {
        cookies::set(cookies::PAUSED, "1", Some(REMEMBERED_SECONDS))
    } else {
        cookies::clear(cookies::PAUSED)
    };
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}
