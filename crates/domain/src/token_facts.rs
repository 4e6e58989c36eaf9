//! Facts from a verified token: its principal, and whether it stands for a user or a machine client.

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::{MachineClient, claim_rule};

/// An identity: issuer and subject. All other claims of a token may change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `sub`.
    pub subject: String,
}

impl Principal {
    /// Returns the principal of this issuer and subject.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into() }
    }

    /// Returns a hash of 32 bytes that identifies the principal.
    pub fn fingerprint(&self) -> Vec<u8> {
        let text = format!("{}:{}{}", self.issuer.len(), self.issuer, self.subject);
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
    }
}

/// Claims of a verified token that decide about the identity.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenFacts {
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `sub`.
    pub subject: String,
    /// Claim `email`, verified or not.
    pub email: Option<String>,
    /// Claim `email`, if it may bind a user: it is verified and its issuer binds users.
    pub binding_email: Option<String>,
    /// Claim `name` or `preferred_username`.
    pub name: Option<String>,
    /// All claims.
    pub claims: Map<String, Value>,
}

/// Claims that only users' tokens carry.
const PERSONAL_CLAIMS: [&str; 16] = [
    "emails",
    "auth_time",
    "nonce",
    "amr",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "upn",
    "unique_name",
    "phone_number",
    "birthdate",
    "gender",
    "picture",
    "zoneinfo",
];
/// Claims in which providers name the client of a token: `OpenID` Connect, RFC 9068, Okta, Entra ID.
const CLIENT_CLAIMS: [&str; 4] = ["azp", "client_id", "cid", "appid"];
/// Claims of a machine client's token that distinguish its runs, for audit rows.
const RUN_CLAIMS: [&str; 16] = [
    "run_id",
    "run_attempt",
    "actor",
    "repository",
    "repository_id",
    "ref",
    "event_name",
    "environment",
    "workflow_ref",
    "job_workflow_ref",
    "project_path",
    "pipeline_id",
    "job_id",
    "user_login",
    "azp",
    "jti",
];
/// Maximum length of one claim in an audit row, in characters; subjects may be longer.
const MAX_CLAIM: usize = 255;

impl TokenFacts {
    /// Returns the identity.
    pub fn principal(&self) -> Principal {
        Principal::new(&*self.issuer, &*self.subject)
    }

    /// Returns whether this is a user's token, which never passes as a machine client's.
    ///
    /// Names, an e-mail address or traces of a sign-in always decide. A session or the scope `openid` decides too,
    /// unless the issuer states that a client got the token for itself.
    pub fn is_personal(&self) -> bool {
        let has = |name: &&str| self.claims.get(*name).is_some_and(|value| !value.is_null());
        let email = has(&"email") && !self.is_google_service_account();
        let username = self.text("preferred_username").is_some_and(|name| !is_service_account(name));
        let session = has(&"sid") || self.has_scope("openid");
        email || username || PERSONAL_CLAIMS.iter().any(has) || (session && !self.is_clients_own())
    }

    /// Returns the client ids this token may stand for. A client claim alone names the program a user signed in with,
    /// so it counts only in a client's own token. A subject counts only if the token names no other client.
    pub fn client_ids(&self) -> Vec<String> {
        if self.is_personal() {
            return Vec::new();
        }
        let subject = self.subject.strip_suffix("@clients").unwrap_or(&self.subject);
        let named: Vec<&str> = CLIENT_CLAIMS.iter().filter_map(|name| self.text(name)).collect();
        let own = self.is_clients_own();
        let mut ids = Vec::new();
        if own || named.is_empty() || named.iter().all(|id| *id == subject || *id == self.subject) {
            ids.push(subject.to_owned());
        }
        ids.extend(named.iter().filter(|_| own).map(|id| (*id).to_owned()));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Returns the keys of claim rules that may match this token; empty for a user's token.
    pub fn rule_keys(&self) -> Vec<String> {
        if self.is_personal() { Vec::new() } else { claim_rule::keys(&self.subject, &self.claims) }
    }

    /// Returns the one client of `candidates` that this token stands for. Returns `None` if several match, because any
    /// choice could act for the wrong team.
    pub fn choose<'c>(&self, candidates: &'c [MachineClient]) -> Option<&'c MachineClient> {
        match self.fitting(candidates).as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Returns the clients of `candidates` that match this token: by client id, else by rule. A user's token matches
    /// none.
    pub fn fitting<'c>(&self, candidates: &'c [MachineClient]) -> Vec<&'c MachineClient> {
        if self.is_personal() {
            return Vec::new();
        }
        let ids = self.client_ids();
        let by_id: Vec<_> = candidates
            .iter()
            .filter(|client| client.rule.is_none() && ids.contains(&client.client_id))
            .collect();
        let by_rule = || {
            candidates
                .iter()
                .filter(|client| {
                    client.rule.as_ref().is_some_and(|rule| rule.fits(&self.subject, &self.claims))
                })
                .collect::<Vec<_>>()
        };
        if by_id.is_empty() { by_rule() } else { by_id }
    }

    /// Returns the claims that distinguish the runs of a machine client, each of bounded length.
    pub fn run_claims(&self) -> Value {
        let mut kept = Map::from_iter([("sub".to_owned(), json!(self.subject))]);
        for name in RUN_CLAIMS {
            let value = match self.claims.get(name) {
                Some(Value::String(text)) => json!(printable(text, MAX_CLAIM)),
                Some(number @ Value::Number(_)) => number.clone(),
                _ => continue,
            };
            kept.insert(name.to_owned(), value);
        }
        Value::Object(kept)
    }

    /// Returns the claims that decide whose token it is, each of bounded length: client ids, owners, and those that
    /// distinguish runs.
    pub fn deciding_claims(&self) -> Value {
        let mut claims = self.run_claims();
        for name in
            CLIENT_CLAIMS.iter().chain(claim_rule::OWNER_CLAIMS).chain(&["email", "email_verified", "gty"])
        {
            let shown = match self.claims.get(*name) {
                Some(Value::String(text)) => json!(printable(text, MAX_CLAIM)),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => value.clone(),
                _ => continue,
            };
            claims[*name] = shown;
        }
        claims
    }

    /// Returns the claims that the database can store: it cannot store U+0000.
    pub fn storable_claims(&self) -> Value {
        // JSON writes U+0000 as an escape. A text that contains the escape's letters is left out too; no rule has it.
        let storable =
            |name: &String, value: &Value| !name.contains('\0') && !value.to_string().contains("\\u0000");
        self.claims
            .iter()
            .filter(|(name, value)| storable(name, value))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    }

    /// Returns issuer, subject, e-mail and client id as they were read, for an error message to the caller.
    pub fn describe(&self) -> String {
        let shown = |text: &str| printable(text, MAX_CLAIM);
        let email = self.email.as_deref().map_or_else(
            || "no e-mail".to_owned(),
            |email| {
                let verified = if self.binding_email.is_some() {
                    ""
                } else {
                    " (not verified, or not for its issuer to bind)"
                };
                format!("the e-mail `{}`{verified}", shown(email))
            },
        );
        let client = CLIENT_CLAIMS.iter().find_map(|name| Some((*name, self.text(name)?)));
        let client = client.map_or_else(
            || "no client id".to_owned(),
            |(name, id)| format!("the client id `{}` (`{name}`)", shown(id)),
        );
        format!(
            "the issuer `{}`, the subject `{}`, {email} and {client}",
            shown(&self.issuer),
            shown(&self.subject)
        )
    }

    /// Returns whether the issuer states that a client got this token for itself, without a user.
    fn is_clients_own(&self) -> bool {
        let is = |name: &str, words: &[&str]| self.text(name).is_some_and(|text| words.contains(&text));
        // Keycloak records the client's address only in sessions of service accounts.
        let keycloak = ["clientHost", "clientAddress"].iter().all(|name| self.text(name).is_some());
        let service_account = CLIENT_CLAIMS.iter().filter_map(|name| self.text(name)).any(|id| {
            let name = self.text("preferred_username").and_then(|name| name.strip_prefix(SERVICE_ACCOUNT));
            name.is_some_and(|name| name.eq_ignore_ascii_case(id))
        });
        // Entra ID: the subject of an application is its object id; that of a user differs for each application.
        let entra = self.text("tid").is_some()
            && self.text("oid") == Some(&self.subject)
            && !self.claims.contains_key("scp");
        let auth0 = is("gty", &["client-credentials", "client_credentials"]);
        auth0 || is("idtyp", &["app"]) || keycloak || service_account || entra
    }

    /// Returns whether the token belongs to a Google Cloud service account, which has its own e-mail address and is its
    /// own authorised party.
    fn is_google_service_account(&self) -> bool {
        self.text("email").is_some_and(|email| email.ends_with(".gserviceaccount.com"))
            && self.claims.get("email_verified") == Some(&Value::Bool(true))
            && self.text("azp") == Some(&self.subject)
    }

    fn has_scope(&self, scope: &str) -> bool {
        ["scope", "scp"].iter().any(|name| match self.claims.get(*name) {
            Some(Value::String(text)) => text.split_whitespace().any(|word| word == scope),
            Some(Value::Array(words)) => words.iter().any(|word| word.as_str() == Some(scope)),
            _ => false,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str().filter(|text| !text.is_empty() && !text.chars().any(char::is_control))
    }
}

/// Prefix of the user name that Keycloak gives to a client's service account.
const SERVICE_ACCOUNT: &str = "service-account-";

fn is_service_account(name: &str) -> bool {
    name.starts_with(SERVICE_ACCOUNT)
}

/// Returns at most `most` characters of the text, without control characters.
fn printable(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

#[cfg(test)]
mod tests;
