//! Limits for requests whose sender is not known. They hold before any signature is checked and any row is read.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Problem, ProblemCode, Requester, whole_seconds};
use governor::Quota;
use runtime::config::ServerGuards;
use tokio::time::Instant;

use crate::address_limit::AddressLimit;

/// How long an unknown principal is answered without a look into the database.
const UNKNOWN_LIFE: Duration = Duration::from_secs(10);
/// Answers from the database before that; an admin who adds somebody at the first refusal is not waited for.
const UNKNOWN_LOOKS: u32 = 2;
/// How long a token that led to a known caller is remembered.
const KNOWN_LIFE: Duration = Duration::from_mins(10);
/// Maximum entries of each table.
const MAX_ENTRIES: usize = 20_000;

/// What this process remembers about requests that were refused.
#[derive(Debug)]
pub(crate) struct Strangers {
    refusals: AddressLimit,
    hasher: RandomState,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Tokens of known callers.
    tokens: HashMap<u64, (Requester, Instant)>,
    /// Principals nobody knows.
    unknown: HashMap<u64, Unknown>,
}

#[derive(Debug)]
struct Unknown {
    since: Instant,
    looks: u32,
    problem: Problem,
}

/// One request on its way to becoming a caller's.
#[derive(Debug)]
pub(crate) struct Visit {
    ip: Option<IpAddr>,
    token: u64,
    /// The caller this very token led to lately.
    pub(crate) requester: Option<Requester>,
}

impl Strangers {
    pub(crate) fn new(guards: &ServerGuards) -> Self {
        let quota = Quota::per_minute(guards.refusals_per_minute).allow_burst(guards.refusals_burst);
        Self { refusals: AddressLimit::new(quota), hasher: RandomState::new(), memory: Mutex::default() }
    }

    /// Lets a request with a token in.
    ///
    /// # Errors
    /// `rate_limited` when its address has had too many requests refused; tokens of known callers are exempt.
    pub(crate) fn admit(&self, ip: Option<IpAddr>, token: &str) -> Result<Visit, Problem> {
        let token = self.hasher.hash_one(token);
        let memory = self.lock();
        let known = memory.tokens.get(&token).filter(|(_, since)| since.elapsed() < KNOWN_LIFE);
        let requester = known.map(|(requester, _)| *requester);
        match self.refusals.blocked(ip).filter(|_| requester.is_none()) {
            Some(wait) => {
                let detail =
                    "Too many requests of this address were refused; get a valid token and slow down.";
                Err(Problem::new(ProblemCode::RateLimited, detail).retry_after(whole_seconds(wait)))
            }
            None => Ok(Visit { ip, token, requester }),
        }
    }

    /// Refuses a principal (issuer, subject) that was unknown a moment ago.
    pub(crate) fn check(&self, principal: (&str, &str)) -> Result<(), Problem> {
        let key = self.hasher.hash_one(principal);
        let memory = self.lock();
        let unknown = memory.unknown.get(&key);
        let unknown = unknown.filter(|it| it.looks >= UNKNOWN_LOOKS && it.since.elapsed() < UNKNOWN_LIFE);
        unknown.map_or(Ok(()), |unknown| Err(unknown.problem.clone()))
    }

    /// Remembers the caller a token led to.
    pub(crate) fn remember(&self, visit: &Visit, requester: Requester) {
        let mut memory = self.lock();
        make_room(&mut memory.tokens);
        memory.tokens.insert(visit.token, (requester, Instant::now()));
    }

    /// Remembers a principal nobody knows.
    pub(crate) fn remember_unknown(&self, principal: (&str, &str), problem: &Problem) {
        let (key, now) = (self.hasher.hash_one(principal), Instant::now());
        let mut memory = self.lock();
        make_room(&mut memory.unknown);
        let fresh = || Unknown { since: now, looks: 0, problem: problem.clone() };
        let unknown = memory.unknown.entry(key).or_insert_with(fresh);
        if now - unknown.since >= UNKNOWN_LIFE {
            *unknown = fresh();
        }
        unknown.looks += 1;
    }

    /// Forgets the unknown principals: an admin may be about to add one.
    pub(crate) fn forget_unknown(&self) {
        self.lock().unknown.clear();
    }

    /// Counts a refusal against the address of a visit.
    pub(crate) fn count_refusal(&self, visit: &Visit) {
        self.refusals.count(visit.ip, 1);
    }

    /// Drops what is no longer needed, so that the tables stay as small as the recent strangers.
    pub(crate) fn forget_idle(&self) {
        self.refusals.forget_idle();
        let (now, mut memory) = (Instant::now(), self.lock());
        memory.tokens.retain(|_, (_, since)| now - *since < KNOWN_LIFE);
        memory.unknown.retain(|_, unknown| now - unknown.since < UNKNOWN_LIFE);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A full table begins anew: what it forgets costs one look more.
fn make_room<K, V>(table: &mut HashMap<K, V>) {
    if table.len() >= MAX_ENTRIES {
        table.clear();
    }
}

/// Whether a refusal says that its sender is not a caller of ours.
pub(crate) fn is_strangers(problem: &Problem) -> bool {
    use ProblemCode::{Inactive, InvalidToken, TokenExpired, UnknownPrincipal};
    [InvalidToken, TokenExpired, UnknownPrincipal, Inactive].contains(&problem.code)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use domain::UserId;

    use super::*;

    fn strangers(burst: u32) -> Strangers {
        let many = |n| NonZeroU32::new(n).unwrap();
        Strangers::new(&ServerGuards {
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
        let strangers = strangers(2);
        let requester = Requester::User(UserId::new());
        let good = strangers.admit(Some(ip("192.0.2.1")), "good").unwrap();
        strangers.remember(&good, requester);
        for _ in 0..3 {
            let visit = strangers.admit(Some(ip("192.0.2.1")), "bad").unwrap();
            strangers.count_refusal(&visit);
        }
        let refused = strangers.admit(Some(ip("192.0.2.1")), "bad").unwrap_err();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        assert!(refused.retry_after.is_some());
        assert_eq!(strangers.admit(Some(ip("192.0.2.1")), "good").unwrap().requester, Some(requester));
        strangers.admit(Some(ip("192.0.2.2")), "bad").unwrap();
    }

    #[test]
    fn unknown_principal_is_looked_up_twice_and_then_remembered() {
        let strangers = strangers(100);
        let named = |subject: &'static str| ("https://issuer.example", subject);
        let problem = Problem::new(ProblemCode::UnknownPrincipal, "unknown");
        strangers.remember_unknown(named("a"), &problem);
        assert_eq!(strangers.check(named("a")), Ok(()));
        strangers.remember_unknown(named("a"), &problem);
        assert_eq!(strangers.check(named("a")), Err(problem));
        assert_eq!(strangers.check(named("b")), Ok(()));
        strangers.forget_unknown();
        assert_eq!(strangers.check(named("a")), Ok(()));
    }

    #[test]
    fn tables_are_bounded() {
        let strangers = strangers(1);
        let requester = Requester::User(UserId::new());
        for nth in 0..u32::try_from(3 * MAX_ENTRIES).unwrap() {
            let visit = strangers.admit(Some(IpAddr::V4(nth.into())), &nth.to_string()).unwrap();
            strangers.remember(&visit, requester);
        }
        assert!(strangers.lock().tokens.len() <= MAX_ENTRIES);
    }
}
