//! `rts create-admin`.

use anyhow::Context;
use operations::BindingRights;
use runtime::config::{ConfigError, IssuerConfig, OidcConfig, Sources};
use store::UserDraft;

use super::access::refused;
use crate::{args::CreateAdmin, output, process, wiring};

/// Makes a person an active admin.
pub(crate) async fn create(sources: &Sources, who: CreateAdmin) -> anyhow::Result<()> {
    let issuer = issuer(sources, &who)?;
    let rights = issuer.as_ref().map(|issuer| binding_rights(issuer, who.email.as_deref()));
    let name = who.email.clone().or_else(|| who.subject.clone()).unwrap_or_default();
    let issuer = issuer.map(|issuer| issuer.issuer).or(who.issuer);
    let draft = UserDraft { email: who.email, issuer, subject: who.subject, ..UserDraft::default() };
    let store = wiring::store(sources)?;
    let admin = process::administrator("rts create-admin");
    let made = operations::make_admin(&store, &admin, &draft, rights).await;
    made.map_err(refused).context("cannot make an admin; `rts init-db` makes missing tables")?;
    store.close().await;
    output::line(format_args!("{name} is an admin"));
    Ok(())
}

fn binding_rights(issuer: &IssuerConfig, email: Option<&str>) -> BindingRights {
    let policy = &issuer.policy;
    BindingRights {
        people: policy.binds_people != Some(false),
        address: policy.binds_email(email.unwrap_or_default()),
    }
}

/// Returns the issuer of the new admin: the given one, or the first that binds people. Returns `None` where no issuers
/// are configured; the API adds its own to an invitation by e-mail.
fn issuer(sources: &Sources, who: &CreateAdmin) -> anyhow::Result<Option<IssuerConfig>> {
    let config = match (sources.section::<OidcConfig>(), &who.issuer) {
        (Ok(config), _) => config,
        (Err(ConfigError::Missing { .. }), given) if given.is_some() || who.subject.is_none() => {
            return Ok(None);
        }
        (Err(error), _) => return Err(error.into()),
    };
    let wanted = match (&who.issuer, config.binding_issuer()) {
        (Some(given), _) => given.as_str(),
        (None, Some(binding)) => binding,
        (None, None) => {
            anyhow::bail!("no issuer binds people: give --issuer and --subject, or set OIDC_BINDS_PEOPLE")
        }
    };
    let names: Vec<_> = config.issuers.iter().map(|one| one.issuer.as_str()).collect();
    let found = config.issuers.iter().find(|one| one.issuer == wanted);
    let found = found.with_context(|| {
        format!("the issuer {wanted} is not configured; configured are: {}", names.join(", "))
    })?;
    Ok(Some(found.clone()))
}
