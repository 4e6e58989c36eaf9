//! Groups of Redis servers, for tests of failover.
//!
//! The servers listen on loopback, because Sentinels and cluster nodes identify each other by port. Each has a keeper
//! and ends when the group is dropped or the program ends.

use std::{
    ffi::OsString,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    Error, Options, ServerTls,
    account::Account,
    folder,
    keeper::{Keeper, Recipe},
    ports::free_port,
    process,
    programs::Programs,
    redis, resp, sweep,
    tls::CertificateFiles,
};

/// Name of a group's primary for its Sentinels.
pub const SENTINEL_NAME: &str = "main";

const SLOTS: usize = 16_384;
/// Number of primaries of a cluster; each has one replica.
const PRIMARIES: usize = 3;
/// Time within which the servers must agree with each other.
const AGREEMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// Servers of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A primary and a replica, without automatic failover.
    Replicated,
    /// A primary, a replica and three Sentinels that replace a primary silent for half a second.
    Sentinel,
    /// Three primaries with a third of the slots each, and a replica of each. Node time-out: one second.
    Cluster,
}

/// Running servers. Dropping the group stops them and removes their folder.
#[derive(Debug)]
pub struct RedisGroup {
    layout: Layout,
    dir: PathBuf,
    account: Account,
    tls: Option<CertificateFiles>,
    nodes: Vec<Node>,
    _lock: folder::Lock,
}

#[derive(Debug)]
struct Node {
    /// Port without TLS.
    port: u16,
    /// Port for clients and other servers: one with TLS in a group with a certificate.
    service_port: u16,
    sentinel: bool,
    recipe: Recipe,
    keeper: Option<Keeper>,
}

impl RedisGroup {
    /// Starts the servers and waits until they agree with each other.
    ///
    /// # Errors
    /// There is no server program, or the servers do not start or agree within a minute.
    pub fn start(layout: Layout, redis_bin: Option<&Path>) -> Result<Self, Error> {
        Self::launch_all(layout, redis_bin, None)
    }

    /// Starts the servers with this certificate, which must be for 127.0.0.1. Clients, replicas, Sentinels and cluster
    /// nodes use TLS; only [`Self::ask`] does not.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_with_tls(layout: Layout, redis_bin: Option<&Path>, tls: &ServerTls) -> Result<Self, Error> {
        Self::launch_all(layout, redis_bin, Some(tls))
    }

    fn launch_all(layout: Layout, redis_bin: Option<&Path>, tls: Option<&ServerTls>) -> Result<Self, Error> {
        let options = Options { redis_bin: redis_bin.map(Path::to_path_buf), ..Options::default() };
        let program = Programs::find_redis(&options)?;
        let account = Account::for_servers();
        sweep::dead_runs(account);
        let (dir, lock) = folder::create_private(account)?;
        redis::link(&program, &dir)?;
        let mut group = Self { layout, dir, account, tls: None, nodes: Vec::new(), _lock: lock };
        group.tls = tls.map(|tls| CertificateFiles::write(tls, &group.dir, account)).transpose()?;
        match layout {
            Layout::Replicated => group.start_replicated()?,
            Layout::Sentinel => {
                group.start_replicated()?;
                group.start_sentinels()?;
            }
            Layout::Cluster => group.start_cluster()?,
        }
        Ok(group)
    }

    /// Returns the URL for the service: of the first server, all Sentinels, or all cluster nodes.
    pub fn url(&self) -> String {
        let hosts = |sentinel: bool| {
            let of = self.nodes.iter().filter(|node| node.sentinel == sentinel);
            of.map(|node| format!("127.0.0.1:{}", node.service_port)).collect::<Vec<_>>().join(",")
        };
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        match self.layout {
            Layout::Replicated => format!("{scheme}://127.0.0.1:{}", self.service_port(self.ports()[0])),
            Layout::Sentinel => format!("{scheme}+sentinel://{}/{SENTINEL_NAME}", hosts(true)),
            Layout::Cluster => format!("{scheme}+cluster://{}", hosts(false)),
        }
    }

    /// Returns the ports of the servers that store data.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().filter(|node| !node.sentinel).map(|node| node.port).collect()
    }

    /// Sends one command to the server at a port. Returns the response, with each list element on its own line.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the command; the error has its text.
    pub fn ask(&self, port: u16, words: &[&str]) -> Result<String, Error> {
        Ok(resp::send_command(port, words)?)
    }

    /// Returns the ports of the servers that report being primaries.
    pub fn primaries(&self) -> Vec<u16> {
        let says = |port: &u16| self.ask(*port, &["ROLE"]).is_ok_and(|role| role.starts_with("master"));
        self.ports().into_iter().filter(says).collect()
    }

    /// Ends one server as a crash would.
    ///
    /// # Errors
    /// The server does not run or does not end.
    pub fn kill(&mut self, port: u16) -> Result<(), Error> {
        self.node(port)?.keeper.take().ok_or(Error::NotRunning("redis"))?.kill()
    }

    /// Freezes one server: its connections stay open, but it does not answer.
    ///
    /// # Errors
    /// The server does not run.
    pub fn pause(&mut self, port: u16) -> Result<(), Error> {
        self.send(port, Signal::SIGSTOP)
    }

    /// Resumes a frozen server.
    ///
    /// # Errors
    /// The server does not run.
    pub fn resume(&mut self, port: u16) -> Result<(), Error> {
        self.send(port, Signal::SIGCONT)
    }

    fn send(&mut self, port: u16, signal: Signal) -> Result<(), Error> {
        self.node(port)?.keeper.as_ref().ok_or(Error::NotRunning("redis"))?.send(signal);
        Ok(())
    }

    fn node(&mut self, port: u16) -> Result<&mut Node, Error> {
        self.nodes.iter_mut().find(|node| node.port == port).ok_or(Error::NotRunning("redis"))
    }

    /// Returns the port on which a server expects clients, replicas and other nodes.
    fn service_port(&self, port: u16) -> u16 {
        self.nodes.iter().find(|node| node.port == port).map_or(port, |node| node.service_port)
    }

    fn start_replicated(&mut self) -> Result<(), Error> {
        let primary = self.launch(&[])?;
        let replica = self.launch(&["--replicaof", "127.0.0.1", &self.service_port(primary).to_string()])?;
        self.wait("a replica in step", |group| group.is_linked(replica))
    }

    fn start_sentinels(&mut self) -> Result<(), Error> {
        let primary = self.ports()[0];
        let sentinels = (0..3).map(|_| self.launch_sentinel(primary)).collect::<Result<Vec<_>, _>>()?;
        self.wait("Sentinels that know each other", |group| {
            sentinels.iter().all(|port| {
                let state = group.ask(*port, &["SENTINEL", "MASTER", SENTINEL_NAME]).unwrap_or_default();
                state.contains("num-slaves\n1") && state.contains("num-other-sentinels\n2")
            })
        })
    }

    fn start_cluster(&mut self) -> Result<(), Error> {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let nodes = (0..PRIMARIES * 2).map(|_| self.launch(&settings)).collect::<Result<Vec<_>, _>>()?;
        let (primaries, replicas) = nodes.split_at(PRIMARIES);
        for (n, port) in primaries.iter().enumerate() {
            let slots = n * SLOTS / PRIMARIES..(n + 1) * SLOTS / PRIMARIES;
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let mut words = vec!["CLUSTER", "ADDSLOTS"];
            words.extend(slots.iter().map(String::as_str));
            self.ask(*port, &words)?;
            self.ask(*port, &["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()])?;
        }
        for port in &nodes[1..] {
            let port = self.service_port(*port).to_string();
            self.ask(nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &port])?;
        }
        let known = format!("cluster_known_nodes:{}", nodes.len());
        self.wait("nodes that know each other", |group| {
            nodes.iter().all(|port| {
                let info = group.ask(*port, &["CLUSTER", "INFO"]).unwrap_or_default();
                info.contains("cluster_state:ok") && info.lines().any(|line| line.trim() == known)
            })
        })?;
        for (replica, primary) in replicas.iter().zip(primaries) {
            let id = self.ask(*primary, &["CLUSTER", "MYID"])?;
            self.ask(*replica, &["CLUSTER", "REPLICATE", &id])?;
        }
        self.wait("replicas in step", |group| replicas.iter().all(|port| group.is_linked(*port)))
    }

    fn is_linked(&self, replica: u16) -> bool {
        self.ask(replica, &["INFO", "replication"]).is_ok_and(|info| info.contains("master_link_status:up"))
    }

    fn wait(&self, what: &'static str, mut done: impl FnMut(&Self) -> bool) -> Result<(), Error> {
        if process::wait_until(AGREEMENT_TIMEOUT, || done(self)) {
            Ok(())
        } else {
            Err(Error::NoAgreement(what))
        }
    }

    fn launch(&mut self, more: &[&str]) -> Result<u16, Error> {
        let port = free_port().ok_or(Error::NoPort)?;
        let home = self.dir.join(port.to_string());
        folder::create(&home, self.account)?;
        let mut command = vec![self.dir.join(redis::LINK).into()];
        let port_text = port.to_string();
        let settings = [
            ["--port", port_text.as_str()],
            ["--bind", "127.0.0.1"],
            ["--save", ""],
            ["--repl-diskless-sync-delay", "0"],
            ["--repl-ping-replica-period", "1"],
            ["--maxmemory-policy", "noeviction"],
        ];
        command.extend(settings.iter().flatten().map(Into::into));
        command.extend(["--dir".into(), home.into()]);
        command.extend(["--pidfile".into(), self.pid_file(port).into()]);
        command.extend(more.iter().map(Into::into));
        let service_port = self.choose_service_port(port)?;
        for (name, value) in self.tls_settings(service_port) {
            command.extend([format!("--{name}").into(), value]);
        }
        self.run(port, service_port, command)?;
        Ok(port)
    }

    fn launch_sentinel(&mut self, primary: u16) -> Result<u16, Error> {
        let port = free_port().ok_or(Error::NoPort)?;
        let file = self.dir.join(format!("sentinel-{port}.conf"));
        let service_port = self.choose_service_port(port)?;
        let mut tls = String::new();
        for (name, value) in self.tls_settings(service_port) {
            let _ = writeln!(tls, "{name} {}", value.display());
        }
        let primary = self.service_port(primary);
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {dir}\npidfile {pid}\n\
             sentinel monitor {SENTINEL_NAME} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {SENTINEL_NAME} 500\n\
             sentinel failover-timeout {SENTINEL_NAME} 2000\n{tls}",
            dir = self.dir.display(),
            pid = self.pid_file(port).display(),
        );
        fs::write(&file, text).map_err(Error::file("write", &file))?;
        self.account.take_ownership(&file)?;
        let command = vec![self.dir.join(redis::LINK).into(), file.into(), "--sentinel".into()];
        self.run(port, service_port, command)?.sentinel = true;
        Ok(port)
    }

    fn choose_service_port(&self, port: u16) -> Result<u16, Error> {
        if self.tls.is_some() { free_port().ok_or(Error::NoPort) } else { Ok(port) }
    }

    /// Returns the settings with which a server uses TLS to clients and to other servers.
    fn tls_settings(&self, service_port: u16) -> Vec<(&'static str, OsString)> {
        let Some(files) = &self.tls else { return Vec::new() };
        let mut settings = files.redis_settings(service_port);
        settings.extend([("tls-replication", "yes".into()), ("tls-cluster", "yes".into())]);
        settings
    }

    /// Starts a server and waits until it answers.
    fn run(&mut self, port: u16, service_port: u16, command: Vec<OsString>) -> Result<&mut Node, Error> {
        let log = self.dir.join(format!("{port}.log"));
        let recipe = Recipe { name: "redis", command, stop: Signal::SIGTERM, log, environment: Vec::new() };
        let mut keeper = Keeper::start(&recipe, &self.dir, self.account)?;
        keeper.wait_ready(|| resp::send_command(port, &["PING"]).is_ok())?;
        let node = Node { port, service_port, sentinel: false, recipe, keeper: Some(keeper) };
        self.nodes.push(node);
        self.node(port)
    }

    /// Restarts a killed server. Its data may be lost.
    ///
    /// # Errors
    /// The server does not start.
    pub fn restart(&mut self, port: u16) -> Result<(), Error> {
        let (dir, account) = (self.dir.clone(), self.account);
        let node = self.node(port)?;
        let mut keeper = Keeper::start(&node.recipe, &dir, account)?;
        keeper.wait_ready(|| resp::send_command(port, &["PING"]).is_ok())?;
        node.keeper = Some(keeper);
        Ok(())
    }

    fn pid_file(&self, port: u16) -> PathBuf {
        self.dir.join(format!("redis-{port}.pid"))
    }
}

impl Drop for RedisGroup {
    fn drop(&mut self) {
        // Sentinels stop first, so that they do not fail over meanwhile. Errors are ignored: the next start cleans up.
        let keepers = self.nodes.iter_mut().rev().filter_map(|node| node.keeper.take());
        for keeper in keepers {
            keeper.send(Signal::SIGCONT);
            let _ = keeper.kill();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
