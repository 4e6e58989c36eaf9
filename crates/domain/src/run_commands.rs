//! Shell commands that start a runner with its config. The API and the program of the users print the same ones.

use crate::Secret;

/// Variable in which the runner software reads its config, and which it clears at once.
pub const JIT_CONFIG_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// Commands that hold a config, for a person who starts the runner. They are as secret as the config.
pub struct RunCommands {
    /// Command with the config in its environment.
    pub by_environment: String,
    /// Command with the config as an argument, which other users of the machine can read.
    pub by_argument: String,
}

impl RunCommands {
    /// Returns the commands for a JIT config.
    pub fn new(config: &Secret) -> Self {
        let quoted = shell_quote(config.expose());
        Self {
            by_environment: format!("{JIT_CONFIG_VARIABLE}={quoted} ./run.sh"),
            by_argument: format!("./run.sh --jitconfig {quoted}"),
        }
    }
}

/// Returns a text as one quoted word of a POSIX shell.
pub fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_one_word_of_both_commands() {
        let commands = RunCommands::new(&Secret::new("e y'J"));
        assert_eq!(commands.by_environment, r"ACTIONS_RUNNER_INPUT_JITCONFIG='e y'\''J' ./run.sh");
        assert_eq!(commands.by_argument, r"./run.sh --jitconfig 'e y'\''J'");
    }
}
