//! The way of a request: heard, identified, counted, perhaps spoilt by a fault, handled, written down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State as Extract},
    response::Response,
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use crate::{
    answer::Answer,
    auth::{Who, credential},
    faults::{FaultKind, Picked},
    ledger::{Entry, Violation, ViolationKind},
    rate_limits::{Ask, Owner, Refusal},
    routes::{Call, Route, find, meta::VERSIONS},
    serve::hangup,
    state::State,
    write::{Written, etag, response},
};

/// Bodies above this size are refused.
const MAX_BODY: usize = 1 << 20;

/// The state, shared by the API, the control port and the sender of webhooks.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    /// The state, with everything that is due already done.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        state
    }
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) method: String,
    /// Without the base path; `None` when it does not begin with it.
    path: Option<String>,
    query: Arc<[(String, String)]>,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// A request between arrival and answer.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) heard: Heard,
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
    /// Answer this.
    Say(Answer),
    /// Run the handler.
    Do(Box<Call>),
}

/// Every request to the API comes here.
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
    let heard = Heard {
        method: parts.method.as_str().to_owned(),
        path: below(&base, parts.uri.path()),
        query: query.into_owned().take(50).collect(),
        headers: parts.headers,
        body,
    };
    // A task of its own: what a client asked for happens even if it leaves before the answer.
    tokio::spawn(visit(shared, heard)).await.unwrap_or_else(|_| hangup())
}

/// The path without the base path; `None` when it does not begin with it.
fn below(base: &str, path: &str) -> Option<String> {
    match path.strip_prefix(base)? {
        "" => Some("/".to_owned()),
        rest => rest.starts_with('/').then(|| rest.to_owned()),
    }
}

async fn visit(shared: Arc<Shared>, heard: Heard) -> Response {
    let visit = shared.lock().arrive(heard);
    if visit.picked.delay_ms > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(visit.picked.delay_ms)).await;
    }
    let drip = visit.picked.drip;
    let written = shared.lock().answer(&visit);
    written.map_or_else(hangup, |w| response(w, drip))
}

impl State {
    /// Everything up to the handler.
    fn arrive(&mut self, heard: Heard) -> Visit {
        let now = self.now();
        self.last_request = self.last_request.wrapping_add(1);
        let request_id = format!("{:04X}:{:08X}", self.last_request & 0xffff, rand_u32());
        let who = self.identify(credential(&heard.headers).as_deref());
        let owner = match &who {
            Ok(who) => who.owner,
            Err((owner, _)) => *owner,
        };
        let found = heard.path.as_deref().and_then(|p| find(&heard.method, p));
        let template = found.as_ref().map_or("", |(route, _)| route.template);
        let (next, resource) = match self.understand(&heard, who, found) {
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
            operation: format!("{} {template}", heard.method),
            method: heard.method.clone(),
            registers,
            free: template == "/rate_limit",
        };
        let at_once = self.meter.enter(owner);
        self.ledger.at_once(at_once);
        let picked = Picked::default();
        let mut visit = Visit { heard, owner, ask, request_id, arrived: now, template, picked, next };
        self.count(&mut visit, now);
        visit
    }

    /// Limits first, then the faults: only what GitHub would have handled can go wrong.
    fn count(&mut self, visit: &mut Visit, now: DateTime<Utc>) {
        if matches!(&visit.next, Next::Say(answer) if !is_counted(&visit.heard, answer)) {
            return;
        }
        if let Err(refusal) = self.meter.admit(&visit.ask, now) {
            visit.next = Next::Say(limited(&refusal, visit.owner));
            return;
        }
        if !matches!(visit.next, Next::Do(_)) {
            return;
        }
        visit.picked = self.faults.pick(&visit.heard.method, visit.template);
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
        // The pause begins now, so the client is told now: a refusal waits for no other fault.
        visit.picked.delay_ms = 0;
        visit.next = Next::Say(limited(&refusal, visit.owner));
    }

    /// The checks before the handler, in the order of GitHub.
    fn understand(
        &self,
        heard: &Heard,
        who: Result<Who, (Owner, Answer)>,
        found: Option<(&'static Route, Vec<(&'static str, String)>)>,
    ) -> Result<Call, Answer> {
        if heard.method == "OPTIONS" {
            return Err(preflight());
        }
        if heard.header("user-agent").is_none_or(|ua| ua.trim().is_empty()) {
            let text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
            return Err(Answer::error(403, text).blame(ViolationKind::NoUserAgent, "no User-Agent"));
        }
        let version = heard.header("x-github-api-version").unwrap_or(VERSIONS[1]);
        if !VERSIONS.contains(&version) {
            let text = format!("The API version {version:?} is not supported.");
            return Err(Answer::error(400, text.clone()).blame(ViolationKind::UnknownApiVersion, text));
        }
        let who = who.map_err(|(_, answer)| answer)?;
        let (route, params) = found.ok_or_else(Answer::not_found)?;
        let call = Call {
            route,
            params,
            query: heard.query.clone(),
            body: heard.body.clone(),
            who,
            version: version.to_owned(),
            slip: None,
        };
        self.permit(&call)?;
        Ok(call)
    }

    /// The handler, the fault around it, and the record. `None`: close without an answer.
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
            method: visit.heard.method.clone(),
            path: visit.heard.path.as_deref().unwrap_or("").chars().take(500).collect(),
            template: visit.template.to_owned(),
            installation: visit.owner.installation(),
            status: written.as_ref().map_or(0, |w| w.status),
            request_id: visit.request_id.clone(),
            user_agent: visit.heard.header("user-agent").unwrap_or("").chars().take(200).collect(),
            fault: visit.picked.word().map(str::to_owned),
            bytes_in: visit.heard.body.len(),
            bytes_out: written.as_ref().map_or(0, |w| w.body.len()),
        });
        written
    }

    pub(crate) fn blame(&mut self, visit: &Visit, kind: ViolationKind, detail: &str) {
        let (at, request_id) = (self.now(), visit.request_id.clone());
        let detail = detail.chars().take(200).collect();
        self.ledger.violate(Violation { at, kind, request_id, detail });
    }

    /// Adds what every answer carries, and turns an unchanged one into 304.
    fn write(&mut self, answer: Answer, visit: &Visit) -> Written {
        let now = self.now();
        if let Some((kind, detail)) = &answer.violation {
            self.blame(visit, *kind, detail);
        }
        let counted = is_counted(&visit.heard, &answer);
        let mut status = answer.status;
        let mut body = answer.body.map(|v| v.to_string()).unwrap_or_default();
        let mut headers = answer.headers;
        if visit.heard.method == "GET" && status == 200 {
            let tag = etag(&visit.heard.headers, &body);
            if visit.heard.header("if-none-match").is_some_and(|sent| sent.contains(&tag)) {
                (status, body) = (304, String::new());
                self.meter.refund(&visit.ask, now);
            }
            headers.push(("etag".into(), tag));
            headers.push(("cache-control".into(), "private, max-age=60, s-maxage=60".to_owned()));
            headers.push(("vary".into(), "Accept, Authorization, Cookie, X-GitHub-OTP".to_owned()));
        }
        let version = visit.heard.header("x-github-api-version").unwrap_or(VERSIONS[1]);
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

/// GitHub counts neither a request whose credentials it does not know nor a browser's question before a request.
fn is_counted(heard: &Heard, answer: &Answer) -> bool {
    heard.method != "OPTIONS" && !answer.is_bad_credentials()
}

/// What a browser may send from a page of another origin: the same for every path.
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

/// The seconds of a `retry-after`, which may be a date.
fn seconds(retry_after: &str, now: DateTime<Utc>) -> u64 {
    let until = || DateTime::parse_from_rfc2822(retry_after).ok().map(|at| (at.to_utc() - now).num_seconds());
    retry_after.parse().ok().or_else(|| until().and_then(|s| u64::try_from(s).ok())).unwrap_or(0)
}

fn rand_u32() -> u32 {
    let mut bytes = [0_u8; 4];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
