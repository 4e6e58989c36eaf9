//! A wrong wall clock for one process: a small library that the process preloads.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Server};

const SOURCE: &str = include_str!("clock.c");

/// A server with a wrong wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongClock {
    /// The server.
    pub server: Server,
    /// Offset in seconds; negative means the clock is slow.
    pub seconds: i64,
}

/// A library that shifts the wall clock of a process and leaves its other clocks alone. It works on Linux.
#[derive(Clone, Debug)]
pub struct ClockLibrary(PathBuf);

impl ClockLibrary {
    /// Builds the library in an existing folder, with the compiler that links Rust programs.
    ///
    /// # Errors
    /// The folder is not writable, or `cc` is missing or fails.
    pub fn build(folder: &Path) -> Result<Self, Error> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, SOURCE).map_err(Error::file("write", &source))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        let output = compiler.output().map_err(|source| Error::Run { program: "cc".into(), source })?;
        if output.status.success() {
            return Ok(Self(library));
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::NotReady { server: "cc", reason: "failed", log })
    }

    /// Returns the environment variables that shift a process's wall clock by this many seconds; negative means slow.
    pub fn environment(&self, seconds: i64) -> [(&'static str, OsString); 2] {
        [("LD_PRELOAD", self.0.clone().into_os_string()), ("CLOCK_OFF", seconds.to_string().into())]
    }
}
