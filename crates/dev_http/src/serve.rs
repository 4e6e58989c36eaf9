//! Accept loop of the fakes. Unlike `axum::serve` it can close a connection without a response.

use std::{convert::Infallible, io, net::SocketAddr};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::local;

/// Marker on a response: close the connection instead of sending it.
#[derive(Clone, Copy, Debug)]
struct Hangup;

/// Returns a response that is never sent.
pub fn hangup() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Hangup);
    response
}

fn is_hangup(response: &Response) -> bool {
    response.extensions().get::<Hangup>().is_some()
}

/// Opens the port and returns it with its address; call [`run`] to serve it.
///
/// # Errors
/// When the port cannot be opened.
pub async fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop`; open connections are closed then. On loopback, only requests that name loopback are served.
pub fn run(listener: TcpListener, listen: SocketAddr, router: Router, stop: CancellationToken) {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => serve_connection(stream, listen, router.clone(), stop.clone()),
                    Err(e) => {
                        // Usually out of file descriptors: wait for some to close.
                        tracing::warn!(error = %e, "accept failed");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                },
            }
        }
    });
}

fn serve_connection(stream: TcpStream, listen: SocketAddr, router: Router, stop: CancellationToken) {
    tokio::spawn(async move {
        drop(stream.set_nodelay(true));
        let service = service_fn(move |request| answer(listen, router.clone(), request));
        let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            () = stop.cancelled() => {}
            // The client left, or the connection was closed on purpose.
            _ = served => {}
        }
    });
}

async fn answer(
    listen: SocketAddr,
    router: Router,
    request: hyper::Request<Incoming>,
) -> Result<Response, io::Error> {
    if let Some(refused) = local::refusal(listen, request.headers()) {
        return Ok(refused);
    }
    let request: Request = request.map(Body::new);
    let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    if is_hangup(&response) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(response) }
}
