//! Effective settings of a process, without secrets.

use super::{Setting, Sources, docs};

/// Shown instead of a value that may hold a secret.
const HIDDEN: &str = "***";

/// Most characters of a value that are shown.
const MAX_SHOWN: usize = 200;

/// The value of a setting that a process uses, and where it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Heading of its section in the documentation.
    pub section: &'static str,
    /// The setting.
    pub setting: Setting,
    /// The value, shortened, or `***` if it may hold a secret; `None` if there is none.
    pub value: Option<String>,
    /// `environment`, `.env`, `file`, or `default` if the setting is not given.
    pub origin: &'static str,
}

impl Sources {
    /// Returns every setting with its value, in the order of the documentation.
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        let sections = docs::settings().iter();
        let all =
            sections.flat_map(|(title, settings)| settings.iter().map(move |setting| (*title, setting)));
        all.map(|(section, setting)| {
            let value = self.given(setting).ok().flatten().map(|given| shown(setting, &given.text));
            let origin = self.layer(setting).unwrap_or("default");
            EffectiveSetting { section, setting: *setting, value, origin }
        })
        .collect()
    }
}

/// Returns the text as others may see it. A URL with an `@` may hold a password.
fn shown(setting: &Setting, text: &str) -> String {
    let may_hold_password = text.contains("://") && text.contains('@');
    if setting.secret || may_hold_password {
        return HIDDEN.to_owned();
    }
    let mut short: String = text.chars().take(MAX_SHOWN).filter(|c| !c.is_control()).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    #[test]
    fn secrets_are_hidden_and_origins_are_shown() {
        let sources = Sources::empty(Mode::Production)
            .set("DATABASE_URL", "postgres://rts:hunter2@db/rts")
            .set("OIDC_ISSUER", "https://ada:hunter2@idp.example")
            .set("SERVICE_PORT", "80");
        let effective = sources.effective();
        let one = |name: &str| effective.iter().find(|one| one.setting.name == name).unwrap();
        assert_eq!(one("DATABASE_URL").value.as_deref(), Some(HIDDEN));
        assert_eq!(one("OIDC_ISSUER").value.as_deref(), Some(HIDDEN));
        assert_eq!(
            (one("SERVICE_PORT").value.as_deref(), one("SERVICE_PORT").origin),
            (Some("80"), "environment")
        );
        assert_eq!(one("SERVICE_HOST").origin, "default");
        assert_eq!(one("CREDENTIAL_KEYS").value, None);
        assert!(!format!("{effective:?}").contains("hunter2"));
    }
}
