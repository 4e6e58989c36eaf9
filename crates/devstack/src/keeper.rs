//! Keepers: small shells that start one server each and stop it when their standard input ends.
//!
//! Only this process holds the other end of that input. The server therefore stops on request and also if this process
//! is killed. This works on every Unix and needs no parent-death signal, which fires when the *thread* that started the
//! child ends. Keeper and server form their own process group, so Ctrl-C in the terminal does not reach them.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{Error, account::Account, folder, process};

/// Shell script of a keeper. Arguments: the stop signal, the log, then the server's command line. Prints the server's
/// process id.
///
/// A background command reads /dev/null by default, hence descriptor 3. The script waits for the watcher, because the
/// first process of a container may not collect other processes' children.
const SCRIPT: &str = r#"
stop=$1 log=$2
shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
(
    while read -r _; do :; done
    kill -s "$stop" "$server"
    kill -s CONT "$server"
) <&3 >/dev/null 2>&1 &
watcher=$!
wait "$server"
kill "$watcher" 2>/dev/null
wait "$watcher"
"#;

/// Description of a server's start, kept for restarts in the same place.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// `postgres` or `redis`.
    pub(crate) name: &'static str,
    /// Program and arguments.
    pub(crate) command: Vec<std::ffi::OsString>,
    /// Signal for a fast orderly stop.
    pub(crate) stop: Signal,
    pub(crate) log: PathBuf,
    /// Additional environment variables.
    pub(crate) environment: Vec<(&'static str, std::ffi::OsString)>,
}

/// One running server.
#[derive(Debug)]
pub(crate) struct Keeper {
    name: &'static str,
    shell: Child,
    server: Pid,
    log: PathBuf,
}

/// Returns a command that runs as `account` inside `folder` with a clean environment, without any `PG*` variable.
pub(crate) fn command(program: &Path, folder: &Path, account: Account) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin:/usr/local/bin").env("LC_ALL", "C");
    account.apply(&mut command);
    command
}

impl Keeper {
    pub(crate) fn start(recipe: &Recipe, folder: &Path, account: Account) -> Result<Self, Error> {
        const SHELL: &str = "/bin/sh";
        let mut shell = command(Path::new(SHELL), folder, account);
        shell.args(["-c", SCRIPT, recipe.name]);
        shell.arg(recipe.stop.as_str().trim_start_matches("SIG")).arg(&recipe.log).args(&recipe.command);
        shell.envs(recipe.environment.iter().map(|(name, value)| (name, value)));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let failed = |source| Error::Run { program: SHELL.into(), source };
        let mut shell = shell.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(output) = shell.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(failed)?;
        }
        let Some(server) = line.trim().parse().ok().map(Pid::from_raw) else {
            let _ = shell.kill();
            let _ = shell.wait();
            return Err(Error::NotRunning(recipe.name));
        };
        Ok(Self { name: recipe.name, shell, server, log: recipe.log.clone() })
    }

    /// Waits until the server answers.
    pub(crate) fn wait_ready(&mut self, answers: impl Fn() -> bool) -> Result<(), Error> {
        const LIMIT: Duration = Duration::from_mins(1);
        let mut ended = false;
        let in_time = process::wait_until(LIMIT, || {
            ended = self.shell.try_wait().is_ok_and(|status| status.is_some());
            ended || answers()
        });
        match (ended, in_time) {
            (false, true) => Ok(()),
            (true, _) => Err(self.not_ready("stopped while starting")),
            (false, false) => Err(self.not_ready("did not answer within a minute")),
        }
    }

    fn not_ready(&self, reason: &'static str) -> Error {
        Error::NotReady { server: self.name, reason, log: folder::tail(&self.log) }
    }

    /// Stops the server in an orderly way; kills it if that takes too long.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        const LIMIT: Duration = Duration::from_secs(15);
        drop(self.shell.stdin.take());
        if self.wait_gone(LIMIT) { Ok(()) } else { self.kill() }
    }

    /// Ends the server and its helpers at once, as a crash of the machine would.
    pub(crate) fn kill(mut self) -> Result<(), Error> {
        const LIMIT: Duration = Duration::from_secs(10);
        let helpers = process::children(self.server);
        process::signal(self.server, Signal::SIGKILL);
        for helper in &helpers {
            process::signal(*helper, Signal::SIGKILL);
        }
        drop(self.shell.stdin.take());
        if !self.wait_gone(LIMIT) {
            let _ = killpg(self.shell_id(), Signal::SIGKILL);
        }
        // PostgreSQL does not start while an old helper is attached to the shared memory.
        let gone = self.wait_gone(LIMIT)
            && process::wait_until(LIMIT, || !helpers.iter().any(|pid| process::alive(*pid)));
        if gone { Ok(()) } else { Err(Error::Stuck(self.name)) }
    }

    fn wait_gone(&mut self, limit: Duration) -> bool {
        process::wait_until(limit, || {
            self.shell.try_wait().is_ok_and(|status| status.is_some()) && !process::alive(self.server)
        })
    }

    /// Sends a signal to the server and its helpers, to freeze or resume them.
    pub(crate) fn send(&self, signal: Signal) {
        for pid in std::iter::once(self.server).chain(process::children(self.server)) {
            process::signal(pid, signal);
        }
    }

    pub(crate) fn server(&self) -> Pid {
        self.server
    }

    fn shell_id(&self) -> Pid {
        Pid::from_raw(self.shell.id().cast_signed())
    }
}
