//! The queue as the backend of a real apalis worker.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use apalis::prelude::{Monitor, ParallelizeExt, WorkerBuilder, WorkerBuilderExt};
use domain::{JobId, Lane, TeamId};
use queue::{BackendSettings, Claimed, JobPlace, Outcome, Queue, QueueConfig};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    support::{Server, TestQueue, ticket, tickets},
    test_worker::{Worker, gone, handler, reporter, settings},
};

#[tokio::test]
async fn every_job_is_handled_once_and_settled() {
    let test = TestQueue::new().await;
    let (run, mut reports) = reporter();
    let worker = Worker::start(&test.queue, settings(8), run);
    let all = tickets(500, TeamId::new());
    let jobs: Vec<JobId> = all.iter().map(|ticket| ticket.job).collect();
    test.queue.enqueue(&all).await.unwrap();
    let mut counts: HashMap<JobId, usize> = HashMap::new();
    for _ in 0..500 {
        *counts.entry(reports.recv().await.unwrap()).or_default() += 1;
    }
    gone(&test.queue, &jobs).await;
    worker.stop().await;
    assert!(reports.try_recv().is_err() && counts.len() == 500 && counts.values().all(|count| *count == 1));
}

#[tokio::test]
async fn enqueue_wakes_an_idle_worker_without_polling() {
    let server = Server::start().await;
    let test = TestQueue::connect_to(server.url()).await;
    let (run, mut reports) = reporter();
    // A timer fires only after an hour: without the wake-up this test does not end.
    let patient = QueueConfig {
        longest_wait: Duration::from_hours(1),
        ..QueueConfig::new(server.url(), test.namespace.as_str())
    };
    let worker = Worker::start(&Queue::connect(&patient).unwrap(), settings(4), run);
    let blocked = async || {
        let clients: String = test.ask(&["INFO", "clients"]).await;
        clients.contains("blocked_clients:1")
    };
    // The first job loads the scripts into Redis.
    let first = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&first)).await.unwrap();
    gone(&test.queue, &[first.job]).await;
    assert_eq!(reports.recv().await, Some(first.job));
    while !blocked().await {}

    test.ask::<String>(&["CONFIG", "RESETSTAT"]).await;
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(reports.recv().await, Some(job.job));
    let stats: String = test.ask(&["INFO", "commandstats"]).await;
    let calls = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    assert!(calls("blpop") <= 1 && calls("evalsha") <= 4, "one push, one claim, one settle: {stats}");
    worker.stop().await;
}

#[tokio::test]
async fn every_loop_of_a_worker_reports_heartbeats() {
    let test = TestQueue::new().await;
    let (run, _reports) = reporter();
    let short = BackendSettings { lease: Duration::from_millis(300), ..settings(4) };
    let worker = Worker::start(&test.queue, short, run);
    let before = worker.dispatcher.loops();
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    for (nth, (name, last)) in before.into_iter().enumerate() {
        while worker.dispatcher.loops()[nth] == (name, last) {
            tokio::task::yield_now().await;
        }
    }
    gone(&test.queue, &[job.job]).await;
    while worker.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn panic_frees_the_slot_and_the_job_starts_again() {
    let test = TestQueue::new().await;
    let (sender, mut reports) = mpsc::unbounded_channel();
    let run = handler(move |job: Claimed| {
        let sender = sender.clone();
        async move {
            sender.send(job.lease.claims).unwrap();
            assert!(job.lease.claims > 1, "the first start fails");
            Ok(Outcome::Done)
        }
    });
    let worker = Worker::start(&test.queue, settings(1), run);
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!((reports.recv().await, reports.recv().await), (Some(1), Some(2)));
    gone(&test.queue, &[job.job]).await;
    assert!(worker.is_alive());
    worker.stop().await;
}

#[tokio::test]
async fn failed_snoozed_and_released_jobs_start_again() {
    let test = TestQueue::new().await;
    let run = handler(|job: Claimed| async move {
        match job.lease.claims {
            1 => Err(std::io::Error::other("no luck")),
            2 => Ok(Outcome::Later(Duration::from_millis(1))),
            3 => Ok(Outcome::Release),
            _ => Ok(Outcome::Done),
        }
    });
    let worker = Worker::start(&test.queue, settings(1), run);
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    gone(&test.queue, &[job.job]).await;
    worker.stop().await;
}

#[tokio::test]
async fn stopping_waits_for_running_jobs_and_claims_none() {
    let test = TestQueue::new().await;
    let (started, open) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let done = Arc::new(AtomicUsize::new(0));
    let (begun, gate, count) = (started.clone(), open.clone(), done.clone());
    let run = handler(move |_| {
        let (begun, gate, count) = (begun.clone(), gate.clone(), count.clone());
        async move {
            let passed = gate.notified();
            begun.add_permits(1);
            passed.await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Outcome::Done)
        }
    });
    let worker = Worker::start(&test.queue, settings(64), run);
    let all = tickets(100, TeamId::new());
    test.queue.enqueue(&all).await.unwrap();
    started.acquire_many(64).await.unwrap().forget();
    worker.stop.cancel();
    open.notify_waiters();
    worker.stop().await;
    let jobs: Vec<JobId> = all.iter().map(|ticket| ticket.job).collect();
    assert_eq!(done.load(Ordering::SeqCst), 64);
    assert_eq!(test.queue.unknown(&jobs).await.unwrap().len(), 64, "every answer was flushed");
    assert!(test.queue.leased(&jobs).await.unwrap().is_empty());
}

#[tokio::test]
async fn unstarted_jobs_are_returned_at_once_on_stop() {
    let test = TestQueue::new().await;
    let open = Arc::new(Notify::new());
    let (sender, mut reports) = mpsc::unbounded_channel();
    let gate = open.clone();
    let run = handler(move |job: Claimed| {
        let (gate, sender) = (gate.clone(), sender.clone());
        async move {
            let passed = gate.notified();
            sender.send(job.lease.job).unwrap();
            passed.await;
            Ok(Outcome::Done)
        }
    });
    let (queue, settings) = (test.queue.clone(), settings(8));
    let stop = settings.stop.clone();
    let signal = stop.clone();
    // The dispatcher claims eight jobs and apalis starts one: seven are unstarted.
    let monitor = Monitor::new().register(move |_| {
        let run = run.clone();
        WorkerBuilder::new("test")
            .backend(queue::backend(queue.clone(), settings.clone()))
            .concurrency(1)
            .parallelize(tokio::spawn)
            .build(move |job: Claimed| run(job))
    });
    let task = tokio::spawn(monitor.run_with_signal(async move {
        signal.cancelled().await;
        Ok(())
    }));
    let all = tickets(8, TeamId::new());
    let jobs: Vec<JobId> = all.iter().map(|ticket| ticket.job).collect();
    test.queue.enqueue(&all).await.unwrap();
    let first = reports.recv().await.unwrap();
    while test.queue.leased(&jobs).await.unwrap().len() < 8 {}

    stop.cancel();
    while test.queue.leased(&jobs).await.unwrap() != [first] {}
    assert!(!task.is_finished(), "the running job still runs");
    open.notify_waiters();
    task.await.unwrap().unwrap();
    assert_eq!(test.queue.unknown(&jobs).await.unwrap(), [first]);
}

#[tokio::test]
async fn dropped_worker_cancels_handlers_and_returns_jobs() {
    let test = TestQueue::new().await;
    let (sender, mut reports) = mpsc::unbounded_channel();
    let run = handler(move |job: Claimed| {
        let sender = sender.clone();
        async move {
            sender.send(job.clone()).unwrap();
            std::future::pending().await
        }
    });
    let worker = Worker::start(&test.queue, settings(2), run);
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    let claimed = reports.recv().await.unwrap();
    worker.task.abort();
    claimed.cancelled.cancelled().await;
    while test.queue.position(job.job).await.unwrap().unwrap().place == JobPlace::Leased {}
    assert!(!worker.is_alive());
}

#[tokio::test]
async fn lost_lease_cancels_the_handler_and_voids_its_result() {
    let test = TestQueue::new().await;
    let (sender, mut reports) = mpsc::unbounded_channel();
    let run = handler(move |job: Claimed| {
        let sender = sender.clone();
        async move {
            sender.send(()).unwrap();
            job.cancelled.cancelled().await;
            sender.send(()).unwrap();
            Ok(Outcome::Done)
        }
    });
    let short = BackendSettings { lease: Duration::from_millis(600), ..settings(1) };
    let worker = Worker::start(&test.queue, short, run);
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    reports.recv().await.unwrap();
    test.make_due("leased", Lane::Provision).await;
    let heir = test.take(1).await.remove(0);
    reports.recv().await.unwrap();
    worker.stop().await;
    assert_eq!(test.queue.leased(&[job.job]).await.unwrap(), [job.job], "the next worker keeps its lease");
    assert!(test.queue.finish(&heir).await.unwrap());
}

#[tokio::test]
async fn leases_of_long_jobs_are_renewed() {
    let test = TestQueue::new().await;
    let lived = Arc::new(AtomicBool::new(false));
    let (sender, mut reports) = mpsc::unbounded_channel();
    let seen = lived.clone();
    let run = handler(move |job: Claimed| {
        let (sender, seen) = (sender.clone(), seen.clone());
        async move {
            sender.send(job.lease.rescues).unwrap();
            tokio::select! {
                () = job.cancelled.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(1_200)) => seen.store(true, Ordering::SeqCst),
            }
            Ok(Outcome::Done)
        }
    });
    let short = BackendSettings { lease: Duration::from_millis(500), ..settings(2) };
    let (one, two) = (
        Worker::start(&test.queue, short.clone(), run.clone()),
        Worker::start(&test.queue, BackendSettings { stop: CancellationToken::new(), ..short }, run),
    );
    let job = ticket(TeamId::new());
    test.queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(reports.recv().await, Some(0));
    gone(&test.queue, &[job.job]).await;
    one.stop().await;
    two.stop().await;
    assert!(lived.load(Ordering::SeqCst) && reports.try_recv().is_err(), "run once, to its end");
}
