//! Values and locks that replicas share.

use std::time::Duration;

use queue::QueueError;

use crate::support::TestQueue;

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn value_is_stored_replaced_and_expires() {
    let queue = TestQueue::new().await.queue;
    assert_eq!(queue.shared_get("token:default").await.unwrap(), None);
    queue.shared_put("token:default", &[0, 255, 7], MINUTE).await.unwrap();
    assert_eq!(queue.shared_get("token:default").await.unwrap(), Some(vec![0, 255, 7]));
    queue.shared_put("token:default", &[1], Duration::from_millis(1)).await.unwrap();
    while queue.shared_get("token:default").await.unwrap().is_some() {}
}

#[tokio::test]
async fn lock_is_released_only_by_its_owner() {
    let queue = TestQueue::new().await.queue;
    let mine = queue.shared_lock("mint", MINUTE).await.unwrap().unwrap();
    assert_eq!(queue.shared_lock("mint", MINUTE).await.unwrap(), None);
    let other = queue.shared_lock("other", MINUTE).await.unwrap().unwrap();
    assert!(!queue.shared_unlock("mint", &other).await.unwrap());
    assert!(queue.shared_unlock("mint", &mine).await.unwrap());
    assert!(!queue.shared_unlock("mint", &mine).await.unwrap());
    let mine = queue.shared_lock("mint", Duration::from_secs(10)).await.unwrap().unwrap();
    assert!(!queue.shared_renew("mint", &other, MINUTE).await.unwrap(), "only its holder renews it");
    assert!(queue.shared_renew("mint", &mine, Duration::from_millis(1)).await.unwrap());
    let next = loop {
        if let Some(next) = queue.shared_lock("mint", MINUTE).await.unwrap() {
            break next;
        }
    };
    assert!(!queue.shared_renew("mint", &mine, MINUTE).await.unwrap(), "it ran out");
    assert!(queue.shared_unlock("mint", &next).await.unwrap());
    let brief = queue.shared_lock("mint", Duration::from_millis(1)).await.unwrap().unwrap();
    while queue.shared_lock("mint", MINUTE).await.unwrap().is_none() {}
    assert!(!queue.shared_unlock("mint", &brief).await.unwrap(), "it ran out");
}

#[tokio::test]
async fn names_and_sizes_are_checked() {
    let queue = TestQueue::new().await.queue;
    for name in ["", "A", "a b", "x}", "a\n", &"a".repeat(101)] {
        assert!(matches!(queue.shared_get(name).await, Err(QueueError::BadName(_))), "{name}");
        assert!(matches!(queue.shared_put(name, &[], MINUTE).await, Err(QueueError::BadName(_))));
        assert!(matches!(queue.shared_lock(name, MINUTE).await, Err(QueueError::BadName(_))));
    }
    let most = vec![7; 16 * 1_024];
    queue.shared_put("a", &most, MINUTE).await.unwrap();
    assert_eq!(queue.shared_get("a").await.unwrap(), Some(most.clone()));
    assert!(matches!(
        queue.shared_put("a", &[most, vec![7]].concat(), MINUTE).await,
        Err(QueueError::TooLarge)
    ));
}
