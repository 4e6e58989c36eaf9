//! The service's own processes: started, killed, frozen, and always ended.

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

/// How one process is started, each time.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) role: Role,
    pub(crate) which: usize,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) settings: Vec<(String, String)>,
    /// Its working directory, where its log is too.
    pub(crate) folder: PathBuf,
    /// Where it answers for `/metrics`.
    pub(crate) address: String,
}

/// One process of the service, up or down.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) recipe: Recipe,
    running: Mutex<Running>,
    /// Held by whoever does something to it that takes time, so that faults do not overlap.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Running {
    child: Option<Child>,
    /// Ends that nobody ordered.
    surprises: Vec<String>,
}

impl Slot {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { recipe, running: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.recipe.role.word(), self.recipe.which)
    }

    /// Its stderr, over all its lives.
    pub(crate) fn log(&self) -> PathBuf {
        self.recipe.folder.join(format!("{}.log", self.name()))
    }

    /// Starts it unless it runs.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let mut running = self.lock();
        running.look(&self.name());
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

    /// Its process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().child.as_ref().map(Child::id)
    }

    /// kill -9; answers the process id it had.
    pub(crate) fn kill(&self) -> Option<u32> {
        let mut running = self.lock();
        running.look(&self.name());
        running.end()
    }

    /// Freezes it or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may be gone already.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Ends that nobody ordered, so far.
    pub(crate) fn surprises(&self) -> Vec<String> {
        let mut running = self.lock();
        running.look(&self.name());
        running.surprises.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn look(&mut self, name: &str) {
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
        // Both fail only when it is gone already.
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

/// The `rts` that was given, or that of the profile this program was built in, brought up to date; kept in `keep`, so
/// that a build during the run changes nothing.
pub(crate) fn program(given: Option<&Path>, keep: &Path) -> anyhow::Result<PathBuf> {
    let program = given.map_or_else(beside, |given| Ok(given.to_path_buf()))?;
    anyhow::ensure!(program.is_file(), "there is no {}", program.display());
    let kept = keep.join("rts");
    if fs::hard_link(&program, &kept).is_err() {
        // The folder is on another disk.
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

/// Cargo does nothing when the binary is fresh; an old one would prove nothing.
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
