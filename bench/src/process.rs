//! Processes of the service: this program, started again with other arguments.

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

/// Time limit for a log line that a process writes once it runs.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// Time limit for the end of a process after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A running process. It is killed when dropped, so that none outlives the benchmark.
pub(crate) struct ServiceProcess {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl ServiceProcess {
    /// Starts this program with `args`. Its environment is `env` and nothing else; its log is a file in `dir`.
    pub(crate) fn start(
        name: &'static str,
        args: &[&str],
        env: &[(&str, String)],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}-{}.log", uuid::Uuid::new_v4().simple()));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).env_clear().envs(env.iter().map(|(name, value)| (name, value)));
        // Not the caller's folder: it may hold a .env.
        command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.kill_on_drop(true).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits for the log line with this message and returns it.
    pub(crate) async fn wait_for(&mut self, message: &str) -> anyhow::Result<Value> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let text = fs::read_to_string(&self.log)?;
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.find(|line| line["message"] == message) {
                return Ok(line);
            }
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let tail: Vec<_> = text.lines().rev().take(5).collect();
                bail!("{} did not start: {}", self.name, tail.join(" | "));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the process listens and returns its address as `host:port`.
    pub(crate) async fn address(&mut self) -> anyhow::Result<String> {
        let line = self.wait_for("listening").await?;
        Ok(line["address"].as_str().context("no address")?.to_owned())
    }

    /// Returns the resident memory in megabytes. Linux only.
    pub(crate) fn resident_memory(&self) -> anyhow::Result<f64> {
        self.memory("VmRSS:")
    }

    /// Returns the highest resident memory so far in megabytes. Linux only.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))
            .context("resident memory is known on Linux only")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        Ok(number.with_context(|| format!("no {field}"))? / 1024.0)
    }

    /// Ends the process with SIGTERM and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid()?.cast_signed()), Signal::SIGTERM)?;
        let ended = timeout(STOP_TIMEOUT, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not end", self.name))??;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Ends the process with SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }
}
