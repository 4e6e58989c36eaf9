//! Questions to a person, asked on a terminal only.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::{environment::Environment, error::ClientError};

/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 4096;

/// Whether questions can be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt {
    interactive: bool,
}

impl Prompt {
    /// Questions are asked if stdin and stderr are terminals and `RTS_NO_INPUT` is not set.
    pub(crate) fn new(environment: &Environment) -> Self {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { interactive: terminal && environment.get("RTS_NO_INPUT").is_none() }
    }

    /// Asks for consent, unless `yes` was said beforehand.
    ///
    /// # Errors
    /// [`ClientError::Usage`] where no question can be asked, [`ClientError::Failed`] if the answer is no.
    pub(crate) fn confirm(self, question: &str, yes: bool) -> Result<(), ClientError> {
        if yes {
            return Ok(());
        }
        if !self.interactive {
            return Err(ClientError::Usage(format!("{question} Say --yes to do it without a question.")));
        }
        let answer = ask(&format!("{question} [y/N] "))?;
        if matches!(answer.to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(ClientError::Failed("not confirmed; nothing was changed".to_owned()))
    }

    /// Returns the reason that was given, or asks for one.
    ///
    /// # Errors
    /// [`ClientError::Usage`] where no reason is given and none can be asked for.
    pub(crate) fn reason(self, given: Option<String>) -> Result<String, ClientError> {
        match given {
            Some(reason) => Ok(reason),
            None if self.interactive => {
                let answer = ask("Reason: ")?;
                let missing = || ClientError::Usage("a reason is needed; nothing was changed".to_owned());
                (!answer.is_empty()).then_some(answer).ok_or_else(missing)
            }
            None => Err(ClientError::Usage("say why with --reason".to_owned())),
        }
    }
}

fn ask(question: &str) -> Result<String, ClientError> {
    let fault = |error: io::Error| ClientError::Failed(format!("cannot ask: {error}"));
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).map_err(fault)?;
    let mut answer = String::new();
    io::Read::take(io::stdin().lock(), MAX_ANSWER).read_line(&mut answer).map_err(fault)?;
    Ok(answer.trim().to_owned())
}
