//! A PostgreSQL and a Redis server that are started, stopped and restarted together.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    ClockLibrary, Error, Options, WrongClock,
    account::Account,
    folder,
    keeper::{Keeper, Recipe},
    postgres::{self, Place},
    programs::Programs,
    redis, sweep,
    tls::{TlsListeners, TlsPorts},
    wire,
};

/// One of the two servers of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// Redis or Valkey.
    Redis,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

/// A running PostgreSQL and a running Redis. Dropping the stack stops them and removes their folder.
#[derive(Debug)]
pub struct Stack {
    dir: PathBuf,
    home: PathBuf,
    redis_home: PathBuf,
    account: Account,
    postgres: Unit,
    redis: Unit,
    tls: Option<TlsListeners>,
    locks: Vec<folder::Lock>,
    clock_library: Option<ClockLibrary>,
}

#[derive(Debug)]
struct Unit {
    recipe: Recipe,
    keeper: Option<Keeper>,
}

impl Stack {
    /// Starts both servers and waits until they answer: about a second, less with a seed.
    ///
    /// # Errors
    /// A program is missing, a server does not start, or the data folder is in use.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let programs = Programs::find(options)?;
        let account = Account::for_servers();
        sweep::dead_runs(account);
        let (dir, lock) = folder::create_private(account)?;
        let home = options.data.clone().unwrap_or_else(|| dir.clone());
        let redis_home = if options.empty_redis { dir.clone() } else { home.clone() };
        let place = Place { dir: &dir, home: &home, redis_home: &redis_home, account };
        let tls = options.tls.as_ref().map(|tls| TlsListeners::prepare(tls, &dir, account)).transpose()?;
        let postgres =
            Unit { recipe: postgres::recipe(&programs, place, options, tls.as_ref()), keeper: None };
        let redis = Unit { recipe: redis::recipe(place, options, tls.as_ref()), keeper: None };
        // From here on, dropping the stack removes everything created so far.
        let (locks, clock_library) = (vec![lock], None);
        let mut stack = Self { dir, home, redis_home, account, postgres, redis, tls, locks, clock_library };
        for clock in &options.clocks {
            stack.set_clock(*clock)?;
        }
        for program in [&programs.pg_bin, &programs.redis] {
            account.check_reachable(program)?;
        }
        if options.data.is_some() {
            account.check_reachable(&stack.home)?;
            folder::create(&stack.home, account)?;
            stack.locks.push(folder::lock(&stack.home)?);
        }
        redis::prepare(&programs, stack.place())?;
        postgres::prepare(&programs, stack.place(), options.seed_cache.as_deref())?;
        for server in [Server::Postgres, Server::Redis] {
            stack.launch(server)?;
        }
        stack.wait_ready(Server::Postgres)?;
        stack.wait_for_redis(options.data.is_some())?;
        for script in &options.scripts {
            let sql = fs::read_to_string(script).map_err(Error::file("read", script))?;
            for part in parts(&sql) {
                stack
                    .execute("postgres", &part)
                    .map_err(|source| Error::Script { path: script.clone(), source: Box::new(source) })?;
            }
        }
        Ok(stack)
    }

    fn place(&self) -> Place<'_> {
        Place { dir: &self.dir, home: &self.home, redis_home: &self.redis_home, account: self.account }
    }

    fn unit(&mut self, server: Server) -> &mut Unit {
        match server {
            Server::Postgres => &mut self.postgres,
            Server::Redis => &mut self.redis,
        }
    }

    fn launch(&mut self, server: Server) -> Result<(), Error> {
        if server == Server::Postgres {
            postgres::clear_stale(self.place())?;
            if let Some(tls) = &self.tls {
                tls.link_socket(&self.dir)?;
            }
        }
        let (dir, account) = (self.dir.clone(), self.account);
        let unit = self.unit(server);
        unit.keeper = Some(Keeper::start(&unit.recipe, &dir, account)?);
        Ok(())
    }

    fn wait_ready(&mut self, server: Server) -> Result<(), Error> {
        let dir = self.dir.clone();
        let keeper = self.unit(server).keeper.as_mut().ok_or(Error::NotRunning(server.name()))?;
        keeper.wait_ready(|| match server {
            Server::Postgres => postgres::is_ready(&dir),
            Server::Redis => redis::is_ready(&dir),
        })
    }

    /// Waits for Redis. Unreadable data of an earlier run is removed, because all of it can be rebuilt.
    fn wait_for_redis(&mut self, has_earlier_data: bool) -> Result<(), Error> {
        match self.wait_ready(Server::Redis) {
            Err(Error::NotReady { .. }) if has_earlier_data => {
                if let Some(keeper) = self.redis.keeper.take() {
                    keeper.kill()?;
                }
                redis::clear(self.place())?;
                self.launch(Server::Redis)?;
                self.wait_ready(Server::Redis)
            }
            ready => ready,
        }
    }

    /// Returns the URL of a database of this PostgreSQL. `postgres` always exists.
    pub fn database_url(&self, database: &str) -> String {
        format!("postgres://{}@localhost/{database}?host={}", postgres::USER, self.dir.display())
    }

    /// Returns the URL of one of the 1,024 databases of this Redis.
    pub fn redis_url(&self, database: u16) -> String {
        format!("redis+unix://{}/{}?db={database}", self.dir.display(), redis::SOCKET)
    }

    /// Returns the ports on loopback that speak TLS, if the options have a certificate. PostgreSQL asks for a password
    /// there.
    pub fn tls_ports(&self) -> Option<TlsPorts> {
        self.tls.as_ref().map(TlsListeners::ports)
    }

    /// Returns the folder of the sockets and logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs statements separated by `;` in a database, as one transaction.
    ///
    /// # Errors
    /// PostgreSQL cannot be reached or refuses a statement.
    pub fn execute(&self, database: &str, sql: &str) -> Result<(), Error> {
        const LIMIT: Duration = Duration::from_mins(1);
        wire::Connection::open(&self.dir.join(postgres::SOCKET), postgres::USER, database, LIMIT)?
            .execute(sql)
    }

    /// Returns the process id of a server, for tests that watch or signal it. `None` while it is stopped.
    pub fn pid(&self, server: Server) -> Option<i32> {
        let unit = if server == Server::Postgres { &self.postgres } else { &self.redis };
        unit.keeper.as_ref().map(|keeper| keeper.server().as_raw())
    }

    /// Stops one server in an orderly way. Its data and its address stay.
    ///
    /// # Errors
    /// The server does not run or does not end.
    pub fn halt(&mut self, server: Server) -> Result<(), Error> {
        self.unit(server).keeper.take().ok_or(Error::NotRunning(server.name()))?.stop()
    }

    /// Ends one server and its helpers as a crash would.
    ///
    /// # Errors
    /// The server does not run or does not end.
    pub fn kill(&mut self, server: Server) -> Result<(), Error> {
        self.unit(server).keeper.take().ok_or(Error::NotRunning(server.name()))?.kill()
    }

    /// Restarts one server, stopping it first if it runs, and waits until it answers.
    ///
    /// # Errors
    /// The server does not stop or start.
    pub fn restart(&mut self, server: Server) -> Result<(), Error> {
        if let Some(keeper) = self.unit(server).keeper.take() {
            keeper.stop()?;
        }
        self.launch(server)?;
        self.wait_ready(server)
    }

    /// Sets a wrong wall clock for one server from its next start on. Linux only.
    ///
    /// # Errors
    /// There is no C compiler, or it fails.
    pub fn set_clock(&mut self, clock: WrongClock) -> Result<(), Error> {
        let library = match self.clock_library.take() {
            Some(library) => library,
            None => ClockLibrary::build(&self.dir)?,
        };
        self.unit(clock.server).recipe.environment = library.environment(clock.seconds).into();
        self.clock_library = Some(library);
        Ok(())
    }

    /// Freezes one server: connections stay open, but it does not answer.
    ///
    /// # Errors
    /// The server does not run.
    pub fn pause(&mut self, server: Server) -> Result<(), Error> {
        self.send(server, Signal::SIGSTOP)
    }

    /// Resumes a frozen server.
    ///
    /// # Errors
    /// The server does not run.
    pub fn resume(&mut self, server: Server) -> Result<(), Error> {
        self.send(server, Signal::SIGCONT)
    }

    fn send(&mut self, server: Server, signal: Signal) -> Result<(), Error> {
        self.unit(server).keeper.as_ref().ok_or(Error::NotRunning(server.name()))?.send(signal);
        Ok(())
    }

    /// Stops both servers and removes the folder; persistent data stays.
    ///
    /// # Errors
    /// A server does not end, or the folder cannot be removed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.clean_up()
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        for server in [Server::Redis, Server::Postgres] {
            if let Some(keeper) = self.unit(server).keeper.take() {
                keeper.send(Signal::SIGCONT);
                result = result.and(keeper.stop());
            }
        }
        if self.dir.exists() {
            result = result.and(fs::remove_dir_all(&self.dir).map_err(Error::file("remove", &self.dir)));
        }
        result
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // A drop cannot return errors; the next start cleans up.
        let _ = self.clean_up();
    }
}

/// Splits a script into the parts sent one at a time: the whole script as one transaction, or its statements if the
/// first line is `-- no-transaction`. Each statement ends with a semicolon at the end of its line.
fn parts(script: &str) -> Vec<String> {
    if !script.starts_with("-- no-transaction") {
        return vec![script.to_owned()];
    }
    let lines: Vec<&str> = script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let text = lines.join("\n");
    text.split(";\n").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
