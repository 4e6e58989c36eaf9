//! Tests of the shutdown steps, task groups and supervision.

use std::sync::atomic::AtomicU32;

use super::*;

#[tokio::test(start_paused = true)]
async fn draining_lets_tasks_finish() {
    let shutdown = Shutdown::new();
    let group = TaskGroup::new(shutdown.clone());
    let token = shutdown.clone();
    group.spawn("finishes", async move {
        token.draining().cancelled().await;
        sleep(Duration::from_secs(3)).await;
    });
    assert_eq!(group.running(), ["finishes"]);
    shutdown.limit_grace(GRACE);
    shutdown.step();
    assert!(group.wait().await.is_empty());
    assert!(!shutdown.forced().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn end_of_the_grace_time_forces_the_shutdown() {
    let shutdown = Shutdown::new();
    let group = TaskGroup::new(shutdown.clone());
    group.spawn("never ends", std::future::pending());
    shutdown.limit_grace(GRACE);
    let begun = Instant::now();
    shutdown.begin();
    assert!(group.wait().await.is_empty());
    assert_eq!(begun.elapsed(), GRACE);
    assert!(shutdown.forced().is_cancelled());
}

#[tokio::test]
async fn second_signal_forces_the_shutdown() {
    let shutdown = Shutdown::new();
    let group = TaskGroup::new(shutdown.clone());
    group.spawn("never ends", std::future::pending());
    shutdown.step();
    assert!(shutdown.draining().is_cancelled() && !shutdown.forced().is_cancelled());
    shutdown.step();
    assert!(group.wait().await.is_empty());
}

#[tokio::test]
async fn panicking_task_begins_draining() {
    let group = TaskGroup::new(Shutdown::new());
    group.spawn("breaks", async { panic!("on purpose") });
    assert!(group.wait().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn supervised_loop_starts_again_after_return_error_and_panic() {
    let runs = Arc::new(AtomicU32::new(0));
    let draining = CancellationToken::new();
    let (count, stop) = (runs.clone(), draining.clone());
    let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(3) };
    let begun = Instant::now();
    supervise("test", backoff, &draining, move || {
        let run = count.fetch_add(1, Ordering::SeqCst);
        let stop = stop.clone();
        async move {
            match run {
                0 => Ok(()),
                1 => Err("broken"),
                2 => panic!("worse"),
                _ => {
                    stop.cancel();
                    Ok(())
                }
            }
        }
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    assert_eq!(begun.elapsed(), Duration::from_secs(1 + 2 + 3));
}

#[tokio::test(start_paused = true)]
async fn draining_ends_the_pause_between_restarts() {
    let draining = CancellationToken::new();
    let backoff = Backoff { first: Duration::from_hours(1), most: Duration::from_hours(1) };
    let begun = Instant::now();
    let stop = draining.clone();
    let run = supervise("test", backoff, &draining, || async { Err("broken") });
    tokio::join!(run, async move {
        sleep(Duration::from_secs(5)).await;
        stop.cancel();
    });
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}
