//! Failures of a command, with the exit codes of the command line.

use serde_json::{Value, json};

use crate::connection::WireProblem;

/// Failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The command does not work as intended, for example because a job failed.
    #[error("{0}")]
    Failed(String),
    /// An argument, a setting or a file of settings is wrong.
    #[error("{0}")]
    Usage(String),
    /// The service or a server that the command needs is away.
    #[error("{0}")]
    Unavailable(String),
    /// The service answered with a problem.
    #[error("{0}")]
    Problem(Box<WireProblem>),
    /// The named thing does not exist.
    #[error("{0}")]
    NotFound(String),
    /// There is no token, or it was not accepted.
    #[error("{0}")]
    SignedOut(String),
    /// The time limit of the command ended; the work goes on.
    #[error("{0}")]
    StillWaiting(String),
    /// The command found differences or faults.
    #[error("{0}")]
    Findings(String),
    /// A signal ended the command.
    #[error("{0}")]
    Interrupted(String),
    /// A program that the command started ended with this code.
    #[error("the started program ended with code {0}")]
    Child(u8),
}

impl ClientError {
    /// Returns the exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unavailable(_) => 3,
            Self::NotFound(_) => 4,
            Self::SignedOut(_) => 5,
            Self::StillWaiting(_) => 6,
            Self::Findings(_) => 7,
            Self::Interrupted(_) => 130,
            Self::Child(code) => *code,
            Self::Problem(problem) => match problem.status {
                401 => 5,
                408 | 429 | 500..=599 => 3,
                _ => 4,
            },
        }
    }

    /// Returns whether the command has said everything already, so that the program prints nothing more.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Child(_))
    }

    /// Returns the problem document: the service's own, or one with `code`, `detail` and `exit_code`.
    pub fn to_json(&self) -> Value {
        if let Self::Problem(problem) = self {
            return problem.document.clone();
        }
        let code = match self {
            Self::Failed(_) | Self::Problem(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Unavailable(_) => "unavailable",
            Self::NotFound(_) => "not_found",
            Self::SignedOut(_) => "signed_out",
            Self::StillWaiting(_) => "still_waiting",
            Self::Findings(_) => "findings",
            Self::Interrupted(_) => "interrupted",
            Self::Child(_) => "child",
        };
        json!({ "type": "about:blank", "code": code, "detail": self.to_string(), "exit_code": self.exit_code() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> ClientError {
        ClientError::Problem(Box::new(WireProblem { status, ..WireProblem::default() }))
    }

    #[test]
    fn problems_have_the_exit_code_of_their_status() {
        let codes = [401, 403, 404, 409, 410, 422, 408, 429, 500, 502, 503].map(|status| {
            let code = problem(status).exit_code();
            (status, code)
        });
        let expected = [
            (401, 5),
            (403, 4),
            (404, 4),
            (409, 4),
            (410, 4),
            (422, 4),
            (408, 3),
            (429, 3),
            (500, 3),
            (502, 3),
            (503, 3),
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn own_errors_are_problem_documents_too() {
        let document = ClientError::StillWaiting("job 7 goes on".into()).to_json();
        assert_eq!((&document["code"], &document["exit_code"]), (&json!("still_waiting"), &json!(6)));
    }
}
