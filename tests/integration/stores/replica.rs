//! A streaming replica for lists.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use devstack::Server;
use harness::{ApiResponse, Bearer, Program, World, eventually, provision_body, team_draft, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use super::{ASKED_OFTEN, owner_for_root, socket_folder};

/// A standby of a world's own server. Dropping it ends it.
struct Standby {
    child: Child,
    folder: PathBuf,
}

impl Standby {
    async fn start(world: &World) -> Self {
        let sockets = PathBuf::from(socket_folder(world.database().url()));
        let (send, pid) = std::sync::mpsc::channel();
        world
            .servers(move |stack| {
                send.send(stack.pid(Server::Postgres).unwrap()).unwrap();
                Ok(())
            })
            .await;
        let program = fs::read_link(format!("/proc/{}/exe", pid.recv().unwrap())).unwrap();
        let bin = program.parent().unwrap().to_path_buf();
        let folder = std::env::temp_dir().join(format!("rts-standby-{}", world.database().name()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let owner = owner_for_root(&sockets);
        if let Some(user) = &owner {
            chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        let data = folder.join("data");
        let mut copy = as_owner(&bin.join("pg_basebackup"), owner.as_ref());
        copy.args(["-U", "rts", "-R", "-c", "fast", "-h"]).arg(&sockets).arg("-D").arg(&data);
        let copied = tokio::task::spawn_blocking(move || copy.output().unwrap()).await.unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut server = as_owner(&bin.join("postgres"), owner.as_ref());
        server.arg("-D").arg(&data).arg("-k").arg(&folder);
        // What the primary has on its command line is not in the copied settings.
        for setting in [
            "port=5432",
            "listen_addresses=",
            "max_connections=300",
            "jit=off",
            "dynamic_shared_memory_type=mmap",
            "hot_standby=on",
        ] {
            server.args(["-c", setting]);
        }
        let child = server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let standby = Self { child, folder };
        wait_until("the standby accepts connections", || async {
            let log = fs::read_to_string(standby.folder.join("log")).unwrap();
            log.contains("ready to accept read-only connections")
        })
        .await;
        standby
    }

    fn url(&self, world: &World) -> String {
        let role = world.database().service_role();
        format!("postgres://{role}@localhost/{}?host={}", world.database().name(), self.folder.display())
    }
}

/// Returns a command that runs as the owner of the primary's files.
fn as_owner(program: &Path, owner: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    if let Some(user) = owner {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

impl Drop for Standby {
    fn drop(&mut self) {
        // It fails only when the process has ended already.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn list(world: &World, api: &Program, who: &(impl Bearer + ?Sized)) -> ApiResponse {
    world.ask_at(api.address().await, "GET", "/jobs", who).send().await.assert_status(200)
}

#[tokio::test]
async fn lists_come_from_a_replica_that_is_near_and_say_so() {
    let world = World::builder().own_servers().workers(0).start().await;
    let red = world.team(team_draft("red")).await;
    let (ada, bob) = (world.user("ada", &[&red]).await, world.user("bob", &[&red]).await);
    let standby = Standby::start(&world).await;
    let url = standby.url(&world);
    let own = [("DATABASE_READ_URL", url.as_str()), ("DATABASE_READ_MAX_AGE_SECONDS", "3")];
    let api = world.program("api", &[&own[..], &ASKED_OFTEN].concat());
    let from_replica = async || {
        eventually("the replica answers", || async {
            let listed = list(&world, &api, &bob).await;
            (!listed.header("x-data-age").is_empty()).then_some(listed)
        })
        .await
    };
    let listed = from_replica().await;
    assert!(listed.header("x-data-age").parse::<u64>().unwrap() <= 3);

    // Who changes something sees it at once; the others see it when the replica has it.
    let asked = world.ask_at(api.address().await, "POST", "/runners/jit", &ada).json(&provision_body("ci"));
    let job = asked.send().await.assert_status(202).body["job_id"].clone();
    let own = list(&world, &api, &ada).await;
    assert_eq!((own.header("x-data-age"), &own.body["jobs"][0]["job_id"]), ("", &job));
    eventually("the replica has the job", || async {
        let listed = from_replica().await;
        (listed.body["jobs"][0]["job_id"] == job).then_some(())
    })
    .await;

    // A replica that stands still, or that has ended, is not used.
    let paused = "SELECT pg_wal_replay_pause()";
    let on_standby =
        sqlx::PgPool::connect(&standby.url(&world).replace(world.database().service_role(), "rts"))
            .await
            .unwrap();
    sqlx::query(paused).execute(&on_standby).await.unwrap();
    world.post("/admin/queues/drift/pause", &world.admin().await, &serde_json::json!({ "seconds": 5 })).await;
    let not_from_replica = || async {
        wait_until("lists come from the server", || async {
            list(&world, &api, &bob).await.header("x-data-age").is_empty()
        })
        .await;
    };
    not_from_replica().await;
    sqlx::query("SELECT pg_wal_replay_resume()").execute(&on_standby).await.unwrap();
    from_replica().await;
    on_standby.close().await;
    drop(standby);
    not_from_replica().await;
    assert_eq!(list(&world, &api, &bob).await.body["jobs"][0]["job_id"], job);
    api.stop().await;
}
