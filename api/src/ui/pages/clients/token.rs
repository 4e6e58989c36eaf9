//! The test of a token: whose it is, and which rules match it.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{Problem, Secret};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Body,
    caller::ActingAdmin,
    error::ApiResult,
    routes::admin::clients::token::{self, TestedToken, TokenTestView},
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, Visitor,
        pages::input::{PageParams, Refusal, form_page, optional},
    },
};

/// A token to test. It is neither stored nor logged, and no page repeats it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenForm {
    #[serde(deserialize_with = "secret")]
    token: Secret,
    #[serde(default)]
    compare_with: String,
}

/// A machine client to compare with, as a link names it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Comparison {
    compare_with: String,
}

fn secret<'de, D: Deserializer<'de>>(reader: D) -> Result<Secret, D::Error> {
    String::deserialize(reader).map(|text| Secret::new(text.trim().to_owned()))
}

/// The form and the result.
#[derive(Template)]
#[template(path = "client_test.html")]
struct TestPage {
    frame: Frame,
    compare_with: String,
    result: Option<TokenTestView>,
    refusal: Option<Refusal>,
}

async fn show(
    app: &AppState,
    visitor: &Visitor,
    compare_with: String,
    tested: Result<Option<TokenTestView>, Refusal>,
) -> UiResult<Response> {
    let (result, refusal) = match tested {
        Ok(result) => (result, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let frame = Frame::new(app, visitor, Section::Clients, "Test a token").await;
    let shown = TestPage { frame, compare_with, result, refusal };
    form_page(&shown, shown.refusal.as_ref())
}

/// Shows the form.
pub(super) async fn show_form(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageParams(with): PageParams<Comparison>,
) -> UiResult<Response> {
    show(&app, &visitor, with.compare_with, Ok(None)).await
}

/// Tests a token. Nothing is written.
pub(super) async fn test(
    State(app): State<AppState>,
    by: AdminVisitor,
    UiForm(form): UiForm<TokenForm>,
) -> UiResult<Response> {
    let compare_with = form.compare_with.clone();
    let tested = match run(&app, by.acting(), form).await {
        Ok(result) => Ok(Some(result)),
        Err(error) => Err(Refusal::of(error)?),
    };
    show(&app, &by.visitor, compare_with, tested).await
}

async fn run(app: &AppState, admin: ActingAdmin, form: TokenForm) -> ApiResult<TokenTestView> {
    let wrong = |_| Problem::field("/compare_with", "the id of a machine client");
    let compare_with: Option<Uuid> =
        optional(&form.compare_with).map(|id| id.parse()).transpose().map_err(wrong)?;
    let body = TestedToken { token: form.token, compare_with };
    Ok(token::test(State(app.clone()), admin, Body(body)).await?.0)
}
