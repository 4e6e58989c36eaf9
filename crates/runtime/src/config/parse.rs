//! Parsers shared by the sections: bounded numbers and validated texts.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use domain::Secret;
use url::{Host, Url};

use super::{ConfigError, Fallback, Mode, Setting, Sources};

impl Sources {
    /// Returns the parsed value; `None` if it is optional and not given.
    pub(super) fn optional<T>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        match self.given(setting)? {
            Some(given) => parse(&given.text).map(Some).ok_or_else(|| given.bad()),
            None if setting.fallback == Fallback::Required => Err(setting.missing()),
            None => Ok(None),
        }
    }

    /// Returns the parsed value; an error if there is none.
    pub(super) fn value<T>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        self.optional(setting, parse)?.ok_or_else(|| setting.missing())
    }

    /// Returns a whole number within `bounds`.
    pub(super) fn number<T: FromStr + PartialOrd>(
        &self,
        setting: &Setting,
        bounds: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        self.value(setting, |text| text.parse().ok().filter(|n| bounds.contains(n)))
    }

    /// Returns whole seconds within `bounds`.
    pub(super) fn seconds(
        &self,
        setting: &Setting,
        bounds: RangeInclusive<u64>,
    ) -> Result<Duration, ConfigError> {
        self.number(setting, bounds).map(Duration::from_secs)
    }

    /// Returns `true` or `false`; other usual words for them are accepted.
    pub(super) fn flag(&self, setting: &Setting) -> Result<bool, ConfigError> {
        self.value(setting, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        })
    }

    /// Returns a secret text that satisfies `fits`.
    pub(super) fn secret(
        &self,
        setting: &Setting,
        fits: impl FnOnce(&str) -> bool,
    ) -> Result<Secret, ConfigError> {
        let secret = self.value(setting, |text| fits(text).then(|| Secret::new(text)))?;
        self.refuse_placeholder(setting)?;
        Ok(secret)
    }

    /// Refuses a secret that was copied from an example.
    pub(super) fn refuse_placeholder(&self, setting: &Setting) -> Result<(), ConfigError> {
        match self.given(setting)? {
            Some(given) if self.mode() == Mode::Production && is_placeholder(&given.text) => {
                Err(given.refuse("a value of your own: it still has the placeholder of an example"))
            }
            _ => Ok(()),
        }
    }

    /// Returns comma-separated items, trimmed, at most `limit`; empty if not given.
    pub(super) fn items<T>(
        &self,
        setting: &Setting,
        limit: usize,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        let all = self.optional(setting, |text| {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let items = parts.map(parse).collect::<Option<Vec<_>>>()?;
            (items.len() <= limit).then_some(items)
        })?;
        Ok(all.unwrap_or_default())
    }
}

/// Returns whether a text contains a placeholder from an example.
fn is_placeholder(text: &str) -> bool {
    let text = text.to_ascii_lowercase().replace(['-', '_', '.'], "");
    ["changeme", "replaceme", "yourpassword", "yoursecret"].iter().any(|word| text.contains(word))
}

/// Returns a URL with a host, without user, password or fragment.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let web = matches!(url.scheme(), "http" | "https");
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (web && bare && url.has_host()).then_some(url)
}

/// Returns a URL whose traffic cannot be read or changed on the way: https, or http on loopback. It has a host and no
/// user, password or fragment.
pub fn safe_url(text: &str) -> Option<Url> {
    web_url(text).filter(|url| url.scheme() == "https" || is_loopback(url))
}

/// Returns whether the URL's host is this machine, by name or address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Returns a text of 1 to `limit` characters without control characters.
pub(super) fn short_text(text: &str, limit: usize) -> Option<String> {
    let fits = (1..=limit).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
