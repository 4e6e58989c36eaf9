//! Commands that the documents show: they exist, with their options.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Command;

use crate::help;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Adds the Markdown files below a folder. Decisions stay as they were when they were made.
#[cfg(test)]
fn add_documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("decisions") {
            add_documents(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// Returns the lines of code blocks and the code within lines.
fn code(text: &str) -> Vec<&str> {
    let mut code = Vec::new();
    for (nth, part) in text.split("```").enumerate() {
        if nth % 2 == 1 {
            code.extend(part.lines());
        } else {
            code.extend(part.split('`').skip(1).step_by(2));
        }
    }
    code
}

/// Returns the words after `rts` where the code calls it: at its beginning, after assignments, or after ` -- `.
fn words_of_call(code: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "rts")?;
    let is_called = words[..at].iter().all(|word| word.contains('=')) || words[at - 1] == "--";
    is_called.then(|| words[at + 1..].to_vec())
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Returns what is wrong with a call of `rts`.
fn fault(root: &Command, words: &[&str]) -> Option<String> {
    let mut command = root;
    let mut words = words.iter();
    let mut rest = words.clone();
    while let Some(word) = words.next() {
        match command.find_subcommand(word) {
            Some(found) => command = found,
            // A command with subcommands may also take words of its own.
            None if is_name(word)
                && command.has_subcommands()
                && command.get_positionals().next().is_none() =>
            {
                return Some(format!("no command {word} of `{}`", command.get_name()));
            }
            None => break,
        }
        rest = words.clone();
    }
    // What follows is another program's.
    let own = rest.take_while(|word| !matches!(**word, "--exec" | "|" | "&&" | ";" | "#"));
    for word in own {
        let Some(option) = word.trim_start_matches('[').strip_prefix("--") else { continue };
        let option: String = option.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let known = command.get_arguments().any(|argument| {
            argument.get_long() == Some(&option)
                || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&option.as_str()))
        });
        if !option.is_empty() && option != "help" && !known {
            return Some(format!("no option --{option} of `{}`", command.get_name()));
        }
    }
    None
}

#[test]
fn commands_and_options_in_documents_exist() {
    let mut root = help::command();
    root.build();
    let mut documents = vec![Path::new(ROOT).join("README.md")];
    for folder in ["docs", "deploy", "examples", "actions"] {
        add_documents(&Path::new(ROOT).join(folder), &mut documents);
    }
    let (mut calls, mut faults) = (0, Vec::new());
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for call in code(&text) {
            if let Some(words) = words_of_call(call) {
                calls += 1;
                faults
                    .extend(fault(&root, &words).map(|fault| format!("{}: {call}: {fault}", path.display())));
            }
        }
    }
    assert!(calls > 150, "{calls}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
