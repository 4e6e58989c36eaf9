//! Label policy: what a team may ask for. Deny by default.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use regex::{Regex, RegexBuilder};

use serde::Serialize;

use crate::{FieldError, Problem, ProblemCode, SeenLabel};

/// Most labels on one runner; GitHub's own bound.
pub const MAX_LABELS: usize = 100;
/// Longest label, in characters; the runner refuses longer ones.
pub const MAX_LABEL: usize = 256;
/// Most patterns of one team.
pub const MAX_PATTERNS: usize = 100;
/// Longest pattern, in bytes.
pub const MAX_PATTERN: usize = 512;

/// Compiled patterns that are kept: those of some dozens of teams.
const MAX_COMPILED: usize = 500;

/// Labels GitHub itself gives and marks read-only; they need no permission.
const SYSTEM: &[&str] = &["self-hosted", "linux", "windows", "macos", "x64", "x86", "arm", "arm64"];

/// Names of GitHub-hosted images: a self-hosted runner that bears one would take jobs meant for GitHub's machines.
const HOSTED: &[&str] = &["ubuntu", "windows", "macos"];

/// True for labels GitHub itself gives (`self-hosted`, operating systems, architectures), in any case.
pub fn is_system_label(label: &str) -> bool {
    SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(label))
}

/// True for names of GitHub-hosted images such as `ubuntu-latest` or `windows-2025`.
pub fn is_reserved_label(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    HOSTED.iter().any(|image| {
        lower.strip_prefix(image).and_then(|rest| rest.strip_prefix('-')).is_some_and(|rest| {
            rest.starts_with("latest")
                || rest.starts_with("slim")
                || rest.starts_with(|c: char| c.is_ascii_digit())
        })
    })
}

/// Whether `label` can be a label at all.
pub fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() || label.chars().count() > MAX_LABEL {
        Err("a label is 1 to 256 characters")
    } else if label.chars().any(|c| c.is_control() || c == ',') {
        Err("a label holds no control characters and no comma")
    } else if label.trim() != label {
        Err("a label neither begins nor ends with white space")
    } else {
        Ok(())
    }
}

/// One pattern of a team: `*` (any label), `glob:gpu-*`, or a regular expression over the whole label.
/// All compare without case; the engine takes linear time.
#[derive(Clone, Debug)]
pub struct LabelPattern(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Any,
    Matching(Regex),
}

impl LabelPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(format!("a pattern is 1 to {MAX_PATTERN} bytes"));
        }
        if text == "*" {
            return Ok(Self(Kind::Any));
        }
        let body = match text.strip_prefix("glob:") {
            Some(glob) => regex::escape(glob).replace(r"\*", ".*").replace(r"\?", "."),
            None => text.to_owned(),
        };
        // Read alone first: `a)|(.*` must not close the group below.
        let whole = format!(r"\A(?:{body})\z");
        Regex::new(&body)
            .map_err(|_| ())
            .and_then(|_| {
                RegexBuilder::new(&whole).case_insensitive(true).size_limit(1 << 18).build().map_err(|_| ())
            })
            .map(|regex| Self(Kind::Matching(regex)))
            .map_err(|()| "not a regular expression we can use (for a glob write `glob:gpu-*`)".to_owned())
    }

    /// Returns a stored pattern, if it can be read. Compiling takes its time, and every request of a team needs the same
    /// patterns: those used lately are kept.
    fn stored(text: &str) -> Option<Self> {
        static COMPILED: Mutex<BTreeMap<String, LabelPattern>> = Mutex::new(BTreeMap::new());
        let compiled = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = compiled().get(text) {
            return Some(pattern.clone());
        }
        let pattern = Self::parse(text).ok()?;
        let mut kept = compiled();
        if kept.len() >= MAX_COMPILED {
            kept.clear();
        }
        kept.insert(text.to_owned(), pattern.clone());
        Some(pattern)
    }

    /// Whether the whole label fits.
    pub fn allows(&self, label: &str) -> bool {
        match &self.0 {
            Kind::Any => true,
            Kind::Matching(regex) => regex.is_match(label),
        }
    }
}

/// How the labels of a runner that gave them to itself break its team's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelBreach {
    /// Required ones it has not.
    pub missing: Vec<String>,
    /// Those it has and may not have.
    pub refused: Vec<String>,
}

/// What one team may ask for.
#[derive(Clone, Debug)]
pub struct LabelPolicy {
    required: Vec<String>,
    optional: Vec<LabelPattern>,
}

impl LabelPolicy {
    /// Reads a team's stored lists. A stored pattern that can no longer be read allows nothing.
    pub fn new(required: &[String], optional: &[String]) -> Self {
        Self {
            required: required.to_vec(),
            optional: optional.iter().filter_map(|text| LabelPattern::stored(text)).collect(),
        }
    }

    /// The labels a runner gets that was asked for with `wanted`: the required ones first, each once.
    ///
    /// # Errors
    /// `label_policy_violation` naming every label that is not allowed; `validation_failed` when there would be none
    /// or more than 100.
    pub fn admit(&self, wanted: &[String]) -> Result<Vec<String>, Problem> {
        let mut labels: Vec<String> = Vec::with_capacity(self.required.len() + wanted.len());
        for label in self.required.iter().chain(wanted) {
            if !labels.iter().any(|have| have.eq_ignore_ascii_case(label)) {
                labels.push(label.clone());
            }
        }
        let refused: Vec<FieldError> = wanted
            .iter()
            .enumerate()
            .filter(|(_, label)| !self.allows(label))
            .map(|(at, label)| FieldError::new(format!("/labels/{at}"), refusal(label)))
            .collect();
        if !refused.is_empty() {
            return Err(Problem::new(
                ProblemCode::LabelPolicyViolation,
                "The team's label policy does not allow these labels.",
            )
            .with_errors(refused));
        }
        if labels.is_empty() || labels.len() > MAX_LABELS {
            return Err(Problem::field(
                "/labels",
                "a runner has 1 to 100 labels, the team's required ones included",
            ));
        }
        Ok(labels)
    }

    /// What is wrong with labels somebody gave a runner without asking us; none: nothing.
    pub fn breach(&self, seen: &[SeenLabel]) -> Option<LabelBreach> {
        let has = |label: &str| seen.iter().any(|seen| seen.name.eq_ignore_ascii_case(label));
        let missing: Vec<String> = self.required.iter().filter(|label| !has(label)).cloned().collect();
        let refused: Vec<String> = seen
            .iter()
            .filter(|label| !label.read_only && !self.allows(&label.name))
            .map(|label| label.name.clone())
            .collect();
        (!missing.is_empty() || !refused.is_empty()).then_some(LabelBreach { missing, refused })
    }

    /// Whether a runner may have the label.
    pub fn allows(&self, label: &str) -> bool {
        if self.required.iter().any(|required| required.eq_ignore_ascii_case(label)) || is_system_label(label)
        {
            return true;
        }
        !is_reserved_label(label) && self.optional.iter().any(|pattern| pattern.allows(label))
    }
}

fn refusal(label: &str) -> &'static str {
    if is_reserved_label(label) {
        "this is the name of a GitHub-hosted image; jobs meant for GitHub's machines would run here"
    } else {
        "matches none of the team's patterns"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn admit(required: &[&str], optional: &[&str], wanted: &[&str]) -> Result<Vec<String>, Vec<String>> {
        LabelPolicy::new(&texts(required), &texts(optional))
            .admit(&texts(wanted))
            .map_err(|problem| problem.errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn required_labels_are_always_added_once() {
        assert_eq!(
            admit(&["team-a"], &[], &["Team-A", "self-hosted"]),
            Ok(texts(&["team-a", "self-hosted"]))
        );
    }

    #[test]
    fn patterns_fit_the_whole_label_in_any_case() {
        assert_eq!(admit(&[], &["gpu-[0-9]+"], &["GPU-12"]), Ok(texts(&["GPU-12"])));
        assert_eq!(admit(&[], &["gpu"], &["gpu-12"]), Err(texts(&["/labels/0"])));
        assert_eq!(admit(&[], &["a|b"], &["ax"]), Err(texts(&["/labels/0"])));
        assert_eq!(admit(&[], &["(?-i)a)|(.*"], &["zzz"]), Err(texts(&["/labels/0"])));
    }

    #[test]
    fn a_glob_is_said_as_such_and_a_star_alone_is_any() {
        assert_eq!(admit(&[], &["glob:gpu-*"], &["gpu-a.b"]), Ok(texts(&["gpu-a.b"])));
        assert_eq!(admit(&[], &["glob:gpu.*"], &["gpuxa"]), Err(texts(&["/labels/0"])));
        assert_eq!(admit(&[], &["*"], &["anything"]), Ok(texts(&["anything"])));
    }

    #[test]
    fn every_refused_label_is_named() {
        assert_eq!(admit(&["r"], &["ok"], &["no", "ok", "also-no"]), Err(texts(&["/labels/0", "/labels/2"])));
    }

    #[test]
    fn labels_a_runner_gave_itself_are_held_against_the_policy() {
        let policy = LabelPolicy::new(&texts(&["team-a"]), &texts(&["glob:gpu-*"]));
        let seen = |names: &[&str]| -> Vec<SeenLabel> {
            names
                .iter()
                .map(|name| SeenLabel {
                    name: (*name).into(),
                    read_only: *name == "X64",
                    custom: *name != "X64",
                })
                .collect()
        };
        assert_eq!(policy.breach(&seen(&["Team-A", "X64", "linux", "gpu-1"])), None);
        let breach = policy.breach(&seen(&["X64", "prod"])).unwrap();
        assert_eq!((breach.missing, breach.refused), (texts(&["team-a"]), texts(&["prod"])));
        assert!(policy.breach(&seen(&["team-a", "ubuntu-latest"])).is_some());
    }

    #[test]
    fn names_of_hosted_images_need_more_than_a_pattern() {
        for hosted in ["ubuntu-latest", "Windows-2025", "macos-15-xlarge", "ubuntu-slim"] {
            assert_eq!(admit(&[], &["*"], &[hosted]), Err(texts(&["/labels/0"])), "{hosted}");
        }
        assert_eq!(admit(&["ubuntu-latest"], &[], &["ubuntu-latest"]), Ok(texts(&["ubuntu-latest"])));
        assert_eq!(
            admit(&[], &["*"], &["ubuntu-gpu", "self-hosted-x"]),
            Ok(texts(&["ubuntu-gpu", "self-hosted-x"]))
        );
    }

    #[test]
    fn no_labels_at_all_is_an_error() {
        assert!(admit(&[], &["*"], &[]).is_err());
    }

    #[test]
    fn labels_have_bounds() {
        assert!(check_label(&"é".repeat(256)).is_ok());
        for bad in ["", " a", "a\u{7}", "a,b", &"x".repeat(257)] {
            assert!(check_label(bad).is_err(), "{bad:?}");
        }
    }
}
