//! Request pipeline: received, identified, charged, perhaps changed by a fault, handled, recorded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State as Extract},
    response::Response,
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use dev_http::hangup;
use http::{HeaderMap, StatusCode};

use crate::{
    answer::Answer,
    auth::{Who, credential},
    faults::{FaultKind, Picked},
    ledger::{Entry, Violation, ViolationKind},
    rate_limits::{Ask, Owner, Refusal},
    routes::{Call, Route, find, meta::VERSIONS},
    state::State,
    write::{Written, etag, response},
};

/// Largest accepted body in bytes.
const MAX_BODY: usize = 1 << 20;

/// State shared by the API, the control port and the webhook sender.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    /// Returns the state after applying everything that is due.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        state
    }
}

/// A request as received.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: String,
    /// Path without the base path; `None` when it has another prefix.
    path: Option<String>,
    query: Arc<[(String, String)]>,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl ReceivedRequest {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// A request between arrival and response.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) request: ReceivedRequest,
    owner: Owner,
    ask: Ask,
    request_id: String,
    arrived: DateTime<Utc>,
    template: &'static str,
    pub(crate) picked: Picked,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// Send this response.
    Say(Answer),
    /// Run the handler.
    Do(Box<Call>),
}

/// Handles every request to the API.
pub(crate) async fn enter(
    Extract((shared, base)): Extract<(Arc<Shared>, Arc<str>)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return response;
    };
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes());
    let request = ReceivedRequest {
        method: parts.method.as_str().to_owned(),
        path: strip_base_path(&base, parts.uri.path()),
        query: query.into_owned().take(50).collect(),
        headers: parts.headers,
        body,
    };
    // A separate task: a request takes effect even if the client disconnects before the response.
    tokio::spawn(visit(shared, request)).await.unwrap_or_else(|_| hangup())
}

/// Returns the path without the base path, or `None` when it has another prefix.
fn strip_base_path(base: &str, path: &str) -> Option<String> {
    match path.strip_prefix(base)? {
        "" => Some("/".to_owned()),
        rest => rest.starts_with('/').then(|| rest.to_owned()),
    }
}

async fn visit(shared: Arc<Shared>, request: ReceivedRequest) -> Response {
    let visit = shared.lock().receive(request);
    if visit.picked.delay_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(visit.picked.delay_ms)).await;
    }
    let drip = visit.picked.drip;
    let written = shared.lock().answer(&visit);
    written.map_or_else(hangup, |w| response(w, drip))
}

impl State {
    /// Processes the request up to the handler.
    fn receive(&mut self, request: ReceivedRequest) -> Visit {
        let now = self.now();
        self.last_request = self.last_request.wrapping_add(1);
        let request_id = format!("{:04X}:{:08X}", self.last_request & 0xffff, rand_u32());
        let who = self.identify(credential(&request.headers).as_deref());
        let owner = match &who {
            Ok(who) => who.owner,
            Err((owner, _)) => *owner,
        };
        let found = request.path.as_deref().and_then(|p| find(&request.method, p));
        let template = found.as_ref().map_or("", |(route, _)| route.template);
        let (next, resource) = match self.check_request(&request, who, found) {
            Ok(call) => {
                let resource = call.resource(&self.meter.limits.jit_resource);
                (Next::Do(Box::new(call)), resource)
            }
            Err(answer) => (Next::Say(answer), "core".to_owned()),
        };
        let jit = template.ends_with("/generate-jitconfig");
        let registers = if let Next::Do(call) = &next { jit.then(|| call.scope()) } else { None };
        let ask = Ask {
            owner,
            resource,
            operation: format!("{} {template}", request.method),
            method: request.method.clone(),
            registers,
            free: template == "/rate_limit",
        };
        let at_once = self.meter.enter(owner);
        self.ledger.at_once(at_once);
        let picked = Picked::default();
        let mut visit = Visit { request, owner, ask, request_id, arrived: now, template, picked, next };
        self.charge(&mut visit, now);
        visit
    }

    /// Applies the limits first, then the faults: only requests that GitHub would handle can fail.
    fn charge(&mut self, visit: &mut Visit, now: DateTime<Utc>) {
        if matches!(&visit.next, Next::Say(answer) if !is_counted(&visit.request, answer)) {
            return;
        }
        if let Err(refusal) = self.meter.admit(&visit.ask, now) {
            visit.next = Next::Say(limited(&refusal, visit.owner));
            return;
        }
        if !matches!(visit.next, Next::Do(_)) {
            return;
        }
        visit.picked = self.faults.pick(&visit.request.method, visit.template);
        let refusal = match &visit.picked.act {
            Some(FaultKind::PrimaryLimit { status, reset_in }) => {
                self.meter.exhaust(&visit.ask, *status, *reset_in, now)
            }
            Some(FaultKind::SecondaryLimit { status, retry_after }) => {
                self.meter.pause(visit.owner, *status, *retry_after, now)
            }
            Some(FaultKind::Unavailable { status, retry_after }) => {
                let wait = seconds(retry_after, now);
                self.meter.pause(visit.owner, *status, Some(wait), now);
                let answer = Answer::error(*status, "Service Unavailable");
                visit.next = Next::Say(answer.with("retry-after", retry_after.clone()));
                visit.picked.delay_ms = 0;
                return;
            }
            _ => return,
        };
        // The pause begins now, so its response is sent now, without the delay of another fault.
        visit.picked.delay_ms = 0;
        visit.next = Next::Say(limited(&refusal, visit.owner));
    }

    /// Runs the checks before the handler, in GitHub's order.
    fn check_request(
        &self,
        request: &ReceivedRequest,
        who: Result<Who, (Owner, Answer)>,
        found: Option<(&'static Route, Vec<(&'static str, String)>)>,
    ) -> Result<Call, Answer> {
        if request.method == "OPTIONS" {
            return Err(preflight());
        }
        if request.header("user-agent").is_none_or(|ua| ua.trim().is_empty()) {
            let text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
            return Err(Answer::error(403, text).with_violation(ViolationKind::NoUserAgent, "no User-Agent"));
        }
        let version = request.header("x-github-api-version").unwrap_or(VERSIONS[1]);
        if !VERSIONS.contains(&version) {
            let text = format!("The API version {version:?} is not supported.");
            return Err(
                Answer::error(400, text.clone()).with_violation(ViolationKind::UnknownApiVersion, text)
            );
        }
        let who = who.map_err(|(_, answer)| answer)?;
        let (route, params) = found.ok_or_else(Answer::not_found)?;
        let call = Call {
            route,
            params,
            query: request.query.clone(),
            body: request.body.clone(),
            who,
            version: version.to_owned(),
            slip: None,
        };
        self.permit(&call)?;
        Ok(call)
    }

    /// Runs the handler with the fault around it and records the result. `None` closes the connection without a
    /// response.
    fn answer(&mut self, visit: &Visit) -> Option<Written> {
        let answer = match &visit.next {
            Next::Say(answer) => Some(answer.clone()),
            Next::Do(call) => self.perform((**call).clone(), visit),
        };
        self.meter.leave(visit.owner);
        let written = answer.map(|a| self.write(a, visit));
        self.ledger.record(Entry {
            seq: 0,
            at: visit.arrived,
            method: visit.request.method.clone(),
            path: visit.request.path.as_deref().unwrap_or("").chars().take(500).collect(),
            template: visit.template.to_owned(),
            installation: visit.owner.installation(),
            status: written.as_ref().map_or(0, |w| w.status),
            request_id: visit.request_id.clone(),
            user_agent: visit.request.header("user-agent").unwrap_or("").chars().take(200).collect(),
            fault: visit.picked.word().map(str::to_owned),
            bytes_in: visit.request.body.len(),
            bytes_out: written.as_ref().map_or(0, |w| w.body.len()),
        });
        written
    }

    pub(crate) fn record_violation(&mut self, visit: &Visit, kind: ViolationKind, detail: &str) {
        let (at, request_id) = (self.now(), visit.request_id.clone());
        let detail = detail.chars().take(200).collect();
        self.ledger.violate(Violation { at, kind, request_id, detail });
    }

    /// Adds the common headers, and turns an unchanged response into 304.
    fn write(&mut self, answer: Answer, visit: &Visit) -> Written {
        let now = self.now();
        if let Some((kind, detail)) = &answer.violation {
            self.record_violation(visit, *kind, detail);
        }
        let counted = is_counted(&visit.request, &answer);
        let mut status = answer.status;
        let mut body = answer.body.map(|v| v.to_string()).unwrap_or_default();
        let mut headers = answer.headers;
        if visit.request.method == "GET" && status == 200 {
            let tag = etag(&visit.request.headers, &body);
            if visit.request.header("if-none-match").is_some_and(|sent| sent.contains(&tag)) {
                (status, body) = (304, String::new());
                self.meter.refund(&visit.ask, now);
            }
            headers.push(("etag".into(), tag));
            headers.push(("cache-control".into(), "private, max-age=60, s-maxage=60".to_owned()));
            headers.push(("vary".into(), "Accept, Authorization, Cookie, X-GitHub-OTP".to_owned()));
        }
        let version = visit.request.header("x-github-api-version").unwrap_or(VERSIONS[1]);
        headers.push(("x-github-api-version-selected".into(), version.to_owned()));
        headers.push(("x-github-request-id".into(), visit.request_id.clone()));
        headers.push(("date".into(), now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        if counted {
            let window = self.meter.headers(visit.owner, &visit.ask.resource, now);
            headers.extend(window.into_iter().map(|(name, value)| (name.into(), value)));
        }
        Written { status, headers, body: body.into() }
    }
}

/// Returns whether GitHub counts the request: it counts neither unknown credentials nor CORS preflights.
fn is_counted(request: &ReceivedRequest, answer: &Answer) -> bool {
    request.method != "OPTIONS" && !answer.is_bad_credentials()
}

/// Returns the CORS preflight response, equal for every path.
fn preflight() -> Answer {
    let headers = "Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, \
        If-Unmodified-Since, X-GitHub-OTP, X-Requested-With, X-GitHub-Api-Version";
    Answer::empty(204)
        .with("access-control-allow-headers", headers)
        .with("access-control-allow-methods", "GET, POST, PATCH, PUT, DELETE")
        .with("access-control-max-age", "86400")
}

fn limited(refusal: &Refusal, owner: Owner) -> Answer {
    let text = match (refusal.primary, owner) {
        (true, Owner::Installation(id)) => format!("API rate limit exceeded for installation ID {id}."),
        (true, _) => "API rate limit exceeded.".to_owned(),
        (false, _) => {
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
                .to_owned()
        }
    };
    let mut answer = Answer::error(refusal.status, text);
    answer.violation.clone_from(&refusal.violation);
    match refusal.retry_after {
        Some(seconds) => answer.with("retry-after", seconds.to_string()),
        None => answer,
    }
}

/// Returns the seconds of a `retry-after` header, which may be a date.
fn seconds(retry_after: &str, now: DateTime<Utc>) -> u64 {
    let until = || DateTime::parse_from_rfc2822(retry_after).ok().map(|at| (at.to_utc() - now).num_seconds());
    retry_after.parse().ok().or_else(|| until().and_then(|s| u64::try_from(s).ok())).unwrap_or(0)
}

fn rand_u32() -> u32 {
    let mut bytes = [0_u8; 4];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
