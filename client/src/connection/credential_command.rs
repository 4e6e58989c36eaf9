//! A command of the person that prints their token, for example of a password store.

use std::{process::Stdio, time::Duration};

use domain::Secret;
use tokio::{io::AsyncReadExt, process::Command};

/// Longest time of the command. It may ask the person for a passphrase.
const MAX_TIME: Duration = Duration::from_mins(2);
/// Most bytes that are read.
const MAX_BYTES: u64 = 64 * 1024;

/// Runs a command in a shell and returns the first line of its output. Its questions and remarks stay on the terminal.
///
/// # Errors
/// A sentence about the command; never its output.
pub(crate) async fn read_token(command: &str) -> Result<Secret, String> {
    let mut child = Command::new("sh");
    child.args(["-c", command]).stdin(Stdio::inherit()).stderr(Stdio::inherit()).stdout(Stdio::piped());
    let mut child =
        child.kill_on_drop(true).spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    let output = child.stdout.take();
    let run = async {
        let mut text = String::new();
        if let Some(output) = output {
            output.take(MAX_BYTES).read_to_string(&mut text).await?;
        }
        let text = Secret::new(text);
        Ok::<_, std::io::Error>((text, child.wait().await?))
    };
    let ended = tokio::time::timeout(MAX_TIME, run).await;
    let ended = ended.map_err(|_| format!("it did not end within {} s", MAX_TIME.as_secs()))?;
    let (text, status) = ended.map_err(|error| format!("it cannot be read: {error}"))?;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    Ok(Secret::new(text.expose().lines().next().unwrap_or_default().trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn first_line_is_the_token_and_failures_are_sentences() {
        assert_eq!(read_token("printf 'abc\\nuser: ada\\n'").await.unwrap().expose(), "abc");
        let failed = read_token("echo secret; exit 3").await.unwrap_err();
        assert!(failed.contains("exit status: 3") && !failed.contains("secret"), "{failed}");
        assert_eq!(read_token("true").await.unwrap().expose(), "");
    }
}
