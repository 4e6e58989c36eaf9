//! Several runners by one command: all are requested first, and their configs are handed over one after the other.

use std::{path::PathBuf, time::Duration};

use domain::{SealingKeyPair, Secret};
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{
    fetch, follow, handover::write_file, identify, is_resumable, pending_key::PendingKey, sealing,
    sealing::Seal, send, without_secrets,
};
use crate::{
    commands::nouns::{JOB, RUNNER},
    error::ClientError,
    output::{
        Format, Progress,
        print::{line, note},
        scalar,
    },
    session::Session,
};

/// Destination of several configs.
#[derive(Debug)]
pub(super) enum Destination {
    /// One new file for each runner, which only the caller may read.
    Folder(PathBuf),
    /// The answers as JSON on stdout.
    Stdout,
    /// None: only the jobs are printed.
    Nowhere,
}

impl Destination {
    /// Chooses the destination.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if there is none, or the folder does not exist.
    pub(super) fn choose(
        session: &Session,
        folder: Option<PathBuf>,
        no_wait: bool,
    ) -> Result<Self, ClientError> {
        match folder {
            _ if no_wait => Ok(Self::Nowhere),
            Some(folder) if folder.is_dir() => Ok(Self::Folder(folder)),
            Some(folder) => Err(ClientError::Usage(format!("{} is no folder", folder.display()))),
            None if matches!(session.format, Format::Json | Format::Jsonl) => Ok(Self::Stdout),
            None => {
                let choices = "say where the configs go: --config-folder, or -o jsonl for stdout";
                Err(ClientError::Usage(choices.to_owned()))
            }
        }
    }
}

/// Equal runners to request.
pub(super) struct Order<'a> {
    /// Request of each of them.
    pub(super) body: &'a Value,
    /// Number of runners.
    pub(super) count: u32,
    /// Longest wait for their configs.
    pub(super) wait: Duration,
    /// Whether their configs are sealed.
    pub(super) seal: Seal,
}

/// A request that was accepted.
struct Accepted {
    key: PendingKey,
    job: String,
    answer: Value,
}

/// Requests `count` equal runners and hands their configs over.
///
/// # Errors
/// The first failure, after every other runner was handed over; [`ClientError::Interrupted`] after Ctrl-C.
pub(super) async fn run(
    session: &Session,
    order: &Order<'_>,
    destination: &Destination,
) -> Result<(), ClientError> {
    let count = order.count;
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| ClientError::Failed(format!("cannot listen for signals: {error}")))?;
    let mut handed_over = 0;
    let work = async {
        let (accepted, refused) = request_all(session, order).await;
        let result = hand_over_all(session, accepted, order.wait, destination, &mut handed_over).await;
        refused.map_or(result, Err)
    };
    let result = tokio::select! {
        result = work => result,
        _ = interrupt.recv() => Err(ClientError::Interrupted("interrupted; the requests go on".to_owned())),
    };
    if result.is_err() && handed_over < count {
        let left = count - handed_over;
        note(format_args!(
            "{handed_over} of {count} are done; the same command with --count {left} gets the rest"
        ));
    }
    result
}

/// Sends the requests. Returns those that were accepted, and the refusal that ended the sending.
async fn request_all(session: &Session, order: &Order<'_>) -> (Vec<Accepted>, Option<ClientError>) {
    let state = session.environment.state_folder();
    let mut accepted = Vec::new();
    for _ in 0..order.count {
        let request = identify(session, order.body, order.seal);
        let mut key = PendingKey::take(state.as_deref(), &request, order.seal != Seal::Never);
        match send(session, order.body, &mut key, Duration::ZERO, order.seal).await {
            Ok(answer) => {
                accepted.push(Accepted { key, job: scalar(&answer.body["job_id"]), answer: answer.body });
            }
            Err(error) => {
                if !is_resumable(&error) {
                    key.release();
                }
                return (accepted, Some(error));
            }
        }
    }
    (accepted, None)
}

async fn hand_over_all(
    session: &Session,
    accepted: Vec<Accepted>,
    wait: Duration,
    destination: &Destination,
    handed_over: &mut u32,
) -> Result<(), ClientError> {
    let deadline = Instant::now() + wait;
    let mut first_failure = None;
    let mut array = ArrayWriter::new(session.format);
    for Accepted { key, job, answer } in accepted {
        let outcome = match destination {
            Destination::Nowhere => {
                print_job(session, &job, &answer, &mut array);
                Ok(())
            }
            Destination::Folder(_) | Destination::Stdout => {
                fetch_and_hand_over(session, &job, key.pair(), deadline, destination, &mut array).await
            }
        };
        if !outcome.as_ref().is_err_and(is_resumable) {
            key.release();
        }
        match outcome {
            Ok(()) => *handed_over += 1,
            Err(error) => {
                note(format_args!("job {job}: {error}"));
                first_failure = first_failure.or(Some(error));
            }
        }
    }
    array.end();
    first_failure.map_or(Ok(()), Err)
}

fn print_job(session: &Session, job: &str, answer: &Value, array: &mut ArrayWriter) {
    match session.format {
        Format::Json | Format::Jsonl => array.write(answer),
        Format::Name | Format::Table | Format::Wide => {
            session.print_done(
                &JOB,
                answer,
                &format!("job {job}; `rts job config {job}` fetches the config"),
            );
        }
    }
}

async fn fetch_and_hand_over(
    session: &Session,
    job: &str,
    pair: Option<&SealingKeyPair>,
    deadline: Instant,
    destination: &Destination,
    array: &mut ArrayWriter,
) -> Result<(), ClientError> {
    let left = deadline.saturating_duration_since(Instant::now());
    follow::until_final_with(session, job, left, &mut Progress::new()).await?.into_result()?;
    let answer = sealing::open(fetch(session, job).await?, pair)?;
    let Destination::Folder(folder) = destination else {
        array.write(&answer);
        return Ok(());
    };
    let config = answer["encoded_jit_config"].as_str().filter(|config| !config.is_empty()).map(Secret::new);
    let config = config.ok_or_else(|| ClientError::Failed("the answer holds no config".to_owned()))?;
    let open = without_secrets(&answer);
    let name = scalar(&open["runner_name"]);
    // The service makes the name, so it is checked before it becomes part of a path.
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let path = folder.join(format!("{name}.jit"));
    if !is_plain || name.starts_with('.') {
        return Err(ClientError::Failed(format!("{name:?} is no name of a file")));
    }
    write_file(&path, &config).map_err(|error| {
        let again = format!("`rts job config {job}` fetches the config again for 120 s");
        ClientError::Failed(format!("{}: {error}; {again}", path.display()))
    })?;
    if matches!(session.format, Format::Json | Format::Jsonl) {
        array.write(&open);
    } else {
        session.print_done(&RUNNER, &open, &format!("runner {name}: config in {}", path.display()));
    }
    Ok(())
}

/// Writer of JSON objects: an array, or one on each line.
struct ArrayWriter {
    format: Format,
    written: usize,
}

impl ArrayWriter {
    const fn new(format: Format) -> Self {
        Self { format, written: 0 }
    }

    fn write(&mut self, item: &Value) {
        if self.format == Format::Json {
            line(format_args!("{}{item}", if self.written == 0 { "[" } else { "," }));
        } else {
            line(item);
        }
        self.written += 1;
    }

    fn end(&self) {
        if self.format == Format::Json && self.written > 0 {
            line("]");
        }
    }
}
