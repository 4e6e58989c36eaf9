//! `rts list-users`.

use chrono::SecondsFormat;
use comfy_table::{Table, presets::NOTHING};
use domain::User;
use runtime::config::Sources;
use serde_json::{Value, json};
use store::{Page, UserFilter};

use crate::{
    args::{ListUsers, Output},
    output, wiring,
};

/// Lists users.
pub(crate) async fn list(sources: &Sources, which: &ListUsers) -> anyhow::Result<()> {
    let store = wiring::store(sources)?;
    let page = Page { limit: which.limit, offset: 0, before: None };
    let listed = store.conn().await?.users().list(&UserFilter::default(), page).await?;
    store.close().await;
    match which.output {
        Output::Table => output::line(table(&listed.items)),
        Output::Json => {
            let rows: Vec<Value> = listed.items.iter().map(row).collect();
            output::line(serde_json::to_string_pretty(&rows)?);
        }
    }
    output::note(format_args!("{} of {}", listed.items.len(), listed.total));
    Ok(())
}

pub(crate) fn table(users: &[User]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["USER", "EMAIL", "SUBJECT", "ADMIN", "ACTIVE", "LAST LOGIN"]);
    let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    for user in users {
        table.add_row([
            user.id.to_string(),
            user.email.clone().unwrap_or_default(),
            user.subject.clone().unwrap_or_default(),
            yes_or_no(user.is_admin),
            yes_or_no(user.is_active),
            user.last_login_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default(),
        ]);
    }
    table
}

/// Returns a user with the API's field names.
fn row(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "issuer": user.issuer,
        "oidc_sub": user.subject,
        "display_name": user.display_name,
        "is_admin": user.is_admin,
        "is_active": user.is_active,
        "can_use_jit": user.can_use_jit,
        "can_use_registration_token": user.can_use_registration_token,
        "last_login_at": user.last_login_at,
    })
}
