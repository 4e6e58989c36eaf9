//! Bodies of requests for claim tickets and their validation.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    AddressRange, Caller, ClaimRule, FieldError, MAX_TICKET_RANGES, Problem, SealingKey, TeamId,
    TicketHolder, TicketIdentity, TicketRunner,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::AppState,
    routes::runners::{ProvisionBody, parse_sealing_key},
};

/// Shortest life of a ticket, in seconds.
const MIN_LIFE: i64 = 60;
/// Life of a ticket whose request states none, in seconds.
const DEFAULT_LIFE: i64 = 15 * 60;
/// Most bytes of an issuer.
const MAX_ISSUER: usize = 500;

/// Identity that may redeem a ticket.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketIdentityBody {
    /// Issuer of the machine's token, one that this service trusts.
    #[schema(example = "https://token.actions.githubusercontent.com")]
    pub(crate) issuer: String,
    /// Pattern of the token's whole subject: `*` matches any characters, `?` exactly one.
    #[schema(example = "system:serviceaccount:ci:runner")]
    pub(crate) subject: String,
    /// Exact values of further claims.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, serde_json::Value>,
}

/// A claim ticket to make. Send `addresses`, `identity` or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketBody {
    /// Prefix (1 to 51 characters) of the runner's generated name.
    #[schema(min_length = 1, max_length = 51, example = "vm")]
    runner_name_prefix: String,
    /// Labels in addition to the team's required labels, which are always added.
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["self-hosted", "linux"]))]
    labels: Vec<String>,
    /// GitHub's runner group; by default the default group.
    #[schema(minimum = 1)]
    runner_group_id: Option<i64>,
    /// Team, by name or id. Required for callers in several teams.
    #[schema(min_length = 1, max_length = 50, example = "web")]
    team: Option<String>,
    /// Team, by id, instead of `team`.
    team_id: Option<Uuid>,
    /// Work folder on the runner's machine, a relative path; by default `_work`.
    #[schema(min_length = 1, max_length = 100)]
    work_folder: Option<String>,
    /// Seconds for which the ticket can be redeemed, 60 to `TICKET_MAX_LIFE_SECONDS` of the service; by default 900.
    #[schema(minimum = 60, maximum = 604_800, example = 900)]
    expires_in_seconds: Option<i64>,
    /// Addresses or ranges that may redeem the ticket, as the service sees them.
    #[serde(default)]
    #[schema(max_items = 20, example = json!(["10.1.0.0/16"]))]
    addresses: Vec<String>,
    /// Identity whose token the machine must send.
    identity: Option<TicketIdentityBody>,
}

/// A validated body.
pub(crate) struct CheckedTicket {
    pub(crate) team: Option<TeamId>,
    pub(crate) runner: TicketRunner,
    pub(crate) holder: TicketHolder,
    pub(crate) life: TimeDelta,
}

impl TicketBody {
    /// Checks all values.
    ///
    /// # Errors
    /// `validation_failed` with all invalid values.
    pub(crate) fn check(self, app: &AppState, caller: &Caller) -> Result<CheckedTicket, Problem> {
        let mut wrong = Vec::new();
        let longest = i64::try_from(app.server.ticket_max_life.as_secs()).unwrap_or(i64::MAX);
        let life = self.expires_in_seconds.unwrap_or(DEFAULT_LIFE.min(longest));
        if !(MIN_LIFE..=longest).contains(&life) {
            wrong.push(FieldError::new("/expires_in_seconds", format!("{MIN_LIFE} to {longest}")));
        }
        let addresses = ranges(&self.addresses, &mut wrong);
        let identity = self.identity.map(|identity| check_identity(app, identity, &mut wrong));
        if self.addresses.is_empty() && identity.is_none() {
            let detail = "say which machine may redeem the ticket: addresses, identity or both";
            wrong.push(FieldError::new("/addresses", detail));
        }
        let prefix = self.runner_name_prefix;
        let runner = ProvisionBody {
            runner_name: None,
            runner_name_prefix: Some(prefix.clone()),
            labels: self.labels,
            runner_group_id: self.runner_group_id,
            team: self.team,
            team_id: self.team_id,
            work_folder: self.work_folder,
            runner_version: None,
            sealing_key: None,
        };
        let (request, team) = match runner.check(caller) {
            Ok(checked) if wrong.is_empty() => checked,
            Ok(_) => return Err(Problem::invalid(wrong)),
            Err(problem) => return Err(Problem::invalid([wrong, problem.errors].concat())),
        };
        Ok(CheckedTicket {
            team,
            runner: TicketRunner {
                name_prefix: prefix,
                labels: request.labels,
                runner_group_id: request.runner_group_id,
                work_folder: request.work_folder,
            },
            holder: TicketHolder { addresses, identity },
            life: TimeDelta::seconds(life),
        })
    }
}

fn ranges(texts: &[String], wrong: &mut Vec<FieldError>) -> Vec<AddressRange> {
    if texts.len() > MAX_TICKET_RANGES {
        wrong.push(FieldError::new("/addresses", format!("at most {MAX_TICKET_RANGES}")));
        return Vec::new();
    }
    let mut ranges = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(range) => ranges.push(range),
            Err(error) => {
                let error: domain::BadAddressRange = error;
                wrong.push(FieldError::new(format!("/addresses/{at}"), error.to_string()));
            }
        }
    }
    ranges
}

fn check_identity(app: &AppState, body: TicketIdentityBody, wrong: &mut Vec<FieldError>) -> TicketIdentity {
    if body.issuer.len() > MAX_ISSUER || !app.verifier.trusts(&body.issuer) {
        let detail = "no issuer that this service trusts; compare it letter for letter";
        wrong.push(FieldError::new("/identity/issuer", detail));
    }
    let rule = ClaimRule { subject: body.subject, claims: body.claims };
    if let Err(reason) = rule.check() {
        wrong.push(FieldError::new("/identity/subject", reason));
    }
    TicketIdentity { issuer: body.issuer, rule }
}

/// A redemption.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedeemBody {
    /// Text of the ticket.
    #[schema(max_length = 100, example = "rtst_…")]
    pub(crate) ticket: String,
    /// X25519 public key (32 bytes as padded base64) of a key pair made for this request; see `POST /runners/jit`.
    #[schema(min_length = 44, max_length = 44)]
    sealing_key: Option<String>,
}

impl RedeemBody {
    /// Returns the key to which the config is sealed.
    ///
    /// # Errors
    /// `validation_failed` if it is no usable key.
    pub(crate) fn sealing_key(&self) -> Result<Option<SealingKey>, Problem> {
        parse_sealing_key(self.sealing_key.as_deref()).map_err(|error| Problem::invalid(vec![error]))
    }
}
