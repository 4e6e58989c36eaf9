//! `rts api`.

use std::net::SocketAddr;

use ::api::{AppState, ConnectionLimits};
use anyhow::Context;
use domain::InstallationId;
use oidc::Verifier;
use operations::{Administrator, BindingRights};
use runtime::{
    config::{BootstrapConfig, ServerConfig, Sources, TokenKeysConfig},
    open_files,
};
use store::{Store, UserDraft};
use tokio::net::TcpListener;

use super::{access::refused, database};
use crate::{process::Process, wiring};

/// Serves until a signal.
pub(crate) async fn run(sources: &Sources) -> anyhow::Result<()> {
    let mut process = Process::start(sources, "api")?;
    if TokenKeysConfig::is_given(sources) {
        tracing::warn!(
            "TOKEN_KEYS is set for the API, which must not have these keys: give them to workers and schedulers only"
        );
    }
    let server: ServerConfig = sources.section()?;
    let bootstrap: BootstrapConfig = sources.section()?;
    let (parts, verifier) = wiring::api(sources, &process)?;
    // Before anything waits, so that a port that is taken is reported at once.
    let listener = bind(&server.listen_on()).await?;
    let metrics_listener = match server.metrics_listen {
        Some(address) => Some(bind(&address.to_string()).await?),
        None => None,
    };
    let (store, loops) = (parts.store.clone(), parts.progress.clone());
    let pools = parts.installations.keys().map(|pool| (pool.clone(), pool.clone()));
    let further = parts.further_apps.iter().map(|(app, pool)| (app.clone(), pool.clone()));
    let installations: Vec<_> = pools.chain(further).collect();
    let draining = process.shutdown.draining().clone();
    let prepared =
        database::retry_while_unavailable(|| prepare(&store, &bootstrap, &verifier, &installations));
    tokio::select! {
        prepared = prepared => prepared?,
        () = draining.cancelled() => return process.end().await,
    }
    if let Ok(now) = store.now().await {
        verifier.set_clock(now);
    }
    start(&mut process, Listeners { api: listener, metrics: metrics_listener }, parts, verifier)?;
    process.notify_service_manager(loops);
    process.end().await
}

/// Opens the port.
pub(crate) async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Brings the database up to date with this version and the settings. May be repeated at any time.
async fn prepare(
    store: &Store,
    bootstrap: &BootstrapConfig,
    verifier: &Verifier,
    installations: &[(InstallationId, InstallationId)],
) -> anyhow::Result<()> {
    database::migrate(store).await?;
    store.conn().await?.installations().ensure_apps(installations).await?;
    warn_about_open_rules(store).await?;
    let Some(issuer) = verifier.binding_issuer() else {
        anyhow::ensure!(
            bootstrap.admins.is_empty(),
            "BOOTSTRAP_ADMINS is set, but no issuer binds people by e-mail"
        );
        return Ok(());
    };
    let named = store.conn().await?.users().set_missing_issuers(issuer).await?;
    if named > 0 {
        tracing::info!(issuer, users = named, "invitations of an earlier release are for this issuer now");
    }
    for email in &bootstrap.admins {
        invite_first_admin(store, email, verifier, issuer).await?;
    }
    Ok(())
}

/// Warns about machine clients whose claim rule, since an upgrade, accepts no token.
async fn warn_about_open_rules(store: &Store) -> anyhow::Result<()> {
    for (client_id, issuer) in store.conn().await?.clients().with_open_rules().await? {
        tracing::warn!(
            client_id,
            issuer,
            "the claim rule of this machine client pins no owner and fits no token; change it"
        );
    }
    Ok(())
}

/// Open ports of the API.
pub(crate) struct Listeners {
    pub(crate) api: TcpListener,
    /// A port of its own for metrics, if one is configured.
    pub(crate) metrics: Option<TcpListener>,
}

/// Adds the parts of the API to a process, with metrics on a listener of their own if there is one. Returns the address
/// of the API.
pub(crate) fn start(
    process: &mut Process,
    listeners: Listeners,
    parts: ::api::Dependencies,
    verifier: Verifier,
) -> anyhow::Result<SocketAddr> {
    let Listeners { api: listener, metrics } = listeners;
    let address = listener.local_addr()?;
    let (progress, draining) = (parts.progress.clone(), process.shutdown.draining().clone());
    let limits = connection_limits(&parts.server);
    let app = AppState::new(parts);
    let router = ::api::router(app.clone());
    if let Some(metrics) = metrics {
        let (router, until) = (::api::metrics_router(app.clone()), draining.clone());
        tracing::info!(metrics = %metrics.local_addr()?, "serving metrics");
        process.run("metrics listener", async move { Ok(::api::serve(metrics, router, until).await?) });
    }
    let until = draining.clone();
    process.run("http", async move { Ok(::api::serve_within(listener, router, until, limits).await?) });
    process.run("upkeep", async move {
        ::api::upkeep(app).await;
        Ok(())
    });
    process.run("issuer keys", async move {
        let handle = progress.register("issuer_key_refresh", std::time::Duration::from_mins(2));
        verifier.keep_warm(&draining, &handle).await;
        handle.retire();
        Ok(())
    });
    tracing::info!(%address, "listening");
    Ok(address)
}

/// Returns the connection limits that the open-file limit of this process allows.
fn connection_limits(server: &ServerConfig) -> ConnectionLimits {
    let per_address = usize::try_from(server.guards.connections_per_address.get()).unwrap_or(usize::MAX);
    let limits = ConnectionLimits {
        per_address,
        trusted: server.trusted_proxies.clone(),
        ..ConnectionLimits::default()
    };
    let limits = limits.within(open_files::raise_limit());
    tracing::info!(connections = limits.total, per_address, "connections are limited");
    limits
}

/// Invites a bootstrap admin. A known user is not changed, so a restart never restores the admin role.
pub(crate) async fn invite_first_admin(
    store: &Store,
    email: &str,
    verifier: &Verifier,
    issuer: &str,
) -> anyhow::Result<()> {
    let draft =
        UserDraft { email: Some(email.to_owned()), issuer: Some(issuer.to_owned()), ..UserDraft::default() };
    let admin = Administrator::from_setting("BOOTSTRAP_ADMINS");
    let rights =
        BindingRights { people: verifier.binds_people(issuer), address: verifier.binds_email(issuer, email) };
    let invited = operations::invite_first_admin(store, &admin, &draft, rights).await;
    if invited.map_err(refused).context("cannot invite an admin of BOOTSTRAP_ADMINS")? {
        tracing::info!(email, issuer, "becomes admin at the first login within 30 days");
    }
    Ok(())
}
