//! Sign-in in a browser of this machine: a page of the provider that sends its code to a loopback address (RFC 8252,
//! section 7.3), bound to this program by PKCE (RFC 7636).

use std::{collections::HashMap, convert::Infallible, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Secret;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use url::{Url, form_urlencoded};

use super::SignInOffer;
use crate::error::ClientError;

/// Path of the redirect.
const REDIRECT_PATH: &str = "/callback";
/// Longest time for the person to sign in.
const MAX_SIGN_IN: Duration = Duration::from_mins(10);
/// Longest time of one connection of the browser.
const MAX_CONNECTION: Duration = Duration::from_secs(10);
/// Most connections, so that a page that connects again and again ends the sign-in and not this program's memory.
const MAX_CONNECTIONS: usize = 100;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Bytes of a state, and of a PKCE verifier before it is text.
const RANDOM_BYTES: usize = 32;
/// Headers of the pages. They load nothing, and no other page may show them.
const PAGE_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// An address of this machine that waits for the provider's redirect.
pub(crate) struct Loopback {
    listener: TcpListener,
    /// Address for the provider.
    redirect: String,
    state: String,
    verifier: Secret,
}

/// Code of the provider, with what proves that this program asked for it.
pub(crate) struct AuthorizationCode {
    /// The code.
    pub(crate) code: Secret,
    /// PKCE verifier of the request.
    pub(crate) verifier: Secret,
    /// Address that the request named.
    pub(crate) redirect: String,
}

impl Loopback {
    /// Takes a free port of the loopback address.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if there is none.
    pub(crate) async fn open() -> Result<Self, ClientError> {
        let fault = |error: std::io::Error| ClientError::Failed(format!("no port for the browser: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let port = listener.local_addr().map_err(fault)?.port();
        let redirect = format!("http://127.0.0.1:{port}{REDIRECT_PATH}");
        Ok(Self { listener, redirect, state: random_text()?, verifier: Secret::new(random_text()?) })
    }

    /// Returns the page on which the person signs in.
    pub(crate) fn page(&self, authorization_endpoint: &Url, offer: &SignInOffer) -> Url {
        let challenge = digest(&SHA256, self.verifier.expose().as_bytes());
        let mut page = authorization_endpoint.clone();
        page.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &offer.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &offer.scopes.join(" "))
            .append_pair("state", &self.state)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        if let Some(audience) = &offer.audience {
            page.query_pairs_mut().append_pair("audience", audience);
        }
        page
    }

    /// Waits until the browser brings the code.
    ///
    /// # Errors
    /// [`ClientError::SignedOut`] if the provider refuses, the redirect is of another issuer, or no person signs in in time.
    pub(crate) async fn await_code(self, issuer: &str) -> Result<AuthorizationCode, ClientError> {
        let (sender, mut redirects) = mpsc::channel(1);
        let expected = Expected { state: self.state.clone(), issuer: issuer.to_owned() };
        let serve = async {
            for _ in 0..MAX_CONNECTIONS {
                let Ok((stream, _)) = self.listener.accept().await else { continue };
                tokio::spawn(serve_connection(stream, expected.clone(), sender.clone()));
            }
            std::future::pending::<Infallible>().await
        };
        let outcome = tokio::select! {
            outcome = redirects.recv() => outcome,
            never = serve => match never {},
            () = tokio::time::sleep(MAX_SIGN_IN) => None,
        };
        let late = || ClientError::SignedOut("nobody signed in; run `rts login --web` again".to_owned());
        let code = outcome.ok_or_else(late)?.map_err(ClientError::SignedOut)?;
        Ok(AuthorizationCode { code, verifier: self.verifier, redirect: self.redirect })
    }
}

/// What the right redirect says.
#[derive(Clone)]
struct Expected {
    state: String,
    issuer: String,
}

/// A code, or why there is none.
type Redirect = Result<Secret, String>;

async fn serve_connection(stream: TcpStream, expected: Expected, sender: mpsc::Sender<Redirect>) {
    let service = service_fn(|request: Request<Incoming>| {
        let redirect = (request.method() == Method::GET && request.uri().path() == REDIRECT_PATH)
            .then(|| read_redirect(request.uri().query().unwrap_or_default(), &expected))
            .flatten();
        let page = describe(redirect.as_ref());
        if let Some(redirect) = redirect {
            // A second redirect comes too late.
            let _ = sender.try_send(redirect);
        }
        async move { Ok::<_, Infallible>(page) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).max_buf_size(MAX_HEAD).keep_alive(false);
    // A browser that goes away has its page already, or asks again.
    let _ = timeout(MAX_CONNECTION, server.serve_connection(TokioIo::new(stream), service)).await;
}

/// Returns what a redirect brings; `None` if it is not the one that was asked for.
fn read_redirect(query: &str, expected: &Expected) -> Option<Redirect> {
    let members: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let member = |name: &str| members.get(name).map(String::as_str);
    // The state is a secret of this sign-in, so another page of the browser cannot bring a code of its own.
    if member("state") != Some(expected.state.as_str()) {
        return None;
    }
    if member("iss").is_some_and(|issuer| issuer != expected.issuer) {
        return Some(Err("the sign-in was at another issuer".to_owned()));
    }
    if let Some(error) = member("error") {
        let text = member("error_description").unwrap_or(error);
        let text: String = crate::output::plain(text).chars().take(300).collect();
        return Some(Err(format!("the identity provider refuses: {text}")));
    }
    match member("code") {
        Some(code) if !code.is_empty() => Some(Ok(Secret::new(code))),
        _ => Some(Err("the identity provider sent no code".to_owned())),
    }
}

fn describe(redirect: Option<&Redirect>) -> Response<String> {
    let (status, text) = match redirect {
        Some(Ok(_)) => (StatusCode::OK, "The sign-in is done. Go back to the terminal."),
        Some(Err(_)) => (StatusCode::BAD_REQUEST, "The sign-in failed. The terminal says why."),
        None => (StatusCode::NOT_FOUND, "This address waits for a sign-in of the command line."),
    };
    let mut response = Response::new(format!("{text}\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(PAGE_POLICY));
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    response
}

fn random_text() -> Result<String, ClientError> {
    let mut bytes = [0; RANDOM_BYTES];
    rand::fill(&mut bytes).map_err(|_| ClientError::Failed("no random numbers".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<Result<String, String>> {
        let expected = Expected { state: "s1".to_owned(), issuer: "https://login.example.com".to_owned() };
        read_redirect(query, &expected).map(|redirect| redirect.map(|code| code.expose().to_owned()))
    }

    #[test]
    fn only_the_redirect_of_this_sign_in_brings_a_code() {
        assert_eq!(read("code=c1&state=s1"), Some(Ok("c1".to_owned())));
        assert_eq!(read("code=c1&state=s1&iss=https%3A%2F%2Flogin.example.com"), Some(Ok("c1".to_owned())));
        for foreign in ["", "code=c1", "code=c1&state=s2", "code=c1&state="] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
        for refused in [
            "state=s1",
            "code=&state=s1",
            "error=access_denied&state=s1",
            "code=c1&state=s1&iss=https%3A%2F%2Fevil.example.com",
        ] {
            assert!(read(refused).unwrap().is_err(), "{refused}");
        }
    }

    #[tokio::test]
    async fn page_names_the_challenge_and_not_the_verifier() {
        let loopback = Loopback::open().await.unwrap();
        let offer = SignInOffer {
            issuer: "https://login.example.com".to_owned(),
            client_id: "rts-cli".to_owned(),
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            audience: None,
        };
        let page = loopback.page(&"https://login.example.com/authorize?tenant=1".parse().unwrap(), &offer);
        let pairs: HashMap<_, _> = page.query_pairs().into_owned().collect();
        assert_eq!((pairs["tenant"].as_str(), pairs["scope"].as_str()), ("1", "openid email"));
        let challenge = digest(&SHA256, loopback.verifier.expose().as_bytes());
        assert_eq!(pairs["code_challenge"], URL_SAFE_NO_PAD.encode(challenge));
        assert!(
            !page.as_str().contains(loopback.verifier.expose()) && loopback.verifier.expose().len() == 43
        );
    }
}
