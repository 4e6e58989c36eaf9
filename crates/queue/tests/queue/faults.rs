//! Failures of Redis that a worker survives.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{InstallationId, JobId, TeamId};
use queue::{BackendSettings, Claimed, Outcome, Queue, QueueError, Ticket};

use crate::{
    support::{Server, TestQueue, tickets, unlimited},
    test_worker::{Handler, Worker, gone, handler, settings},
};

/// Returns a handler that remembers finished jobs, as the database would.
pub(crate) fn rows() -> (Handler, Arc<Mutex<HashSet<JobId>>>) {
    let rows: Arc<Mutex<HashSet<JobId>>> = Arc::default();
    let write = rows.clone();
    let run = handler(move |job: Claimed| {
        let write = write.clone();
        async move {
            tokio::task::yield_now().await;
            write.lock().unwrap().insert(job.lease.job);
            Ok(Outcome::Done)
        }
    });
    (run, rows)
}

/// Repeats the work of a start and of the scheduler: writes the limits and enqueues unfinished jobs again.
pub(crate) async fn sweep(
    queue: &Queue,
    all: &[Ticket],
    done: &Mutex<HashSet<JobId>>,
) -> Result<(), QueueError> {
    queue.set_budget(&InstallationId::default(), &unlimited()).await?;
    let open: Vec<Ticket> =
        all.iter().filter(|ticket| !done.lock().unwrap().contains(&ticket.job)).cloned().collect();
    queue.enqueue(&open).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_redis_delays_jobs_and_loses_none() {
    let mut server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let (run, done) = rows();
    let worker = Worker::start(&test.queue, settings(8), run);
    let all = tickets(3_000, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    while done.lock().unwrap().len() < 300 {
        tokio::task::yield_now().await;
    }
    server.kill();
    server.restart().await;
    while done.lock().unwrap().len() < all.len() {
        let _ = sweep(&test.queue, &all, &done).await;
    }
    let jobs: Vec<JobId> = all.iter().map(|ticket| ticket.job).collect();
    gone(&test.queue, &jobs).await;
    assert!(worker.is_alive());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_redis_delays_jobs_and_loses_none() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let (run, done) = rows();
    let worker = Worker::start(&test.queue, settings(8), run);
    let all = tickets(2_000, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    while done.lock().unwrap().len() < 200 {
        tokio::task::yield_now().await;
    }
    test.ask::<String>(&["CLIENT", "PAUSE", "700"]).await;
    let jobs: Vec<JobId> = all.iter().map(|ticket| ticket.job).collect();
    gone(&test.queue, &jobs).await;
    assert_eq!(done.lock().unwrap().len(), all.len());
    assert!(worker.is_alive());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flush_in_mid_run_loses_nothing() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let (run, done) = rows();
    let worker = Worker::start(&test.queue, settings(8), run);
    let all = tickets(2_000, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    while done.lock().unwrap().len() < 200 {
        tokio::task::yield_now().await;
    }
    test.ask::<String>(&["FLUSHALL"]).await;
    test.ask::<String>(&["SCRIPT", "FLUSH"]).await;
    test.ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    while done.lock().unwrap().len() < all.len() {
        let _ = sweep(&test.queue, &all, &done).await;
    }
    assert!(worker.is_alive());
    worker.stop().await;
}

#[tokio::test]
async fn worker_starts_before_redis_and_stops_without_it() {
    let mut server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    server.kill();
    let (run, done) = rows();
    let worker = Worker::start(&test.queue, settings(2), run);
    server.restart().await;
    let all = tickets(1, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    gone(&test.queue, &[all[0].job]).await;
    assert_eq!(done.lock().unwrap().len(), 1);
    server.kill();
    worker.stop().await;
}

#[tokio::test]
async fn handler_is_stopped_before_an_unrenewable_lease_ends() {
    let mut server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let run = handler(move |job: Claimed| {
        let sender = sender.clone();
        async move {
            sender.send("started").unwrap();
            job.cancelled.cancelled().await;
            sender.send("stopped").unwrap();
            Ok(Outcome::Done)
        }
    });
    let short = BackendSettings { lease: Duration::from_millis(600), ..settings(1) };
    let worker = Worker::start(&test.queue, short, run);
    test.queue.enqueue(&tickets(1, TeamId::new())).await.unwrap();
    assert_eq!(reports.recv().await, Some("started"));
    server.kill();
    assert_eq!(reports.recv().await, Some("stopped"));
    worker.stop().await;
}
