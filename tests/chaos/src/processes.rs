//! Processes of the service: started, killed, frozen, and always ended.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::action::Role;

/// Start parameters of one process.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) role: Role,
    pub(crate) which: usize,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) settings: Vec<(String, String)>,
    /// Working directory, which also holds the log.
    pub(crate) folder: PathBuf,
    /// Address of `/metrics`.
    pub(crate) address: String,
}

/// One process of the service, running or not.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) recipe: Recipe,
    running: Mutex<Running>,
    /// Held during actions that take time, so that faults on one process do not overlap.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Running {
    child: Option<Child>,
    /// Unexpected exits.
    surprises: Vec<String>,
}

impl Slot {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { recipe, running: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.recipe.role.word(), self.recipe.which)
    }

    /// Returns the path of its stderr log, appended over all starts.
    pub(crate) fn log(&self) -> PathBuf {
        self.recipe.folder.join(format!("{}.log", self.name()))
    }

    /// Starts the process unless it runs.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let mut running = self.lock();
        running.record_exit(&self.name());
        if running.child.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let recipe = &self.recipe;
        let mut command = Command::new(&recipe.program);
        command.args(&recipe.arguments).current_dir(&recipe.folder).env_clear();
        command.envs(recipe.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot run {}", recipe.program.display()))?;
        running.child = Some(child);
        Ok(())
    }

    /// Returns the process id, or `None` while it is down.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().child.as_ref().map(Child::id)
    }

    /// Sends SIGKILL; returns the former process id.
    pub(crate) fn kill(&self) -> Option<u32> {
        let mut running = self.lock();
        running.record_exit(&self.name());
        running.end()
    }

    /// Sends SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // The process may have ended already.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Returns the unexpected exits so far.
    pub(crate) fn surprises(&self) -> Vec<String> {
        let mut running = self.lock();
        running.record_exit(&self.name());
        running.surprises.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn record_exit(&mut self, name: &str) {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.surprises.push(format!("{name} (pid {}) ended by itself: {status}", child.id()));
            self.child = None;
        }
    }

    fn end(&mut self) -> Option<u32> {
        let mut child = self.child.take()?;
        let id = child.id();
        // Both calls fail only when the process has ended already.
        let _ = child.kill();
        let _ = child.wait();
        Some(id)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.running.get_mut().unwrap_or_else(PoisonError::into_inner).end();
    }
}

/// Returns the given `rts`, or the one of this program's build profile, built first. A copy in `keep` protects the run
/// from later builds.
pub(crate) fn program(given: Option<&Path>, keep: &Path) -> anyhow::Result<PathBuf> {
    let program = given.map_or_else(beside, |given| Ok(given.to_path_buf()))?;
    anyhow::ensure!(program.is_file(), "there is no {}", program.display());
    let kept = keep.join("rts");
    if fs::hard_link(&program, &kept).is_err() {
        // A hard link fails across file systems.
        fs::copy(&program, &kept).with_context(|| format!("cannot copy {}", program.display()))?;
    }
    Ok(kept)
}

fn beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut folder = own.parent().context("this program has no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("this program has no target folder")?;
    }
    build(folder)?;
    Ok(folder.join("rts"))
}

/// Builds `rts`; Cargo does nothing when the binary is up to date.
fn build(folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.args(["build", "-q", "--locked", "-p", "cli", "--bin", "rts"]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).stdin(Stdio::null());
    let built = command.status().context("cannot run cargo")?;
    anyhow::ensure!(built.success(), "cargo build -p cli failed");
    Ok(())
}
