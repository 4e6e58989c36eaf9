//! The shell client at `/rts.sh`, where machines that have nothing yet fetch it.

use axum::{http::header, response::IntoResponse};

const SCRIPT: &str = include_str!("../../clients/rts.sh");

/// Serves the client without a token.
pub(crate) async fn serve() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, SCRIPT)
}
