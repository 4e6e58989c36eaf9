//! Parts of the service as operating-system processes: the real `rts` binary, controlled by real signals.

use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{ApiRequest, Bearer, World, eventually, world};

/// A running `rts`. Dropping it kills the process; a failing test prints the end of its log.
#[derive(Debug)]
pub struct Program {
    child: Child,
    word: String,
    log: PathBuf,
}

/// Result of an `rts` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit code. `None` if a signal ended the process.
    pub code: Option<i32>,
    /// Text on stdout.
    pub stdout: String,
    /// Text on stderr.
    pub stderr: String,
}

impl Output {
    /// Checks the exit code.
    ///
    /// # Panics
    /// When the code differs.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "the code is often all there is to see")]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Returns stdout parsed as JSON.
    ///
    /// # Panics
    /// When stdout is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

impl Program {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns whether the process still runs.
    ///
    /// # Panics
    /// When the system cannot report its state.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGKILL and returns when the process has ended.
    ///
    /// # Panics
    /// When the process has ended before.
    pub fn kill(mut self) {
        assert!(self.runs(), "rts {} ended by itself\n{}", self.word, self.output());
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and returns when the process has ended successfully.
    ///
    /// # Panics
    /// When the process ends in any other way.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status =
            eventually("the process ends", || std::future::ready(self.child.try_wait().unwrap())).await;
        assert!(status.success(), "rts {}: {status}\n{}", self.word, self.output());
    }

    /// Sends SIGSTOP: the process stands still until [`Self::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Sends SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Returns the log so far, one JSON object per line.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the listen address as soon as the process logs it.
    ///
    /// # Panics
    /// When no address is logged in time.
    pub async fn address(&self) -> SocketAddr {
        eventually("it listens", || async {
            self.output().lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let address = line["fields"]["address"].as_str().or(line["address"].as_str())?;
                address.parse().ok()
            })
        })
        .await
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both calls fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.output();
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            let _ = writeln!(std::io::stderr(), "rts {} said:\n{tail}", self.word);
        }
    }
}

impl World {
    /// Starts `rts {word}` as a process on this world's servers; `changes` override its environment.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn program(&self, word: &str, changes: &[(&str, &str)]) -> Program {
        let (folder, key) = (self.folder(), self.app_key());
        let log = folder.join(format!("{word}-{}.log", uuid::Uuid::new_v4().simple()));
        let file = File::create(&log).unwrap();
        let mut command = Command::new(rts());
        command.arg(word).current_dir(folder).env_clear().envs(self.environment(&key));
        if word != "api" {
            command.env("TOKEN_KEYS", format!("tokens:{}", STANDARD.encode(world::TOKEN_KEY)));
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.envs(changes.iter().copied());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Program { child: command.spawn().unwrap(), word: word.to_owned(), log }
    }

    /// Runs `rts` with the arguments `words` to completion on this world's servers; `changes` override its environment.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub async fn command(&self, words: &[&str], changes: &[(&str, &str)]) -> Output {
        self.run_command(words, changes, Stdio::null()).await
    }

    /// Runs `rts` with the content of a file on stdin.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub async fn command_with_input(&self, words: &[&str], changes: &[(&str, &str)], input: &Path) -> Output {
        self.run_command(words, changes, File::open(input).unwrap().into()).await
    }

    /// Returns the environment of a caller's `rts`: this service's URL, a token, and this world's folder as the home.
    ///
    /// # Panics
    /// When the folder's path is no text.
    pub fn caller_environment<'a>(&'a self, token: &'a str) -> [(&'static str, &'a str); 3] {
        [("RTS_URL", self.url()), ("RTS_TOKEN", token), ("HOME", self.folder().to_str().unwrap())]
    }

    /// Returns the path of the `rts` that the tests run.
    pub fn rts(&self) -> PathBuf {
        rts()
    }

    async fn run_command(&self, words: &[&str], changes: &[(&str, &str)], input: Stdio) -> Output {
        let mut command = Command::new(rts());
        command.args(words).current_dir(self.folder()).env_clear().envs(self.environment(&self.app_key()));
        command.envs(changes.iter().copied()).stdin(input);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn app_key(&self) -> PathBuf {
        let key = self.folder().join("app-key.pem");
        if !key.exists() {
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&key).unwrap();
            file.write_all(self.twin.app_key().unwrap().private_pem().as_bytes()).unwrap();
        }
        key
    }

    /// Returns the environment variables of a process of this world.
    fn environment(&self, app_key: &Path) -> Vec<(&'static str, String)> {
        let (redis, namespace) = self.redis().url_and_prefix();
        let twin = &self.choices.twin;
        vec![
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("DATABASE_URL", self.database().service_url()),
            ("REDIS_URL", redis.to_owned()),
            ("REDIS_NAMESPACE", namespace.to_owned()),
            ("GITHUB_APP_ID", twin.app_id.to_string()),
            ("GITHUB_APP_INSTALLATION_ID", twin.installation_id.to_string()),
            ("GITHUB_APP_PRIVATE_KEY_PATH", app_key.display().to_string()),
            ("GITHUB_ORG", twin.org.clone()),
            ("GITHUB_API_URL", self.twin.url().to_owned()),
            ("OIDC_ISSUER", self.issuer().url().to_owned()),
            ("OIDC_AUDIENCE", "runner-tokens".to_owned()),
            ("CREDENTIAL_KEYS", format!("test:{}", STANDARD.encode(world::CREDENTIAL_KEY))),
            ("SERVICE_PORT", "0".to_owned()),
            ("WORKER_LEASE_SECONDS", self.choices.lease.as_secs().to_string()),
            ("LOG_LEVEL", "debug,hyper=info,sqlx=info,tower=info,apalis=info,reqwest=info".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
    }

    /// Returns a temporary folder of this world.
    ///
    /// # Panics
    /// When the folder cannot be created.
    pub fn folder(&self) -> &Path {
        self.folder.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("rts-world-{}", self.database().name()));
            std::fs::create_dir(&folder).unwrap();
            folder
        })
    }

    /// Returns a request to `/api/v1{path}` of an API process other than the world's own.
    pub fn ask_at(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        who: &(impl Bearer + ?Sized),
    ) -> ApiRequest {
        ApiRequest::new(&self.client, method, format!("http://{address}/api/v1{path}")).by(who)
    }
}

/// Returns the path of `rts`, built first unless the test script has just built it.
#[expect(clippy::disallowed_methods, reason = "the script says so by the environment")]
pub(crate) fn rts() -> PathBuf {
    if let Some(given) = std::env::var_os("TEST_RTS") {
        return given.into();
    }
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().find(|folder| folder.join("deps").is_dir()).unwrap();
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "-q", "--locked", "-p", "cli", "--bin", "rts"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    assert!(cargo.current_dir(root).stdin(Stdio::null()).status().unwrap().success(), "cargo build -p cli");
    folder.join("rts")
}
