//! Validation of a team's values.

use std::collections::HashSet;

use domain::{
    FieldError, LabelPattern, MAX_LABELS, MAX_PATTERNS, Problem, check_glob, check_label,
    check_repository_glob, fold_label, is_look_alike, normalize_label,
};
use store::TeamDraft;

use crate::validate::{check_optional, settle};

/// Validates all values of a team. The name and the required labels are validated only if they are new, so that a team
/// keeps values that an earlier release accepted.
///
/// # Errors
/// `validation_failed` with all errors.
pub(crate) fn check(draft: &TeamDraft, name_is_new: bool, labels_are_new: bool) -> Result<(), Problem> {
    let mut errors = Vec::new();
    if name_is_new && !is_team_name(&draft.name) {
        let detail = "2 to 50 lower-case letters, digits and hyphens, with a letter or digit at either end";
        errors.push(FieldError::new("/name", detail));
    }
    check_optional(&mut errors, "/description", draft.description.as_deref(), 1000);
    if labels_are_new {
        check_required(&mut errors, &draft.required_labels);
    }
    check_labels(&mut errors, draft);
    check_globs(&mut errors, "/allowed_repositories", &draft.allowed_repositories, check_repository_glob);
    check_globs(&mut errors, "/allowed_workflows", &draft.allowed_workflows, check_glob);
    if draft.max_runners.is_some_and(|most| most < 0) {
        errors.push(FieldError::new("/max_runners", "0 or more; null means unlimited"));
    }
    if !(draft.weight > 0.0 && draft.weight <= 100.0) {
        errors.push(FieldError::new("/weight", "above 0, at most 100"));
    }
    settle(errors)
}

/// Returns whether a text is a valid team name: kebab-case, 2 to 50 characters.
fn is_team_name(name: &str) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (2..=50).contains(&name.len())
        && name.starts_with(ends)
        && name.ends_with(ends)
        && name.chars().all(|c| ends(c) || c == '-')
}

/// Normalizes the required labels and removes duplicates.
pub(crate) fn normalize(mut draft: TeamDraft) -> TeamDraft {
    let mut known = HashSet::new();
    let labels = draft.required_labels.iter().filter_map(|label| normalize_label(label).ok());
    draft.required_labels = labels.filter(|label| known.insert(fold_label(label))).collect();
    draft
}

fn check_required(errors: &mut Vec<FieldError>, labels: &[String]) {
    if labels.len() > MAX_LABELS {
        errors.push(FieldError::new("/required_labels", "at most 100"));
    }
    for (at, label) in labels.iter().enumerate() {
        let like =
            || is_look_alike(label).then_some("looks like one of GitHub's own names, but is another text");
        if let Some(why) = check_label(label).err().or_else(like) {
            errors.push(FieldError::new(format!("/required_labels/{at}"), why));
        }
    }
}

fn check_labels(errors: &mut Vec<FieldError>, draft: &TeamDraft) {
    if draft.optional_label_patterns.len() > MAX_PATTERNS {
        errors.push(FieldError::new("/optional_label_patterns", "at most 100"));
    }
    if draft.allowed_runner_group_ids.len() > 100 || draft.allowed_runner_group_ids.iter().any(|id| *id < 1) {
        errors.push(FieldError::new("/allowed_runner_group_ids", "at most 100 positive numbers"));
    }
    for (at, pattern) in draft.optional_label_patterns.iter().enumerate() {
        if let Err(why) = LabelPattern::parse(pattern) {
            errors.push(FieldError::new(format!("/optional_label_patterns/{at}"), why));
        }
    }
}

fn check_globs(
    errors: &mut Vec<FieldError>,
    pointer: &str,
    globs: &[String],
    check: fn(&str) -> Result<(), &'static str>,
) {
    if globs.len() > MAX_PATTERNS {
        errors.push(FieldError::new(pointer, "at most 100"));
    }
    for (at, glob) in globs.iter().enumerate() {
        if let Err(why) = check(glob) {
            errors.push(FieldError::new(format!("{pointer}/{at}"), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn team_names_are_kebab_case() {
        for name in ["ab", "7z", "web-2", "a--b", &"a".repeat(50)] {
            assert!(is_team_name(name), "{name}");
        }
        for name in ["a", "-ab", "ab-", "Web", "web team", "web_team", "wéb", "", &"a".repeat(51)] {
            assert!(!is_team_name(name), "{name}");
        }
    }
}
