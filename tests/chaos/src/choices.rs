//! Everything a caller decides, drawn before it begins: what it does must not depend on when it is answered.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// The decisions of one story.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a decision of its own")]
pub(crate) struct Choices {
    /// Which of those who may ask.
    pub(crate) person: usize,
    /// A name of its own choice, one of a few, so that callers get in each other's way.
    pub(crate) exact: Option<u8>,
    /// It sends an Idempotency-Key, and so may ask again whatever it heard.
    pub(crate) keyed: bool,
    /// It is ready to wait so many seconds for the config itself.
    pub(crate) wait: Option<u8>,
    /// It sends its key again after this time.
    pub(crate) again: Option<Duration>,
    /// The job's deadline is so many seconds away.
    pub(crate) hurry: Option<f64>,
    /// It cancels after this time.
    pub(crate) cancel: Option<Duration>,
    /// Which of all people and the admin wants its config.
    pub(crate) stranger: Option<usize>,
    /// How often it fetches its config.
    pub(crate) fetches: u8,
    /// Its runner takes a workflow job.
    pub(crate) works: bool,
    /// It has its runner looked at.
    pub(crate) refreshes: bool,
    /// It removes its runner; a runner that has worked is seldom there to be removed.
    pub(crate) removes: bool,
}

impl Choices {
    /// Those of the nth story. `all`: how many people there are.
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

/// How a story waits and retries: drawn as often as the machine makes it.
pub(crate) fn patience(seed: u64, nth: usize) -> SmallRng {
    stream(seed, nth, 1)
}

fn stream(seed: u64, nth: usize, of: u64) -> SmallRng {
    let story = seed.wrapping_mul(1_000_003).wrapping_add(nth as u64);
    SmallRng::seed_from_u64(story.wrapping_mul(2).wrapping_add(of))
}

/// Always draws the same number of times.
fn some<T>(rng: &mut SmallRng, share: f64, draw: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    let chosen = rng.random_bool(share);
    let drawn = draw(rng);
    chosen.then_some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_determined_by_its_seed_and_number() {
        let tell = |seed, nth| Choices::draw(seed, nth, &(0..15), 18);
        assert_eq!(tell(7, 3), tell(7, 3));
        assert_ne!(tell(7, 3), tell(7, 4));
        assert_ne!(tell(7, 3), tell(8, 3));
    }
}
