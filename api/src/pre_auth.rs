//! Limits on requests before their caller is known. They apply before any signature is checked and any row is read.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Principal, Problem, ProblemCode, Requester, whole_seconds};
use governor::Quota;
use runtime::config::ServerGuards;
use tokio::time::Instant;

use crate::address_limit::AddressLimit;

/// Time for which an unknown principal is refused without a database lookup.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(10);
/// Lookups before that, so that an admin who adds the user at the first refusal need not wait.
const MAX_UNKNOWN_LOOKUPS: u32 = 2;
/// Time for which the token of a known caller is remembered.
const KNOWN_LIFETIME: Duration = Duration::from_mins(10);
/// Maximum entries of each table.
const MAX_ENTRIES: usize = 20_000;

/// In-memory state: tokens of known callers, unknown principals, and refusals per address.
#[derive(Debug)]
pub(crate) struct PreAuthLimits {
    refusals: AddressLimit,
    hasher: RandomState,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Tokens of known callers, by hash.
    tokens: HashMap<u64, (Requester, Instant)>,
    /// Unknown principals, by hash.
    unknown: HashMap<u64, Unknown>,
}

#[derive(Debug)]
struct Unknown {
    since: Instant,
    lookups: u32,
    problem: Problem,
}

/// A request whose caller is not known yet.
#[derive(Debug)]
pub(crate) struct AuthAttempt {
    ip: Option<IpAddr>,
    token: u64,
    /// The caller to whom this token belonged recently.
    pub(crate) requester: Option<Requester>,
}

impl PreAuthLimits {
    pub(crate) fn new(guards: &ServerGuards) -> Self {
        let quota = Quota::per_minute(guards.refusals_per_minute).allow_burst(guards.refusals_burst);
        Self { refusals: AddressLimit::new(quota), hasher: RandomState::new(), tables: Mutex::default() }
    }

    /// Admits a request with a token.
    ///
    /// # Errors
    /// `rate_limited` when its address has had too many requests refused; tokens of known callers are exempt.
    pub(crate) fn admit(&self, ip: Option<IpAddr>, token: &str) -> Result<AuthAttempt, Problem> {
        let token = self.hasher.hash_one(token);
        let tables = self.lock();
        let known = tables.tokens.get(&token).filter(|(_, since)| since.elapsed() < KNOWN_LIFETIME);
        let requester = known.map(|(requester, _)| *requester);
        match self.refusals.blocked(ip).filter(|_| requester.is_none()) {
            Some(wait) => {
                let detail =
                    "Too many requests from this address were refused; get a valid token and send fewer.";
                Err(Problem::new(ProblemCode::RateLimited, detail).retry_after(whole_seconds(wait)))
            }
            None => Ok(AuthAttempt { ip, token, requester }),
        }
    }

    /// Checks that a principal was not unknown a moment ago.
    ///
    /// # Errors
    /// The problem of the last lookup.
    pub(crate) fn check(&self, principal: &Principal) -> Result<(), Problem> {
        let key = self.hasher.hash_one(principal);
        let tables = self.lock();
        let unknown = tables.unknown.get(&key);
        let unknown = unknown.filter(|unknown| {
            unknown.lookups >= MAX_UNKNOWN_LOOKUPS && unknown.since.elapsed() < UNKNOWN_LIFETIME
        });
        unknown.map_or(Ok(()), |unknown| Err(unknown.problem.clone()))
    }

    /// Remembers the caller of a token.
    pub(crate) fn remember(&self, attempt: &AuthAttempt, requester: Requester) {
        let mut tables = self.lock();
        make_room(&mut tables.tokens);
        tables.tokens.insert(attempt.token, (requester, Instant::now()));
    }

    /// Remembers an unknown principal.
    pub(crate) fn remember_unknown(&self, principal: &Principal, problem: &Problem) {
        let (key, now) = (self.hasher.hash_one(principal), Instant::now());
        let mut tables = self.lock();
        make_room(&mut tables.unknown);
        let fresh = || Unknown { since: now, lookups: 0, problem: problem.clone() };
        let unknown = tables.unknown.entry(key).or_insert_with(fresh);
        if now - unknown.since >= UNKNOWN_LIFETIME {
            *unknown = fresh();
        }
        unknown.lookups += 1;
    }

    /// Forgets all unknown principals, because an admin may be about to add one.
    pub(crate) fn forget_unknown(&self) {
        self.lock().unknown.clear();
    }

    /// Counts a refusal against the address of an attempt.
    pub(crate) fn count_refusal(&self, attempt: &AuthAttempt) {
        self.refusals.count(attempt.ip, 1);
    }

    /// Returns whether the address has had too many requests refused.
    pub(crate) fn is_blocked(&self, ip: Option<IpAddr>) -> bool {
        self.refusals.blocked(ip).is_some()
    }

    /// Removes expired entries.
    pub(crate) fn forget_idle(&self) {
        self.refusals.forget_idle();
        let (now, mut tables) = (Instant::now(), self.lock());
        tables.tokens.retain(|_, (_, since)| now - *since < KNOWN_LIFETIME);
        tables.unknown.retain(|_, unknown| now - unknown.since < UNKNOWN_LIFETIME);
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clears a full table; each forgotten entry costs one more lookup.
fn make_room<K, V>(table: &mut HashMap<K, V>) {
    if table.len() >= MAX_ENTRIES {
        table.clear();
    }
}

/// Returns whether a refusal means that the sender is not an active caller.
pub(crate) fn is_unknown_sender(problem: &Problem) -> bool {
    use ProblemCode::{Inactive, InvalidToken, TokenExpired, UnknownPrincipal};
    [InvalidToken, TokenExpired, UnknownPrincipal, Inactive].contains(&problem.code)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use domain::UserId;

    use super::*;

    fn limits(burst: u32) -> PreAuthLimits {
        let many = |n| NonZeroU32::new(n).unwrap();
        PreAuthLimits::new(&ServerGuards {
            refusals_per_minute: many(1),
            refusals_burst: many(burst),
            ..ServerGuards::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn refused_address_waits_and_known_tokens_do_not() {
        let limits = limits(2);
        let requester = Requester::User(UserId::new());
        let good = limits.admit(Some(ip("192.0.2.1")), "good").unwrap();
        limits.remember(&good, requester);
        for _ in 0..3 {
            let attempt = limits.admit(Some(ip("192.0.2.1")), "bad").unwrap();
            limits.count_refusal(&attempt);
        }
        let refused = limits.admit(Some(ip("192.0.2.1")), "bad").unwrap_err();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        assert!(refused.retry_after.is_some());
        assert_eq!(limits.admit(Some(ip("192.0.2.1")), "good").unwrap().requester, Some(requester));
        limits.admit(Some(ip("192.0.2.2")), "bad").unwrap();
    }

    #[test]
    fn unknown_principal_is_looked_up_twice_and_then_remembered() {
        let limits = limits(100);
        let named = |subject: &str| Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
        };
        let problem = Problem::new(ProblemCode::UnknownPrincipal, "unknown");
        limits.remember_unknown(&named("a"), &problem);
        assert_eq!(limits.check(&named("a")), Ok(()));
        limits.remember_unknown(&named("a"), &problem);
        assert_eq!(limits.check(&named("a")), Err(problem));
        assert_eq!(limits.check(&named("b")), Ok(()));
        limits.forget_unknown();
        assert_eq!(limits.check(&named("a")), Ok(()));
    }

    #[test]
    fn tables_are_bounded() {
        let limits = limits(1);
        let requester = Requester::User(UserId::new());
        for nth in 0..u32::try_from(3 * MAX_ENTRIES).unwrap() {
            let attempt = limits.admit(Some(IpAddr::V4(nth.into())), &nth.to_string()).unwrap();
            limits.remember(&attempt, requester);
        }
        assert!(limits.lock().tokens.len() <= MAX_ENTRIES);
    }
}
