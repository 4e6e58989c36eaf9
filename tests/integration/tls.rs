//! TLS to PostgreSQL and Redis with a private certificate authority: verified, or refused with one sentence.

use std::{
    fs,
    path::{Path, PathBuf},
};

use devstack::{Layout, TlsPorts};
use domain::error_chain;
use harness::{Authority, World, eventually, provision_body, redis_group_with_tls, team_draft, wait_until};
use queue::{Queue, QueueConfig, QueueError};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};

/// A password that no output may show.
const SECRET: &str = "canary-of-the-tls-tests";

/// Servers with a certificate for `localhost`, from an authority of their own.
struct Scene {
    world: World,
    authority: Authority,
    ports: TlsPorts,
}

async fn scene() -> Scene {
    let authority = Authority::new("ours");
    let world = World::builder().tls(authority.issue(&["localhost"])).workers(0).start().await;
    Scene { ports: world.tls_ports(), authority, world }
}

impl Scene {
    /// Returns a file that `EXTRA_CA_FILE` can name.
    fn file_of(&self, authority: &Authority, name: &str) -> String {
        let path = self.world.folder().join(name);
        fs::write(&path, authority.pem()).unwrap();
        path.display().to_string()
    }

    fn database_url(&self) -> String {
        let database = self.world.database();
        let (role, name) = (database.service_role(), database.name());
        format!("postgres://{role}:{role}@localhost:{}/{name}?sslmode=verify-full", self.ports.postgres)
    }

    fn redis_url(&self) -> String {
        format!("rediss://localhost:{}/0", self.ports.redis)
    }

    /// Opens a port that leads to one of the servers' sockets, where no server speaks TLS.
    async fn plain_port(&self, socket: &str) -> u16 {
        let (send, receive) = tokio::sync::oneshot::channel::<PathBuf>();
        self.world
            .servers(|stack| {
                let _ = send.send(Path::to_path_buf(stack.dir()));
                Ok(())
            })
            .await;
        let socket = receive.await.unwrap().join(socket);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        port
    }
}

#[tokio::test]
async fn service_provisions_over_verified_tls() {
    let scene = scene().await;
    let world = &scene.world;
    let red = world.team(team_draft("red")).await;
    let ada = world.user("ada", &[&red]).await;
    let (database, redis) = (scene.database_url(), scene.redis_url());
    let ca = scene.file_of(&scene.authority, "ours.pem");
    let settings =
        [("DATABASE_URL", database.as_str()), ("REDIS_URL", redis.as_str()), ("EXTRA_CA_FILE", ca.as_str())];
    let (api, worker) = (world.program("api", &settings), world.program("worker", &settings));
    let address = api.address().await;
    let asked = world.ask_at(address, "POST", "/runners/jit", &ada).json(&provision_body("ci"));
    let asked = asked.send().await.assert_status(202);
    let job: uuid::Uuid = asked.body["job_id"].as_str().unwrap().parse().unwrap();
    wait_until("the worker has done it", || async {
        let shown = world.ask_at(address, "GET", &format!("/jobs/{job}"), &ada).send().await;
        shown.assert_status(200).body["state"] == "succeeded"
    })
    .await;
    let config = world.ask_at(address, "POST", &format!("/jobs/{job}/credential"), &ada).send().await;
    let config = config.assert_status(200);
    assert!(config.body["encoded_jit_config"].as_str().is_some_and(|config| !config.is_empty()));

    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE client_addr IS NOT NULL AND ssl";
    assert!(world.count(encrypted).await >= 2, "a connection of each process");
    let clients: String = world.redis().send_command("CLIENT", &["LIST"]).await;
    let listener = format!("laddr=127.0.0.1:{} ", scene.ports.redis);
    assert!(clients.lines().filter(|client| client.contains(&listener)).count() >= 2, "{clients}");
    api.stop().await;
    worker.stop().await;
}

#[tokio::test]
async fn unverified_postgresql_is_refused_with_one_sentence() {
    let scene = scene().await;
    let world = &scene.world;
    let ours = scene.file_of(&scene.authority, "ours.pem");
    let other = scene.file_of(&Authority::new("other"), "other.pem");
    let (port, plain) = (scene.ports.postgres, scene.plain_port(".s.PGSQL.5432").await);
    for (ca, host, port, reason) in [
        (&other, "localhost", port, "its certificate is from an authority that is not trusted"),
        (&ours, "127.0.0.1", port, "its certificate is for another host name"),
        (&ours, "localhost", plain, "it does not speak TLS on this port"),
    ] {
        let url = format!("postgres://someone:{SECRET}@{host}:{port}/any?sslmode=verify-full");
        let settings = [("DATABASE_URL", url.as_str()), ("EXTRA_CA_FILE", ca.as_str())];
        let said = world.command(&["init-db"], &settings).await.expect(3).stderr;
        assert!(said.contains(&format!("the database is unavailable: {reason}")), "{said}");
        assert!(!said.contains(SECRET) && said.trim_end().lines().count() == 1, "{said}");
    }
    // The right authority and name: the next refusal is PostgreSQL's answer to the role.
    let settings = [("DATABASE_URL", scene.database_url()), ("EXTRA_CA_FILE", ours)];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let said = world.command(&["init-db"], &settings).await.expect(4).stderr;
    assert!(said.contains("may not create tables"), "{said}");
}

/// Returns a queue that trusts this authority alone.
fn queue(authority: &Authority, url: impl Into<String>, namespace: &str) -> Queue {
    let roots = Some(authority.pem().into_bytes().into());
    Queue::connect(&QueueConfig { roots, ..QueueConfig::new(url, namespace) }).unwrap()
}

/// Returns why the queue cannot be used.
async fn refusal_of(queue: &Queue) -> String {
    let said = eventually("the reason is known", || async {
        let error = queue.ping().await.unwrap_err();
        matches!(error, QueueError::Tls(_)).then(|| error_chain(&error))
    })
    .await;
    assert!(said.starts_with("no Redis server can be used: ") && !said.contains(SECRET), "{said}");
    said
}

#[tokio::test]
async fn unverified_redis_is_refused_with_one_sentence() {
    let scene = scene().await;
    let other = Authority::new("other");
    let (port, plain) = (scene.ports.redis, scene.plain_port("redis.sock").await);
    for (authority, host, port, reason) in [
        (&other, "localhost", port, "its certificate is from an authority that is not trusted"),
        (&scene.authority, "127.0.0.1", port, "its certificate is for another host name"),
        (&scene.authority, "localhost", plain, "TLS"),
    ] {
        let url = format!("rediss://someone:{SECRET}@{host}:{port}/0");
        let said = refusal_of(&queue(authority, url, "tls")).await;
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn sentinels_primaries_and_cluster_nodes_are_verified_too() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    for layout in [Layout::Sentinel, Layout::Cluster] {
        let mut group = redis_group_with_tls(layout, ours.issue(&["127.0.0.1"])).await;
        let said = refusal_of(&queue(&other, group.url(), "tls")).await;
        assert!(said.contains("its certificate is from an authority that is not trusted"), "{said}");
        // From one node of a cluster, redirections lead to the nodes with the keys of these namespaces.
        let url = group.url();
        let url = if layout == Layout::Cluster { url.split(',').next().unwrap() } else { url.as_str() };
        for namespace in ["a", "b", "c", "d", "e", "f"] {
            let queue = queue(&ours, url, namespace);
            wait_until("it is used", || async { queue.ping().await.is_ok() }).await;
        }
        if layout == Layout::Sentinel {
            let queue = queue(&ours, url, "failover");
            wait_until("the primary is used", || async { queue.ping().await.is_ok() }).await;
            group.kill(group.primaries()[0]).unwrap();
            wait_until("the promoted replica is used", || async { queue.ping().await.is_ok() }).await;
        }
    }
}

#[tokio::test]
async fn worker_logs_why_it_cannot_use_redis() {
    let scene = scene().await;
    let (other, redis) = (scene.file_of(&Authority::new("other"), "other.pem"), scene.redis_url());
    let worker = scene.world.program("worker", &[("REDIS_URL", &redis), ("EXTRA_CA_FILE", &other)]);
    wait_until("the log has the reason", || async {
        worker.output().contains("No Redis server can be used: its certificate is from an authority")
    })
    .await;
}
