//! `with-stack [--pg-bin DIR] [--redis-bin FILE] [--seed-cache DIR] -- COMMAND…`: runs a command beside private
//! servers.
//!
//! The command finds their addresses in `TEST_DATABASE_URL` and `TEST_REDIS_URL`. `--migrations DIR` first applies the
//! `.sql` files of a folder in the order of their names.
//!
//! The program depends on no crate of the service, so it works while the service does not compile.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use devstack::Options;

fn main() -> ExitCode {
    let ran = parse(env::args_os().skip(1))
        .and_then(|(options, command)| Ok(devstack::with_stack(&options, command)?));
    ran.unwrap_or_else(|error| {
        let mut stderr = io::stderr();
        let mut source = Some(&*error as &dyn std::error::Error);
        while let Some(error) = source {
            // A closed stderr cannot be reported.
            let _ = writeln!(stderr, "with-stack: {error}");
            source = error.source();
        }
        ExitCode::FAILURE
    })
}

type Failure = Box<dyn std::error::Error>;

fn parse(mut words: impl Iterator<Item = OsString>) -> Result<(Options, Vec<OsString>), Failure> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        if word == "--" {
            return Ok((options, words.collect()));
        }
        let value = PathBuf::from(words.next().ok_or("an option needs a value, the command a -- before it")?);
        match word.to_str() {
            Some("--pg-bin") => options.pg_bin = Some(value),
            Some("--redis-bin") => options.redis_bin = Some(value),
            Some("--seed-cache") => options.seed_cache = Some(value),
            Some("--migrations") => options.scripts = migrations(&value)?,
            _ => return Err(format!("unknown option {}", word.display()).into()),
        }
    }
    Err("no command: with-stack [OPTIONS] -- COMMAND…".into())
}

fn migrations(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    // A `.down.sql` file reverts a migration.
    files.retain(|file| {
        let name = file.to_string_lossy();
        name.ends_with(".sql") && !name.ends_with(".down.sql")
    });
    files.sort();
    Ok(files)
}
