//! Tests of private servers: start, restart, crash and cleanup.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs::{self, DirBuilder},
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use devstack::{Options, Server, Stack};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Options with the cache that `./dev` uses, so that most runs need no initdb.
fn options() -> Options {
    let seed_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../devstack");
    fs::create_dir_all(&seed_cache).unwrap();
    Options { seed_cache: Some(seed_cache), ..Options::default() }
}

fn redis(dir: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(dir.join("redis.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Returns whether the process has ended. A zombie counts as ended: a container may have no process that collects it.
fn gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
    zombie || kill(Pid::from_raw(pid), None).is_err()
}

fn wait_gone(pids: &[i32]) {
    let start = Instant::now();
    while !pids.iter().all(|pid| gone(*pid)) {
        assert!(start.elapsed() < Duration::from_secs(30), "still running: {pids:?}");
        thread::yield_now();
    }
}

fn pids(stack: &Stack) -> [i32; 2] {
    [Server::Postgres, Server::Redis].map(|server| stack.pid(server).unwrap())
}

#[test]
fn both_answer_and_stop_leaves_nothing_behind() {
    let stack = Stack::start(&options()).unwrap();
    stack.execute("postgres", "create database other").unwrap();
    stack.execute("other", "create table t (n int); insert into t values (1)").unwrap();
    assert_eq!(redis(stack.dir(), "PING"), "+PONG");
    assert_eq!(redis(stack.dir(), "SELECT 1023"), "+OK");
    let (dir, pids) = (stack.dir().to_path_buf(), pids(&stack));
    stack.stop().unwrap();
    assert!(pids.into_iter().all(gone));
    assert!(!dir.exists());
}

#[test]
fn refused_statement_names_its_reason() {
    let stack = Stack::start(&options()).unwrap();
    let error = stack.execute("postgres", "create table t (n int); select nonsense").unwrap_err();
    assert!(error.to_string().contains("column \"nonsense\" does not exist"), "{error}");
    // A failed script changes nothing.
    stack.execute("postgres", "create table t (n int)").unwrap();
}

#[test]
fn two_stacks_live_side_by_side() {
    let (one, two) = (Stack::start(&options()).unwrap(), Stack::start(&options()).unwrap());
    assert_ne!(one.database_url("postgres"), two.database_url("postgres"));
    assert_eq!(redis(one.dir(), "SET key one"), "+OK");
    assert_eq!(redis(two.dir(), "EXISTS key"), ":0");
    one.stop().unwrap();
    two.execute("postgres", "select 1").unwrap();
}

#[test]
fn killed_server_comes_back_at_the_same_address_with_its_data() {
    let mut stack = Stack::start(&Options { durable: true, ..options() }).unwrap();
    stack.execute("postgres", "create table t (n int primary key); insert into t values (1)").unwrap();
    let address = stack.database_url("postgres");
    let before = pids(&stack);
    for server in [Server::Postgres, Server::Redis] {
        stack.kill(server).unwrap();
        assert_eq!(stack.pid(server), None);
        stack.restart(server).unwrap();
    }
    assert!(before.into_iter().all(gone));
    assert_eq!(stack.database_url("postgres"), address);
    assert!(
        stack.execute("postgres", "insert into t values (1)").unwrap_err().to_string().contains("t_pkey")
    );
}

#[test]
fn orderly_restart_keeps_the_redis_data() {
    let mut stack = Stack::start(&Options { durable: true, ..options() }).unwrap();
    assert_eq!(redis(stack.dir(), "SET key kept"), "+OK");
    stack.restart(Server::Redis).unwrap();
    assert_eq!(redis(stack.dir(), "EXISTS key"), ":1");
}

#[test]
fn paused_server_answers_after_it_is_resumed() {
    let mut stack = Stack::start(&options()).unwrap();
    stack.pause(Server::Redis).unwrap();
    let dir = stack.dir().to_path_buf();
    let answer = thread::spawn(move || redis(&dir, "PING"));
    stack.resume(Server::Redis).unwrap();
    assert_eq!(answer.join().unwrap(), "+PONG");
    stack.pause(Server::Postgres).unwrap();
    // A paused server does not prevent its stack from stopping.
    stack.stop().unwrap();
}

#[test]
fn data_stays_in_its_folder_and_only_one_run_may_use_it() {
    let home = tempdir("data");
    let options = Options { data: Some(home.clone()), ..options() };
    let stack = Stack::start(&options).unwrap();
    assert!(matches!(Stack::start(&options), Err(devstack::Error::InUse(path)) if path == home));
    stack.execute("postgres", "create table t (n int primary key); insert into t values (1)").unwrap();
    assert_eq!(redis(stack.dir(), "SET key kept"), "+OK");
    stack.stop().unwrap();

    let stack = Stack::start(&options).unwrap();
    assert!(stack.execute("postgres", "create table t (n int)").is_err());
    assert_eq!(redis(stack.dir(), "EXISTS key"), ":1");
    stack.stop().unwrap();
    fs::remove_dir_all(home).unwrap();
}

#[test]
fn incomplete_folder_is_moved_and_unreadable_redis_data_is_dropped() {
    let home = tempdir("half-made");
    let options = Options { data: Some(home.clone()), ..options() };
    Stack::start(&options).unwrap().stop().unwrap();
    fs::remove_file(home.join("pg/global/pg_control")).unwrap();
    fs::write(home.join("redis/appendonlydir/appendonly.aof.manifest"), "nonsense").unwrap();
    let stack = Stack::start(&options).unwrap();
    stack.execute("postgres", "create table t (n int)").unwrap();
    assert_eq!(redis(stack.dir(), "SET key value"), "+OK");
    stack.stop().unwrap();
    assert!(home.join("pg.broken-1/PG_VERSION").exists(), "the broken data is kept");

    fs::write(home.join("pg/PG_VERSION"), "9\n").unwrap();
    let error = Stack::start(&options).unwrap_err().to_string();
    assert!(error.contains("was made by PostgreSQL 9"), "{error}");
    fs::remove_dir_all(home).unwrap();
}

#[test]
fn redis_starts_empty_beside_kept_data() {
    let home = tempdir("empty-redis");
    let options = Options { data: Some(home.clone()), empty_redis: true, ..options() };
    for _ in 0..2 {
        let stack = Stack::start(&options).unwrap();
        assert_eq!(redis(stack.dir(), "EXISTS key"), ":0");
        assert_eq!(redis(stack.dir(), "SET key value"), "+OK");
        stack.stop().unwrap();
    }
    fs::remove_dir_all(home).unwrap();
}

#[test]
fn data_folder_without_access_is_named_in_one_sentence() {
    let closed = tempdir("closed");
    DirBuilder::new().mode(0o700).create(&closed).unwrap();
    let data = closed.join("deep/data");
    let started = Stack::start(&Options { data: Some(data.clone()), ..options() });
    if nix::unistd::geteuid().is_root() {
        let error = started.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, devstack::Error::Closed { folder, .. } if folder == closed), "{text}");
        assert!(text.contains(data.to_str().unwrap()) && text.lines().count() == 1, "{text}");
    } else {
        // The servers run as the caller, who may enter the folder.
        started.unwrap().stop().unwrap();
    }
    fs::remove_dir_all(closed).unwrap();
}

/// Returns a folder that PostgreSQL's account can reach, so not the target folder.
fn tempdir(name: &str) -> PathBuf {
    PathBuf::from(format!("/var/tmp/rts-devstack-test-{}-{name}", std::process::id()))
}

/// Runs the helper program, and inside it a shell that prints the servers' addresses and waits for a line.
fn helper() -> (Child, PathBuf) {
    let script = "echo \"$TEST_REDIS_URL\"; read -r code; exit \"$code\"";
    let mut helper = Command::new(env!("CARGO_BIN_EXE_with-stack"));
    helper.arg("--seed-cache").arg(options().seed_cache.unwrap()).args(["--", "sh", "-c", script]);
    let mut helper = helper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(helper.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let path = line.trim().strip_prefix("redis+unix://").unwrap().split("/redis.sock").next().unwrap();
    (helper, path.into())
}

fn pids_in(dir: &Path) -> [i32; 2] {
    ["pg/postmaster.pid", "redis.pid"].map(|file| {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    })
}

#[test]
fn servers_end_with_a_killed_parent_and_the_next_start_sweeps_its_folder() {
    let (mut helper, dir) = helper();
    let pids = pids_in(&dir);
    helper.kill().unwrap();
    helper.wait().unwrap();
    wait_gone(&pids);
    Stack::start(&options()).unwrap().stop().unwrap();
    assert!(!dir.exists());
}

#[test]
fn exit_code_of_the_command_is_returned() {
    let (mut helper, dir) = helper();
    helper.stdin.take().unwrap().write_all(b"7\n").unwrap();
    assert_eq!(helper.wait().unwrap().code(), Some(7));
    assert!(!dir.exists());
}

#[test]
fn request_to_end_reaches_the_command_before_the_servers() {
    let (mut helper, dir) = helper();
    // Waiting closes the standard input, which would end the command too.
    let stdin = helper.stdin.take();
    kill(Pid::from_raw(helper.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(helper.wait().unwrap().code(), Some(128 + 15));
    drop(stdin);
    assert!(!dir.exists());
}

#[test]
fn script_that_fails_is_named() {
    let folder = tempdir("scripts");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("2_bad.sql"), "nonsense").unwrap();
    fs::write(folder.join("1_good.sql"), "create table t (n int);").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_with-stack"));
    program.arg("--migrations").arg(&folder).args(["--", "true"]).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(said.contains("2_bad.sql") && said.contains("syntax error"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}
