//! One running process: its signals, its parts, its end.

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow};
use operations::{Administrator, Operator};
use runtime::{
    config::{LogConfig, Sources},
    shutdown::Shutdown,
    telemetry::{self, Metrics},
};
use tokio::task::JoinSet;

/// How long a part may still take once it is told to end at once: to give back what it holds.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// A process that lives until a signal, or until one of its parts ends.
pub(crate) struct Process {
    /// Its two steps towards the end.
    pub(crate) shutdown: Shutdown,
    /// What it counts.
    pub(crate) metrics: Metrics,
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Process {
    /// Sets up logs, metrics and signals. Once in a process.
    pub(crate) fn start(sources: &Sources, part: &'static str) -> anyhow::Result<Self> {
        let log: LogConfig = sources.section()?;
        let metrics = telemetry::init(&log, part)?;
        let shutdown = Shutdown::new();
        shutdown.listen().context("cannot listen for signals")?;
        let mut process = Self { shutdown, metrics, parts: JoinSet::new() };
        let (metrics, draining) = (process.metrics.clone(), process.shutdown.draining().clone());
        process.run("metrics", async move {
            metrics.upkeep(&draining).await;
            Ok(())
        });
        Ok(process)
    }

    /// Adds a part. When it ends, on whatever account, the whole process drains.
    pub(crate) fn run<F>(&mut self, name: &'static str, part: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.parts.spawn(async move {
            let ended = tokio::select! {
                ended = part => ended,
                () = last_call(&shutdown) => {
                    tracing::warn!(part = name, "did not end in time");
                    Ok(())
                }
            };
            if !shutdown.draining().is_cancelled() {
                tracing::error!(part = name, "ended by itself; the process ends with it");
                shutdown.begin();
            }
            (name, ended)
        });
    }

    /// Waits for the end of every part; the first failure is the answer.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(joined) = self.parts.join_next().await {
            let failure = match joined {
                Ok((_, Ok(()))) => continue,
                Ok((name, Err(error))) => error.context(format!("the {name} part failed")),
                Err(error) => anyhow!(error).context("a part broke"),
            };
            self.shutdown.begin();
            result = result.and(Err(failure));
        }
        result
    }
}

async fn last_call(shutdown: &Shutdown) {
    shutdown.forced().cancelled().await;
    tokio::time::sleep(LAST_WAIT).await;
}

/// The permission of the person who typed `command`, named by the account and the machine.
pub(crate) fn administrator(command: &'static str) -> Administrator {
    let uid = nix::unistd::getuid();
    let account = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    let os_user = account.unwrap_or_else(|| format!("uid {uid}"));
    Administrator::from_operator(&Operator { command, os_user, host: host.to_owned() })
}

/// Where this process runs: its host's name and its number; `part` where the host has no name.
pub(crate) fn instance_name(part: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { part } else { host.trim() };
    format!("{host}-{}", std::process::id())
}
