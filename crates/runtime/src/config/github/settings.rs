//! Settings of the credential of an installation.

use crate::config::Setting;

pub(super) const APP: Setting =
    Setting::new("GITHUB_APP_ID", "a positive number", "The GitHub App's id.").required();
pub(super) const INSTALLATION: Setting = Setting::new(
    "GITHUB_APP_INSTALLATION_ID",
    "a positive number",
    "The id of the App's installation in the organisation.",
)
.required();
pub(super) const KEY_PATH: Setting = Setting::new(
    "GITHUB_APP_PRIVATE_KEY_PATH",
    "the path of a readable PEM file that others cannot read (mode 0600 or 0640)",
    "The App's private key. It is read again when the file changes.",
)
.required();
pub(super) const TOKEN_PATH: Setting = Setting::new(
    "GITHUB_TOKEN_PATH",
    "the path of a readable file that others cannot read (mode 0600 or 0640)",
    "A file with a personal access token, instead of the three settings of the App. It is read again when it changes. \
     An enterprise takes nothing else: a classic token with `manage_runners:enterprise`.",
);
