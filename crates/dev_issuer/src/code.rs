//! Authorization code flow: a person is chosen by one click, and the code is exchanged with PKCE.

use std::fmt::Write;

use aws_lc_rs::digest;
use axum::{
    extract::{Query, RawQuery, State},
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dev_http::keys::random_text;
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::{Inner, Shared, SignInFault, locked};

/// Most codes that were not exchanged; the oldest is dropped.
const MAX_CODES: usize = 1000;

/// A code that was given to a browser.
#[derive(Clone)]
pub(crate) struct Code {
    value: String,
    person: String,
    client_id: String,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
}

/// Parameters of the authorization endpoint (RFC 6749, 4.1.1) and the chosen person.
#[derive(Deserialize)]
pub(crate) struct Authorize {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    person: Option<String>,
}

/// Values of a token request.
pub(crate) struct Exchange {
    pub(crate) code: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) verifier: String,
}

/// Without `person` lists the people; with it sends the browser back with a code.
pub(crate) async fn authorize(
    State(shared): State<Shared>,
    RawQuery(raw): RawQuery,
    Query(asked): Query<Authorize>,
) -> Response {
    let Some(redirect) = local_address(&asked.redirect_uri) else {
        return (StatusCode::BAD_REQUEST, "redirect_uri must be an address on this machine\n")
            .into_response();
    };
    let is_s256 = asked.code_challenge_method.as_deref() == Some("S256");
    let Some(challenge) = asked.code_challenge.clone().filter(|_| is_s256 && asked.response_type == "code")
    else {
        return (
            StatusCode::BAD_REQUEST,
            "this issuer knows response_type=code with a challenge by S256 alone\n",
        )
            .into_response();
    };
    let mut inner = locked(&shared);
    let person =
        asked.person.clone().filter(|sub| inner.config.people.iter().any(|person| person.sub == *sub));
    match person {
        None => Html(people_page(&inner, &raw.unwrap_or_default())).into_response(),
        Some(person) => inner.send_back(redirect, asked, challenge, person),
    }
}

/// Returns the address if it is on this machine: an open issuer must not send browsers anywhere.
fn local_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

impl Inner {
    fn send_back(
        &mut self,
        mut redirect: Url,
        asked: Authorize,
        challenge: String,
        person: String,
    ) -> Response {
        let fault = self.sign_in_fault;
        let mut query = redirect.query_pairs_mut();
        if fault == Some(SignInFault::Refused) {
            query.append_pair("error", "access_denied");
        } else {
            let code = random_text(40);
            query.append_pair("code", &code);
            if self.codes.len() >= MAX_CODES {
                self.codes.remove(0);
            }
            let (client_id, redirect_uri, nonce) = (asked.client_id, asked.redirect_uri, asked.nonce);
            self.codes.push(Code { value: code, person, client_id, redirect_uri, challenge, nonce });
        }
        if let Some(state) = &asked.state {
            query.append_pair("state", state);
        }
        match fault {
            Some(SignInFault::NoIssuer) => {}
            Some(SignInFault::OtherIssuer) => {
                query.append_pair("iss", "https://issuer.invalid");
            }
            _ => {
                query.append_pair("iss", &self.url);
            }
        }
        drop(query);
        let location =
            HeaderValue::from_str(redirect.as_str()).unwrap_or_else(|_| HeaderValue::from_static("/"));
        (StatusCode::FOUND, [(LOCATION, location)]).into_response()
    }

    /// Returns the claims of the ID token for a code, which is used once.
    pub(crate) fn exchange(&mut self, asked: &Exchange) -> Option<Value> {
        let at = self.codes.iter().position(|code| code.value == asked.code)?;
        let code = self.codes.remove(at);
        let hash = digest::digest(&digest::SHA256, asked.verifier.as_bytes());
        let fits = code.client_id == asked.client_id
            && code.redirect_uri == asked.redirect_uri
            && code.challenge == URL_SAFE_NO_PAD.encode(hash);
        let mut claims = self.person_claims(&code.person).filter(|_| fits)?;
        let nonce = if self.sign_in_fault == Some(SignInFault::OtherNonce) {
            Some("other".to_owned())
        } else {
            code.nonce
        };
        claims["nonce"] = json!(nonce);
        let other = self.sign_in_fault == Some(SignInFault::OtherAudience);
        claims["aud"] = if other { json!("another-client") } else { json!(code.client_id) };
        Some(claims)
    }
}

/// Returns the page with one link for each person.
fn people_page(inner: &Inner, query: &str) -> String {
    let mut links = String::new();
    for person in &inner.config.people {
        let sub: String = url::form_urlencoded::byte_serialize(person.sub.as_bytes()).collect();
        let link = escaped(&format!("/authorize?{query}&person={sub}"));
        let (name, email) = (escaped(&person.name), escaped(&person.email));
        let _infallible = write!(links, "<li><a href=\"{link}\">{name} <small>{email}</small></a></li>");
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Development issuer</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:26rem;margin:15vh auto;padding:0 1rem}}ul{{list-style:none;padding:0}}a{{display:block;padding:.7rem 1rem;\
         margin:.5rem 0;border:1px solid #8886;border-radius:8px;text-decoration:none;color:inherit}}a:hover{{background:#8882}}\
         small{{opacity:.7;margin-left:.5rem}}</style><h1>Who are you?</h1><p>This issuer is for development. It asks for no \
         password.</p><ul>{links}</ul></html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
