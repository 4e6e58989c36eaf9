//! `rts dev` as a person runs it: a process with a data folder, and what it prints.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Bearer, eventually, program};

/// How a run is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Ctrl-C.
    Interrupt,
    /// What an init system sends.
    Terminate,
    /// `kill -9`.
    Kill,
}

/// One run of `rts dev`. Dropping it kills it.
#[derive(Debug)]
pub struct DevRun {
    child: Child,
    log: PathBuf,
}

/// A caller with the token that a run has printed.
#[derive(Debug)]
pub struct Printed(String);

impl Bearer for Printed {
    fn token(&self) -> Option<&str> {
        Some(&self.0)
    }
}

impl DevRun {
    /// Starts `rts dev` with these words inside `folder`, on any port.
    ///
    /// # Panics
    /// When it cannot be started.
    #[expect(clippy::disallowed_methods, reason = "the script names the server programs by the environment")]
    pub fn start(folder: &Path, words: &[&str], changes: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("dev-{}.log", uuid::Uuid::new_v4().simple()));
        let file = File::create(&log).unwrap();
        let mut command = Command::new(program::rts());
        command.args(["dev", "--port", "0"]).args(words).current_dir(folder).env_clear();
        let programs = ["DEV_PG_BIN", "DEV_REDIS_BIN"];
        command.envs(programs.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("PATH", "/usr/bin:/bin").envs(changes.iter().copied());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    /// Everything it has printed so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until everything runs.
    ///
    /// # Panics
    /// When it ends before.
    pub async fn ready(&mut self) {
        eventually("rts dev is up", || {
            let said = self.said();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("rts dev: {status}\n{said}");
            }
            std::future::ready(said.contains("Ctrl-C ends everything.").then_some(()))
        })
        .await;
    }

    /// The address it has printed behind this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn place(&self, name: &str) -> String {
        let said = self.said();
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    }

    /// The token it has printed for somebody.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self, name: &str) -> Printed {
        let said = self.said();
        let mut lines = said.lines().skip_while(|line| line.trim() != name);
        Printed(lines.nth(1).unwrap().trim().to_owned())
    }

    /// Ends it, and waits until it is gone.
    ///
    /// # Panics
    /// When it has ended by itself.
    pub async fn end(mut self, how: Ending) -> ExitStatus {
        assert!(self.child.try_wait().unwrap().is_none(), "{}", self.said());
        let signal = match how {
            Ending::Interrupt => Signal::SIGINT,
            Ending::Terminate => Signal::SIGTERM,
            Ending::Kill => Signal::SIGKILL,
        };
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        self.wait().await
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait(&mut self) -> ExitStatus {
        eventually("rts dev ends", || std::future::ready(self.child.try_wait().unwrap())).await
    }
}

impl Drop for DevRun {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
