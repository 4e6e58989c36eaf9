//! Windows of another limit than the known one.

use queue::BudgetSettings;

use crate::{
    clock::{Ask, Clock},
    support::TestQueue,
};

const HOUR: u32 = 3_600_000;
const MARK: f64 = 1_800_000_000.0;

async fn clock() -> Clock {
    Clock::of(TestQueue::under(&BudgetSettings::default()).await).await
}

#[tokio::test]
async fn foreign_window_of_any_begin_says_nothing() {
    for later in [-600.0, 0.0, 1.0, 2.0, 3.0, 600.0] {
        let mut clock = clock().await;
        clock.observe_as((5_000, 4_000), (HOUR, MARK), "runner").await;
        for remaining in (0..60).rev() {
            clock.observe_as((60, remaining), (HOUR, MARK + later), "runner").await;
        }
        let left = clock.left().await.unwrap();
        assert!((3_940..=4_000).contains(&left), "{later}: {left}");
        assert!(clock.goes(Ask::READ).await, "{later}");
        clock.observe_as((5_000, 3_930), (HOUR, MARK), "runner").await;
        assert_eq!(clock.left().await, Some(3_930), "{later}: the own window is heard as before");
    }
}

#[tokio::test]
async fn own_window_replaces_a_foreign_one_that_came_first() {
    for later in [-600.0, 0.0, 1.0, 3.0, 600.0] {
        let mut clock = clock().await;
        clock.observe_as((60, 0), (HOUR, MARK + later), "runner").await;
        assert!(!clock.goes(Ask::URGENT).await);
        clock.observe_as((5_000, 4_000), (HOUR, MARK), "runner").await;
        assert_eq!(clock.left().await, Some(4_000), "{later}");
        assert!(clock.goes(Ask::READ).await, "{later}");
    }
}

#[tokio::test]
async fn limit_that_changes_a_little_is_the_same_window() {
    let mut clock = clock().await;
    clock.observe_as((5_000, 4_000), (HOUR, MARK), "runner").await;
    clock.observe_as((5_050, 3_990), (HOUR, MARK), "runner").await;
    assert_eq!(clock.left().await, Some(3_990));
    clock.observe_as((5_000, 3_980), (HOUR, MARK + 1.0), "runner").await;
    assert_eq!(clock.left().await, Some(3_980));
}

#[tokio::test]
async fn smaller_limit_is_believed_when_the_known_window_is_over() {
    let mut clock = clock().await;
    clock.observe_as((5_000, 4_000), (HOUR, MARK), "runner").await;
    clock.minutes(61.0);
    clock.observe_as((60, 50), (HOUR, MARK + 3_660.0), "runner").await;
    assert_eq!(clock.left().await, Some(50));
}
