//! Status of a page that shows a refused form again.

use axum::{http::StatusCode, response::Response};

use super::input::Refusal;

/// Status of the refusal that a page shows, `OK` without one.
pub(crate) fn status(refusal: Option<&Refusal>) -> StatusCode {
    let status = refusal.and_then(|refusal| StatusCode::from_u16(refusal.status).ok());
    status.unwrap_or(StatusCode::OK)
}

/// Returns the page with a status.
pub(crate) fn with_status(status: StatusCode, mut page: Response) -> Response {
    *page.status_mut() = status;
    page
}
