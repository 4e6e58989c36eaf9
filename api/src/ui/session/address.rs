//! Addresses of a sign-in: of this service as the browser sees it, and of the page to return to.

use axum::http::{HeaderMap, header};
use domain::{Problem, ProblemCode};
use runtime::config::is_loopback;
use url::Url;

use crate::app::AppState;

/// Path to which an issuer sends the browser back.
const CALLBACK: &str = "/session/callback";
/// Longest page to return to, in bytes.
const MAX_RETURN: usize = 1500;

/// Returns the address to which an issuer sends the browser back. Cookies with the prefix `__Host-` need https, or a
/// browser on the machine itself.
pub(super) fn redirect_uri(app: &AppState, headers: &HeaderMap) -> Result<String, Problem> {
    let refuse = |detail: String| Err(Problem::new(ProblemCode::SignInFailed, detail));
    if let Some(url) = &app.server.public_url {
        if url.scheme() != "https" && !is_loopback(url) {
            return refuse(format!(
                "Browsers keep a session only under https, and PUBLIC_URL is {}. Put a TLS proxy in front of the \
                 service and set PUBLIC_URL to its https address.",
                url.origin().ascii_serialization()
            ));
        }
        return Ok(format!("{}{CALLBACK}", url.origin().ascii_serialization()));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match Url::parse(&format!("http://{host}/")) {
        Ok(url) if is_loopback(&url) => Ok(format!("{}{CALLBACK}", url.origin().ascii_serialization())),
        _ => refuse(
            "The service does not know its own address, so no issuer can send you back. Set PUBLIC_URL to the https \
             address at which people open this dashboard."
                .to_owned(),
        ),
    }
}

/// Returns the page of this host to return to, `/` for anything else. No link may lead from here to another site.
pub(in crate::ui) fn safe_return(to: Option<&str>) -> String {
    let front = || "/".to_owned();
    let Some(to) = to.filter(|to| to.len() <= MAX_RETURN && to.starts_with('/')) else { return front() };
    let Ok(base) = Url::parse("https://here.invalid/") else { return front() };
    let Ok(url) = base.join(to) else { return front() };
    let own_pages = ["/sign-in", "/session", "/live", "/assets", "/api"];
    let is_page =
        !own_pages.iter().any(|own| url.path() == *own || url.path().starts_with(&format!("{own}/")));
    if url.origin() != base.origin() || !is_page || url.path().starts_with("//") {
        return front();
    }
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_stays_on_this_host() {
        for (to, expected) in [
            ("/jobs?state=failed&team=a%26b", "/jobs?state=failed&team=a%26b"),
            ("/runners/../jobs", "/jobs"),
            ("/sessions", "/sessions"),
            ("//evil.example/", "/"),
            ("/\\evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("https://evil.example/", "/"),
            ("javascript:alert(1)", "/"),
            ("/sign-in?to=/", "/"),
            ("/session/start", "/"),
            ("/api/v1/jobs", "/"),
            ("", "/"),
        ] {
            assert_eq!(safe_return(Some(to)), expected, "{to}");
        }
        assert_eq!(safe_return(None), "/");
        assert_eq!(safe_return(Some(&format!("/{}", "x".repeat(2000)))), "/");
    }
}
