//! Start of the users' program, and the time from a typed `rts provision` until its child runs.
//!
//! Each provision is measured beside an equal request on an open connection, so that their difference is the program's
//! own time: its start, its files, its connection, the opened seal and the start of the child.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use domain::SealingKeyPair;
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::{
    environment::Environment,
    http_load::{HttpConnection, RequestSource, millis, post_json},
    report::{Report, Row, Target, quantile},
    scale::Scale,
};

/// Pause before each measurement, in which the unused runner of the one before is removed.
const PAUSE: Duration = Duration::from_millis(50);
/// Time limit for the program.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest start of the program, in milliseconds.
const MAX_START: f64 = 20.0;
/// Longest time of the program from its start to its child's, over the API's, in milliseconds.
const MAX_OVERHEAD: f64 = 50.0;
/// Labels of each request.
const LABELS: [&str; 2] = ["linux", "gpu-large"];

pub(crate) async fn measure(
    environment: &Environment,
    scale: Scale,
    report: &mut Report,
) -> anyhow::Result<()> {
    // A debug build takes long, and few rounds show that it works.
    let rounds = (scale.singles / 10).max(1);
    let deployment = environment.deployment("provisioning", 3)?;
    let mut api = deployment.start_api().await?;
    let mut worker = deployment.start_worker()?;
    worker.wait_for("working").await?;
    let (address, tokens) = (api.address().await?, deployment.create_callers().await?);
    let token = tokens.into_iter().next().context("no caller")?;
    let home = environment.dir().join("provisioning");
    DirBuilder::new().mode(0o700).create(&home)?;
    let program = Program { path: environment.client_program()?, address, token, home };

    let mut starts = Vec::new();
    for _ in 0..scale.repetitions {
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            times.push(program.version().await?);
        }
        starts.push(quantile(&times, 0.5));
    }
    report.push(Row::new("`rts --version`, p50", "ms", &starts).target(Target::AtMost(MAX_START)));
    for sealed in [true, false] {
        let (mut typed, mut over) = (Vec::new(), Vec::new());
        for _ in 0..scale.repetitions {
            let median = measure_rounds(&program, sealed, rounds).await?;
            typed.push(median.typed);
            over.push(median.typed - median.requested);
        }
        let name = if sealed { "sealed" } else { "unsealed" };
        report.push(Row::new(format!("`rts provision` to child started, {name}, p50"), "ms", &typed));
        let row = Row::new(format!("the same, over the API's own time, {name}"), "ms", &over);
        report.push(row.target(Target::AtMost(MAX_OVERHEAD)));
    }
    api.stop().await?;
    worker.stop().await
}

/// Medians in milliseconds.
struct Medians {
    /// From the start of the program to the start of its child.
    typed: f64,
    /// An equal request on an open connection.
    requested: f64,
}

async fn measure_rounds(program: &Program, sealed: bool, rounds: usize) -> anyhow::Result<Medians> {
    let (address, token) = (program.address.clone(), program.token.clone());
    let requests = JitRequests { address, token, sealed };
    let mut connection = HttpConnection::open(&program.address).await?;
    let (mut typed, mut requested) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for nth in 0..rounds {
        sleep(PAUSE).await;
        typed.push(program.provision(sealed).await?);
        sleep(PAUSE).await;
        let start = Instant::now();
        connection.send(&requests, nth).await?;
        requested.push(millis(start.elapsed()));
    }
    Ok(Medians { typed: quantile(&typed, 0.5), requested: quantile(&requested, 0.5) })
}

/// The users' program, and what its environment says.
struct Program {
    path: PathBuf,
    /// The API as `host:port`.
    address: String,
    token: String,
    /// Folder of its files.
    home: PathBuf,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &self.home);
        command.env("RTS_URL", format!("http://{}", self.address)).env("RTS_TOKEN", &self.token);
        command.current_dir(&self.home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// Returns the milliseconds from its start to its first line.
    async fn first_line(&self, arguments: &[&str], expected: &str) -> anyhow::Result<f64> {
        let start = Instant::now();
        let mut child = self.command().args(arguments).spawn().with_context(|| self.describe())?;
        let stdout = child.stdout.take().context("no stdout")?;
        let run = async {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).await?;
            let took = start.elapsed();
            anyhow::Ok((line, took, child.wait_with_output().await?))
        };
        let ended = timeout(PROGRAM_TIMEOUT, run).await;
        let (line, took, output) = ended.with_context(|| format!("{} does not end", self.describe()))??;
        let remarks = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && line.starts_with(expected),
            "{} ended with {} after {line:?}: {remarks}",
            self.describe(),
            output.status
        );
        Ok(millis(took))
    }

    async fn version(&self) -> anyhow::Result<f64> {
        self.first_line(&["--version"], "rts ").await
    }

    async fn provision(&self, sealed: bool) -> anyhow::Result<f64> {
        let seal = if sealed { "always" } else { "never" };
        let mut arguments = vec!["provision", "--prefix", "bench", "--seal", seal];
        arguments.extend(LABELS.iter().flat_map(|label| ["--label", *label]));
        arguments.extend(["--exec", "echo", "started"]);
        self.first_line(&arguments, "started").await
    }

    fn describe(&self) -> String {
        Path::display(&self.path).to_string()
    }
}

/// The requests that the program sends.
struct JitRequests {
    address: String,
    token: String,
    sealed: bool,
}

impl RequestSource for JitRequests {
    fn address(&self) -> &str {
        &self.address
    }

    fn expected_status(&self) -> StatusCode {
        StatusCode::CREATED
    }

    fn request(&self, _nth: usize) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut body = json!({ "runner_name_prefix": "bench", "labels": LABELS });
        if self.sealed {
            body["sealing_key"] = json!(SealingKeyPair::generate()?.public().to_string());
        }
        let request = post_json(&self.address, "/api/v1/runners/jit", Some(&self.token));
        Ok(request.header("prefer", "wait=20").body(Full::new(Bytes::from(serde_json::to_vec(&body)?)))?)
    }
}
