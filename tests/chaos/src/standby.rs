//! A standby Redis that takes over from the first one and returns the role, as in a failover.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use devstack::ClockLibrary;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

/// Longest time until the replica has caught up with its primary.
const MAX_SYNC_TIME: Duration = Duration::from_mins(1);
/// Time between two checks of a replica.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The standby server. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Standby {
    child: Mutex<Child>,
    program: PathBuf,
    folder: PathBuf,
    pub(crate) socket: PathBuf,
    client: redis::Client,
    /// TCP ports of the first server, while it takes part, and of the standby.
    ports: [u16; 2],
}

impl Standby {
    /// Starts `program` with an empty data set and a clock that is wrong by `seconds`.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        ports: [u16; 2],
        seconds: i64,
    ) -> anyhow::Result<Self> {
        let socket = folder.join("standby.sock");
        let client = redis::Client::open(format!("redis+unix://{}", socket.display()))?;
        let child = Mutex::new(run(program, folder, &socket, ports[1], seconds)?);
        let (program, folder) = (program.to_path_buf(), folder.to_path_buf());
        Ok(Self { child, program, folder, socket, client, ports })
    }

    /// Restarts the standby with an empty data set and another clock error.
    pub(crate) fn restart(&self, seconds: i64) -> anyhow::Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        end(&mut child);
        *child = run(&self.program, &self.folder, &self.socket, self.ports[1], seconds)?;
        Ok(())
    }

    /// Replicates the data of `first`.
    pub(crate) async fn follow(&self, first: &redis::Client) -> anyhow::Result<()> {
        let mut first = first.get_multiplexed_async_connection().await?;
        let port = self.ports[0].to_string();
        send_command(&mut first, &["CONFIG", "SET", "port", &port]).await?;
        replicate(&mut self.connection().await?, Some(self.ports[0])).await
    }

    /// Stops the replication: later writes to `first` are missed.
    pub(crate) async fn promote(&self) -> anyhow::Result<()> {
        replicate(&mut self.connection().await?, None).await
    }

    /// Makes `first` a replica of the standby. Its connections stay open and refuse every write.
    pub(crate) async fn demote(&self, first: &redis::Client) -> anyhow::Result<()> {
        replicate(&mut first.get_multiplexed_async_connection().await?, Some(self.ports[1])).await
    }

    /// Makes `first` the primary again and the standby its replica.
    pub(crate) async fn give_back(&self, first: &redis::Client) -> anyhow::Result<()> {
        replicate(&mut first.get_multiplexed_async_connection().await?, None).await?;
        replicate(&mut self.connection().await?, Some(self.ports[0])).await
    }

    async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        let begun = Instant::now();
        loop {
            match self.client.get_multiplexed_async_connection().await {
                Ok(connection) => return Ok(connection),
                Err(error) if begun.elapsed() > MAX_SYNC_TIME => {
                    return Err(error).context("the standby is away");
                }
                Err(_) => sleep(POLL_INTERVAL).await,
            }
        }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        end(self.child.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

fn end(child: &mut Child) {
    // Both calls fail only when the process has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn run(program: &Path, folder: &Path, socket: &Path, port: u16, seconds: i64) -> anyhow::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("standby.log"))?;
    let port = port.to_string();
    let mut command = Command::new(program);
    command.args(["--port", &port, "--bind", "127.0.0.1", "--databases", "1024", "--save", ""]);
    command.args(["--maxmemory-policy", "noeviction", "--appendonly", "no", "--daemonize", "no"]);
    command.args(["--rdb-del-sync-files", "yes"]);
    command.arg("--unixsocket").arg(socket).arg("--dir").arg(folder);
    if seconds != 0 {
        command.envs(ClockLibrary::build(folder)?.environment(seconds));
    }
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    child.with_context(|| format!("cannot run {}", program.display()))
}

async fn send_command(connection: &mut MultiplexedConnection, words: &[&str]) -> anyhow::Result<String> {
    let mut command = redis::cmd(words[0]);
    let answer = command.arg(&words[1..]).query_async(connection).await;
    answer.with_context(|| format!("Redis refused {}", words.join(" ")))
}

/// Makes a server a replica of a port and waits until it has caught up; without a port, makes it a primary.
async fn replicate(connection: &mut MultiplexedConnection, of: Option<u16>) -> anyhow::Result<()> {
    let Some(port) = of else {
        send_command(connection, &["REPLICAOF", "NO", "ONE"]).await?;
        return Ok(());
    };
    send_command(connection, &["REPLICAOF", "127.0.0.1", &port.to_string()]).await?;
    let begun = Instant::now();
    while !send_command(connection, &["INFO", "replication"]).await?.contains("master_link_status:up") {
        anyhow::ensure!(begun.elapsed() < MAX_SYNC_TIME, "the replica of port {port} does not catch up");
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
