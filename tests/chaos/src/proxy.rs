//! A TCP port in front of a Unix socket, whose path can be cut, stalled and reset.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use crate::action::Line;

/// State of the path.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    line: Option<Line>,
    /// Number of resets: connections older than the newest reset are broken.
    resets: u64,
}

/// One path. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    path: watch::Sender<Path>,
    /// Target of new connections.
    target: Arc<Mutex<PathBuf>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free local port and forwards everything to `socket`.
    pub(crate) async fn start(socket: PathBuf) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (path, seen) = watch::channel(Path::default());
        let target = Arc::new(Mutex::new(socket));
        let current = target.clone();
        let task = tokio::spawn(async move {
            loop {
                // Out of file descriptors for a moment: the next connection may be accepted.
                let Ok((client, _)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let socket = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(carry(client, socket, seen.clone()));
            }
        });
        Ok(Self { address, path, target, task })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Disturbs the path until the next call; `None` heals it.
    pub(crate) fn set(&self, line: Option<Line>) {
        self.path.send_modify(|path| {
            path.line = line;
            path.resets += u64::from(line == Some(Line::Cut));
        });
    }

    /// Sends new connections to another socket; open ones stay.
    pub(crate) fn lead_to(&self, socket: PathBuf) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }

    /// Breaks every open connection once.
    pub(crate) fn reset(&self) {
        self.path.send_modify(|path| path.resets += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.reset();
    }
}

async fn carry(client: TcpStream, socket: PathBuf, mut path: watch::Receiver<Path>) {
    let began = *path.borrow_and_update();
    if began.line == Some(Line::Cut) {
        return;
    }
    let Ok(server) = UnixStream::connect(&socket).await else { return };
    // Best effort: small messages only lose some time without it.
    let _ = client.set_nodelay(true);
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let broken = {
        let mut path = path.clone();
        async move { drop(path.wait_for(|path| path.resets != began.resets).await) }
    };
    tokio::select! {
        () = broken => {}
        _ = pump(client_in, server_out, path.clone()) => {}
        _ = pump(server_in, client_out, path.clone()) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut path: watch::Receiver<Path>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if path.wait_for(|path| path.line != Some(Line::Stall)).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
