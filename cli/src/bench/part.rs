//! One part of the service as a process of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// A running child. It is killed when dropped, so none outlives the benchmark.
pub(super) struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts this program with other words, its environment and nothing else of ours.
    pub(super) fn start(
        name: &'static str,
        words: &[&str],
        env: &[(&str, String)],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}-{}.log", uuid::Uuid::new_v4().simple()));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).env_clear().envs(env.iter().map(|(name, value)| (name, value)));
        // Not the caller's folder: it may hold a .env.
        command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.kill_on_drop(true).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits for the log line with this message and gives it back.
    pub(super) async fn wait_for(&mut self, message: &str) -> anyhow::Result<Value> {
        const PATIENCE: Duration = Duration::from_mins(1);
        let until = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&self.log)?;
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.find(|line| line["message"] == message) {
                return Ok(line);
            }
            if self.child.try_wait()?.is_some() || Instant::now() > until {
                let tail: Vec<_> = text.lines().rev().take(5).collect();
                bail!("{} did not start: {}", self.name, tail.join(" | "));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where it listens, as `host:port`.
    pub(super) async fn address(&mut self) -> anyhow::Result<String> {
        let line = self.wait_for("listening").await?;
        Ok(line["address"].as_str().context("no address")?.to_owned())
    }

    /// Its resident memory in megabytes, as Linux tells it.
    pub(super) fn resident(&self) -> anyhow::Result<f64> {
        self.memory("VmRSS:")
    }

    /// The most it ever had.
    pub(super) fn most_resident(&self) -> anyhow::Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, word: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))
            .context("resident memory is known on Linux only")?;
        let line = status.lines().find_map(|line| line.strip_prefix(word));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        Ok(number.with_context(|| format!("no {word}"))? / 1024.0)
    }

    /// Ends it as an operator would.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(20);
        kill(Pid::from_raw(self.pid()?.cast_signed()), Signal::SIGTERM)?;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not end", self.name))??;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Ends it as a lost machine would.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Its process.
    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }
}
