//! Selection of ports: the preferred one, or a free one if it is taken.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

/// Returns the loopback address with this port, or with port 0 (any) if it is taken.
pub(super) fn preferred(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => any(),
    }
}

/// Returns the loopback address with any free port.
pub(super) fn any() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Opens the preferred port or a free one. Returns true beside it if the preferred port was taken.
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
    async fn taken_port_is_replaced() {
        let (first, moved) = open("127.0.0.1", 0).await.unwrap();
        assert!(!moved);
        let port = first.local_addr().unwrap().port();
        let (second, moved) = open("127.0.0.1", port).await.unwrap();
        assert!(moved && second.local_addr().unwrap().port() != port);
        assert_eq!(preferred(port), any());
    }
}
