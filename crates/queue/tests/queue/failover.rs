//! Redis in its three set-ups fails over: connections left open, Sentinels that promote a replica, a cluster whose slot
//! moves. The servers are real ones.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU16, atomic::Ordering},
    time::Duration,
};

use devstack::{Layout, RedisGroup};
use domain::{InstallationId, JobId, TeamId};
use queue::{Announcements, News, Queue, QueueConfig, QueueError, Watch};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    faults::{rows, sweep},
    support::{Server, claimer, ticket, tickets, unlimited},
    test_worker::{Worker, settings},
};

/// Longest wait for any condition. A failover takes some seconds on a quiet machine.
const LIMIT: Duration = Duration::from_mins(2);

async fn group(layout: Layout) -> RedisGroup {
    let start = move || RedisGroup::start(layout, crate::support::given_program().as_deref()).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn queue(url: &str) -> Queue {
    Queue::connect(&QueueConfig::new(url, "failover")).unwrap()
}

/// Repeats a check until it holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A name that moves: new connections go to the current server, earlier ones stay.
struct MovingName {
    address: SocketAddr,
    target: Arc<AtomicU16>,
    task: JoinHandle<()>,
}

impl MovingName {
    async fn of(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, target) = (listener.local_addr().unwrap(), Arc::new(AtomicU16::new(port)));
        let current = target.clone();
        let task = tokio::spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let port = current.load(Ordering::SeqCst);
                calls.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, target, task }
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }
}

impl Drop for MovingName {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns whether an announcement made now arrives. The subscription may begin before or after the watch, so what the
/// watch receives first is left open.
async fn heard(queue: &Queue, job: JobId, watch: &mut Watch) -> bool {
    let _ = queue.announce(job, "succeeded").await;
    matches!(timeout(Duration::from_secs(1), watch.next()).await, Ok(News::State(_)))
}

/// Makes the replica the primary and the primary its replica. Connections of clients stay open.
fn swap(group: &RedisGroup) {
    let [old, new] = group.ports()[..] else { panic!("two servers") };
    group.ask(new, &["REPLICAOF", "NO", "ONE"]).unwrap();
    group.ask(old, &["REPLICAOF", "127.0.0.1", &new.to_string()]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demoted_primary_with_open_connections_is_left_at_once() {
    let group = group(Layout::Replicated).await;
    let name = MovingName::of(group.ports()[0]).await;
    let queue = queue(&name.url());
    queue.set_budget(&InstallationId::default(), &unlimited()).await.unwrap();
    let announcements = Announcements::start(&queue);
    let first = ticket(TeamId::new());
    let mut watch = announcements.watch(first.job);
    until("announcements arrive", async || heard(&queue, first.job, &mut watch).await).await;
    queue.enqueue(std::slice::from_ref(&first)).await.unwrap();
    until("the replica has the job", async || {
        let key = format!("{{failover}}:job:{}", first.job);
        group.ask(group.ports()[1], &["EXISTS", &key]).unwrap() == "1"
    })
    .await;

    swap(&group);
    name.lead_to(group.ports()[1]);
    let claimer = claimer();
    until("the job is claimed from the new primary", async || {
        queue
            .claim(&claimer, 1)
            .await
            .is_ok_and(|claim| claim.jobs.iter().any(|lease| lease.job == first.job))
    })
    .await;
    queue.ping().await.unwrap();
    until("announcements arrive from the new primary", async || heard(&queue, first.job, &mut watch).await)
        .await;
}

#[tokio::test]
async fn replica_is_not_ready_and_not_an_empty_queue() {
    let group = group(Layout::Replicated).await;
    let queue = queue(&group.url());
    queue.ping().await.unwrap();
    assert!(queue.claim(&claimer(), 1).await.unwrap().jobs.is_empty());
    swap(&group);
    assert!(queue.ping().await.is_err(), "a replica takes no writes");
    assert!(queue.claim(&claimer(), 1).await.is_err(), "a claim on an empty replica fails");
    assert!(queue.stats().await.is_err());
    group.ask(group.ports()[0], &["REPLICAOF", "NO", "ONE"]).unwrap();
    until("it is ready again", async || queue.ping().await.is_ok()).await;
}

#[tokio::test]
async fn unreachable_redis_costs_one_call_its_time_limit_and_the_next_ones_nothing() {
    let server = Server::start().await;
    let line = crate::support::Line::to(&server);
    let config = QueueConfig { call_timeout: Duration::from_secs(1), ..QueueConfig::new(line.url(), "away") };
    let queue = Queue::connect(&config).unwrap();
    queue.ping().await.unwrap();
    line.swallow_answers(true);
    assert!(matches!(queue.ping().await, Err(QueueError::Timeout)));
    for _ in 0..50 {
        assert!(matches!(queue.ping().await, Err(QueueError::Away)), "no call waits for its own time limit");
    }
    line.swallow_answers(false);
    until("it is found without a call waiting for it", async || queue.ping().await.is_ok()).await;
}

/// Runs jobs in a worker during `fail`. Every job is finished in the end; lost ones are enqueued again.
async fn survives(mut group: RedisGroup, fail: impl FnOnce(&mut RedisGroup) + Send + 'static) {
    let queue = queue(&group.url());
    queue.set_budget(&InstallationId::default(), &unlimited()).await.unwrap();
    let (run, done) = rows();
    let worker = Worker::start(&queue, settings(8), run);
    let all = tickets(2_000, TeamId::new());
    queue.enqueue(&all).await.unwrap();
    until("some are done", async || done.lock().unwrap().len() >= 200).await;
    let group = tokio::task::spawn_blocking(move || {
        fail(&mut group);
        group
    })
    .await
    .unwrap();
    until("all are done", async || {
        let _ = sweep(&queue, &all, &done).await;
        done.lock().unwrap().len() == all.len()
    })
    .await;
    assert!(worker.is_alive());
    // A notification starts the next job, not the dispatcher's timer.
    let watched = JobId::new();
    let mut watch = Announcements::start(&queue).watch(watched);
    until("announcements arrive", async || heard(&queue, watched, &mut watch).await).await;
    let last = ticket(TeamId::new());
    queue.enqueue(std::slice::from_ref(&last)).await.unwrap();
    until("a later job is done", async || done.lock().unwrap().contains(&last.job)).await;
    worker.stop().await;
    drop(group);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_promote_the_replica_lose_no_job() {
    survives(group(Layout::Sentinel).await, |group| {
        let primary = group.primaries()[0];
        group.kill(primary).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_primary_behind_sentinels_is_replaced_and_left() {
    let frozen = Arc::new(Mutex::new(0));
    let port = frozen.clone();
    survives(group(Layout::Sentinel).await, move |group| {
        let primary = group.primaries()[0];
        group.pause(primary).unwrap();
        *port.lock().unwrap() = primary;
    })
    .await;
    assert_ne!(*frozen.lock().unwrap(), 0);
}

/// The number of our hash slot, and the primary that owns it.
fn owner(group: &RedisGroup) -> (String, u16) {
    let ports = group.ports();
    let slot = group.ask(ports[0], &["CLUSTER", "KEYSLOT", "{failover}"]).unwrap();
    let key = "{failover}:owner";
    let owns = |port: &u16| group.ask(*port, &["EXISTS", key]).is_ok();
    (slot, group.primaries().into_iter().find(owns).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_that_fails_over_loses_no_job() {
    survives(group(Layout::Cluster).await, |group| {
        let (_, port) = owner(group);
        group.kill(port).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_that_moves_to_another_node_is_followed() {
    survives(group(Layout::Cluster).await, |group| {
        let (slot, from) = owner(group);
        let to = group.primaries().into_iter().find(|port| *port != from).unwrap();
        let id = |port| group.ask(port, &["CLUSTER", "MYID"]).unwrap();
        group.ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]).unwrap();
        group.ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]).unwrap();
        loop {
            let keys = group.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).unwrap();
            if keys.is_empty() {
                break;
            }
            let to_port = to.to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &to_port, "", "0", "5000", "KEYS"];
            words.extend(keys.lines());
            group.ask(from, &words).unwrap();
        }
        for port in [to, from] {
            group.ask(port, &["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]).unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn plain_address_of_a_cluster_node_leads_to_the_owner_of_the_slot() {
    let group = group(Layout::Cluster).await;
    for port in group.ports() {
        let queue = queue(&format!("redis://127.0.0.1:{port}"));
        queue.ping().await.unwrap();
        queue.enqueue(&tickets(1, TeamId::new())).await.unwrap();
    }
}
