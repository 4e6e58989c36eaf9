//! `rts create-admin`.

use anyhow::Context;
use domain::AuditEntry;
use runtime::config::{OidcConfig, Sources};
use serde_json::json;
use store::UserDraft;

use crate::{args::CreateAdmin, assemble, process, say};

/// Makes somebody an active admin, and writes it down.
pub(crate) async fn create(sources: &Sources, who: CreateAdmin) -> anyhow::Result<()> {
    let issuer = match (&who.subject, who.issuer) {
        (Some(_), None) => sources.section::<OidcConfig>()?.issuers.into_iter().next().map(|one| one.issuer),
        (_, given) => given,
    };
    let name = who.email.clone().or_else(|| who.subject.clone()).unwrap_or_default();
    let draft = UserDraft { email: who.email, issuer, subject: who.subject, ..UserDraft::default() };
    let store = assemble::store(sources)?;
    let operator = process::operator("rts create-admin");
    let mut tx = store.begin().await?;
    let made = tx.users().make_admin(&draft).await;
    made.context("cannot make an admin; `rts init-db` makes missing tables")?;
    let entry = AuditEntry {
        identity: Some(name.clone()),
        data: json!({ "by": operator.command, "os_user": operator.os_user, "host": operator.host,
            "issuer": draft.issuer, "subject": draft.subject }),
        ..AuditEntry::service("admin.create")
    };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    store.close().await;
    say::line(format_args!("{name} is an admin"));
    Ok(())
}
