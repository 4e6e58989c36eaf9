//! A stand-alone GitHub twin for any tool that manages self-hosted runners.

use std::{
    error::Error,
    io::Write,
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use github_twin::{Limits, PersonalToken, Twin, TwinConfig, WebhookConfig};

const EXAMPLES: &str = "\
Examples:
  # an organisation with an App, whose key is written to a file
  twin --port 4010 --control-port 4011 --app-key app-key.pem

  # webhooks to a service under development
  twin --webhook-url http://127.0.0.1:8080/api/v1/webhooks/github --webhook-secret-file hook-secret

  # an Enterprise Server: base path, no limits, an enterprise with a classic personal token
  twin --base-path /api/v3 --no-limits --enterprise initech \\
       --personal-token ghp_local=manage_runners:enterprise,admin:org

  # two organisations, three runner groups, the repositories web and docs
  twin --org acme --more-org 77=globex --group 1=Default --group 2=gpu --group 3=build \\
       --repository web --repository docs

Personal tokens and secrets given here are of this fake alone; other users of the machine can read them.";

/// A simulated GitHub: self-hosted runners, Apps, webhooks, limits.
#[derive(Debug, Parser)]
#[command(name = "twin", after_help = EXAMPLES)]
struct Args {
    /// The address of both ports.
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port of the API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The control port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Path before every API route, such as /api/v3.
    #[arg(long, value_name = "PATH", default_value = "")]
    base_path: String,
    /// Write the App's private key, made anew, to this file, which only its owner can read.
    #[arg(long, value_name = "FILE")]
    app_key: Option<PathBuf>,
    /// Check App JWTs against this public key (PEM) instead of making a pair.
    #[arg(long, value_name = "FILE", conflicts_with = "app_key")]
    app_public_key: Option<PathBuf>,
    /// Id of the App.
    #[arg(long, value_name = "ID")]
    app_id: Option<u64>,
    /// URL name of the App.
    #[arg(long, value_name = "NAME")]
    app_slug: Option<String>,
    /// The first organisation.
    #[arg(long, value_name = "LOGIN")]
    org: Option<String>,
    /// Id of the installation in the first organisation.
    #[arg(long, value_name = "ID")]
    installation_id: Option<u64>,
    /// Another organisation and the id of the installation there.
    #[arg(long, value_name = "ID=LOGIN", value_parser = numbered)]
    more_org: Vec<(u64, String)>,
    /// A repository of every organisation.
    #[arg(long, value_name = "NAME")]
    repository: Vec<String>,
    /// A runner group of every organisation and enterprise; the first is the default group.
    #[arg(long, value_name = "ID=NAME", value_parser = numbered)]
    group: Vec<(u64, String)>,
    /// An enterprise.
    #[arg(long, value_name = "SLUG")]
    enterprise: Vec<String>,
    /// A classic personal access token and its scopes.
    #[arg(long, value_name = "TOKEN=SCOPE,…", value_parser = personal)]
    personal_token: Vec<PersonalToken>,
    /// A permission of every installation. Without any: those that runners need.
    #[arg(long, value_name = "NAME=LEVEL", value_parser = pair)]
    permission: Vec<(String, String)>,
    /// Where webhooks go.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// The file with the key of the webhooks' signature.
    #[arg(long, value_name = "FILE", requires = "webhook_url", conflicts_with = "webhook_secret")]
    webhook_secret_file: Option<PathBuf>,
    /// The key of the webhooks' signature.
    #[arg(long, value_name = "TEXT", requires = "webhook_url", default_value = "development")]
    webhook_secret: String,
    /// No rate limits and no headers about them, as on an Enterprise Server as installed.
    #[arg(long)]
    no_limits: bool,
    /// Seconds that a runner whose one job is over is still listed.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    removes_after: u64,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn numbered(text: &str) -> Result<(u64, String), String> {
    let (id, name) = pair(text)?;
    Ok((id.parse().map_err(|_| "expected a number before =")?, name))
}

fn personal(text: &str) -> Result<PersonalToken, String> {
    let (token, scopes) = pair(text)?;
    Ok(PersonalToken { token, scopes: scopes.split(',').map(str::to_owned).collect() })
}

impl Args {
    fn config(self) -> Result<TwinConfig, Box<dyn Error>> {
        let usual = TwinConfig::default();
        let at = |port| SocketAddr::from((self.host, port));
        let secret = match &self.webhook_secret_file {
            Some(file) => std::fs::read_to_string(file)?.trim_end().to_owned(),
            None => self.webhook_secret,
        };
        Ok(TwinConfig {
            listen: at(self.port),
            control_listen: Some(at(self.control_port)),
            base_path: self.base_path,
            org: self.org.unwrap_or(usual.org),
            repositories: or(self.repository, usual.repositories),
            app_id: self.app_id.unwrap_or(usual.app_id),
            app_slug: self.app_slug.unwrap_or(usual.app_slug),
            installation_id: self.installation_id.unwrap_or(usual.installation_id),
            more_installations: self.more_org,
            enterprises: self.enterprise,
            personal_tokens: self.personal_token,
            app_public_key_pem: self.app_public_key.map(std::fs::read_to_string).transpose()?,
            permissions: or(self.permission, usual.permissions.into_iter().collect()).into_iter().collect(),
            groups: or(self.group, usual.groups),
            removes_after: Duration::from_secs(self.removes_after),
            limits: if self.no_limits { Limits::off() } else { usual.limits },
            webhook: self.webhook_url.map(|url| WebhookConfig::new(url, secret)),
            ..usual
        })
    }
}

fn or<T>(given: Vec<T>, usual: Vec<T>) -> Vec<T> {
    if given.is_empty() { usual } else { given }
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let key_file = args.app_key.clone();
    let config = args.config()?;
    let (app, org, installation) = (config.app_id, config.org.clone(), config.installation_id);
    let twin = Twin::start(config).await?;
    let mut out = std::io::stdout();
    writeln!(out, "api {}\ncontrol {}", twin.url(), twin.control_url().unwrap_or_default())?;
    writeln!(out, "app {app}\norg {org}\ninstallation {installation}")?;
    if let (Some(path), Some(key)) = (key_file, twin.app_key()) {
        write_secret(&path, key.private_pem())?;
        writeln!(out, "key {}", path.display())?;
    }
    out.flush()?;
    std::future::pending().await
}
