//! `rts dev` as a user runs it: a process with a data folder, and its printed output.

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

/// Signal that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM, as an init system sends it.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// One run of `rts dev`. Dropping it kills the process.
#[derive(Debug)]
pub struct DevRun {
    child: Child,
    log: PathBuf,
}

/// A caller that uses a token printed by a run.
#[derive(Debug)]
pub struct Printed(String);

impl Bearer for Printed {
    fn token(&self) -> Option<&str> {
        Some(&self.0)
    }
}

impl DevRun {
    /// Starts `rts dev` with the arguments `words` inside `folder`, on any port; `changes` are added to its
    /// environment.
    ///
    /// # Panics
    /// When the process cannot be started.
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

    /// Returns everything the run has printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the run reports that all parts are ready.
    ///
    /// # Panics
    /// When the process ends before that.
    pub async fn ready(&mut self) {
        eventually("rts dev is up", || {
            let said = self.printed();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("rts dev: {status}\n{said}");
            }
            std::future::ready(said.contains("Ctrl-C ends everything.").then_some(()))
        })
        .await;
    }

    /// Returns the path of the program that runs.
    pub fn program(&self) -> PathBuf {
        program::rts()
    }

    /// Returns the address printed after the label `name`.
    ///
    /// # Panics
    /// When the output has no such label.
    pub fn address(&self, name: &str) -> String {
        let said = self.printed();
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    }

    /// Returns a caller with the token printed for the demo user `name`.
    ///
    /// # Panics
    /// When the output has no such user.
    pub fn token(&self, name: &str) -> Printed {
        let said = self.printed();
        let mut lines = said.lines().skip_while(|line| line.trim() != name);
        Printed(lines.nth(1).unwrap().trim().to_owned())
    }

    /// Sends the signal and waits until the process has ended.
    ///
    /// # Panics
    /// When the process has ended before.
    pub async fn end(mut self, how: Ending) -> ExitStatus {
        assert!(self.child.try_wait().unwrap().is_none(), "{}", self.printed());
        let signal = match how {
            Ending::Interrupt => Signal::SIGINT,
            Ending::Terminate => Signal::SIGTERM,
            Ending::Kill => Signal::SIGKILL,
        };
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        self.wait().await
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn wait(&mut self) -> ExitStatus {
        eventually("rts dev ends", || std::future::ready(self.child.try_wait().unwrap())).await
    }
}

impl Drop for DevRun {
    fn drop(&mut self) {
        // Both calls fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
