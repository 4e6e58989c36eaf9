//! Development environment: GitHub twin, development issuer and all parts of the service in one process.

use std::{io, path::PathBuf, time::Duration};

use anyhow::Context;
use dev_issuer::{Issuer, IssuerConfig};
use domain::{InstallationId, Role, Secret};
use github::{Credential, GitHubSettings, KeySource, Scope};
use github_twin::{RunnerChange, RunnerSpec, Twin, TwinConfig, WebhookConfig};
use installations::Installation;
use oidc::{CodeClient, CodeFlow, TrustedIssuer, Verifier};
use queue::BudgetSettings;
use runtime::config::{BootstrapConfig, GithubConfig, InstallationConfig, IssuerPolicy, Sources};
use store::{NewClient, RunnerFilter, Store, UserDraft, Visible};

use super::{
    DevArgs, demo_users, ports, seed,
    servers::{self, Servers},
};
use crate::{
    commands::{self, api::Listeners},
    exit::End,
    output,
    process::Process,
    wiring::{self, InstallationSettings},
};

/// Preferred port of the twin. Its control port and the issuer have the ports after it.
const TWIN_PORT: u16 = 8090;
const CONTROL_PORT: u16 = 8091;
const ISSUER_PORT: u16 = 8092;

/// All running parts of the environment.
pub(crate) struct Environment {
    /// URL of the API from this machine.
    pub(super) api: String,
    /// The GitHub twin, or `None` if the settings name a GitHub server.
    pub(super) twin: Option<Twin>,
    /// The development issuer.
    pub(super) issuer: Issuer,
    /// Page of the organization on GitHub whose runners are managed.
    pub(super) github: String,
    /// Address of the private PostgreSQL.
    pub(super) database: Option<String>,
    /// Files with secrets of the twin for its clients: a description and the path of each.
    pub(super) secrets: Vec<(&'static str, PathBuf)>,
}

impl Environment {
    /// Starts all parts, the API last.
    pub(super) async fn build(
        process: &mut Process,
        private: &Servers,
        sources: Sources,
        args: &DevArgs,
    ) -> anyhow::Result<Self> {
        let (listener, moved) = ports::open(&args.host, args.port).await?;
        let port = listener.local_addr()?.port();
        if moved {
            output::line(format_args!("port {} is taken; the API listens on {port} instead", args.port));
        }
        let issuer = issuer(args).await?;
        let given_issuer = sources.has("OIDC_ISSUER");
        let given_database = sources.has("DATABASE_URL");
        let given_github = servers::names_github(&sources);
        let mut sources = private.settings(sources)?.set("SERVICE_HOST", args.host.as_str());
        sources = sources.set("SERVICE_PORT", port.to_string());
        if !given_issuer {
            sources = sources.set("OIDC_ISSUER", issuer.url()).set("OIDC_AUDIENCE", demo_users::AUDIENCE);
            sources = sources.set("OIDC_CLIENT_ID", demo_users::DASHBOARD);
            sources = sources.set("OIDC_CLI_CLIENT_ID", demo_users::COMMAND_LINE);
        }
        let secret = uuid::Uuid::new_v4().to_string();
        let hooks = format!("{}/api/v1/webhooks/github", local_url(&args.host, port));
        let hooks = WebhookConfig::new(hooks, secret.as_str());
        let twin = if given_github { None } else { Some(twin(args, hooks).await?) };
        let mut secrets = Vec::new();
        if let Some(twin) = &twin {
            secrets = keep_secrets(private, twin, &secret)?;
            sources = sources.set("GITHUB_WEBHOOK_SECRET", secret);
            sources = sources.set("GITHUB_API_URL", twin.url()).set("GITHUB_ORG", TwinConfig::default().org);
        }
        let (mut parts, mut verifier) = wiring::api(&sources, process)?;
        parts.server.metrics_listen = None;
        if given_issuer {
            verifier = combined_verifier(&sources, &issuer)?;
            parts.verifier = verifier.clone();
            parts.code_flow = combined_sign_in(&sources, &issuer, &verifier)?;
        }
        commands::database::retry_while_unavailable(async || Ok(parts.store.ping().await?)).await?;
        if given_database && !args.allowed.populated_database {
            refuse_users_of_others(&parts.store).await?;
        }
        let bootstrap: BootstrapConfig = sources.section()?;
        prepare(&parts.store, issuer.url(), twin.as_ref(), &bootstrap, &verifier).await?;
        start_others(process, &sources, twin.as_ref())?;
        commands::api::start(process, Listeners { api: listener, metrics: None }, parts, verifier)?;
        output::line(format_args!("servers   {}", private.describe()));
        let github: GithubConfig = sources.section()?;
        let pages: Vec<_> = github.installations.iter().map(InstallationConfig::web_url).collect();
        let database = if given_database { None } else { private.database_url() };
        let (api, github) = (local_url(&args.host, port), pages.join(", "));
        Ok(Self { api, twin, issuer, github, database, secrets })
    }
}

/// Returns the URL of a local address for clients on this machine.
fn local_url(host: &str, port: u16) -> String {
    match host {
        "0.0.0.0" => format!("http://127.0.0.1:{port}"),
        "::" => format!("http://[::1]:{port}"),
        host if host.contains(':') => format!("http://[{host}]:{port}"),
        host => format!("http://{host}:{port}"),
    }
}

/// Returns the address to listen on. Environments that stay up keep their ports if possible, so that pasted commands
/// work again.
fn listen_address(args: &DevArgs, port: u16) -> std::net::SocketAddr {
    if args.once { ports::any() } else { ports::preferred(port) }
}

async fn issuer(args: &DevArgs) -> io::Result<Issuer> {
    let start = |listen| Issuer::start(IssuerConfig { listen, ..demo_users::issuer() });
    match start(listen_address(args, ISSUER_PORT)).await {
        // The port was taken since it was checked.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => start(ports::any()).await,
        started => started,
    }
}

async fn twin(args: &DevArgs, webhook: WebhookConfig) -> io::Result<Twin> {
    let start = |listen, control| {
        let webhook = Some(webhook.clone());
        Twin::start(TwinConfig { listen, control_listen: Some(control), webhook, ..TwinConfig::default() })
    };
    match start(listen_address(args, TWIN_PORT), listen_address(args, CONTROL_PORT)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => start(ports::any(), ports::any()).await,
        started => started,
    }
}

/// Writes the App's key and the webhook secret of this run to files, for clients that the user runs.
fn keep_secrets(
    private: &Servers,
    twin: &Twin,
    webhook_secret: &str,
) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let key = twin.app_key().context("the twin has no key")?;
    let kept = [
        ("App key", "github-app.pem", key.private_pem()),
        ("hook secret", "github-webhook-secret", webhook_secret),
    ];
    let kept = kept
        .into_iter()
        .map(|(what, name, text)| Ok(private.write_secret(name, text)?.map(|path| (what, path))));
    Ok(kept.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Returns a verifier for tokens of the configured issuers and of the development issuer.
fn combined_verifier(sources: &Sources, issuer: &Issuer) -> anyhow::Result<Verifier> {
    let given: runtime::config::OidcConfig = sources.section()?;
    let mut issuers: Vec<_> = given.issuers.into_iter().map(TrustedIssuer::from).collect();
    issuers.push(TrustedIssuer {
        issuer: issuer.url().to_owned(),
        audiences: vec![demo_users::AUDIENCE.to_owned()],
        jwks_url: None,
        name: "development".to_owned(),
        policy: IssuerPolicy { binds_people: Some(true), ..IssuerPolicy::default() },
    });
    wiring::verifier(sources, issuers)
}

/// Returns the sign-in to the dashboard at the configured issuers and at the development issuer.
fn combined_sign_in(sources: &Sources, issuer: &Issuer, verifier: &Verifier) -> anyhow::Result<CodeFlow> {
    let given: runtime::config::OidcConfig = sources.section()?;
    let mut clients: Vec<_> = given.issuers.iter().filter_map(wiring::code_client).collect();
    clients.push(CodeClient {
        issuer: issuer.url().to_owned(),
        client_id: demo_users::DASHBOARD.to_owned(),
        secret_path: None,
    });
    wiring::code_flow(sources, clients, verifier.clone())
}

/// Refuses a database that has users of other issuers than development ones: it would get an admin without a password.
async fn refuse_users_of_others(store: &Store) -> anyhow::Result<()> {
    if !store.has_tables().await? {
        return Ok(());
    }
    let others = store.conn().await?.users().count_of_other_issuers("http://127.0.0.1:").await?;
    if others == 0 {
        return Ok(());
    }
    Err(End::Refused(format!(
        "the database of DATABASE_URL has {others} users, and `rts dev` would add an admin without a password; add --populated-database if that is wanted"
    ))
    .into())
}

/// Migrates the database and adds the demo team, users and machine client.
async fn prepare(
    store: &Store,
    issuer: &str,
    twin: Option<&Twin>,
    bootstrap: &BootstrapConfig,
    verifier: &Verifier,
) -> anyhow::Result<()> {
    commands::database::migrate(store).await?;
    let team = seed::team(store, &seed::team_draft(demo_users::TEAM)).await?;
    let people = [
        (demo_users::DEMO, "Demo User", Role::Member),
        (demo_users::ADMIN, "Admin", Role::Admin),
        (demo_users::VIEWER, "Viewer", Role::Viewer),
    ];
    for (sub, name, role) in people {
        let draft = UserDraft {
            email: Some(demo_users::email(sub)),
            issuer: Some(issuer.to_owned()),
            subject: Some(sub.to_owned()),
            display_name: Some(name.to_owned()),
            is_admin: role == Role::Admin || bootstrap.admins.contains(&demo_users::email(sub)),
            is_viewer: role == Role::Viewer,
            can_use_jit: true,
            can_use_registration_token: false,
        };
        let user = seed::person(store, &draft).await?;
        if role != Role::Viewer {
            store.conn().await?.teams().add_member(team, user).await?;
        }
    }
    for email in &bootstrap.admins {
        let binding_issuer = verifier.binding_issuer().unwrap_or(issuer);
        commands::api::invite_first_admin(store, email, verifier, binding_issuer).await?;
    }
    let machine = NewClient {
        client_id: demo_users::MACHINE.to_owned(),
        issuer: issuer.to_owned(),
        team,
        description: Some("pipelines of the demo team".to_owned()),
        rule: None,
    };
    seed::machine(store, &machine).await?;
    match twin {
        Some(twin) => advance_runner_ids(store, twin).await,
        None => Ok(()),
    }
}

/// Advances the twin's runner ids past those in the database: a new twin starts over, but GitHub never assigns an id
/// twice.
async fn advance_runner_ids(store: &Store, twin: &Twin) -> anyhow::Result<()> {
    /// Larger ids do not come from a twin.
    const MAX_TWIN_RUNNER_ID: u64 = 1_000_000;
    let newest = store
        .conn()
        .await?
        .runners()
        .list(&Visible::everything(), &RunnerFilter::default(), seed::FIRST_PAGE)
        .await?;
    let last = newest.items.iter().filter_map(|runner| runner.github_runner_id).max().unwrap_or(0);
    let last = u64::try_from(last).unwrap_or(0).min(MAX_TWIN_RUNNER_ID);
    loop {
        let spec = RunnerSpec {
            name: "counter".to_owned(),
            scope: None,
            labels: Vec::new(),
            ephemeral: true,
            state: RunnerChange::default(),
        };
        let made = twin.create_runner(spec).context("the twin makes no runner")?.id;
        twin.remove_runner(made).context("the twin does not remove a runner")?;
        if made >= last {
            return Ok(());
        }
    }
}

/// Starts two workers and the scheduler with the same code as their own processes.
fn start_others(process: &mut Process, sources: &Sources, twin: Option<&Twin>) -> anyhow::Result<()> {
    let installations = match twin {
        Some(twin) => twin_installations(twin)?,
        None => wiring::installations(sources)?,
    };
    for name in ["worker-1", "worker-2"] {
        let parts = wiring::worker(sources, installations.clone(), format!("dev-{name}"))?;
        let shutdown = process.shutdown.clone();
        process.run(name, worker::run(parts, shutdown));
    }
    let (parts, shutdown) = (wiring::scheduler(sources, installations)?, process.shutdown.clone());
    process.run("scheduler", scheduler::run(parts, shutdown));
    Ok(())
}

/// Returns the settings of one installation whose GitHub is the twin.
fn twin_installations(twin: &Twin) -> anyhow::Result<InstallationSettings> {
    let key = twin.app_key().context("the twin has no key")?;
    let config = TwinConfig::default();
    let credential = Credential::App {
        app_id: config.app_id.to_string(),
        installation_id: config.installation_id,
        private_key: KeySource::Pem(Secret::new(key.private_pem())),
    };
    let mut settings = GitHubSettings::new(twin.url().parse()?, Scope::Org(config.org), credential);
    settings.timeouts.total = Duration::from_secs(10);
    Ok(vec![Installation {
        id: InstallationId::default(),
        pool: None,
        github: settings,
        budget: BudgetSettings::default(),
    }])
}
