//! Setup and start of Redis or Valkey.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{Error, Options, folder, keeper::Recipe, postgres::Place, programs::Programs, tls::TlsListeners};

pub(crate) const SOCKET: &str = "redis.sock";
pub(crate) const PID_FILE: &str = "redis.pid";
pub(crate) const NAMES: &[&str] = &["redis", "valkey"];

/// Name of the link that starts the program, which decides by its own name whether it serves or checks a file.
pub(crate) const LINK: &str = "redis-server";

const SETTINGS: &[&str] = &[
    "--port",
    "0",
    "--databases",
    "1024",
    "--maxmemory-policy",
    "noeviction",
    "--save",
    "",
    // A former replica without persistence must start empty.
    "--rdb-del-sync-files",
    "yes",
    "--daemonize",
    "no",
];

pub(crate) fn prepare(programs: &Programs, place: Place<'_>) -> Result<(), Error> {
    link(&programs.redis, place.dir)?;
    folder::create(&data(place), place.account)
}

fn data(place: Place<'_>) -> PathBuf {
    place.redis_home.join("redis")
}

/// Removes Redis's data. All of it can be rebuilt from PostgreSQL.
pub(crate) fn clear(place: Place<'_>) -> Result<(), Error> {
    let data = data(place);
    fs::remove_dir_all(&data).map_err(Error::file("remove", &data))?;
    folder::create(&data, place.account)
}

/// Creates the link that starts the program.
pub(crate) fn link(program: &Path, dir: &Path) -> Result<(), Error> {
    let link = dir.join(LINK);
    symlink(program, &link).map_err(Error::file("link", &link))
}

pub(crate) fn recipe(place: Place<'_>, options: &Options, tls: Option<&TlsListeners>) -> Recipe {
    let mut command = vec![place.dir.join(LINK).into()];
    command.extend(SETTINGS.iter().map(Into::into));
    let journal = if options.is_durable() { "yes" } else { "no" };
    command.extend(["--appendonly".into(), journal.into(), "--appendfsync".into(), "everysec".into()]);
    command.extend(["--unixsocket".into(), place.dir.join(SOCKET).into()]);
    command.extend(["--pidfile".into(), place.dir.join(PID_FILE).into()]);
    command.extend(["--dir".into(), data(place).into()]);
    command.extend(tls.map(TlsListeners::redis_arguments).unwrap_or_default());
    let (log, environment) = (place.dir.join("redis.log"), Vec::new());
    Recipe { name: "redis", command, stop: Signal::SIGTERM, log, environment }
}

/// Returns whether the server has loaded its data and answers `PING`.
pub(crate) fn is_ready(dir: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(dir.join(SOCKET))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ask().unwrap_or(false)
}
