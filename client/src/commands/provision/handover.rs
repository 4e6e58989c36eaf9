//! Places that a config is handed over to: a child's environment, a private file, an open descriptor, stdout.

use std::{fs, io::Write, path::PathBuf};

use clap::Args;
use domain::Secret;
use serde_json::Value;

use super::{child, without_secrets};
use crate::{
    commands::nouns::RUNNER, connection::create_private_file, error::ClientError, output::Format,
    session::Session,
};

/// Destination of the config.
#[derive(Debug, Args)]
#[command(next_help_heading = "Config")]
pub struct HandoverArgs {
    /// Write the config to this new file, which only you may read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_fd", "exec"])]
    config_file: Option<PathBuf>,
    /// Write the config to this open file descriptor.
    #[arg(long, value_name = "N", conflicts_with = "exec", value_parser = clap::value_parser!(u32).range(3..))]
    config_fd: Option<u32>,
    /// Start this command with the config in its environment; all further arguments are the command's.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    exec: Vec<String>,
}

/// Destination of the config, checked before the config is requested.
#[derive(Debug)]
pub(crate) enum Handover {
    File(PathBuf),
    Descriptor(u32),
    Child(Vec<String>),
    Stdout,
}

impl Handover {
    /// Chooses the destination.
    ///
    /// # Errors
    /// [`ClientError::Usage`] if there is none, or the file exists already.
    pub(crate) fn check(session: &Session, args: HandoverArgs) -> Result<Self, ClientError> {
        if !args.exec.is_empty() {
            return Ok(Self::Child(args.exec));
        }
        if let Some(path) = args.config_file {
            if path.exists() {
                return Err(ClientError::Usage(format!("{} exists already", path.display())));
            }
            return Ok(Self::File(path));
        }
        if let Some(descriptor) = args.config_fd {
            return Ok(Self::Descriptor(descriptor));
        }
        if matches!(session.format, Format::Json | Format::Jsonl) {
            return Ok(Self::Stdout);
        }
        let choices = "say where the config goes: --exec, --config-file, --config-fd, or -o json for stdout";
        Err(ClientError::Usage(choices.to_owned()))
    }

    /// Returns whether a child gets the config.
    pub(crate) const fn is_child(&self) -> bool {
        matches!(self, Self::Child(_))
    }

    /// Hands the config over. The secret is in no output but the chosen one.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the destination cannot be written, [`ClientError::Child`] with the child's exit code.
    pub(crate) async fn hand_over(self, session: &Session, answer: &Value) -> Result<(), ClientError> {
        let config = answer["encoded_jit_config"].as_str().or(answer["registration_token"].as_str());
        let config = config.map(Secret::new).filter(|config| !config.expose().is_empty());
        let config = config.ok_or_else(|| ClientError::Failed("the answer holds no config".to_owned()))?;
        let open = without_secrets(answer);
        let name = crate::output::scalar(&open["runner_name"]);
        match self {
            Self::Stdout => session.print_thing(&RUNNER, answer),
            Self::File(path) => {
                write_file(&path, &config)
                    .map_err(|error| lost(&open, &path.display().to_string(), &error))?;
                session.print_done(&RUNNER, &open, &format!("runner {name}: config in {}", path.display()));
            }
            Self::Descriptor(descriptor) => {
                let path = format!("/dev/fd/{descriptor}");
                let written = fs::OpenOptions::new().write(true).open(&path);
                let written = written.and_then(|mut file| writeln!(file, "{}", config.expose()));
                written.map_err(|error| lost(&open, &path, &error))?;
                session.print_done(&RUNNER, &open, &format!("runner {name}: config written"));
            }
            Self::Child(command) => {
                crate::output::print::note(format_args!("runner {name} is ready"));
                return child::run(session, &command, &config, open["runner_id"].as_str()).await;
            }
        }
        Ok(())
    }
}

pub(super) fn write_file(path: &std::path::Path, config: &Secret) -> std::io::Result<()> {
    let mut file = create_private_file(path)?;
    let written = writeln!(file, "{}", config.expose()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a config is of no use; the first failure is the one to report.
        let _ = fs::remove_file(path);
    }
    written
}

fn lost(answer: &Value, place: &str, error: &std::io::Error) -> ClientError {
    let job = crate::output::scalar(&answer["job_id"]);
    ClientError::Failed(format!(
        "{place}: {error}; `rts job config {job}` fetches the config again for 120 s"
    ))
}
