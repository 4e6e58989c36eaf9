//! Test of a token: whose it is, and which claims and rules decide that.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use domain::{ClientId, FieldError, MachineClient, Problem, Secret, TokenFacts};
use oidc::OidcError;
use operations::{ComparedClient, TokenOutcome, TokenTest, test_token};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::ClientView;
use crate::{
    app::AppState, body::Body, caller::ActingAdmin, error::ApiResult, openapi::problems,
    routes::admin::users::UserView,
};

problems! {
    TestProblems: MalformedBody, AdminRequired, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// A token to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestedToken {
    /// The token, as a caller would send it after `Bearer`. It is neither stored nor logged.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, min_length = 1, max_length = 16384)]
    pub(crate) token: Secret,
    /// A machine client whose rule is compared with the token part by part, by its id.
    pub(crate) compare_with: Option<Uuid>,
}

fn secret<'de, D: Deserializer<'de>>(reader: D) -> Result<Secret, D::Error> {
    String::deserialize(reader).map(Secret::new)
}

/// Claim of a rule compared with the token's claim.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimView {
    /// Name of the claim.
    pub(crate) name: String,
    /// Value in the rule.
    pub(crate) wanted: Value,
    /// Value in the token, shortened; null if it has no such claim.
    pub(crate) found: Option<Value>,
    /// Whether both are equal.
    pub(crate) fits: bool,
}

/// Machine client compared with the token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparisonView {
    /// The machine client.
    pub(crate) client: ClientView,
    /// Whether it matches the token.
    pub(crate) fits: bool,
    /// Whether its rule pins an owner; null without a rule. A rule that does not matches no token.
    pub(crate) pins_owner: Option<bool>,
    /// Whether the subject matches the rule's pattern; null without a rule.
    pub(crate) subject_fits: Option<bool>,
    /// Comparison of each claim of the rule.
    pub(crate) claims: Vec<ClaimView>,
}

/// Result of testing a token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenTestView {
    /// `refused`, `user`, `invitation`, `machine_client`, `ambiguous` or `unknown`.
    #[schema(example = "machine_client")]
    pub(crate) outcome: &'static str,
    /// Explanation of the outcome, and the remedy if the token would be refused.
    pub(crate) detail: String,
    /// Issuer of the token; null if it was refused.
    pub(crate) issuer: Option<String>,
    /// Subject of the token.
    pub(crate) subject: Option<String>,
    /// End of the token's validity.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Whether it is a person's token, which never passes as a machine client's.
    pub(crate) is_personal: bool,
    /// Client ids that the token may stand for.
    pub(crate) client_ids: Vec<String>,
    /// Claims that decide whose token it is, shortened.
    #[schema(value_type = Object)]
    pub(crate) claims: Value,
    /// The user, for the outcomes `user` and `invitation`.
    pub(crate) user: Option<UserView>,
    /// The machine clients that match.
    pub(crate) clients: Vec<ClientView>,
    /// The machine client of `compare_with`.
    pub(crate) comparison: Option<ComparisonView>,
}

impl From<ComparedClient> for ComparisonView {
    fn from(compared: ComparedClient) -> Self {
        let rule = compared.rule.as_ref();
        let claims = rule.map(|rule| rule.claims.clone()).unwrap_or_default();
        Self {
            fits: compared.fits,
            pins_owner: rule.map(|rule| rule.pins_owner),
            subject_fits: rule.map(|rule| rule.subject_fits),
            claims: claims
                .into_iter()
                .map(|claim| ClaimView {
                    name: claim.name,
                    wanted: claim.wanted,
                    found: claim.found,
                    fits: claim.fits,
                })
                .collect(),
            client: compared.client.into(),
        }
    }
}

impl TokenTestView {
    fn refused(error: &OidcError) -> Self {
        Self {
            outcome: "refused",
            detail: format!("The token is refused before anything else is read ({}): {error}.", error.code()),
            issuer: None,
            subject: None,
            expires_at: None,
            is_personal: false,
            client_ids: Vec::new(),
            claims: Value::Object(serde_json::Map::new()),
            user: None,
            clients: Vec::new(),
            comparison: None,
        }
    }

    fn of(tested: TokenTest, facts: TokenFacts, expires_at: DateTime<Utc>) -> Self {
        let (outcome, detail) = explain(&tested.outcome, facts.is_personal());
        let (user, clients) = match tested.outcome {
            TokenOutcome::User(user) | TokenOutcome::Invitation(user) => (Some(*user), Vec::new()),
            TokenOutcome::Client(client) => (None, vec![*client]),
            TokenOutcome::Ambiguous(several) => (None, several),
            TokenOutcome::Unknown => (None, Vec::new()),
        };
        Self {
            outcome,
            detail,
            is_personal: facts.is_personal(),
            client_ids: facts.client_ids(),
            claims: facts.deciding_claims(),
            issuer: Some(facts.issuer),
            subject: Some(facts.subject),
            expires_at: Some(expires_at),
            user: user.map(UserView::from),
            clients: clients.into_iter().map(ClientView::from).collect(),
            comparison: tested.compared.map(ComparisonView::from),
        }
    }
}

/// Returns the name of an outcome, and its explanation.
fn explain(outcome: &TokenOutcome, is_personal: bool) -> (&'static str, String) {
    match outcome {
        TokenOutcome::User(user) if user.is_active => ("user", "It is the token of this user.".to_owned()),
        TokenOutcome::User(user) => (
            "user",
            format!("This user is deactivated; activate them with POST /admin/users/{}/activate.", user.id),
        ),
        TokenOutcome::Invitation(_) => (
            "invitation",
            "The first request with this token binds this invited user, if the invitation is younger than 30 days."
                .to_owned(),
        ),
        TokenOutcome::Client(client) if client.is_active => {
            ("machine_client", format!("It acts as the machine client `{}`.", client.client_id))
        }
        TokenOutcome::Client(client) => (
            "machine_client",
            format!(
                "The machine client `{}` is deactivated; activate it with PATCH /admin/oauth-clients/{}.",
                client.client_id, client.id
            ),
        ),
        TokenOutcome::Ambiguous(several) => ("ambiguous", ambiguous(several)),
        TokenOutcome::Unknown if is_personal => (
            "unknown",
            "It is a person's token, and no user has this identity; add the user with POST /admin/users, by this \
             issuer and subject or by e-mail."
                .to_owned(),
        ),
        TokenOutcome::Unknown => (
            "unknown",
            "No user or machine client has this identity; add a machine client with POST /admin/oauth-clients, by one \
             of `client_ids` or with a rule for this subject."
                .to_owned(),
        ),
    }
}

fn ambiguous(several: &[MachineClient]) -> String {
    let names: Vec<String> = several.iter().take(5).map(|client| format!("`{}`", client.client_id)).collect();
    format!(
        "{} machine clients match, so it is refused: {}; add claims to their rules until one matches.",
        several.len(),
        names.join(", ")
    )
}

/// Test a token: whose it is, which claims decide that, and which rule matches.
///
/// For admins. Nothing is stored: no user is bound, no use is recorded and no event is written. `compare_with` names a
/// machine client whose rule is compared part by part.
#[utoipa::path(
    post, path = "/admin/oauth-clients/test-token", tag = "admin", request_body = TestedToken,
    responses((status = 200, description = "The result, also for a token that is refused", body = TokenTestView), TestProblems),
)]
pub(crate) async fn test(
    State(app): State<AppState>,
    ActingAdmin { caller, permission, .. }: ActingAdmin,
    Body(body): Body<TestedToken>,
) -> ApiResult<Json<TokenTestView>> {
    let token = body.token.expose();
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(Problem::invalid(vec![FieldError::new("/token", "1 to 16,384 bytes")]).into());
    }
    let verified = match app.verifier.verify(token).await {
        Ok(verified) => verified,
        Err(error) if error.is_ours() => return Err(error.into()),
        Err(error) => return Ok(Json(TokenTestView::refused(&error))),
    };
    let expires_at = verified.expires_at;
    let facts = verified.facts();
    let mut lists = app.lists(&caller).await?;
    let compare_with = body.compare_with.map(ClientId::from);
    let tested = test_token(&mut lists, &permission, &facts, compare_with).await?;
    let answer = lists.respond(Ok(tested), |tested| TokenTestView::of(tested, facts, expires_at))?;
    Ok(Json(answer.into_body()))
}
