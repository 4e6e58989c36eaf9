//! Notifications about jobs and their subscription.

use std::time::Duration;

use domain::JobId;
use queue::{Announcements, News, Queue, QueueConfig};

use crate::support::{Line, Server, TestQueue};

#[tokio::test]
async fn watchers_receive_notifications_of_their_job_only() {
    let test = TestQueue::new().await;
    let announcements = Announcements::start(&test.queue);
    let (mine, other) = (JobId::new(), JobId::new());
    let mut one = announcements.watch(mine);
    let mut two = announcements.watch(mine);
    assert_eq!(one.next().await, News::Unsure, "the subscription began after the watch");
    assert_eq!(two.next().await, News::Unsure);
    test.queue.announce(other, "failed").await.unwrap();
    test.queue.announce(mine, "succeeded").await.unwrap();
    assert_eq!(one.next().await, News::State("succeeded".into()));
    assert_eq!(two.next().await, News::State("succeeded".into()));
}

#[tokio::test]
async fn dropped_watchers_leave_no_entries() {
    let test = TestQueue::new().await;
    let announcements = Announcements::start(&test.queue);
    let job = JobId::new();
    let (one, two) = (announcements.watch(job), announcements.watch(job));
    assert_eq!(announcements.watched(), 1);
    drop(one);
    assert_eq!(announcements.watched(), 1);
    drop(two);
    assert_eq!(announcements.watched(), 0);
}

#[tokio::test]
async fn subscriptions_survive_a_restart_and_report_it() {
    let mut server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let announcements = Announcements::start(&test.queue);
    let job = JobId::new();
    let mut watch = announcements.watch(job);
    assert_eq!(watch.next().await, News::Unsure);
    server.kill();
    server.restart().await;
    assert_eq!(watch.next().await, News::Unsure, "an event may have been missed");
    test.queue.announce(job, "succeeded").await.unwrap();
    assert_eq!(watch.next().await, News::State("succeeded".into()));
}

#[tokio::test]
async fn unanswered_subscription_is_repeated_and_reported() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let line = Line::to(&server);
    line.swallow_answers(true);
    let namespace = test.namespace.as_str();
    let config =
        QueueConfig { call_timeout: Duration::from_millis(50), ..QueueConfig::new(line.url(), namespace) };
    let announcements = Announcements::start(&Queue::connect(&config).unwrap());
    let mut last = announcements.last_progress();
    for _ in 0..3 {
        while announcements.last_progress() == last {
            tokio::task::yield_now().await;
        }
        last = announcements.last_progress();
    }
    let job = JobId::new();
    let mut watch = announcements.watch(job);
    line.swallow_answers(false);
    assert_eq!(watch.next().await, News::Unsure, "the subscription is confirmed");
    test.queue.announce(job, "succeeded").await.unwrap();
    assert_eq!(watch.next().await, News::State("succeeded".into()));
}
