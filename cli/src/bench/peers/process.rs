//! One contender's process: asked by its arguments, answering in lines of JSON.

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

use super::Ask;

/// A queue that can be measured.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) tuned: bool,
    program: PathBuf,
    words: Vec<String>,
    /// Must be there.
    needs: Vec<PathBuf>,
}

impl Contender {
    /// Ours, and the others as they lie in this folder.
    pub(super) fn all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let folder = std::path::absolute(folder)?;
        let ours = (std::env::current_exe()?, vec!["bench".to_owned(), "--peer".to_owned()], Vec::new());
        let file = |name: &str| folder.join(name);
        let word = |name: &str| vec![file(name).display().to_string()];
        let python = file("arq/bin/python");
        let arq = (python.clone(), word("arq/peer.py"), vec![python, file("arq/peer.py")]);
        let library = file("bullmq/node_modules/bullmq");
        let bullmq =
            (PathBuf::from("node"), word("bullmq/worker.mjs"), vec![library, file("bullmq/worker.mjs")]);
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
        let made = |(name, tuned, (program, words, needs))| Self { name, tuned, program, words, needs };
        Ok(all.into_iter().map(made).collect())
    }

    /// What it lacks, if anything.
    pub(super) fn missing(&self) -> Option<String> {
        self.needs.iter().find(|file| !file.exists()).map(|file| file.display().to_string())
    }

    /// Starts a process that does this.
    pub(super) fn start(&self, ask: &Ask, dir: &Path) -> anyhow::Result<Speaker> {
        let log = dir.join(format!("peer-{}.log", uuid::Uuid::new_v4().simple()));
        let mut command = Command::new(&self.program);
        command.args(&self.words).arg(serde_json::to_string(ask)?).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child =
            command.kill_on_drop(true).spawn().with_context(|| format!("cannot start {}", self.name))?;
        let said = child.stdout.take().context("no standard output")?;
        Ok(Speaker { child, log, lines: BufReader::new(said).lines() })
    }
}

/// A running process. It is killed when dropped.
pub(super) struct Speaker {
    child: Child,
    log: PathBuf,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Speaker {
    /// The next line that has this; none in time is none.
    pub(super) async fn hears(&mut self, key: &str, limit: Duration) -> anyhow::Result<Option<Value>> {
        let next = async {
            while let Some(line) = self.lines.next_line().await? {
                let value: Value = serde_json::from_str(&line).context("a line that is no JSON")?;
                if value.get(key).is_some() {
                    return anyhow::Ok(value);
                }
            }
            let text = fs::read_to_string(&self.log)?;
            let mut tail: Vec<_> = text.lines().rev().take(3).collect();
            tail.reverse();
            bail!("it ended: {}", tail.join(" | "))
        };
        timeout(limit, next).await.ok().transpose()
    }

    /// As [`Self::hears`], where nothing in time is a fault.
    pub(super) async fn must(&mut self, key: &str, limit: Duration) -> anyhow::Result<Value> {
        self.hears(key, limit).await?.with_context(|| format!("it says nothing of {key}"))
    }

    /// Kills it without a word.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}
