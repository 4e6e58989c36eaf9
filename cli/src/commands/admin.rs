//! `rts create-admin`.

use anyhow::Context;
use runtime::config::{ConfigError, OidcConfig, Sources};
use store::UserDraft;

use super::access::refused;
use crate::{args::CreateAdmin, output, process, wiring};

/// Makes a person an active admin.
pub(crate) async fn create(sources: &Sources, who: CreateAdmin) -> anyhow::Result<()> {
    let issuer = issuer(sources, &who)?;
    let name = who.email.clone().or_else(|| who.subject.clone()).unwrap_or_default();
    let draft = UserDraft { email: who.email, issuer, subject: who.subject, ..UserDraft::default() };
    let store = wiring::store(sources)?;
    let made = operations::make_admin(&store, &process::administrator("rts create-admin"), &draft).await;
    made.map_err(refused).context("cannot make an admin; `rts init-db` makes missing tables")?;
    store.close().await;
    output::line(format_args!("{name} is an admin"));
    Ok(())
}

/// Returns the issuer of the new admin: the given one, or the first that binds people. Where no issuers are configured,
/// the API adds its own to an invitation by e-mail.
fn issuer(sources: &Sources, who: &CreateAdmin) -> anyhow::Result<Option<String>> {
    let config = match (sources.section::<OidcConfig>(), &who.issuer) {
        (Ok(config), _) => config,
        (Err(ConfigError::Missing { .. }), given) if given.is_some() || who.subject.is_none() => {
            return Ok(given.clone());
        }
        (Err(error), _) => return Err(error.into()),
    };
    let Some(given) = &who.issuer else {
        let binding = config.binding_issuer().map(str::to_owned);
        return binding
            .context("no issuer binds people: give --issuer and --subject, or set OIDC_BINDS_PEOPLE")
            .map(Some);
    };
    let names: Vec<_> = config.issuers.iter().map(|one| one.issuer.as_str()).collect();
    anyhow::ensure!(
        names.contains(&given.as_str()),
        "the issuer {given} is not configured; configured are: {}",
        names.join(", ")
    );
    Ok(Some(given.clone()))
}
