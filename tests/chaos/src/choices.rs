//! Decisions of a caller, drawn before it starts, so that its actions do not depend on response times.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// Decisions of one story.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a decision of its own")]
pub(crate) struct Choices {
    /// Index of the caller.
    pub(crate) person: usize,
    /// A requested name, one of a few, so that callers collide.
    pub(crate) exact: Option<u8>,
    /// Whether it sends an Idempotency-Key, which allows a retry after any response.
    pub(crate) keyed: bool,
    /// Seconds it waits for the config in the request itself.
    pub(crate) wait: Option<u8>,
    /// Delay until it sends the same key again.
    pub(crate) again: Option<Duration>,
    /// Seconds until the job's deadline.
    pub(crate) hurry: Option<f64>,
    /// Delay until it cancels the job.
    pub(crate) cancel: Option<Duration>,
    /// Index, among all users and the admin, of an unauthorised caller that requests the config.
    pub(crate) stranger: Option<usize>,
    /// Number of times it fetches the config.
    pub(crate) fetches: u8,
    /// Whether the runner takes a workflow job.
    pub(crate) works: bool,
    /// Whether it refreshes its runner.
    pub(crate) refreshes: bool,
    /// Whether it removes its runner; a runner that has worked is often gone before.
    pub(crate) removes: bool,
}

impl Choices {
    /// Draws the decisions of story `nth`; `all` is the number of users.
    pub(crate) fn draw(seed: u64, nth: usize, people: &std::ops::Range<usize>, all: usize) -> Self {
        let mut rng = stream(seed, nth, 0);
        let rng = &mut rng;
        let ms = |rng: &mut SmallRng, most| Duration::from_millis(rng.random_range(0..most));
        let person = rng.random_range(people.clone());
        let exact = some(rng, 0.25, |rng| rng.random_range(0..12));
        let keyed = rng.random_bool(0.8);
        let wait = some(rng, 0.3, |rng| rng.random_range(1..=15));
        let again = some(rng, 0.3, |rng| ms(rng, 3000));
        let hurry = some(rng, 0.05, |rng| rng.random_range(1.0..8.0));
        let cancel = some(rng, 0.12, |rng| ms(rng, 2000));
        let stranger = some(rng, 0.25, |rng| rng.random_range(0..=all));
        let fetches = rng.random_range(1..=3);
        let works = rng.random_bool(0.5);
        let refreshes = rng.random_bool(0.5);
        let removes = rng.random_bool(if works { 0.3 } else { 0.9 });
        Self {
            person,
            exact,
            keyed,
            wait,
            again,
            hurry,
            cancel,
            stranger,
            fetches,
            works,
            refreshes,
            removes,
        }
    }
}

/// Returns the generator for waits and retries, which are drawn as often as the machine's speed requires.
pub(crate) fn patience(seed: u64, nth: usize) -> SmallRng {
    stream(seed, nth, 1)
}

fn stream(seed: u64, nth: usize, of: u64) -> SmallRng {
    let story = seed.wrapping_mul(1_000_003).wrapping_add(nth as u64);
    SmallRng::seed_from_u64(story.wrapping_mul(2).wrapping_add(of))
}

/// Draws an optional value, always with the same number of draws.
fn some<T>(rng: &mut SmallRng, share: f64, draw: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    let chosen = rng.random_bool(share);
    let drawn = draw(rng);
    chosen.then_some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_determined_by_seed_and_number() {
        let tell = |seed, nth| Choices::draw(seed, nth, &(0..15), 18);
        assert_eq!(tell(7, 3), tell(7, 3));
        assert_ne!(tell(7, 3), tell(7, 4));
        assert_ne!(tell(7, 3), tell(8, 3));
    }
}
