//! Primary windows: the newest observation counts, and windows of another credential are ignored.

use std::time::Duration;

use queue::{BudgetSettings, Permit};

use crate::{
    clock::{Ask, Clock, CoreWindow},
    support::TestQueue,
};

const HOUR: u32 = 3_600_000;
const MARK: f64 = 1_800_000_000.0;

async fn clock() -> Clock {
    Clock::of(TestQueue::with_budget(&BudgetSettings::default()).await).await
}

#[tokio::test]
async fn window_of_another_credential_is_ignored() {
    for later in [-600.0, 0.0, 1.0, 2.0, 3.0, 600.0] {
        let mut clock = clock().await;
        clock.observe_window(CoreWindow::new(5_000, 4_000, HOUR, MARK), "runner").await;
        for remaining in (0..60).rev() {
            clock.observe_window(CoreWindow::new(60, remaining, HOUR, MARK + later), "runner").await;
        }
        let left = clock.read_remaining().await.unwrap();
        assert!((3_940..=4_000).contains(&left), "{later}: {left}");
        assert!(clock.is_permitted(Ask::READ).await, "{later}");
        clock.observe_window(CoreWindow::new(5_000, 3_930, HOUR, MARK), "runner").await;
        assert_eq!(
            clock.read_remaining().await,
            Some(3_930),
            "{later}: the installation's own window is still observed"
        );
    }
}

#[tokio::test]
async fn own_window_replaces_a_foreign_one_that_came_first() {
    for later in [-600.0, 0.0, 1.0, 3.0, 600.0] {
        let mut clock = clock().await;
        clock.observe_window(CoreWindow::new(60, 0, HOUR, MARK + later), "runner").await;
        assert!(!clock.is_permitted(Ask::URGENT).await);
        clock.observe_window(CoreWindow::new(5_000, 4_000, HOUR, MARK), "runner").await;
        assert_eq!(clock.read_remaining().await, Some(4_000), "{later}");
        assert!(clock.is_permitted(Ask::READ).await, "{later}");
    }
}

#[tokio::test]
async fn slightly_changed_limit_is_the_same_window() {
    let mut clock = clock().await;
    clock.observe_window(CoreWindow::new(5_000, 4_000, HOUR, MARK), "runner").await;
    clock.observe_window(CoreWindow::new(5_050, 3_990, HOUR, MARK), "runner").await;
    assert_eq!(clock.read_remaining().await, Some(3_990));
    clock.observe_window(CoreWindow::new(5_000, 3_980, HOUR, MARK + 1.0), "runner").await;
    assert_eq!(clock.read_remaining().await, Some(3_980));
}

#[tokio::test]
async fn smaller_limit_is_believed_when_the_known_window_is_over() {
    let mut clock = clock().await;
    clock.observe_window(CoreWindow::new(5_000, 4_000, HOUR, MARK), "runner").await;
    clock.advance_minutes(61.0);
    clock.observe_window(CoreWindow::new(60, 50, HOUR, MARK + 3_660.0), "runner").await;
    assert_eq!(clock.read_remaining().await, Some(50));
}

#[tokio::test]
async fn smallest_remaining_of_the_newest_window_counts() {
    let mut clock = Clock::of(TestQueue::with_budget(&BudgetSettings::default()).await).await;
    let hour = 3_600_000;
    assert_eq!(clock.read_remaining().await, None);
    clock.observe(5_000, 4_000, hour).await;
    clock.observe(5_000, 4_100, hour).await;
    assert_eq!(clock.read_remaining().await, Some(4_000), "a late response");
    clock.observe(5_000, 3_900, hour - 900).await;
    assert_eq!(
        clock.read_remaining().await,
        Some(3_900),
        "the same window, reported by a server with another clock"
    );
    assert!(clock.is_permitted(Ask::READ).await);
    assert_eq!(clock.read_remaining().await, Some(3_899), "taken at once");
    clock.observe(5_000, 10, 60_000).await;
    assert_eq!(clock.read_remaining().await, Some(3_899), "an older window");
    clock.observe(5_000, 4_999, hour + 60_000).await;
    assert_eq!(clock.read_remaining().await, Some(4_998), "a newer window; one request is in flight");
    clock.observe(5_000, 1, 0).await;
    assert_eq!(clock.read_remaining().await, Some(4_998), "a window that has ended");
    clock.now += f64::from(hour + 60_000);
    assert_eq!(clock.read_remaining().await, None, "the window has ended and the next one is unknown");
    for _ in 0..10 {
        assert!(clock.is_permitted(Ask::READ).await);
    }
    clock.advance_minutes(0.1);
    assert!(!clock.is_permitted(Ask::READ).await, "a small burst until the first response");
    clock.observe(5_000, 4_980, hour).await;
    assert!(clock.is_permitted(Ask::READ).await);
    assert_eq!(clock.read_remaining().await, Some(4_969), "eleven may not be counted yet");
}

#[tokio::test]
async fn clock_that_steps_back_holds_no_window_up() {
    let (mut clock, ten_minutes) = (clock().await, 600_000);
    let exhausted = CoreWindow::new(5_000, 0, ten_minutes, MARK);
    clock.observe_window(exhausted, "runner").await;
    clock.now -= 500.0;
    assert!(!clock.is_permitted(Ask::URGENT).await, "a small correction changes nothing");
    clock.now -= 6.0 * f64::from(HOUR);
    assert_eq!(clock.read_remaining().await, None, "its end is unknown");
    for _ in 0..10 {
        assert!(clock.is_permitted(Ask::URGENT).await);
    }
    assert!(!clock.is_permitted(Ask::URGENT).await, "a small burst until a response comes");
    clock.observe_window(exhausted, "runner").await;
    let Permit::Wait(wait) = clock.permit(Ask::URGENT).await else { panic!("it is exhausted") };
    assert!(wait <= Duration::from_mins(10), "{wait:?}");

    clock.observe_window(CoreWindow::new(5_000, 0, HOUR, MARK + 3_600.0), "runner").await;
    clock.advance_minutes(50.0);
    clock.advance_minutes(-45.0);
    let Permit::Wait(wait) = clock.permit(Ask::URGENT).await else { panic!("it is exhausted") };
    assert!(wait <= Duration::from_hours(1), "no longer than a window: {wait:?}");
}

#[tokio::test]
async fn clock_that_steps_back_holds_no_probe_up() {
    let mut clock = clock().await;
    clock.open_window().await;
    clock.report_secondary_limit(1_000).await;
    clock.now += 1_001.0;
    assert!(clock.is_permitted(Ask::READ).await);
    assert!(!clock.is_permitted(Ask::READ).await, "the probe is under way");
    // A claim forgets a pause that has ended.
    clock.test.ask::<i64>(&["DEL", &clock.test.key("pauses")]).await;
    clock.now -= 6.0 * f64::from(HOUR);
    // While a probe is awaited, callers are told to wait for a second.
    let wait = match clock.permit(Ask::READ).await {
        Permit::Granted => Duration::ZERO,
        Permit::Wait(wait) => wait,
    };
    assert!(wait < Duration::from_millis(500), "the probe was lost long ago: {wait:?}");
}

#[tokio::test]
async fn late_observation_is_not_taken_for_a_newer_window() {
    let mut clock = Clock::of(TestQueue::with_budget(&BudgetSettings::default()).await).await;
    let (hour, mark) = (3_600_000, 1_800_000_000.0);
    clock.observe_window(CoreWindow::new(5_000, 100, hour, mark), "").await;
    clock.advance_minutes(1.0);
    clock.observe_window(CoreWindow::new(5_000, 130, hour, mark), "").await;
    assert_eq!(clock.read_remaining().await, Some(100), "the response reached Redis a minute late");
    clock.observe_window(CoreWindow::new(5_000, 90, hour - 60_000, mark + 1.0), "").await;
    assert_eq!(clock.read_remaining().await, Some(90), "a newer observation of the same window counts");
    clock.advance_minutes(59.1);
    assert_eq!(clock.read_remaining().await, None, "the window ends at the earliest reported time");

    clock.observe_window(CoreWindow::new(5_000, 4_000, hour, mark + 3_600.0), "").await;
    clock.advance_minutes(1.0);
    clock.observe_window(CoreWindow::new(5_000, 4_500, hour - 90_000, mark + 3_600.0), "").await;
    clock.advance_minutes(58.6);
    assert_eq!(clock.read_remaining().await, None, "the earliest reported end counts");
}

#[tokio::test]
async fn free_and_unsent_requests_are_refunded() {
    let mut clock = Clock::of(TestQueue::with_budget(&BudgetSettings::default()).await).await;
    let (hour, mark) = (3_600_000, 1_800_000_000.0);
    clock.observe_window(CoreWindow::new(5_000, 1_000, hour, mark), "").await;
    for _ in 0..4 {
        assert!(clock.is_permitted(Ask::READ).await);
    }
    assert_eq!(clock.read_remaining().await, Some(996), "under way");
    clock.observe_window(CoreWindow::new(5_000, 999, hour, mark), "runner").await;
    assert_eq!(clock.read_remaining().await, Some(996), "one counted, three in flight");
    clock.observe_window(CoreWindow::new(5_000, 999, hour, mark), "runner").await;
    assert_eq!(clock.read_remaining().await, Some(997), "a response that cost nothing");
    clock.observe_window(CoreWindow::new(5_000, 1_000, hour, mark), "runner").await;
    assert_eq!(clock.read_remaining().await, Some(998), "a late response changes nothing");
    clock.advance_minutes(0.5);
    assert_eq!(clock.read_remaining().await, Some(999), "no response will arrive");

    for _ in 0..80 {
        clock.send_when_permitted(Ask::READ).await;
        clock.advance_minutes(0.02);
        clock.observe_window(CoreWindow::new(5_000, 999, hour, mark), "runner").await;
        clock.send_when_permitted(Ask::READ).await;
    }
    let left = clock.read_remaining().await.unwrap();
    assert!(left > 999 - 60, "requests lost in a busy minute are returned as well: {left}");
}

#[tokio::test]
async fn wait_for_room_ends_when_open_requests_must_be_answered() {
    let mut clock = Clock::of(TestQueue::with_budget(&BudgetSettings::default()).await).await;
    let (hour, mark) = (3_600_000, 1_800_000_000.0);
    clock.observe_window(CoreWindow::new(5_000, 502, hour, mark), "").await;
    for _ in 0..2 {
        assert!(clock.is_permitted(Ask::READ).await);
    }
    let Permit::Wait(wait) = clock.permit(Ask::READ).await else { panic!("500 are the reserve") };
    assert!(wait <= Duration::from_secs(30), "{wait:?}");
    clock.observe_window(CoreWindow::new(5_000, 502, hour, mark), "runner").await;
    assert!(clock.is_permitted(Ask::READ).await);
    clock.observe_window(CoreWindow::new(5_000, 500, hour, mark), "runner").await;
    let Permit::Wait(wait) = clock.permit(Ask::READ).await else { panic!("all but the reserve is used") };
    assert!(wait > Duration::from_mins(50), "{wait:?}");
}

#[tokio::test]
async fn unanswered_requests_stop_counting_after_their_time_limit() {
    let mut clock = Clock::of(TestQueue::with_budget(&BudgetSettings::default()).await).await;
    for _ in 0..10 {
        assert!(clock.is_permitted(Ask::READ).await);
    }
    clock.now += 29_000.0;
    assert!(!clock.is_permitted(Ask::URGENT).await);
    clock.now += 1_000.0;
    assert!(clock.is_permitted(Ask::URGENT).await);
}
