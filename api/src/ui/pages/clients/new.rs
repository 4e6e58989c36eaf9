//! The addition of a machine client.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::Problem;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    app::AppState,
    body::Body,
    caller::Administers,
    error::ApiResult,
    routes::admin::clients::{
        self, NewClientBody,
        view::{ClaimRuleBody, ClientView},
    },
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor, done,
        pages::input::{PageParams, Refusal, form_page, lines, named_team, optional},
    },
};

/// A machine client as the form has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientForm {
    client_id: String,
    issuer: String,
    /// Name or id.
    team: String,
    description: String,
    /// Pattern of the subject; empty for a client that its client id identifies.
    subject: String,
    /// Claims of the rule, `name=value`, one a line.
    claims: String,
}

/// The form.
#[derive(Template)]
#[template(path = "client_new.html")]
struct NewClientPage {
    frame: Frame,
    form: ClientForm,
    issuers: Vec<String>,
    refusal: Option<Refusal>,
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    form: ClientForm,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let shown = NewClientPage {
        frame: Frame::new(app, visitor, Section::Clients, "New machine client").await,
        form,
        issuers: app.verifier.trusted_issuers().map(str::to_owned).collect(),
        refusal,
    };
    form_page(&shown, shown.refusal.as_ref())
}

/// Shows the form, filled in from the query.
pub(super) async fn show_form(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageParams(form): PageParams<ClientForm>,
) -> UiResult<Response> {
    show(&app, &visitor, form, None).await
}

/// Adds a machine client.
pub(super) async fn create(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    UiForm(form): UiForm<ClientForm>,
) -> UiResult<Response> {
    match add(&app, Administers(admin), &form).await {
        Ok(client) => {
            let sentence = format!("The machine client {} was added; test a token of it.", client.client_id);
            Ok(done(&format!("/clients/{}", client.id), sentence))
        }
        Err(error) => {
            let refusal = Refusal::of(error)?;
            show(&app, &visitor, form, Some(refusal)).await
        }
    }
}

async fn add(app: &AppState, admin: Administers, form: &ClientForm) -> ApiResult<ClientView> {
    let body = NewClientBody {
        client_id: form.client_id.trim().to_owned(),
        issuer: optional(&form.issuer),
        team_id: named_team(app, "/team_id", form.team.trim()).await?.id.uuid(),
        description: optional(&form.description),
        rule: rule(form)?,
    };
    let (_, client) = clients::create(State(app.clone()), admin, Body(body)).await?;
    Ok(client.0)
}

/// Returns the claim rule of the form. A value that reads as a number or as true or false is one.
fn rule(form: &ClientForm) -> Result<Option<ClaimRuleBody>, Problem> {
    let mut claims = BTreeMap::new();
    for line in lines("/rule/claims", &form.claims)? {
        let wrong = || Problem::field("/rule/claims", "write `name=value`, one a line");
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        let read = serde_json::from_str::<Value>(value.trim()).ok();
        let read = read.filter(|value| value.is_number() || value.is_boolean());
        claims.insert(name.trim().to_owned(), read.unwrap_or_else(|| Value::String(value.trim().to_owned())));
    }
    match optional(&form.subject) {
        Some(subject) => Ok(Some(ClaimRuleBody { subject, claims })),
        None if claims.is_empty() => Ok(None),
        None => Err(Problem::field("/rule/subject", "claims need a pattern of the subject")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rule_is_read_from_lines() {
        let form = ClientForm {
            subject: "repo:octo/web:*".into(),
            claims: "repository_owner = octo\nrepository_owner_id=42\n".into(),
            ..ClientForm::default()
        };
        let read = rule(&form).unwrap().unwrap();
        assert_eq!(json!(read.claims), json!({ "repository_owner": "octo", "repository_owner_id": 42 }));
        assert!(rule(&ClientForm::default()).unwrap().is_none());
        let form = ClientForm { claims: "a=b".into(), ..ClientForm::default() };
        assert_eq!(rule(&form).unwrap_err().errors[0].pointer, "/rule/subject");
    }
}
