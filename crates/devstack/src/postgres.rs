//! Setup and start of PostgreSQL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    Error, Options, account::Account, folder, keeper, keeper::Recipe, process, programs::Programs,
    tls::TlsListeners, wire,
};

/// Superuser of a private server; access is controlled by the folder's mode.
pub(crate) const USER: &str = "rts";
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";
pub(crate) const SOCKET_LOCK: &str = ".s.PGSQL.5432.lock";
pub(crate) const NAMES: &[&str] = &["postgres"];

/// Name of the seed; a change of `INIT` requires a new name.
const SEED: &str = "pg-seed-1";
const INIT: &[&str] = &["--auth=trust", "--encoding=UTF8", "--no-locale", "--wal-segsize=1", "--no-sync"];

const SETTINGS: &[&str] = &[
    "port=5432",
    "listen_addresses=",
    "shared_buffers=64MB",
    "max_connections=300",
    "max_wal_size=256MB",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    // Containers have a small /dev/shm.
    "dynamic_shared_memory_type=mmap",
];

const THROW_AWAY: &[&str] =
    &["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"];

/// Folders and account of the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Folder of sockets and logs.
    pub(crate) dir: &'a Path,
    /// Folder of PostgreSQL's data; equal to `dir` for a throw-away stack.
    pub(crate) home: &'a Path,
    /// Folder of Redis's data; equal to `dir` if Redis starts empty.
    pub(crate) redis_home: &'a Path,
    pub(crate) account: Account,
}

impl Place<'_> {
    pub(crate) fn pg_data(&self) -> PathBuf {
        self.home.join("pg")
    }
}

/// Prepares the data folder, from the seed if there is one. The folder is renamed last, so that one with the final name
/// is always complete.
pub(crate) fn prepare(programs: &Programs, place: Place<'_>, cache: Option<&Path>) -> Result<(), Error> {
    let data = place.pg_data();
    if data.exists() {
        if is_whole(&data) {
            return check_version(&data, programs);
        }
        set_aside(&data)?;
    }
    let draft = place.home.join("pg.draft");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(Error::file("remove", &draft))?;
    }
    fill(&draft, programs, place, cache)?;
    fs::rename(&draft, &data).map_err(Error::file("rename to", data))
}

/// Returns whether the folder holds a complete database cluster.
fn is_whole(data: &Path) -> bool {
    let has = |name: &str| fs::metadata(data.join(name)).is_ok_and(|file| file.len() > 0);
    has("PG_VERSION") && has("global/pg_control")
}

/// Renames an incomplete data folder instead of deleting it, so that it can be examined.
fn set_aside(data: &Path) -> Result<(), Error> {
    let mut names = (1..).map(|nth| data.with_extension(format!("broken-{nth}")));
    let free = names.find(|path| !path.exists()).unwrap_or_else(|| data.with_extension("broken"));
    fs::rename(data, &free).map_err(Error::file("rename", data))
}

fn check_version(data: &Path, programs: &Programs) -> Result<(), Error> {
    let path = data.join("PG_VERSION");
    let made_by = fs::read_to_string(&path).map_err(Error::file("read", path))?.trim().to_owned();
    let mut numbers =
        programs.pg_version.split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty());
    if numbers.next().is_none_or(|major| major == made_by) {
        return Ok(());
    }
    Err(Error::OtherPostgres { path: data.to_path_buf(), made_by, found: programs.pg_version.clone() })
}

fn fill(draft: &Path, programs: &Programs, place: Place<'_>, cache: Option<&Path>) -> Result<(), Error> {
    let Some(cache) = cache else { return initdb(draft, programs, place) };
    let version: String = programs.pg_version.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let seed = cache.join(format!("{SEED}-{version}"));
    if seed.exists() {
        return folder::copy(&seed, draft, place.account);
    }
    initdb(draft, programs, place)?;
    keep_seed(draft, &seed);
    Ok(())
}

/// Saves a copy as seed. Errors are ignored: without a seed the next start runs `initdb` again.
fn keep_seed(data: &Path, seed: &Path) {
    let draft = seed.with_extension(format!("draft-{}", std::process::id()));
    let kept = folder::copy(data, &draft, Account::Own).is_ok() && fs::rename(&draft, seed).is_ok();
    if !kept {
        let _ = fs::remove_dir_all(&draft);
    }
}

fn initdb(data: &Path, programs: &Programs, place: Place<'_>) -> Result<(), Error> {
    let program = programs.pg_bin.join("initdb");
    let mut command = keeper::command(&program, place.dir, place.account);
    command.args(["-U", USER]).args(INIT).arg("-D").arg(data).stdin(Stdio::null());
    let output = command.output().map_err(|source| Error::Run { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::NotReady { server: "initdb", reason: "failed", log })
}

/// Ends a server left in the folder by a dead run and removes its pid file; the caller holds the folder's lock. A pid
/// file of a zombie or of another program would make PostgreSQL refuse to start.
pub(crate) fn clear_stale(place: Place<'_>) -> Result<(), Error> {
    let pid_file = place.pg_data().join("postmaster.pid");
    if !process::end_orphan(&pid_file, NAMES, Signal::SIGINT) {
        return Err(Error::Stuck("postgres"));
    }
    for file in [pid_file, place.dir.join(SOCKET_LOCK), place.dir.join(SOCKET)] {
        if file.exists() {
            fs::remove_file(&file).map_err(Error::file("remove", &file))?;
        }
    }
    Ok(())
}

pub(crate) fn recipe(
    programs: &Programs,
    place: Place<'_>,
    options: &Options,
    tls: Option<&TlsListeners>,
) -> Recipe {
    let mut command = vec![programs.pg_bin.join("postgres").into()];
    command.extend(["-D".into(), place.pg_data().into(), "-k".into(), place.dir.into()]);
    let throw_away: &[&str] = if options.is_durable() { &[] } else { THROW_AWAY };
    for setting in SETTINGS.iter().chain(throw_away) {
        command.extend(["-c".into(), setting.into()]);
    }
    for setting in tls.map(TlsListeners::postgres_settings).unwrap_or_default() {
        command.extend(["-c".into(), setting]);
    }
    // SIGINT is PostgreSQL's fast shutdown: clients are disconnected, data is written.
    Recipe {
        name: "postgres",
        command,
        stop: Signal::SIGINT,
        log: place.dir.join("postgres.log"),
        environment: Vec::new(),
    }
}

/// Returns whether the server accepts a connection and is ready for a statement.
pub(crate) fn is_ready(dir: &Path) -> bool {
    wire::Connection::open(&dir.join(SOCKET), USER, "postgres", Duration::from_secs(2)).is_ok()
}
