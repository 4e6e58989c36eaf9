//! Notices of the processes to systemd.
#![cfg(test)]

use std::{path::PathBuf, time::Duration};

use harness::World;
use tokio::{net::UnixDatagram, time::timeout};

/// Longest wait for a notice.
const LIMIT: Duration = Duration::from_mins(2);

/// The socket of a service manager. Dropping it removes its file.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn start(world: &World, part: &str) -> Self {
        // A path of a socket is short.
        let path = std::env::temp_dir().join(format!("{}-{part}.notify", world.database().name()));
        Self { socket: UnixDatagram::bind(&path).unwrap(), path }
    }

    async fn next(&self) -> String {
        let mut notice = [0; 100];
        let length = timeout(LIMIT, self.socket.recv(&mut notice)).await.unwrap().unwrap();
        String::from_utf8(notice[..length].to_vec()).unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[tokio::test]
async fn systemd_is_notified_of_start_running_loops_and_stop() {
    let world = World::builder().workers(0).start().await;
    for part in ["api", "worker", "scheduler"] {
        let manager = Manager::start(&world, part);
        let env = [("NOTIFY_SOCKET", manager.path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
        let program = world.program(part, &env);
        assert_eq!(manager.next().await, "READY=1", "{part}: {}", program.output());
        for _ in 0..3 {
            assert_eq!(manager.next().await, "WATCHDOG=1", "{part}");
        }
        program.stop().await;
        let last = loop {
            match manager.next().await.as_str() {
                "WATCHDOG=1" => {}
                last => break last.to_owned(),
            }
        };
        assert_eq!(last, "STOPPING=1", "{part}");
    }
}
