//! Inspection and signalling of processes by id.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const POLL: Duration = Duration::from_millis(5);

/// Returns whether the process runs. A zombie answers signal 0 but does not run.
pub(crate) fn alive(pid: Pid) -> bool {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    // Without /proc the answer to signal 0 decides.
    stat(pid).is_none_or(|(state, _)| state != 'Z' && state != 'X')
}

/// Returns the state letter and the parent of a process, from `/proc`. The name between them may contain spaces and
/// brackets.
fn stat(pid: Pid) -> Option<(char, Pid)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, Pid::from_raw(words.next()?.parse().ok()?)))
}

/// Returns whether the process is alive and its program's name contains one of `names`.
pub(crate) fn is_program(pid: Pid, names: &[&str]) -> bool {
    let name =
        fs::read_to_string(format!("/proc/{pid}/comm")).ok().or_else(|| ps(&["-o", "comm=", "-p"], pid));
    alive(pid) && name.is_some_and(|name| names.iter().any(|wanted| name.contains(wanted)))
}

fn ps(options: &[&str], pid: Pid) -> Option<String> {
    let output = Command::new("ps").args(options).arg(pid.to_string()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the direct children of a process.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return children_by_ps(parent) };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.map(Pid::from_raw).filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

fn children_by_ps(parent: Pid) -> Vec<Pid> {
    let output = Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let (of, pid) = line.trim().split_once(char::is_whitespace)?;
        (of == parent.to_string()).then(|| pid.trim().parse().ok())?
    });
    rows.map(Pid::from_raw).collect()
}

/// Sends a signal; a process that has already ended is not an error.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    // The only other failure is a process of another user, which is never passed here.
    let _ = kill(pid, signal);
}

/// Polls every few milliseconds until `done` or until `limit` has passed. Returns whether it is done.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Returns the process id on the first line of a pid file.
pub(crate) fn read_pid(file: &Path) -> Option<Pid> {
    let number = fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()?;
    (number > 1).then(|| Pid::from_raw(number))
}

/// Ends a server whose keeper is dead. Returns whether it has ended.
pub(crate) fn end_orphan(pid_file: &Path, names: &[&str], stop: Signal) -> bool {
    const LIMIT: Duration = Duration::from_secs(10);
    let Some(pid) = read_pid(pid_file).filter(|pid| is_program(*pid, names)) else { return true };
    signal(pid, stop);
    signal(pid, Signal::SIGCONT);
    if wait_until(LIMIT, || !alive(pid)) {
        return true;
    }
    signal(pid, Signal::SIGKILL);
    wait_until(LIMIT, || !alive(pid))
}
