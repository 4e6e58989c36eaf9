//! HTTP server: accepts connections within limits and drains them when the process stops.

mod slots;
mod stall;

use std::{io, net::SocketAddr, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo, middleware};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tower::Layer;

pub use slots::ConnectionLimits;
use slots::{Slot, Slots};
use stall::StallGuard;

use crate::layers;

/// Time limit for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the head of a request on a connection reserved for health checks.
const HEALTH_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit for open connections once the process stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);
/// Maximum size of a request's head and of a connection's buffer, in bytes. Tokens are at most 16 KB.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Longest time in which a client may read nothing.
const MAX_STALL: Duration = Duration::from_secs(30);
/// Minimum time between two log lines about connections that could not be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Serves until `draining` is cancelled, with the default limits; see [`serve_within`].
///
/// # Errors
/// None at present: a failed accept is logged and tried again, and a failed connection ends alone.
pub async fn serve(listener: TcpListener, router: Router, draining: CancellationToken) -> io::Result<()> {
    serve_within(listener, router, draining, ConnectionLimits::default()).await
}

/// Serves until `draining` is cancelled, then lets open requests finish within 25 s.
///
/// # Errors
/// None at present: a failed accept is logged and tried again, and a failed connection ends alone.
pub async fn serve_within(
    listener: TcpListener,
    router: Router,
    draining: CancellationToken,
    limits: ConnectionLimits,
) -> io::Result<()> {
    let server = Server::new(router);
    let slots = Slots::new(limits);
    let mut last_warning: Option<Instant> = None;
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if last_warning.is_none_or(|last| last.elapsed() > LOG_INTERVAL) {
                        tracing::warn!(%error, "cannot accept connections");
                        last_warning = Some(Instant::now());
                    }
                    time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = draining.cancelled() => break,
        };
        match slots.acquire(peer.ip()) {
            Ok(slot) => server.spawn(stream, peer, slot),
            Err(reason) => {
                metrics::counter!("rts_http_connections_refused_total", "reason" => reason.as_str())
                    .increment(1);
            }
        }
    }
    drop(listener);
    if time::timeout(DRAIN_TIMEOUT, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open after {DRAIN_TIMEOUT:?}");
    }
    Ok(())
}

/// HTTP settings and routers of full and of health-only connections.
struct Server {
    full: auto::Builder<TokioExecutor>,
    health: auto::Builder<TokioExecutor>,
    router: Router,
    health_router: Router,
    graceful: GracefulShutdown,
}

impl Server {
    fn new(router: Router) -> Self {
        let mut health = connection_builder(HEALTH_HEAD_TIMEOUT);
        health.http1().keep_alive(false);
        Self {
            full: connection_builder(HEAD_TIMEOUT),
            health,
            health_router: router.clone().layer(middleware::from_fn(layers::only_health)),
            router,
            graceful: GracefulShutdown::new(),
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        // Responses are small and complete, so waiting for a full packet only delays them.
        let _ = stream.set_nodelay(true);
        let (server, router) =
            if slot.is_reserve() { (&self.health, &self.health_router) } else { (&self.full, &self.router) };
        // Around the router, not inside it: a layer of a router is a copy of all its routes.
        let service = Extension(ConnectInfo::<SocketAddr>(peer)).layer(router.clone());
        let service = TowerToHyperService::new(service);
        let stream = TokioIo::new(StallGuard::new(stream, MAX_STALL));
        let watched = self.graceful.watch(server.serve_connection(stream, service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(slot);
        });
    }
}

fn connection_builder(head_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(64)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
}
