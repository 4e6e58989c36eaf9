//! The running twin: its ports, and the most used commands.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    commands::{Commands, RunnerChange, RunnerSpec},
    config::TwinConfig,
    control,
    faults::Fault,
    jobs::ControlError,
    keys::AppKey,
    ledger::{Ledger, Summary},
    pipeline::{self, Shared},
    state::{Runner, State},
    webhooks::{self, MAX_WAITING, Outgoing},
};

/// A simulated GitHub in this process. Dropping it closes its ports and every connection.
#[derive(Debug)]
pub struct Twin {
    shared: Arc<Shared>,
    url: Arc<str>,
    control: Option<SocketAddr>,
    key: Option<AppKey>,
    outbox: mpsc::Sender<Outgoing>,
    stop: DropGuard,
}

impl Twin {
    /// Opens the ports and serves.
    ///
    /// # Errors
    /// When a port cannot be opened; `InvalidInput` for an invalid public key or base path.
    pub async fn start(mut config: TwinConfig) -> io::Result<Self> {
        config.base_path = config.base_path.trim_end_matches('/').to_owned();
        if !config.base_path.is_empty() && !config.base_path.starts_with('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the base path must begin with /"));
        }
        let (public_pem, key) = app_key(&config)?;
        let (api, address) = dev_http::bind(config.listen).await?;
        let control = match config.control_listen {
            Some(listen) => Some(dev_http::bind(listen).await?),
            None => None,
        };
        let url: Arc<str> = format!("http://{address}{}", config.base_path).into();
        let (outbox, inbox) = mpsc::channel(MAX_WAITING);
        let base_path: Arc<str> = config.base_path.as_str().into();
        let state = State::new(Arc::new(config), public_pem.into(), url.clone(), outbox.clone());
        let shared = Arc::new(Shared::new(state));
        let stop = CancellationToken::new();
        let router = Router::new().fallback(pipeline::enter).with_state((shared.clone(), base_path));
        dev_http::run(api, address, router, stop.clone());
        let sender = webhooks::deliver(Arc::downgrade(&shared), inbox);
        tokio::spawn(stop.clone().run_until_cancelled_owned(sender));
        let control = control.map(|(listener, address)| {
            dev_http::run(listener, address, control::router(Commands::new(shared.clone())), stop.clone());
            address
        });
        Ok(Self { shared, url, control, key, outbox, stop: stop.drop_guard() })
    }

    /// Returns the root URL of the API, base path included, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the root URL of the control port, if there is one.
    pub fn control_url(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// Returns the App's key pair, unless the configuration has a public key.
    pub fn app_key(&self) -> Option<&AppKey> {
        self.key.as_ref()
    }

    /// Returns the commands of the control port.
    pub fn control(&self) -> Commands {
        Commands::new(self.shared.clone())
    }

    /// Returns all runners of all scopes, by id.
    pub fn runners(&self) -> Vec<Runner> {
        self.control().runners()
    }

    /// Returns the runner with this name in any scope.
    pub fn runner(&self, name: &str) -> Option<Runner> {
        self.runners().into_iter().find(|r| r.name.eq_ignore_ascii_case(name))
    }

    /// See [`Commands::create_runner`].
    pub fn create_runner(&self, spec: RunnerSpec) -> Result<Runner, ControlError> {
        self.control().create_runner(spec)
    }

    /// See [`Commands::set_runner`].
    pub fn set_runner(&self, id: u64, change: RunnerChange) -> Result<Runner, ControlError> {
        self.control().set_runner(id, change)
    }

    /// See [`Commands::remove_runner`].
    pub fn remove_runner(&self, id: u64) -> Result<Runner, ControlError> {
        self.control().remove_runner(id)
    }

    /// Adds a fault and returns its id; 0 when 1,000 are active already.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.control().fault(fault).unwrap_or(0)
    }

    /// Ends one fault.
    pub fn clear_fault(&self, id: u64) {
        self.control().clear_faults(Some(id));
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.control().clear_faults(None);
    }

    /// Returns a copy of the ledger.
    pub fn ledger(&self) -> Ledger {
        self.control().ledger()
    }

    /// Returns the counters of the ledger.
    pub fn summary(&self) -> Summary {
        self.control().summary()
    }

    /// Moves the twin's clock forwards: windows end, tokens expire, late effects happen. App JWTs are still checked
    /// against
    /// the machine's clock, and the `date` header shows the twin's.
    pub fn advance(&self, by: Duration) {
        self.control().advance(by);
    }

    /// Waits until every webhook emitted so far has been sent or given up.
    pub async fn webhooks_sent(&self) {
        let (done, wait) = oneshot::channel();
        if self.outbox.send(Outgoing::Flush(done)).await.is_ok() {
            drop(wait.await);
        }
    }

    /// Closes the ports and every connection, as dropping does.
    pub fn shutdown(self) {
        drop(self.stop);
    }
}

fn app_key(config: &TwinConfig) -> io::Result<(String, Option<AppKey>)> {
    let Some(pem) = &config.app_public_key_pem else {
        let key = AppKey::shared().map_err(io::Error::other)?;
        return Ok((key.public_pem().to_owned(), Some(key)));
    };
    let read = jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes());
    read.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    Ok((pem.clone(), None))
}
