//! Process of a contender: its request is an argument, its output consists of JSON lines.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::PeerRequest;

/// A queue that can be measured.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) tuned: bool,
    program: PathBuf,
    /// Arguments before the request.
    args: Vec<String>,
    /// Files that must exist.
    required_files: Vec<PathBuf>,
}

impl Contender {
    /// Returns our own queue and the other queues, which are installed in `folder`.
    pub(crate) fn all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let folder = std::path::absolute(folder)?;
        let ours = (std::env::current_exe()?, vec!["bench".to_owned(), "--peer".to_owned()], Vec::new());
        let file = |name: &str| folder.join(name);
        let script = |name: &str| vec![file(name).display().to_string()];
        let python = file("arq/bin/python");
        let arq = (python.clone(), script("arq/peer.py"), vec![python, file("arq/peer.py")]);
        let library = file("bullmq/node_modules/bullmq");
        let bullmq =
            (PathBuf::from("node"), script("bullmq/worker.mjs"), vec![library, file("bullmq/worker.mjs")]);
        let program = file("apalis-redis/release/peer-apalis-redis");
        let stock = (program.clone(), Vec::new(), vec![program]);
        let all = [
            ("ours", false, ours),
            ("apalis-redis, tuned", true, stock.clone()),
            ("apalis-redis", false, stock),
            ("BullMQ, tuned", true, bullmq.clone()),
            ("BullMQ", false, bullmq),
            ("arq, tuned", true, arq.clone()),
            ("arq", false, arq),
        ];
        let contender = |(name, tuned, (program, args, required_files))| Self {
            name,
            tuned,
            program,
            args,
            required_files,
        };
        Ok(all.into_iter().map(contender).collect())
    }

    /// Returns the first missing file, if the queue is not installed.
    pub(crate) fn missing(&self) -> Option<String> {
        self.required_files.iter().find(|file| !file.exists()).map(|file| file.display().to_string())
    }

    /// Starts a process for the request. Its log is a file in `dir`.
    pub(crate) fn start(&self, request: &PeerRequest, dir: &Path) -> anyhow::Result<ContenderProcess> {
        let log = dir.join(format!("peer-{}.log", uuid::Uuid::new_v4().simple()));
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(serde_json::to_string(request)?).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child =
            command.kill_on_drop(true).spawn().with_context(|| format!("cannot start {}", self.name))?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(ContenderProcess { child, log, lines: BufReader::new(stdout).lines() })
    }
}

/// A running process. It is killed when dropped.
pub(crate) struct ContenderProcess {
    child: Child,
    log: PathBuf,
    lines: Lines<BufReader<ChildStdout>>,
}

impl ContenderProcess {
    /// Reads lines until one has this key, and returns it. Returns `None` after `limit`.
    pub(crate) async fn next_line_with(
        &mut self,
        key: &str,
        limit: Duration,
    ) -> anyhow::Result<Option<Value>> {
        let next = async {
            while let Some(line) = self.lines.next_line().await? {
                let value: Value = serde_json::from_str(&line).context("a line is not valid JSON")?;
                if value.get(key).is_some() {
                    return anyhow::Ok(value);
                }
            }
            let text = fs::read_to_string(&self.log)?;
            let mut tail: Vec<_> = text.lines().rev().take(3).collect();
            tail.reverse();
            bail!("the process ended: {}", tail.join(" | "))
        };
        timeout(limit, next).await.ok().transpose()
    }

    /// Reads lines until one has this key, and returns it. Fails after `limit`.
    pub(crate) async fn expect_line(&mut self, key: &str, limit: Duration) -> anyhow::Result<Value> {
        self.next_line_with(key, limit)
            .await?
            .with_context(|| format!("the process printed no {key} in time"))
    }

    /// Ends the process with SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
