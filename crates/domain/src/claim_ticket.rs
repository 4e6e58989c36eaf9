//! Claim tickets: promises of one runner that a machine redeems when it is up.
//!
//! A ticket holds no config. Its config is made when the ticket is redeemed, so none lies about or expires unused.

use std::{fmt, net::IpAddr, str::FromStr};

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    ClaimRule, JobId, Principal, ProvisionRequest, RequestedName, Requester, RunnerId, SealError, Secret,
    TeamId, TicketId, TokenFacts, string_enum::string_enum,
};

/// Begin of every ticket's text, by which scanners for secrets find it.
const PREFIX: &str = "rtst_";
/// Random bytes of a ticket.
const SECRET_BYTES: usize = 32;
/// Most address ranges of a ticket.
pub const MAX_TICKET_RANGES: usize = 20;
/// Time for which a redeemed ticket gives the same runner to the same machine again.
pub const TICKET_REPEAT_TIME: TimeDelta = TimeDelta::hours(1);

/// The text of a ticket. It is a secret: with the right address or identity, its holder gets a runner.
#[derive(Clone, Debug)]
pub struct TicketSecret(Secret);

impl TicketSecret {
    /// Generates the text of a new ticket.
    ///
    /// # Errors
    /// [`SealError::BadKey`] if the cryptographic library fails.
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| SealError::BadKey)?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self(Secret::new(format!("{PREFIX}{}", text.as_str()))))
    }

    /// Returns the text itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns the SHA-256 hash under which the ticket is stored. A text of 256 random bits needs no slow hash, and a
    /// lookup by hash reveals nothing about the text by its time.
    pub fn hash(&self) -> Vec<u8> {
        sha256(self.expose())
    }
}

impl FromStr for TicketSecret {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let encoded = text.strip_prefix(PREFIX).ok_or(())?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| ())?);
        if bytes.len() == SECRET_BYTES { Ok(Self(Secret::new(text))) } else { Err(()) }
    }
}

/// Returns the hash of the idempotency key of a redemption.
pub fn redemption_key(key: &str) -> Vec<u8> {
    sha256(key)
}

fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

string_enum! {
    /// State of a claim ticket.
    TicketState {
        /// A machine may redeem it.
        Open = "open",
        /// A machine has redeemed it.
        Redeemed = "redeemed",
        /// Its time ended before a machine redeemed it.
        Expired = "expired",
        /// It was revoked before a machine redeemed it.
        Revoked = "revoked",
    }
}

/// A range of addresses in CIDR form, stored as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange(IpNet);

/// A text that is no address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address or a range such as 10.1.0.0/16, not all addresses")]
pub struct BadAddressRange;

impl FromStr for AddressRange {
    type Err = BadAddressRange;

    fn from_str(text: &str) -> Result<Self, BadAddressRange> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let range = text.parse::<IpNet>().or_else(|_| alone()).map_err(|_| BadAddressRange)?;
        // A range of all addresses would be no condition.
        if range.prefix_len() == 0 { Err(BadAddressRange) } else { Ok(Self(range.trunc())) }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = BadAddressRange;

    fn try_from(text: String) -> Result<Self, BadAddressRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity whose token a machine must show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketIdentity {
    /// Issuer of the token.
    pub issuer: String,
    /// Rule for its subject and claims.
    pub rule: ClaimRule,
}

/// Machines that may redeem a ticket: every given part must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketHolder {
    /// Ranges of which one must hold the address of the request; empty for any address.
    pub addresses: Vec<AddressRange>,
    /// Identity whose token must be sent; `None` if no token is needed.
    pub identity: Option<TicketIdentity>,
}

impl TicketHolder {
    /// Returns whether a machine with this address and this verified token may redeem the ticket. A ticket without any
    /// condition fits no machine.
    pub fn admits(&self, address: Option<IpAddr>, token: Option<&TokenFacts>) -> bool {
        if self.addresses.is_empty() && self.identity.is_none() {
            return false;
        }
        let address = address.map(|address| address.to_canonical());
        let in_range = self.addresses.is_empty()
            || address.is_some_and(|address| self.addresses.iter().any(|range| range.0.contains(&address)));
        let identified = self.identity.as_ref().is_none_or(|identity| {
            token.is_some_and(|token| {
                token.issuer == identity.issuer && identity.rule.fits(&token.subject, &token.claims)
            })
        });
        in_range && identified
    }
}

/// Properties of the runner that a ticket promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRunner {
    /// Begin of the generated name.
    pub name_prefix: String,
    /// Requested labels.
    pub labels: Vec<String>,
    /// Requested runner group; `None` means the default group.
    pub runner_group_id: Option<i64>,
    /// Work folder on the runner's machine.
    pub work_folder: String,
}

impl TicketRunner {
    /// Returns the request for the runner.
    pub fn request(&self) -> ProvisionRequest {
        ProvisionRequest {
            name: RequestedName::Prefix(self.name_prefix.clone()),
            labels: self.labels.clone(),
            runner_group_id: self.runner_group_id,
            work_folder: self.work_folder.clone(),
            runner_version: None,
        }
    }
}

/// The use of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketUse {
    /// Time of the redemption.
    pub at: DateTime<Utc>,
    /// Hash of the idempotency key that the machine sent.
    pub key: Vec<u8>,
    /// Address of the machine.
    pub address: Option<String>,
    /// Issuer and subject of the machine's token, if the ticket asks for one.
    pub identity: Option<String>,
    /// Job that creates the runner.
    pub job: JobId,
    /// The runner.
    pub runner: RunnerId,
}

/// One stored claim ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimTicket {
    /// Id of the ticket.
    pub id: TicketId,
    /// Team of the runner.
    pub team: TeamId,
    /// Person or machine client who asked for the ticket.
    pub requester: Requester,
    /// Identity of the requester, as audit rows show it.
    pub identity: String,
    /// Issuer and subject of the requester's token.
    pub principal: Principal,
    /// The promised runner.
    pub runner: TicketRunner,
    /// Machines that may redeem it.
    pub holder: TicketHolder,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time after which it cannot be redeemed.
    pub expires_at: DateTime<Utc>,
    /// Time of its revocation.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Its use.
    pub used: Option<TicketUse>,
    /// Time of the read, by the database's clock.
    pub now: DateTime<Utc>,
}

/// What a ticket gives to a machine that may redeem it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketClaim {
    /// A new runner.
    New,
    /// The runner of an earlier request with an equal key.
    Again(JobId),
    /// Nothing: it is used, expired or revoked.
    Nothing,
}

impl ClaimTicket {
    /// Returns the state.
    pub fn state(&self) -> TicketState {
        if self.used.is_some() {
            TicketState::Redeemed
        } else if self.revoked_at.is_some() {
            TicketState::Revoked
        } else if self.now >= self.expires_at {
            TicketState::Expired
        } else {
            TicketState::Open
        }
    }

    /// Returns what a request with this hash of an idempotency key gets.
    pub fn claim(&self, key: &[u8]) -> TicketClaim {
        match &self.used {
            Some(used) if used.key == key && self.now < used.at + TICKET_REPEAT_TIME => {
                TicketClaim::Again(used.job)
            }
            None if self.state() == TicketState::Open => TicketClaim::New,
            _ => TicketClaim::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(subject: &str) -> TokenFacts {
        TokenFacts {
            issuer: "https://cloud.example".to_owned(),
            subject: subject.to_owned(),
            email: None,
            binding_email: None,
            name: None,
            claims: json!({ "zone": "eu" }).as_object().unwrap().clone(),
        }
    }

    fn holder(addresses: &[&str], subject: Option<&str>) -> TicketHolder {
        let rule = |subject: &str| ClaimRule {
            subject: subject.to_owned(),
            claims: [("zone".to_owned(), json!("eu"))].into(),
        };
        TicketHolder {
            addresses: addresses.iter().map(|range| range.parse().unwrap()).collect(),
            identity: subject.map(|subject| TicketIdentity {
                issuer: "https://cloud.example".to_owned(),
                rule: rule(subject),
            }),
        }
    }

    #[test]
    fn every_condition_of_a_ticket_must_fit() {
        let inside = Some("10.1.2.3".parse().unwrap());
        let mapped = Some("::ffff:10.1.2.3".parse().unwrap());
        let outside = Some("10.2.0.1".parse().unwrap());
        let (vm, other) = (token("vm-7"), token("vm-8"));
        let both = holder(&["10.1.0.0/16", "2001:db8::/32"], Some("vm-7"));
        assert!(both.admits(inside, Some(&vm)) && both.admits(mapped, Some(&vm)));
        for (address, token) in
            [(outside, Some(&vm)), (inside, Some(&other)), (inside, None), (None, Some(&vm))]
        {
            assert!(!both.admits(address, token), "{address:?} {token:?}");
        }
        let elsewhere = TokenFacts { issuer: "https://other.example".to_owned(), ..token("vm-7") };
        assert!(!both.admits(inside, Some(&elsewhere)));
        assert!(holder(&["10.1.2.3"], None).admits(inside, None));
        assert!(!holder(&["10.1.2.3"], None).admits(outside, Some(&vm)));
        assert!(!holder(&[], None).admits(inside, Some(&vm)), "no condition is no permission");
    }

    #[test]
    fn ranges_of_all_addresses_are_refused() {
        for text in ["", "0.0.0.0/0", "::/0", "10.0.0.0/33", "ten"] {
            assert_eq!(text.parse::<AddressRange>(), Err(BadAddressRange), "{text}");
        }
        assert_eq!("10.1.2.3/16".parse::<AddressRange>().unwrap().to_string(), "10.1.0.0/16");
        assert_eq!("2001:db8::1".parse::<AddressRange>().unwrap().to_string(), "2001:db8::1/128");
    }

    #[test]
    fn ticket_texts_are_random_and_other_texts_are_none() {
        let (one, two) = (TicketSecret::generate().unwrap(), TicketSecret::generate().unwrap());
        assert_ne!(one.hash(), two.hash());
        let read: TicketSecret = one.expose().parse().unwrap();
        assert_eq!(read.hash(), one.hash());
        assert!(!format!("{one:?}").contains(one.expose()));
        for bad in ["", "rtst_", "rtst_AAAA", &one.expose()[5..], &format!("{}A", one.expose())] {
            assert!(bad.parse::<TicketSecret>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ticket_gives_one_runner_to_one_key() {
        let now = Utc::now();
        let ticket = ClaimTicket {
            id: TicketId::new(),
            team: TeamId::new(),
            requester: Requester::User(crate::UserId::new()),
            identity: "ada".to_owned(),
            principal: Principal::new("https://idp", "ada"),
            runner: TicketRunner {
                name_prefix: "ci".to_owned(),
                labels: Vec::new(),
                runner_group_id: None,
                work_folder: "_work".to_owned(),
            },
            holder: holder(&["10.0.0.0/8"], None),
            created_at: now,
            expires_at: now + TimeDelta::minutes(15),
            revoked_at: None,
            used: None,
            now,
        };
        let (key, other, job) = (redemption_key("a"), redemption_key("b"), JobId::new());
        assert_eq!(ticket.claim(&key), TicketClaim::New);
        let late = ClaimTicket { now: ticket.expires_at, ..ticket.clone() };
        assert_eq!((late.claim(&key), late.state()), (TicketClaim::Nothing, TicketState::Expired));
        let revoked = ClaimTicket { revoked_at: Some(now), ..ticket.clone() };
        assert_eq!((revoked.claim(&key), revoked.state()), (TicketClaim::Nothing, TicketState::Revoked));
        let used = TicketUse {
            at: now,
            key: key.clone(),
            address: None,
            identity: None,
            job,
            runner: RunnerId::new(),
        };
        let used = ClaimTicket { used: Some(used), now: now + TimeDelta::minutes(50), ..ticket };
        assert_eq!((used.claim(&key), used.claim(&other)), (TicketClaim::Again(job), TicketClaim::Nothing));
        let later = ClaimTicket { now: now + TICKET_REPEAT_TIME, ..used };
        assert_eq!((later.claim(&key), later.state()), (TicketClaim::Nothing, TicketState::Redeemed));
    }
}
