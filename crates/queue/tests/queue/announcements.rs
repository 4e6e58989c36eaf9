//! Hearing of a job.

use domain::JobId;
use queue::{Announcements, News};

use crate::support::{Corner, Server};

#[tokio::test]
async fn watchers_hear_of_their_job_alone() {
    let corner = Corner::new().await;
    let announcements = Announcements::start(&corner.spine);
    let (mine, other) = (JobId::new(), JobId::new());
    let mut one = announcements.watch(mine);
    let mut two = announcements.watch(mine);
    assert_eq!(one.next().await, News::Unsure, "the subscription began after the watch");
    assert_eq!(two.next().await, News::Unsure);
    corner.spine.announce(other, "failed").await.unwrap();
    corner.spine.announce(mine, "succeeded").await.unwrap();
    assert_eq!(one.next().await, News::State("succeeded".into()));
    assert_eq!(two.next().await, News::State("succeeded".into()));
}

#[tokio::test]
async fn watchers_leave_nothing_behind() {
    let corner = Corner::new().await;
    let announcements = Announcements::start(&corner.spine);
    let job = JobId::new();
    let (one, two) = (announcements.watch(job), announcements.watch(job));
    assert_eq!(announcements.watched(), 1);
    drop(one);
    assert_eq!(announcements.watched(), 1);
    drop(two);
    assert_eq!(announcements.watched(), 0);
}

#[tokio::test]
async fn a_restart_is_survived_and_told() {
    let mut server = Server::start().await;
    let corner = Corner::at(server.url()).await;
    let announcements = Announcements::start(&corner.spine);
    let job = JobId::new();
    let mut watch = announcements.watch(job);
    assert_eq!(watch.next().await, News::Unsure);
    server.kill();
    server.restart().await;
    assert_eq!(watch.next().await, News::Unsure, "something may have been missed");
    corner.spine.announce(job, "succeeded").await.unwrap();
    assert_eq!(watch.next().await, News::State("succeeded".into()));
}
