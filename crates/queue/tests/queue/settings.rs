//! Unchanged settings, and many installations.

use std::time::Duration;

use domain::InstallationId;
use queue::{BudgetSettings, Ticket};

use crate::support::{TestQueue, claimer, ticket};

#[tokio::test]
async fn unchanged_settings_wake_no_worker() {
    let test = TestQueue::new().await;
    let home = InstallationId::default();
    let bell = async || test.ask::<i64>(&["DEL", &test.key("wakeup")]).await;
    let (old, new) =
        (BudgetSettings::default(), BudgetSettings { concurrency: 7, ..BudgetSettings::default() });
    test.queue.set_budget(&home, &old).await.unwrap();
    assert_eq!(bell().await, 1, "they differ");
    for _ in 0..3 {
        test.queue.set_budget(&home, &old).await.unwrap();
        test.queue.restore_budget(&home, &new).await.unwrap();
        assert_eq!(bell().await, 0);
    }
    let held: String = test.ask(&["HGET", &test.key("budget:default"), "concurrency"]).await;
    assert_eq!(held, "80", "another process's are left alone");
    test.flush().await;
    test.queue.restore_budget(&home, &new).await.unwrap();
    let held: String = test.ask(&["HGET", &test.key("budget:default"), "concurrency"]).await;
    assert_eq!((held.as_str(), bell().await), ("7", 1), "what was lost is written again");
}

#[tokio::test]
async fn sixty_four_installations_are_not_polled() {
    let test = TestQueue::new().await;
    let delay = Duration::from_hours(1);
    let of = |n: usize| Ticket {
        installation: format!("i-{n}").parse().unwrap(),
        delay,
        ..ticket(domain::TeamId::new())
    };
    test.queue.enqueue(&(0..64).map(of).collect::<Vec<_>>()).await.unwrap();
    let wait = test.queue.claim(&claimer(), 1).await.unwrap().wait;
    assert!(wait > Duration::from_secs(4), "{wait:?}");
    test.queue.enqueue(&[of(64)]).await.unwrap();
    let wait = test.queue.claim(&claimer(), 1).await.unwrap().wait;
    assert!(wait <= Duration::from_millis(100), "one is left for the next claim: {wait:?}");
}
