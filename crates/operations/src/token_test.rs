//! Test of a token: whose it is, and why. It reads rows and stores nothing.

use domain::{ClientId, MachineClient, Problem, RuleComparison, TokenFacts, User};
use store::Lists;

use crate::{Administrator, Result};

/// Result of testing a verified token.
#[derive(Clone, Debug)]
pub struct TokenTest {
    /// Identity the token stands for.
    pub outcome: TokenOutcome,
    /// A machine client that the admin asked about, compared with the token.
    pub compared: Option<ComparedClient>,
}

/// Identity a token stands for.
#[derive(Clone, Debug)]
pub enum TokenOutcome {
    /// A bound user.
    User(Box<User>),
    /// An invited user, whom the first request with this token binds if the invitation has not expired.
    Invitation(Box<User>),
    /// One machine client.
    Client(Box<MachineClient>),
    /// No one, because several machine clients match.
    Ambiguous(Vec<MachineClient>),
    /// No one.
    Unknown,
}

/// A machine client compared with a token.
#[derive(Clone, Debug)]
pub struct ComparedClient {
    /// The machine client.
    pub client: MachineClient,
    /// Whether it matches the token.
    pub fits: bool,
    /// Comparison of its rule; `None` for a client that is known by its client id.
    pub rule: Option<RuleComparison>,
}

/// Tests a verified token, and compares it with one machine client if an id is given. The connection is read-only, so
/// no sign-in and no use is recorded.
///
/// # Errors
/// `validation_failed` if there is no machine client with that id; database errors.
pub async fn test_token(
    lists: &mut Lists,
    _: &Administrator,
    facts: &TokenFacts,
    compare_with: Option<ClientId>,
) -> Result<TokenTest> {
    let compared = match compare_with {
        Some(id) => {
            let unknown = || Problem::field("/compare_with", "no machine client with this id");
            let client = lists.clients().get(id).await?.ok_or_else(unknown)?;
            let rule = client.rule.as_ref().map(|rule| RuleComparison::of(rule, facts));
            let fits =
                client.issuer == facts.issuer && !facts.fitting(std::slice::from_ref(&client)).is_empty();
            Some(ComparedClient { client, fits, rule })
        }
        None => None,
    };
    Ok(TokenTest { outcome: find_identity(lists, facts).await?, compared })
}

/// Finds the identity in the order in which a request is identified.
async fn find_identity(lists: &mut Lists, facts: &TokenFacts) -> Result<TokenOutcome> {
    if let Some(user) = lists.users().find(&facts.issuer, &facts.subject).await? {
        return Ok(TokenOutcome::User(Box::new(user)));
    }
    if let Some(email) = &facts.binding_email
        && let Some(user) = lists.users().by_email(email).await?
        && user.subject.is_none()
        && user.is_active
        && user.issuer.as_ref().is_none_or(|issuer| *issuer == facts.issuer)
    {
        return Ok(TokenOutcome::Invitation(Box::new(user)));
    }
    if facts.is_personal() {
        return Ok(TokenOutcome::Unknown);
    }
    let candidates = lists.clients().candidates(facts).await?;
    let fitting: Vec<MachineClient> = facts.fitting(&candidates.clients).into_iter().cloned().collect();
    Ok(match <[MachineClient; 1]>::try_from(fitting) {
        Ok([one]) => TokenOutcome::Client(Box::new(one)),
        Err(several) if several.is_empty() => TokenOutcome::Unknown,
        Err(several) => TokenOutcome::Ambiguous(several),
    })
}
