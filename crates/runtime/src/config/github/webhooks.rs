//! Webhook secrets, loaded only by the API.

use std::{fs, path::Path};

use domain::{InstallationId, Secret};

use super::{entry, secret_file};
use crate::config::{ConfigError, Mode, Section, Setting, Sources};

const COMMON: Setting = Setting::new(
    "GITHUB_WEBHOOK_SECRET",
    "a secret of 16 to 1024 characters",
    "The secret webhooks are signed with. Without it webhooks are refused. An installation of the file may have its own, \
     by `webhook_secret_path`.",
)
.secret();

/// Every secret with the installations that use it.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Distinct secrets; webhooks are refused if there are none.
    pub secrets: Vec<WebhookSecret>,
}

/// One webhook secret.
#[derive(Clone, Debug)]
pub struct WebhookSecret {
    /// Key of the signature.
    pub secret: Secret,
    /// Installations whose events are signed with it.
    pub installations: Vec<InstallationId>,
}

impl Section for WebhookConfig {
    const TITLE: &'static str = "Webhooks";
    const SETTINGS: &'static [Setting] = &[COMMON];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mode = sources.mode();
        let common = sources.optional(&COMMON, |text| fit(text, mode))?;
        sources.refuse_placeholder(&COMMON)?;
        let mut secrets = Vec::new();
        add(&mut secrets, common.clone(), InstallationId::default());
        for (index, entry) in entry::all(sources)?.iter().enumerate() {
            let secret = match &entry.webhook_secret_path {
                Some(path) => Some(read(path, mode).ok_or_else(|| {
                    let expects =
                        "the path of a file that others cannot read, with a secret of 16 to 1024 characters";
                    entry::bad(index, "webhook_secret_path", expects)
                })?),
                None => common.clone(),
            };
            add(&mut secrets, secret, entry.id(index)?);
        }
        Ok(Self { secrets })
    }
}

fn add(secrets: &mut Vec<WebhookSecret>, secret: Option<Secret>, id: InstallationId) {
    let Some(secret) = secret else { return };
    match secrets.iter_mut().find(|known| known.secret.expose() == secret.expose()) {
        Some(known) => known.installations.push(id),
        None => secrets.push(WebhookSecret { secret, installations: vec![id] }),
    }
}

fn read(path: &str, mode: Mode) -> Option<Secret> {
    let text = fs::read_to_string(secret_file(Path::new(path), mode)?).ok()?;
    fit(text.trim(), mode)
}

fn fit(text: &str, mode: Mode) -> Option<Secret> {
    let long_enough = text.len() >= 16 || (mode == Mode::Development && !text.is_empty());
    (long_enough && text.len() <= 1024).then(|| Secret::new(text))
}
