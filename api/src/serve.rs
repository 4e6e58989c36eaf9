//! Listening, and stopping without dropping anybody.

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

pub use slots::ConnectionLimits;
use slots::{Place, Slots};
use stall::StallGuard;

use crate::layers;

/// Longest time to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// The same on a connection that is only for health checks.
const HEALTH_HEAD: Duration = Duration::from_secs(2);
/// Longest time open connections get once the process stops.
const DRAIN: Duration = Duration::from_secs(25);
/// Largest head of a request, and buffer of a connection, in bytes. Tokens are at most 16 KB.
const MAX_HEAD: usize = 32 * 1024;
/// Longest time a client may take nothing of what is sent to it.
const MAX_STALL: Duration = Duration::from_secs(30);
/// Time between two log lines about connections that could not be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Serves until `draining` with the default limits; see [`serve_within`].
///
/// # Errors
/// When the listener itself breaks; a single connection never does that.
pub async fn serve(listener: TcpListener, router: Router, draining: CancellationToken) -> io::Result<()> {
    serve_within(listener, router, draining, ConnectionLimits::default()).await
}

/// Serves until `draining`, then lets open requests end, 25 s at most.
///
/// # Errors
/// When the listener itself breaks; a single connection never does that.
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
                        tracing::warn!(%error, "connections cannot be accepted");
                        last_warning = Some(Instant::now());
                    }
                    time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = draining.cancelled() => break,
        };
        match slots.take(peer.ip()) {
            Ok(place) => server.spawn(stream, peer, place),
            Err(reason) => {
                metrics::counter!("rts_http_connections_refused_total", "reason" => reason.as_str())
                    .increment(1);
            }
        }
    }
    drop(listener);
    if time::timeout(DRAIN, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open after {DRAIN:?}");
    }
    Ok(())
}

/// What serves the connections.
struct Server {
    full: auto::Builder<TokioExecutor>,
    health: auto::Builder<TokioExecutor>,
    router: Router,
    health_router: Router,
    graceful: GracefulShutdown,
}

impl Server {
    fn new(router: Router) -> Self {
        let mut health = builder(HEALTH_HEAD);
        health.http1().keep_alive(false);
        Self {
            full: builder(HEAD),
            health,
            health_router: router.clone().layer(middleware::from_fn(layers::only_health)),
            router,
            graceful: GracefulShutdown::new(),
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Answers are small and whole: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let (server, router) =
            if place.is_reserve() { (&self.health, &self.health_router) } else { (&self.full, &self.router) };
        let service =
            TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo::<SocketAddr>(peer))));
        let stream = TokioIo::new(StallGuard::new(stream, MAX_STALL));
        let watched = self.graceful.watch(server.serve_connection(stream, service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

fn builder(head: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head).max_headers(64).max_buf_size(MAX_HEAD);
    builder
}
