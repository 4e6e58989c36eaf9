//! The started program: its environment, its signals, its end.

use std::{io::IsTerminal, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use domain::{JIT_CONFIG_VARIABLE, RunnerStatus, Secret};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use crate::{commands::ticket::TICKET_VARIABLE, error::ClientError, output::print::note, session::Session};

/// Variables with the caller's own tokens. Jobs of the runner must not see them.
const TOKEN_VARIABLES: &[&str] = &[
    "RTS_TOKEN",
    "RTS_TOKEN_FILE",
    "RTS_ID_TOKEN",
    TICKET_VARIABLE,
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
];
/// Longest time of the removal of a runner that was never online.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs a program to its end with the config in its environment, and hands on its exit code.
///
/// # Errors
/// [`ClientError::Failed`] if it cannot be started, [`ClientError::Child`] unless it ends with 0.
pub(crate) async fn run(
    session: &Session,
    command: &[String],
    config: &Secret,
    runner: Option<&str>,
) -> Result<(), ClientError> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| ClientError::Usage("no command".to_owned()))?;
    let mut child = Command::new(program);
    child.args(arguments);
    for name in TOKEN_VARIABLES {
        child.env_remove(name);
    }
    let fault = |error: std::io::Error| ClientError::Failed(format!("{program}: {error}"));
    // Before the start: a signal in between would end this program alone.
    let mut signals = Signals::listen().map_err(fault)?;
    let ended = match child.env(JIT_CONFIG_VARIABLE, config.expose()).spawn() {
        Ok(mut child) => signals.wait(&mut child).await.map_err(fault),
        Err(error) => Err(fault(error)),
    };
    if let Some(runner) = runner {
        remove_if_never_online(session, runner).await;
    }
    match exit_code(ended?) {
        0 => Ok(()),
        code => Err(ClientError::Child(code)),
    }
}

/// The signals that are forwarded to the child.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the end of the child and forwards signals to it meanwhile.
    async fn wait(&mut self, child: &mut Child) -> std::io::Result<ExitStatus> {
        // A terminal sends its interrupts to the child too.
        let forward_interrupt = !std::io::stdin().is_terminal();
        let id = child.id();
        loop {
            tokio::select! {
                status = child.wait() => return status,
                _ = self.terminate.recv() => forward(id, Signal::SIGTERM),
                _ = self.interrupt.recv() => if forward_interrupt { forward(id, Signal::SIGINT) },
                _ = self.hangup.recv() => forward(id, Signal::SIGHUP),
                _ = self.quit.recv() => if forward_interrupt { forward(id, Signal::SIGQUIT) },
            }
        }
    }
}

fn forward(id: Option<u32>, signal: Signal) {
    if let Some(id) = id.and_then(|id| i32::try_from(id).ok()) {
        // Fails only if the child has just ended.
        let _ = kill(Pid::from_raw(id), signal);
    }
}

/// A shell's code for a program that a signal ended is 128 and the signal.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// Removes a runner whose program ended before it was online, so that it does not use up the quota until it expires.
async fn remove_if_never_online(session: &Session, runner: &str) {
    let removal = async {
        let seen = session.get(&["runners", runner]).await?;
        let unused = [RunnerStatus::Requested, RunnerStatus::Pending].map(RunnerStatus::as_str);
        if !seen["status"].as_str().is_some_and(|status| unused.contains(&status)) {
            return Ok(());
        }
        session.client.send(session.client.request(Method::DELETE, &["runners", runner])).await?;
        note("the runner was never online; its removal is requested");
        Ok::<(), ClientError>(())
    };
    match tokio::time::timeout(REMOVAL_TIMEOUT, removal).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => note(format_args!("the runner could not be checked after its end: {error}")),
        Err(_) => note("the runner could not be checked after its end: no answer in time"),
    }
}
