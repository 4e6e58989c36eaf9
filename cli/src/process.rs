//! One running process: its signals, its parts and its shutdown.

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow};
use operations::{Administrator, Operator};
use runtime::{
    config::{LogConfig, Sources},
    health::LoopMonitor,
    service_manager::ServiceManager,
    shutdown::Shutdown,
    telemetry::{self, Metrics},
    traces::Traces,
};
use tokio::task::JoinSet;

/// Time for a part to give back what it holds, once it has to end at once.
const FORCED_END_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for the export of the last traces, once all parts have ended.
const TRACES_END_TIMEOUT: Duration = Duration::from_secs(3);

/// Process that runs until a signal arrives or one of its parts ends.
pub(crate) struct Process {
    /// Draining and forced end of the process.
    pub(crate) shutdown: Shutdown,
    /// Metrics of the process.
    pub(crate) metrics: Metrics,
    traces: Option<Traces>,
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Process {
    /// Sets up logs, metrics and signals. Called once per process.
    pub(crate) fn start(sources: &Sources, part: &'static str) -> anyhow::Result<Self> {
        let log: LogConfig = sources.section()?;
        let traces = Traces::start(&sources.section()?, &sources.section()?, part)?;
        let (traces, spans) = traces.unzip();
        let metrics = telemetry::init(&log, part, spans)?;
        let shutdown = Shutdown::new();
        shutdown.listen().context("cannot listen for signals")?;
        let mut process = Self { shutdown, metrics, traces, parts: JoinSet::new() };
        let (metrics, draining) = (process.metrics.clone(), process.shutdown.draining().clone());
        process.run("metrics", async move {
            metrics.upkeep(&draining).await;
            Ok(())
        });
        Ok(process)
    }

    /// Adds a part. When the part ends for any reason, the whole process drains.
    pub(crate) fn run<F>(&mut self, name: &'static str, part: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.parts.spawn(async move {
            let ended = tokio::select! {
                ended = part => ended,
                () = forced_end(&shutdown) => {
                    tracing::warn!(part = name, "the part did not end in time");
                    Ok(())
                }
            };
            if !shutdown.draining().is_cancelled() {
                tracing::error!(part = name, "the part ended by itself; the process ends with it");
                shutdown.begin();
            }
            (name, ended)
        });
    }

    /// Notifies systemd, if it started the process, that it is ready and, from then on, that its loops run.
    pub(crate) fn notify_service_manager(&mut self, loops: LoopMonitor) {
        let (manager, draining) = (ServiceManager::from_environment(), self.shutdown.draining().clone());
        self.run("service manager", async move {
            manager.supervise(loops, draining).await;
            Ok(())
        });
    }

    /// Waits until all parts have ended. Returns the first failure.
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
        if let Some(traces) = self.traces {
            traces.end(TRACES_END_TIMEOUT).await;
        }
        result
    }
}

async fn forced_end(shutdown: &Shutdown) {
    shutdown.forced().cancelled().await;
    tokio::time::sleep(FORCED_END_TIMEOUT).await;
}

/// Returns the permission of the person who typed `command`, identified by account and machine.
pub(crate) fn administrator(command: &'static str) -> Administrator {
    let uid = nix::unistd::getuid();
    let account = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    let os_user = account.unwrap_or_else(|| format!("uid {uid}"));
    Administrator::from_operator(&Operator { command, os_user, host: host.to_owned() })
}

/// Returns a name for this process: its host name, or `part` without one, and its process id.
pub(crate) fn instance_name(part: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { part } else { host.trim() };
    format!("{host}-{}", std::process::id())
}
