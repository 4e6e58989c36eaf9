//! Properties of the credit, under a clock that the tests move.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};

use super::*;

const LIMITS: CreditLimits = CreditLimits {
    burst: Duration::from_secs(1),
    shared_burst: Duration::from_secs(2),
    caller_rate: 250_000,
    total_rate: 500_000,
};
/// Most that one list of these tests costs, in milliseconds.
const MAX_COST: u64 = 400;

/// One list: who reads it, after how many milliseconds, and what it costs in milliseconds.
type Ask = (u8, u64, u64);

/// A list that was started: by whom, when and at what cost, in seconds.
struct Started {
    caller: u8,
    at: f64,
    cost: f64,
}

/// Answers asks one after the other, each as soon as it is asked and without a wait.
fn answer(asks: &[Ask]) -> Vec<Started> {
    let (mut credit, mut now, mut started) = (ListCredit::new(LIMITS), Duration::ZERO, Vec::new());
    for (caller, pause, cost) in asks {
        now += Duration::from_millis(*pause);
        if let Ok(advance) = credit.start(*caller, now) {
            let cost = Duration::from_millis(*cost);
            credit.finish(*caller, advance, cost, now);
            started.push(Started { caller: *caller, at: now.as_secs_f64(), cost: cost.as_secs_f64() });
        }
    }
    started
}

/// Returns the most that `lists` use beyond `rate` in any stretch of time.
fn excess<'a>(lists: impl Iterator<Item = &'a Started>, rate: f64) -> f64 {
    let (mut most, mut excess, mut last) = (0.0_f64, 0.0_f64, 0.0);
    for list in lists {
        excess = (excess - (list.at - last) * rate).max(0.0) + list.cost;
        last = list.at;
        most = most.max(excess);
    }
    most
}

/// Reads without a break for as long as said: each caller asks again as soon as it has credit. Returns seconds used.
fn greedy(callers: u8, cost: Duration, time: Duration) -> Vec<f64> {
    let (mut credit, mut now) = (ListCredit::new(LIMITS), Duration::ZERO);
    let mut used = vec![0.0; usize::from(callers)];
    while now < time {
        let mut wait = Duration::MAX;
        for caller in 0..callers {
            while let Ok(advance) = credit.start(caller, now) {
                credit.finish(caller, advance, cost, now);
                used[usize::from(caller)] += cost.as_secs_f64();
            }
            wait = wait.min(credit.wait(caller, now));
        }
        now += wait;
    }
    used
}

proptest! {
    #[test]
    fn use_never_exceeds_the_rates_and_the_bursts(asks in vec((0_u8..6, 0_u64..500, 0..=MAX_COST), 1..400)) {
        let started = answer(&asks);
        let overdraft = f64::from(u32::try_from(MAX_COST).unwrap()) / 1_000.0;
        let mut callers: HashMap<u8, Vec<&Started>> = HashMap::new();
        for list in &started {
            callers.entry(list.caller).or_default().push(list);
        }
        for lists in callers.values() {
            let most = excess(lists.iter().copied(), 0.25);
            prop_assert!(most <= 1.0 + overdraft + 1e-6, "one caller: {most}");
        }
        // Each caller overdraws its credit by one list, and brings one burst.
        let most = excess(started.iter(), 0.5);
        let bound = f64::from(u32::try_from(callers.len()).unwrap()) * (1.0 + overdraft);
        prop_assert!(most <= bound + 1e-6, "all callers: {most} of {bound}");
    }

    #[test]
    fn wait_is_true_while_no_caller_joins(asks in vec((0_u8..4, 0_u64..300, 0..=MAX_COST), 1..100)) {
        let (mut credit, mut now) = (ListCredit::new(LIMITS), Duration::ZERO);
        for (caller, pause, cost) in asks {
            now += Duration::from_millis(pause);
            if let Ok(advance) = credit.start(caller, now) {
                credit.finish(caller, advance, Duration::from_millis(cost), now);
            }
        }
        for caller in 0..4 {
            now += credit.wait(caller, now);
            prop_assert_eq!(credit.wait(caller, now), Duration::ZERO);
        }
        // Each caller's credit is full after the full burst and its debt; then nothing is kept.
        credit.refill(now + Duration::from_mins(1));
        prop_assert!(credit.callers.is_empty() && credit.filling.is_empty());
    }
}

#[test]
fn many_callers_at_once_do_not_add_up() {
    let minute = Duration::from_mins(1);
    let one = greedy(1, Duration::from_millis(10), minute);
    assert!((15.9..=16.1).contains(&one[0]), "a quarter of a minute and the burst: {one:?}");
    let ten = greedy(10, Duration::from_millis(10), minute);
    let (total, least) = (ten.iter().sum::<f64>(), ten.iter().copied().fold(f64::MAX, f64::min));
    assert!((30.0..=36.0).contains(&total), "half of a minute and less than five bursts: {total}");
    assert!(least >= 3.0, "each gets its part of the refill: {ten:?}");
}

#[test]
fn new_caller_starts_at_once_beside_callers_in_debt() {
    let mut credit = ListCredit::new(LIMITS);
    for caller in 0..50 {
        let advance = credit.start(caller, Duration::ZERO).unwrap();
        credit.finish(caller, advance, Duration::from_secs(5), Duration::ZERO);
    }
    for _ in 0..10 {
        let advance = credit.start(50, Duration::ZERO).unwrap();
        credit.finish(50, advance, Duration::from_millis(3), Duration::ZERO);
    }
}

#[test]
fn caller_in_debt_gets_its_turn_although_others_keep_reading() {
    let (mut credit, mut now) = (ListCredit::new(LIMITS), Duration::ZERO);
    let advance = credit.start(0, now).unwrap();
    credit.finish(0, advance, Duration::from_secs(3), now);
    while credit.wait(0, now) > Duration::ZERO {
        for caller in 1..5 {
            if let Ok(advance) = credit.start(caller, now) {
                credit.finish(caller, advance, Duration::from_millis(50), now);
            }
        }
        now += Duration::from_millis(50);
    }
    assert!(now <= Duration::from_secs(21), "2 s of debt at a fifth of the refill: {now:?}");
}

#[test]
fn lists_that_start_together_are_charged_in_advance() {
    let (mut credit, now) = (ListCredit::new(LIMITS), Duration::ZERO);
    let advance = credit.start(0, now).unwrap();
    credit.finish(0, advance, Duration::from_millis(600), now);
    let running = credit.start(0, now).unwrap();
    assert!(credit.start(0, now).is_err(), "the running list counts as much as the last one");
    credit.finish(0, running, Duration::from_millis(10), now);
    assert!(credit.start(0, now).is_ok(), "it cost less than that");
}
