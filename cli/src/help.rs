//! Help of the program: commands in groups, hidden names of earlier releases.

use std::fmt::Write;

use clap::{Command, CommandFactory, FromArgMatches};

use crate::args::Args;

/// Groups of commands, in the order in which `rts --help` names them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Runners", &["provision", "runner", "job", "ticket", "team", "explain", "status"]),
    ("Sign-in", &["login", "logout", "whoami", "token", "profile", "call"]),
    (
        "Administration, over the API",
        &[
            "user",
            "client",
            "failures",
            "top",
            "lane",
            "budget",
            "sync",
            "unmanaged",
            "versions",
            "security",
            "audit",
            "batch",
            "incident",
            "event-delivery",
        ],
    ),
    ("Policy as code", &["apply", "diff", "export", "policy", "schema"]),
    #[cfg(not(feature = "server"))]
    ("Workers", &["worker"]),
    #[cfg(feature = "server")]
    (
        "On the server",
        &[
            "api",
            "worker",
            "scheduler",
            "init-db",
            "create-admin",
            "cleanup-stale-runners",
            "shred-credentials",
            "migrate-label-policies",
            "import-predecessor",
            "verify-audit-log",
            "doctor",
            "settings",
            "health",
        ],
    ),
    #[cfg(not(feature = "server"))]
    ("For tools", &["completions"]),
    #[cfg(feature = "server")]
    ("For tools", &["openapi", "completions", "man"]),
    #[cfg(feature = "dev")]
    ("Development", &["dev", "bench"]),
];

const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}";

/// Returns the command line as it is parsed, with its help in groups.
pub(crate) fn command() -> Command {
    let command = Args::command();
    let groups = describe_groups(&command);
    command.help_template(TEMPLATE).before_help(groups)
}

/// Returns the command line without groups, for pages that list the commands themselves.
#[cfg(feature = "server")]
pub(crate) fn plain_command() -> Command {
    Args::command()
}

/// Parses the arguments of this process. Prints help or a fault and ends the process where that is asked for.
pub(crate) fn parse() -> Args {
    let parsed = Args::from_arg_matches(&command().get_matches());
    parsed.unwrap_or_else(|error| error.exit())
}

/// Answers a shell that asks for completions, and ends the process then.
pub(crate) fn complete() {
    clap_complete::CompleteEnv::with_factory(command).complete();
}

/// Returns the script that makes a shell ask this program for completions.
pub(crate) fn completion_script(shell: clap_complete::Shell) -> std::io::Result<String> {
    let mut script = Vec::new();
    let shells = clap_complete::env::Shells::builtins();
    let unknown = || std::io::Error::other("no completions for this shell");
    let completer = shells.completer(&shell.to_string()).ok_or_else(unknown)?;
    completer.write_registration("COMPLETE", "rts", "rts", "rts", &mut script)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

fn describe_groups(command: &Command) -> String {
    let mut text = String::new();
    let longest = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max();
    let width = longest.unwrap_or_default() + 2;
    for (title, names) in GROUPS {
        text.push_str(title);
        text.push_str(":\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            // Writing to a text never fails.
            let _ = writeln!(text, "  {name:width$}{about}");
        }
        text.push('\n');
    }
    text
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    /// Every command that does something, with its words.
    fn leaves(command: &Command, words: &str, found: &mut Vec<(String, Command)>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let words = format!("{words} {}", verb.get_name());
            leaves(verb, &words, found);
            if !verb.has_subcommands() || !verb.is_subcommand_required_set() {
                found.push((words, verb.clone()));
            }
        }
    }

    #[test]
    fn words_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_that_begins_with_its_words() {
        let mut found = Vec::new();
        leaves(&command(), "rts", &mut found);
        assert!(found.len() > 60, "{}", found.len());
        for (words, verb) in found {
            assert!(verb.get_about().is_some(), "{words}");
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example") && after.contains(&words), "{words} has no example");
        }
    }

    #[test]
    fn every_visible_command_is_in_one_group() {
        let command = command();
        let visible = command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name);
        let mut visible: Vec<&str> = visible.filter(|name| *name != "help").collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        visible.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(visible, grouped);
    }

    #[test]
    fn names_of_earlier_releases_are_hidden_and_work() {
        let command = command();
        for name in ["list-runners", "list-users", "sync-github", "deactivate-user", "activate-client"] {
            assert!(command.find_subcommand(name).is_some_and(Command::is_hide_set), "{name}");
        }
        let file = ["rts", "export-audit-log", "--output", "audit.json"];
        assert!(command.try_get_matches_from(file).is_ok());
    }
}
