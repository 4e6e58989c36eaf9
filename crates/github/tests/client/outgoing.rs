//! TLS with a private certificate authority, and a proxy, over loopback.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use github::{GitHub, GitHubError, Outgoing, Proxy};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::fake::{Fake, client, give, pat_settings, runner};

const CA: &[u8] = include_bytes!("../../../../tests/data/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/data/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../../../tests/data/tls/server.key");

fn private_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    Arc::new(roots)
}

/// Starts a TLS server in front of the fake GitHub. Returns its port.
async fn tls_front(fake: &Fake) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let config =
        config.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = fake.url().trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(stream).await else { return };
                let mut far = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    port
}

/// Starts a proxy that accepts `CONNECT` for github.test with the login `u:p` and connects to this machine. Returns its
/// address and its number of tunnels.
async fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counter = tunnels.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.strip_prefix("CONNECT github.test:").unwrap().split(' ').next().unwrap();
                // `u:p` in Base64.
                assert!(head.to_lowercase().contains("proxy-authorization: basic dtpw"), "{head}");
                counter.fetch_add(1, Ordering::SeqCst);
                let mut far = TcpStream::connect(("127.0.0.1", target.parse().unwrap())).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, tunnels)
}

fn github(host: &str, port: u16, outgoing: Outgoing) -> GitHub {
    let mut settings = pat_settings(&format!("https://{host}:{port}"));
    settings.outgoing = outgoing;
    client(settings)
}

#[tokio::test]
async fn private_authority_is_trusted_once_it_is_named() {
    let fake = Fake::start(|_, _| give(200, runner(7, "a"))).await;
    let port = tls_front(&fake).await;
    let refused = github("localhost", port, Outgoing::default()).get_runner(7).await.unwrap_err();
    assert!(
        matches!(&refused, GitHubError::NotSent { reason } if reason.contains("UnknownIssuer")),
        "{refused:?}"
    );
    assert!(fake.calls().is_empty());
    let trusting = Outgoing { roots: Some(private_roots()), proxy: None };
    assert!(github("localhost", port, trusting).get_runner(7).await.is_ok());
}

#[tokio::test]
async fn proxy_is_used_except_for_hosts_that_need_none() {
    let fake = Fake::start(|_, _| give(200, runner(7, "a"))).await;
    let port = tls_front(&fake).await;
    let (address, tunnels) = proxy().await;
    let through = |except: &str| {
        let proxy =
            Proxy { url: domain::Secret::new(format!("http://u:p@{address}")), except: except.to_owned() };
        Outgoing { roots: Some(private_roots()), proxy: Some(proxy) }
    };
    assert!(github("github.test", port, through("localhost")).get_runner(7).await.is_ok());
    assert_eq!(tunnels.load(Ordering::SeqCst), 1);
    assert!(github("localhost", port, through("localhost,127.0.0.0/8")).get_runner(7).await.is_ok());
    assert_eq!(tunnels.load(Ordering::SeqCst), 1, "this host is reached directly");
}
