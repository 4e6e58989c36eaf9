//! The port wished for, or a free one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

/// A port of loopback to listen on: this one, or 0 (any) when it is taken just now.
pub(super) fn wish(port: u16) -> SocketAddr {
    let wished = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(wished) {
        Ok(_) => wished,
        Err(_) => any(),
    }
}

/// Any free port of loopback.
pub(super) fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Opens the port wished for, or a free one; true: it was taken.
pub(super) async fn open(host: &str, port: u16) -> anyhow::Result<(tokio::net::TcpListener, bool)> {
    match tokio::net::TcpListener::bind((host, port)).await {
        Ok(listener) => Ok((listener, false)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let listener = tokio::net::TcpListener::bind((host, 0)).await;
            Ok((listener.with_context(|| format!("cannot listen on {host}"))?, true))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_replaced() {
        let (first, moved) = open("127.0.0.1", 0).await.unwrap();
        assert!(!moved);
        let port = first.local_addr().unwrap().port();
        let (second, moved) = open("127.0.0.1", port).await.unwrap();
        assert!(moved && second.local_addr().unwrap().port() != port);
        assert_eq!(wish(port), any());
    }
}
