//! GitHub client, the only one and the only holder of the App key.
//!
//! A method has the name of GitHub's operation and makes only the requests that GitHub documents for it. No layer
//! resends a request, with one exception: a 401 for a token that had worked for a while proves that nothing happened.
//! The request is then sent once more with a fresh token.
//!
//! An [`Observer`] sees every response of any status; every error has its [`RetryAdvice`].

mod app;
mod call;
mod classify;
mod client;
mod clock;
mod connect;
mod error;
mod file;
mod headers;
mod hooks;
mod jit;
mod key;
mod key_error;
mod lenient;
mod limits;
mod models;
mod observer;
mod path;
mod permissions;
mod redirect;
mod runners;
mod runs;
mod settings;
mod token;
mod transport;

pub use app::{Account, App, Installation};
pub use client::{GitHub, Ready};
pub use error::{GitHubError, LimitKind, RetryAdvice};
pub use headers::RateHeaders;
pub use hooks::{Deliveries, Delivery};
pub use key_error::KeyError;
pub use models::{
    Deletion, Deprecation, JitConfig, JitConfigRequest, Label, Listing, Page, RegistrationToken, Runner,
    RunnerGroup,
};
pub use observer::{AlwaysOpen, Exchange, Gate, GateFuture, NoopObserver, Observer};
pub use runs::Cancellation;
pub use settings::{
    Credential, GitHubSettings, KeySource, Outgoing, Proxy, Scope, SettingsError, Timeouts, TokenSource,
};
pub use token::{Fit, StoredToken, TokenFuture, TokenStore};
