//! Rules of the source text itself: plain words in documentation, sizes, parameters, and no test that skips.
//!
//! The compiler and clippy hold the other rules. Each failure names the file and line.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most code lines of one file: no blank lines, no comments, no inline test module.
const MAX_CODE_LINES: usize = 300;

/// Words that hide who does what. The glossary has the words to use.
const BANNED_WORDS: &[&str] = &["nobody", "somebody", "whoever", "whatever", "heed", "told", "bears", "mute"];

/// A module head is a noun phrase; these words begin a riddle.
const BANNED_FIRST_WORDS: &[&str] = &["What", "Who", "Whoever", "How", "Where", "When", "Whether", "Why"];

/// One source file.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Lines with their numbers, the file's own folder names before them.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn at(&self, line: usize, reason: &str) -> String {
        format!("{}:{line}: {reason}", self.path.display())
    }

    /// The text without its inline test module.
    fn product(&self) -> &str {
        let end = self.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        &self.text[..end]
    }
}

/// All Rust files of the workspace, the benchmark's peers included.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap();
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), text });
            }
        }
    }
    assert!(sources.len() > 300, "the workspace has more files than {}", sources.len());
    sources
}

/// The text of a documentation line, without its slashes.
fn documentation(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).map(str::trim)
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} places:\n{}", faults.len(), faults.join("\n"));
}

/// The parameter lists of all functions, with the line each begins at.
fn parameter_lists(text: &str) -> Vec<(usize, String)> {
    let mut lists = Vec::new();
    for (start, _) in text.match_indices("fn ") {
        let named = text[start + 3..].starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let before = text[..start].lines().next_back().unwrap_or_default();
        if !named || before.contains("//") || before.contains('"') {
            continue;
        }
        let Some(open) = text[start..].find('(').map(|at| start + at) else { continue };
        let mut depth = 0;
        let close = text[open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        });
        if let Some((length, _)) = close {
            let line = text[..start].lines().count();
            lists.push((line, text[open + 1..open + length].to_owned()));
        }
    }
    lists
}

/// Splits a parameter list at its own commas.
fn parameters(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' | '<' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if !list[..at].ends_with(['-', '=']) => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts
}

#[test]
fn documentation_uses_plain_words() {
    let mut faults = Vec::new();
    for source in sources() {
        for (line, text) in source.lines() {
            let Some(text) = documentation(text) else { continue };
            let mut words = text.split(|c: char| !c.is_ascii_alphabetic()).map(str::to_ascii_lowercase);
            if let Some(word) = words.find(|word| BANNED_WORDS.contains(&word.as_str())) {
                faults.push(source.at(line, &format!("`{word}` is not in the glossary")));
            }
            if text.starts_with("The same") {
                faults.push(source.at(line, "each item is read alone: say what it is"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn module_heads_name_their_content() {
    let mut faults = Vec::new();
    for source in sources() {
        let head = source.text.lines().next().unwrap_or_default();
        let Some(head) = head.strip_prefix("//! ") else {
            faults.push(source.at(1, "a file begins with its module head"));
            continue;
        };
        let first = head.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if BANNED_FIRST_WORDS.contains(&first) {
            faults.push(source.at(1, "a module head is a noun phrase"));
        }
    }
    assert_none(&faults);
}

#[test]
fn parameters_are_not_packed_into_tuples() {
    let mut faults = Vec::new();
    for source in sources() {
        for (line, list) in parameter_lists(&source.text) {
            let packed = parameters(&list).into_iter().find(|parameter| {
                let kind = parameter.rsplit_once(": ").map_or("", |(_, kind)| kind.trim_start_matches('&'));
                let grouped = kind.starts_with("(dyn ") || kind.starts_with("(impl ");
                parameter.starts_with('(') || (kind.starts_with('(') && kind != "()" && !grouped)
            });
            if let Some(parameter) = packed {
                faults.push(source.at(line + 1, &format!("make `{parameter}` a struct with a name")));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn files_hold_one_idea() {
    let mut faults = Vec::new();
    for source in sources() {
        let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines = source.product().lines().filter(code).count();
        if lines > MAX_CODE_LINES {
            faults.push(source.at(1, &format!("{lines} code lines, more than {MAX_CODE_LINES}")));
        }
    }
    assert_none(&faults);
}

#[test]
fn no_test_is_skipped_silently() {
    let mut faults = Vec::new();
    for source in sources() {
        let mut in_test = false;
        for (line, text) in source.lines() {
            let trimmed = text.trim();
            if trimmed.starts_with("#[test]") || trimmed.starts_with("#[tokio::test") {
                in_test = true;
            } else if text == "}" || text == "    }" {
                in_test = false;
            }
            if trimmed.starts_with(concat!("#[", "ignore")) {
                faults.push(source.at(line, "an ignored test proves nothing"));
            }
            if in_test && (trimmed == "return;" || trimmed.ends_with("else { return };")) {
                faults.push(source.at(line, "a test that ends early must say so by failing"));
            }
        }
    }
    assert_none(&faults);
}
