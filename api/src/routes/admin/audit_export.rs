//! Export of the audit log.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use domain::{AuditFormat, Caller, Problem, ProblemCode, RunnerId};
use futures::stream::{self, Stream};
use operations::{Actor, AuditText};
use serde::Deserialize;
use store::{AuditFilter, AuditRow, Page, Visible};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    access::reload_caller,
    app::AppState,
    body::{Params, filtered_team},
    caller::SeesAll,
    error::ApiResult,
    filters::list_period,
    openapi::{self, problems},
    origin::RequestOrigin,
    routes::audit::resolve_event,
    waiting::is_temporary,
};

/// Rows read at a time, which bounds the memory of an export.
const ROWS_PER_READ: i64 = 1000;
/// Number of times that one page is read before the export is broken off.
const MAX_READS: u32 = 5;
/// Pause before a page is read again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Seconds after which a caller may try again while other exports run.
const RETRY_AFTER_SECONDS: u64 = 5;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Filters of an export, as of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// Form of the rows: a JSON array, JSON lines, or CSV.
    #[param(schema_with = openapi::audit_format, default = "json")]
    pub(crate) format: Option<AuditFormat>,
    /// Only of this event type; the predecessor's names are accepted too.
    pub(crate) event_type: Option<String>,
    /// Only of this team, by id or name; also as `team_id`.
    #[serde(alias = "team_id")]
    pub(crate) team: Option<String>,
    /// Only about this runner.
    pub(crate) runner: Option<Uuid>,
    /// Only of this identity; also as `user_identity`.
    #[serde(alias = "user_identity")]
    pub(crate) user: Option<String>,
    /// Only successes, or only failures.
    pub(crate) success: Option<bool>,
    /// Only rows since this time (RFC 3339).
    #[param(value_type = Option<String>)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Only rows until this time (RFC 3339).
    #[param(value_type = Option<String>)]
    pub(crate) until: Option<DateTime<Utc>>,
}

problems! { ExportProblems: AdminRequired, ValidationFailed; }

/// Export the audit log, newest rows first.
///
/// For admins and viewers. The rows are streamed, however many they are. An export that is broken off ends without the
/// last chunk, so that HTTP clients report an incomplete answer. In CSV, a cell that a spreadsheet would take for a formula
/// begins with an apostrophe. The export itself is written to the audit log.
#[utoipa::path(
    get, path = "/admin/audit-logs/export", tag = "admin", params(ExportParams),
    responses(
        (status = 200, description = "The rows", content(
            (Vec<crate::routes::audit::AuditView> = "application/json"), (String = "application/jsonl"), (String = "text/csv"),
        )),
        ExportProblems,
    ),
)]
pub(crate) async fn export(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    RequestOrigin(origin): RequestOrigin,
    Params(params): Params<ExportParams>,
) -> ApiResult<Response> {
    let format = params.format.unwrap_or(AuditFormat::Json);
    let filter = params.filter(&app).await?;
    let turn = app.exports().try_acquire_owned().map_err(|_| {
        let detail = "Other exports are running; wait until one ends.";
        Problem::new(ProblemCode::RateLimited, detail).retry_after(RETRY_AFTER_SECONDS)
    })?;
    let actor = Actor { caller: &caller, origin: &origin };
    app.operations().begin_audit_export(actor, format, &filter).await?;
    let name = format!("attachment; filename=\"audit-log.{format}\"");
    let headers = [
        (header::CONTENT_TYPE, AuditText::media_type(format).to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let export = Export {
        app,
        caller,
        filter,
        text: AuditText::new(format),
        before: None,
        part: Part::Start,
        _turn: turn,
    };
    Ok((headers, Body::from_stream(export.stream())).into_response())
}

impl ExportParams {
    async fn filter(self, app: &AppState) -> ApiResult<AuditFilter> {
        let period = list_period(self.since, self.until)?;
        let (event_type, success) = resolve_event(self.event_type, self.success);
        Ok(AuditFilter {
            event_type,
            team: filtered_team(app, self.team.as_deref()).await?,
            runner: self.runner.map(RunnerId::from),
            identity: self.user,
            success,
            search: None,
            period,
        })
    }
}

/// Part of the text that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Start,
    Rows,
    End,
}

/// One export and its progress.
struct Export {
    app: AppState,
    caller: Caller,
    filter: AuditFilter,
    text: AuditText,
    /// Id of the last row so far.
    before: Option<Uuid>,
    part: Part,
    _turn: OwnedSemaphorePermit,
}

impl Export {
    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, |mut export| async move {
            Ok(export.next().await?.map(|text| (Bytes::from(text), export)))
        })
    }

    /// Returns the next part of the text, `None` at the end.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.part {
            Part::Start => {
                self.part = Part::Rows;
                Ok(Some(self.text.start()))
            }
            Part::Rows => {
                let rows = self.read().await?;
                match rows.last() {
                    Some(last) => self.before = Some(last.id),
                    None => self.part = Part::End,
                }
                Ok(Some(if rows.is_empty() { self.text.end() } else { self.text.add(&rows) }))
            }
            Part::End => Ok(None),
        }
    }

    /// Returns the next page, also after a short outage of the database.
    ///
    /// # Errors
    /// The caller may no longer read the log, the process stops, or the database stays away.
    async fn read(&self) -> io::Result<Vec<AuditRow>> {
        for nth in 1..=MAX_READS {
            if self.app.draining.is_cancelled() {
                return Err(io::Error::other("the process stops"));
            }
            match self.read_once().await {
                Ok(Some(rows)) => return Ok(rows),
                Ok(None) => return Err(io::Error::other("the caller may no longer read the audit log")),
                Err(error) if is_temporary(&error) && nth < MAX_READS => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(io::Error::other(error.0.detail)),
            }
        }
        Err(io::Error::other("the database stays unavailable"))
    }

    /// Reads a page on a connection for lists. It counts against no caller's share of them: few exports run at a time.
    async fn read_once(&self) -> ApiResult<Option<Vec<AuditRow>>> {
        let mut conn = self.app.store.conn().await?;
        let caller = reload_caller(&mut conn, &self.caller).await?;
        drop(conn);
        let Some(caller) = caller.filter(Caller::sees_everything) else { return Ok(None) };
        let page = Page { limit: ROWS_PER_READ, offset: 0, before: self.before };
        let mut lists = self.app.store.lists().await?;
        let rows = lists.audit().rows(&Visible::to(&caller), &self.filter, page).await?;
        lists.done();
        Ok(Some(rows))
    }
}
