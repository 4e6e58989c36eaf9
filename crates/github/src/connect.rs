//! Connections to GitHub: TCP, an optional proxy and TLS, within one time limit.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceExt};

use crate::settings::{Outgoing, SettingsError};

/// Returns a connector for `https`, and for `http` too if `plain` is true.
pub(crate) fn connector(
    outgoing: &Outgoing,
    plain: bool,
) -> Result<HttpsConnector<ProxyConnector>, SettingsError> {
    let tls = tls(outgoing)?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
    let builder = if plain { builder.https_or_http() } else { builder.https_only() };
    Ok(builder.enable_http1().wrap_connector(ProxyConnector::new(outgoing, tls)))
}

fn tls(outgoing: &Outgoing) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?;
    let roots = outgoing.roots.clone().unwrap_or_else(|| {
        Arc::new(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    });
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Opens TCP connections, directly or through the proxy.
#[derive(Clone)]
pub(crate) struct ProxyConnector {
    tcp: HttpConnector,
    /// Connector to the proxy, which may require TLS itself.
    to_proxy: HttpsConnector<HttpConnector>,
    matcher: Option<Arc<Matcher>>,
}

impl ProxyConnector {
    fn new(outgoing: &Outgoing, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let matcher = outgoing.proxy.as_ref().map(|proxy| {
            Arc::new(Matcher::builder().https(proxy.url.expose()).no(proxy.except.as_str()).build())
        });
        Self { to_proxy: to_proxy.wrap_connector(tcp.clone()), tcp, matcher }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Self { tcp, to_proxy, matcher } = self.clone();
        Box::pin(async move {
            let Some(proxy) = matcher.and_then(|matcher| matcher.intercept(&target)) else {
                return Ok(MaybeHttpsStream::Http(tcp.oneshot(target).await?));
            };
            let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
            if let Some(login) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(login.clone());
            }
            Ok(tunnel.oneshot(target).await?)
        })
    }
}
