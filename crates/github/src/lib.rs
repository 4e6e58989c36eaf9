//! How we speak to GitHub: the only GitHub client, the only place that holds the App key.
//!
//! A method is named after GitHub's own operation and makes the requests its documentation says, no more: nothing is
//! resent at any layer, except once with a fresh token after a 401 for a token that had been good for a while: that proves
//! that nothing happened.
//! Every answer, of whatever status, is shown to an [`Observer`]; every error carries its [`RetryAdvice`].

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
