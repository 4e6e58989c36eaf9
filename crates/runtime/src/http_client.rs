//! The HTTP client of outgoing requests to servers that operators name: issuers and sinks of events.

use std::time::Duration;

use reqwest::{Client, NoProxy, Proxy, redirect::Policy};

use crate::config::OutgoingConfig;

/// Returns an HTTP client with the certificates and the proxy of `outgoing`. It follows no redirect, and takes no proxy
/// from the environment: its variables apply only as part of the settings.
///
/// # Errors
/// The client cannot be built, because there is no certificate store.
pub fn http_client(
    outgoing: Option<&OutgoingConfig>,
    connect: Duration,
    total: Duration,
) -> Result<Client, reqwest::Error> {
    let mut builder = Client::builder()
        .no_proxy()
        .connect_timeout(connect)
        .timeout(total)
        .redirect(Policy::none())
        .user_agent(concat!("runner-token-service/", env!("CARGO_PKG_VERSION")));
    let Some(outgoing) = outgoing else { return builder.build() };
    if let Ok(tls) = outgoing.trust.client_config() {
        builder = builder.tls_backend_preconfigured(tls);
    }
    if let Some(proxy) = &outgoing.proxy {
        let except = NoProxy::from_string(&proxy.except);
        builder = builder.proxy(Proxy::https(proxy.url.as_str())?.no_proxy(except));
    }
    builder.build()
}
