//! Label policy: the labels a team may request. All others are denied.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use regex::{Regex, RegexBuilder};
use serde::Serialize;

use crate::{
    Check, CheckKind, FieldError, Problem, ProblemCode, SeenLabel, check::first_refusal, fold_label,
    is_look_alike, is_reserved_label, is_system_label, label::SELF_HOSTED,
};

/// Maximum number of labels on one runner, as on GitHub.
pub const MAX_LABELS: usize = 100;
/// Maximum number of label patterns of one team.
pub const MAX_PATTERNS: usize = 100;
/// Maximum length of a pattern, in bytes.
pub const MAX_PATTERN: usize = 512;

/// Maximum number of cached compiled patterns: enough for several dozen teams.
const MAX_COMPILED: usize = 500;

/// One label pattern of a team: `*` (any label), `glob:gpu-*`, or a regular expression over the whole label. All
/// patterns ignore case and match in linear time.
#[derive(Clone, Debug)]
pub struct LabelPattern {
    text: Arc<str>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Any,
    Matching(Regex),
}

impl LabelPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Returns a sentence that names the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(format!("a pattern is 1 to {MAX_PATTERN} bytes"));
        }
        if text == "*" {
            return Ok(Self { text: text.into(), kind: Kind::Any });
        }
        let body = match text.strip_prefix("glob:") {
            Some(glob) => regex::escape(glob).replace(r"\*", ".*").replace(r"\?", "."),
            None => text.to_owned(),
        };
        // The body is parsed alone first: `a)|(.*` must not close the group below.
        regex_syntax::parse(&body).map_err(|error| describe_fault(&error))?;
        let whole = format!(r"\A(?:{body})\z");
        RegexBuilder::new(&whole)
            .case_insensitive(true)
            .size_limit(1 << 18)
            .build()
            .map(|regex| Self { text: text.into(), kind: Kind::Matching(regex) })
            .map_err(|_| "this pattern is too large; use fewer or shorter repetitions".to_owned())
    }

    /// Returns a stored pattern; `None` if it cannot be parsed. Recently used patterns are cached, because compiling is
    /// slow and all requests of a team need the same ones.
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

    /// Returns whether the whole label matches.
    pub fn allows(&self, label: &str) -> bool {
        match &self.kind {
            Kind::Any => true,
            Kind::Matching(regex) => regex.is_match(label),
        }
    }
}

/// Returns the fault of a regular expression and its position.
fn describe_fault(error: &regex_syntax::Error) -> String {
    let (fault, at) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.column),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span().start.column),
        _ => ("it cannot be read".to_owned(), 1),
    };
    format!("not a regular expression at character {at}: {fault} (for a glob write `glob:gpu-*`)")
}

/// Violations of a team's policy by the labels of a self-registered runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelBreach {
    /// Required labels that the runner lacks.
    pub missing: Vec<String>,
    /// Labels that the runner has but may not have.
    pub refused: Vec<String>,
}

/// Rule that decides about one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelRule<'a> {
    /// The team requires the label.
    Required,
    /// GitHub itself adds the label.
    System,
    /// The pattern with this text matches.
    Pattern(&'a str),
    /// The label looks like one of GitHub's names.
    LookAlike,
    /// The label names a GitHub-hosted image.
    HostedImage,
    /// Another team requires the label.
    OtherTeam,
    /// No pattern matches.
    Unmatched,
}

impl<'a> LabelRule<'a> {
    /// Returns whether a runner may have the label.
    pub const fn allows(self) -> bool {
        matches!(self, Self::Required | Self::System | Self::Pattern(_))
    }

    /// Returns the pattern that matches.
    pub const fn pattern(self) -> Option<&'a str> {
        if let Self::Pattern(text) = self { Some(text) } else { None }
    }

    /// Returns the reason as a sentence about the label.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "the team requires this label",
            Self::System => "GitHub's own label needs no permission",
            Self::Pattern(_) => "matches a pattern of the team",
            Self::LookAlike => "this looks like one of GitHub's own names but is a different text",
            Self::HostedImage => {
                "this is the name of a GitHub-hosted image; jobs meant for GitHub's machines would run here"
            }
            Self::OtherTeam => {
                "another team requires this label, so only that team may use it; teams that share jobs should be one team"
            }
            Self::Unmatched => "matches none of the team's patterns",
        }
    }
}

/// Compiled label policy of one team.
#[derive(Clone, Debug)]
pub struct LabelPolicy {
    required: Vec<String>,
    optional: Vec<LabelPattern>,
    add_self_hosted: bool,
    /// Required labels of other teams, folded.
    reserved: HashSet<String>,
}

impl LabelPolicy {
    /// Compiles a team's stored lists. A stored pattern that cannot be parsed allows nothing.
    pub fn new(required: &[String], optional: &[String]) -> Self {
        Self {
            required: required.to_vec(),
            optional: optional.iter().filter_map(|text| LabelPattern::stored(text)).collect(),
            add_self_hosted: false,
            reserved: HashSet::new(),
        }
    }

    /// Sets whether every runner gets the label `self-hosted`. GitHub adds no labels to a runner with a JIT config, and
    /// most jobs ask for this one.
    #[must_use]
    pub const fn with_self_hosted(mut self, add: bool) -> Self {
        self.add_self_hosted = add;
        self
    }

    /// Excludes the labels that other teams require: a runner with such a label would take their jobs. GitHub's own
    /// labels are never excluded.
    #[must_use]
    pub fn without(mut self, required_by_others: &[String]) -> Self {
        let theirs = required_by_others.iter().filter(|label| !is_system_label(label));
        self.reserved = theirs.map(|label| fold_label(label)).collect();
        self
    }

    /// Returns the labels of a runner requested with `wanted`: the required ones first, without duplicates.
    ///
    /// # Errors
    /// `label_policy_violation` naming every label that is not allowed; `validation_failed` for no labels at all or
    /// more than 100.
    pub fn admit(&self, wanted: &[String]) -> Result<Vec<String>, Problem> {
        let (checks, labels) = self.check(wanted);
        first_refusal(&checks).map_or(Ok(labels), Err)
    }

    /// Returns one check for each wanted label and one for their number, and the labels that the runner would have.
    pub fn check(&self, wanted: &[String]) -> (Vec<Check>, Vec<String>) {
        let mut labels: Vec<String> = Vec::with_capacity(self.required.len() + wanted.len() + 1);
        let mut known = HashSet::new();
        let own = self.add_self_hosted.then(|| SELF_HOSTED.to_owned());
        for label in self.required.iter().chain(wanted).chain(own.as_ref()) {
            if known.insert(fold_label(label)) {
                labels.push(label.clone());
            }
        }
        let checks = wanted.iter().enumerate().map(|(at, label)| self.check_label(at, label));
        (checks.chain([check_count(labels.len())]).collect(), labels)
    }

    fn check_label(&self, at: usize, label: &str) -> Check {
        let rule = self.rule(label);
        let refusal = (!rule.allows()).then(|| {
            let detail = "The team's label policy does not allow these labels. Choose others, or ask an admin to change \
                it; `POST /api/v1/policies/explain` shows what it allows, and names admins.";
            let error = FieldError::new(format!("/labels/{at}"), rule.reason());
            Problem::new(ProblemCode::LabelPolicyViolation, detail).with_errors(vec![error])
        });
        Check::new(CheckKind::Label, rule.reason()).of(label).by(rule.pattern()).refused(refusal)
    }

    /// Returns the violations by labels that a self-registered runner gave itself; `None` if there are none.
    pub fn breach(&self, seen: &[SeenLabel]) -> Option<LabelBreach> {
        let there: HashSet<String> = seen.iter().map(|label| fold_label(&label.name)).collect();
        let has = |label: &String| there.contains(&fold_label(label));
        let missing: Vec<String> = self.required.iter().filter(|label| !has(label)).cloned().collect();
        let refused: Vec<String> = seen
            .iter()
            .filter(|label| !label.read_only && !self.allows(&label.name))
            .map(|label| label.name.clone())
            .collect();
        (!missing.is_empty() || !refused.is_empty()).then_some(LabelBreach { missing, refused })
    }

    /// Returns whether a runner of the team may have the label.
    pub fn allows(&self, label: &str) -> bool {
        self.rule(label).allows()
    }

    /// Returns the rule that decides about the label.
    pub fn rule(&self, label: &str) -> LabelRule<'_> {
        let folded = fold_label(label);
        if self.required.iter().any(|required| fold_label(required) == folded) {
            LabelRule::Required
        } else if is_system_label(&folded) {
            LabelRule::System
        } else if is_look_alike(label) {
            LabelRule::LookAlike
        } else if is_reserved_label(label) {
            LabelRule::HostedImage
        } else if self.reserved.contains(&folded) {
            LabelRule::OtherTeam
        } else {
            let matching = self.optional.iter().find(|pattern| pattern.allows(label));
            matching.map_or(LabelRule::Unmatched, |pattern| LabelRule::Pattern(&pattern.text))
        }
    }
}

/// Checks the number of labels of a runner.
fn check_count(count: usize) -> Check {
    let detail = "a runner has 1 to 100 labels, the team's required ones included";
    let refusal = (!(1..=MAX_LABELS).contains(&count)).then(|| Problem::field("/labels", detail));
    Check::new(CheckKind::LabelCount, detail).of(count).refused(refusal)
}

/// A label required by another team that this team requires too or one of its patterns admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelOverlap {
    /// Pattern that matches the label; `None` if both teams require the label.
    pub pattern: Option<String>,
    /// The label.
    pub label: String,
    /// Name of the other team.
    pub team: String,
}

/// Compares a team's required labels and patterns with the (team, label) pairs that the other teams of its installation
/// require.
pub fn find_overlaps(
    required: &[String],
    patterns: &[String],
    others: &[(String, String)],
) -> Vec<LabelOverlap> {
    let patterns: Vec<(&String, LabelPattern)> = patterns
        .iter()
        .filter_map(|text| LabelPattern::parse(text).ok().map(|pattern| (text, pattern)))
        .collect();
    let own: HashSet<String> = required.iter().map(|label| fold_label(label)).collect();
    let found = others.iter().filter(|(_, label)| !is_system_label(label)).filter_map(|(team, label)| {
        let shared = own.contains(&fold_label(label));
        let admits =
            patterns.iter().find(|(_, pattern)| pattern.allows(label)).map(|(text, _)| (*text).clone());
        let pattern = if shared { None } else { Some(admits?) };
        Some(LabelOverlap { pattern, label: label.clone(), team: team.clone() })
    });
    found.collect()
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
    fn glob_needs_its_prefix_and_a_lone_star_matches_all() {
        assert_eq!(admit(&[], &["glob:gpu-*"], &["gpu-a.b"]), Ok(texts(&["gpu-a.b"])));
        assert_eq!(admit(&[], &["glob:gpu.*"], &["gpuxa"]), Err(texts(&["/labels/0"])));
        assert_eq!(admit(&[], &["*"], &["anything"]), Ok(texts(&["anything"])));
    }

    #[test]
    fn invalid_pattern_is_refused_with_its_position() {
        for (text, position) in [("gpu-(a|b", 5), ("*gpu", 1), ("gpu-[0-9", 5), ("a)|(.*", 2)] {
            let fault = LabelPattern::parse(text).unwrap_err();
            assert!(
                fault.starts_with(&format!("not a regular expression at character {position}: ")),
                "{fault}"
            );
        }
        assert!(LabelPattern::parse("(a{1000}){1000}").unwrap_err().contains("too large"));
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
    fn self_hosted_is_added_once() {
        let policy = LabelPolicy::new(&texts(&["red"]), &[]).with_self_hosted(true);
        assert_eq!(policy.admit(&texts(&["linux"])).unwrap(), texts(&["red", "linux", "self-hosted"]));
        assert_eq!(policy.admit(&texts(&["Self-Hosted"])).unwrap(), texts(&["red", "Self-Hosted"]));
        assert_eq!(
            LabelPolicy::new(&[], &[]).with_self_hosted(true).admit(&[]).unwrap(),
            texts(&["self-hosted"])
        );
    }

    #[test]
    fn label_required_by_another_team_is_refused() {
        let others = texts(&["blue", "Straße", "linux", "self-hosted"]);
        for patterns in [&["*"][..], &["blue", "strasse"], &["glob:*"]] {
            let policy = LabelPolicy::new(&texts(&["red"]), &texts(patterns)).without(&others);
            for label in ["blue", "BLUE", "ｂlue", "STRASSE"] {
                assert!(!policy.allows(label), "{label}");
            }
            assert!(policy.allows("linux") && policy.allows("self-hosted"), "no other team requires them");
        }
        let shared = LabelPolicy::new(&texts(&["blue"]), &[]).without(&others);
        assert!(shared.allows("blue"), "both teams require it");
    }

    #[test]
    fn overlaps_with_other_teams_are_found() {
        let others = [("b", "blue"), ("c", "gpu-1"), ("d", "linux"), ("e", "red")];
        let others = others.map(|(team, label)| (team.to_owned(), label.to_owned()));
        let found = find_overlaps(&texts(&["Red"]), &texts(&["glob:gpu-*"]), &others);
        let expected = [(Some("glob:gpu-*"), "gpu-1", "c"), (None, "red", "e")];
        assert_eq!(
            found,
            expected.map(|(pattern, label, team)| LabelOverlap {
                pattern: pattern.map(str::to_owned),
                label: label.into(),
                team: team.into()
            })
        );
    }
}
