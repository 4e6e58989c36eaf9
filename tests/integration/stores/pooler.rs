//! PgBouncer in transaction mode, in front of the database of all processes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use devstack::free_port;
use harness::{World, provision_body, team_draft, tool, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{ASKED_OFTEN, owner_for_root, socket_folder};

/// Most connections that the pooler opens to a database for one role.
const POOL: i64 = 4;

/// A running pooler. Dropping it ends it.
pub(super) struct PgBouncer {
    child: Child,
    folder: PathBuf,
    port: u16,
    role: &'static str,
}

impl PgBouncer {
    /// Starts a pooler in front of a world's server, with this password for the service's role.
    pub(super) async fn start(program: &Path, world: &World, password: &str) -> Self {
        let (folder, role) = (
            std::env::temp_dir().join(format!("rts-pooler-{}", world.database().name())),
            world.database().service_role(),
        );
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let (port, sockets) = (free_port().unwrap(), socket_folder(world.database().url()));
        let settings = format!(
            "[databases]\n* = host={sockets} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
             max_prepared_statements = 500\ndefault_pool_size = {POOL}\nmax_client_conn = 200\nlog_connections = 0\n\
             log_disconnections = 0\n",
            users_file(&folder).display()
        );
        fs::write(folder.join("settings.ini"), settings).unwrap();
        write_users(&folder, role, password);
        let mut command = Command::new(program);
        if let Some(user) = owner_for_root(Path::new(&sockets)) {
            command.args(["-u", &user.name]);
        }
        let log = fs::File::create(folder.join("log")).unwrap();
        command.arg(folder.join("settings.ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let pooler = Self { child: command.spawn().unwrap(), folder, port, role };
        wait_until("the pooler listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        pooler
    }

    /// Changes the password of the service's role. Connections that are open stay.
    pub(super) fn set_password(&self, password: &str) {
        write_users(&self.folder, self.role, password);
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGHUP).unwrap();
    }

    /// Returns the URL of a database behind the pooler, for the service's role.
    pub(super) fn url(&self, world: &World, password: &str) -> String {
        format!("postgres://{}:{password}@127.0.0.1:{}/{}", self.role, self.port, world.database().name())
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Both calls fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn users_file(folder: &Path) -> PathBuf {
    folder.join("users.txt")
}

fn write_users(folder: &Path, role: &str, password: &str) {
    fs::write(users_file(folder), format!("\"{role}\" \"{password}\"\n")).unwrap();
}

#[tokio::test]
async fn all_processes_work_through_a_pooler_in_transaction_mode() {
    if let Some(program) = tool("TEST_PGBOUNCER") {
        work_through_a_pooler(&program).await;
    }
}

async fn work_through_a_pooler(program: &Path) {
    let world = World::builder().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let pooler = PgBouncer::start(program, &world, "of-a-test").await;
    let url = pooler.url(&world, "of-a-test");
    let own = [("DATABASE_URL", url.as_str()), ("DATABASE_POOLER", "transaction"), ("LOG_LEVEL", "info")];
    let env = [&own[..], &ASKED_OFTEN].concat();
    let (api, worker, scheduler) =
        (world.program("api", &env), world.program("worker", &env), world.program("scheduler", &env));
    let address = api.address().await;

    let ask = async |nth: usize| {
        let request = world
            .ask_at(address, "POST", "/runners/jit", &ada)
            .header("idempotency-key", &format!("k-{nth}"));
        let answer = request.json(&provision_body("ci")).send().await.assert_status(202);
        let job = answer.body["job_id"].as_str().unwrap().parse().unwrap();
        let done = world.until_final_at(address, &ada, job).await;
        assert_eq!(done["state"], "succeeded", "{done}");
        let config = world.ask_at(address, "POST", &format!("/jobs/{job}/credential"), &ada).send().await;
        config.assert_status(200);
    };
    futures::future::join_all((0..20).map(ask)).await;
    for _ in 0..30 {
        for path in ["/runners?status=pending", "/jobs", "/audit-logs", "/runners?q=ci"] {
            let listed = world.ask_at(address, "GET", path, &ada).send().await.assert_status(200);
            assert_ne!(listed.body["total"], 0, "{path}");
        }
    }
    wait_until("a scheduler leads", || async {
        world
            .count("SELECT count(*) FROM scheduler_leases WHERE renewed_at > now() - interval '30 seconds'")
            .await
            > 0
    })
    .await;
    for program in [api, worker, scheduler] {
        let log = program.output();
        for fault in ["prepared statement", "unsupported startup parameter", "current transaction is aborted"]
        {
            assert!(!log.contains(fault), "{log}");
        }
        program.stop().await;
    }
    assert!(!pooler.log().contains("ERROR"), "{}", pooler.log());
    let twice = "SELECT count(*) FROM credentials WHERE first_read_at IS NOT NULL";
    assert_eq!(world.count(twice).await, 20);
}

#[tokio::test]
async fn migrations_are_refused_through_a_pooler() {
    let world = World::builder().workers(0).start().await;
    let refused = world.command(&["init-db"], &[("DATABASE_POOLER", "transaction")]).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("migrations cannot pass a pooler"), "{}", refused.stderr);
    let bad = world.command(&["init-db"], &[("DATABASE_POOLER", "statement")]).await;
    assert!(bad.stderr.contains("DATABASE_POOLER"), "{}", bad.stderr);
}
