//! Execution of a command beside a private stack.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::{Error, Options, Stack};

/// Starts a stack, runs `command` with `TEST_DATABASE_URL` and `TEST_REDIS_URL` set, and stops the stack. Returns the
/// command's exit code, or 128 + n if signal n ended it.
///
/// Ctrl-C reaches the command through the terminal; SIGTERM and SIGHUP are forwarded. In all cases the servers stop
/// after the command. The process keeps these signal handlers, so it should end soon after.
///
/// # Errors
/// The servers cannot be started, or the command cannot be run.
pub fn with_stack(options: &Options, command: Vec<OsString>) -> Result<ExitCode, Error> {
    // A separate thread, because the caller may be inside an async runtime, where no other can be started.
    thread::scope(|scope| {
        let work = scope
            .spawn(|| Builder::new_current_thread().enable_all().build()?.block_on(run(options, command)));
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn run(options: &Options, command: Vec<OsString>) -> Result<ExitCode, Error> {
    // Installed before the servers start: a Ctrl-C meanwhile must not leave their folder behind.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let options = options.clone();
    let mut starting = tokio::task::spawn_blocking(move || Stack::start(&options));
    let mut ended_by = None;
    let stack = loop {
        tokio::select! {
            started = &mut starting => break started.map_err(io::Error::from)??,
            _ = interrupt.recv() => ended_by = Some(Signal::SIGINT),
            _ = terminate.recv() => ended_by = Some(Signal::SIGTERM),
            _ = hang_up.recv() => ended_by = Some(Signal::SIGHUP),
        }
    };
    if let Some(signal) = ended_by {
        stack.stop()?;
        return Ok(code(128 + signal as i32));
    }
    let mut child = spawn(&stack, command)?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(&child, Signal::SIGTERM),
            _ = hang_up.recv() => pass_on(&child, Signal::SIGHUP),
        }
    };
    stack.stop()?;
    Ok(exit_code(status))
}

fn spawn(stack: &Stack, command: Vec<OsString>) -> Result<Child, Error> {
    let mut words = command.into_iter();
    let program = words.next().ok_or(Error::NoCommand)?;
    let mut command = Command::new(&program);
    command.args(words);
    command.env("TEST_DATABASE_URL", stack.database_url("postgres"));
    command.env("TEST_REDIS_URL", stack.redis_url(0));
    command.spawn().map_err(|source| Error::Run { program: program.into(), source })
}

fn pass_on(child: &Child, signal: Signal) {
    if let Some(id) = child.id() {
        // A command that has already ended needs no signal.
        let _ = kill(Pid::from_raw(id.cast_signed()), signal);
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    code(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1))
}

fn code(number: i32) -> ExitCode {
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}
