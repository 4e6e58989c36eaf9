//! A browser without scripts: it keeps cookies, follows no redirect by itself and says where a request comes from.

use std::{collections::BTreeMap, sync::Mutex};

use chrono::TimeDelta;
use domain::{Origin, Principal};
use reqwest::{Client, RequestBuilder, redirect::Policy};
use store::NewSession;
use uuid::Uuid;

use crate::{ApiResponse, Person, World};

/// A browser of one person.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    base: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl World {
    /// Returns a browser without cookies.
    ///
    /// # Panics
    /// Never in practice.
    pub fn browser(&self) -> Browser {
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Browser { client, base: self.url().to_owned(), cookies: Mutex::default() }
    }

    /// Returns a browser in which the person has signed in.
    ///
    /// # Panics
    /// When the session cannot be written.
    pub async fn sign_in(&self, person: &Person) -> Browser {
        let cookie = Uuid::new_v4().simple().to_string();
        let session = NewSession {
            id: Uuid::now_v7(),
            hash: &hash(&cookie),
            user: person.id,
            principal: &Principal::new(self.issuer().url(), person.sub.as_str()),
            life: TimeDelta::hours(24),
            origin: &Origin::default(),
        };
        self.store().conn().await.unwrap().sessions().insert(&session).await.unwrap();
        let browser = self.browser();
        browser.set_cookie("__Host-rts", &cookie);
        browser
    }
}

/// Returns the SHA-256 of a text.
fn hash(text: &str) -> Vec<u8> {
    let hex = domain::sha256_hex(text.as_bytes());
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

impl Browser {
    /// Opens a page, as a click on a link does.
    ///
    /// # Panics
    /// When no complete response arrives.
    pub async fn get(&self, path: &str) -> ApiResponse {
        let request = self.request("GET", path).header("sec-fetch-site", "same-origin");
        self.send(request).await
    }

    /// Sends a form of this service's own pages.
    ///
    /// # Panics
    /// When no complete response arrives.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> ApiResponse {
        let request = self.request("POST", path).header("sec-fetch-site", "same-origin").form(form);
        self.send(request).await
    }

    /// Returns a request to a path or a whole URL with the cookies of this browser, and without a word about its
    /// origin.
    ///
    /// # Panics
    /// When the method is not valid.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let is_here = path.starts_with('/');
        let url = if is_here { format!("{}{path}", self.base) } else { path.to_owned() };
        let request = self.client.request(method.parse().unwrap(), url);
        let request = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let cookies: Vec<String> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if is_here && !cookies.is_empty() { request.header("cookie", cookies.join("; ")) } else { request }
    }

    /// Sends a request and keeps the cookies of the answer.
    ///
    /// # Panics
    /// When no complete response arrives, or a cookie could be read by other hosts.
    pub async fn send(&self, request: RequestBuilder) -> ApiResponse {
        let response = request.send().await.expect("an answer");
        for line in response.headers().get_all("set-cookie") {
            self.keep(line.to_str().unwrap());
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or_default();
        ApiResponse { status, headers, body, text }
    }

    fn keep(&self, line: &str) {
        let (pair, attributes) = line.split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        for needed in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(attributes.split("; ").any(|one| one == needed), "{needed} is missing in {line}");
        }
        assert!(name.starts_with("__Host-"), "{line}");
        if attributes.contains("Max-Age=0;") {
            self.cookies.lock().unwrap().remove(name);
        } else {
            self.set_cookie(name, value);
        }
    }

    /// Returns the value of a cookie.
    ///
    /// # Panics
    /// Never in practice.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    /// Sets a cookie.
    ///
    /// # Panics
    /// Never in practice.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }
}
