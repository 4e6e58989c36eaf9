//! GitHub App and its installation, for the operator's checks.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::{call::Call, client::GitHub, error::GitHubError};

/// The App that our key belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct App {
    /// GitHub's id.
    pub id: i64,
    /// Its name in URLs.
    #[serde(default)]
    pub slug: Option<String>,
    /// Its name.
    pub name: String,
    /// Requested permissions with their level: `read`, `write` or `admin`.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// Webhook events it subscribes to.
    #[serde(default)]
    pub events: Vec<String>,
}

/// One installation of the App.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Installation {
    /// GitHub's id.
    pub id: i64,
    /// Account on which it is installed.
    #[serde(default)]
    pub account: Option<Account>,
    /// `Organization` or `User` today.
    #[serde(default)]
    pub target_type: Option<String>,
    /// `all` or `selected`.
    #[serde(default)]
    pub repository_selection: Option<String>,
    /// Granted permissions with their level: `read`, `write` or `admin`.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// Webhook events it receives.
    #[serde(default)]
    pub events: Vec<String>,
    /// Time of its suspension; `None` if it is not suspended.
    #[serde(default)]
    pub suspended_at: Option<DateTime<Utc>>,
}

/// Owner of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Login of an organization or user.
    #[serde(default)]
    pub login: Option<String>,
    /// Slug of an enterprise.
    #[serde(default)]
    pub slug: Option<String>,
}

impl GitHub {
    /// Returns the App that our key belongs to.
    pub async fn get_app(&self) -> Result<App, GitHubError> {
        let call = Call::get("get_app", "/app".to_owned());
        let reply = self.call_as_app(&call).await?;
        call.parse(&reply)
    }

    /// Returns the installation through which we act.
    pub async fn get_installation(&self) -> Result<Installation, GitHubError> {
        let path = format!("/app/installations/{}", self.app_identity()?.installation_id);
        let call = Call::get("get_installation", path);
        let reply = self.call_as_app(&call).await?;
        call.parse(&reply)
    }
}
