//! Checks of what an admin writes about a team.

use domain::{
    FieldError, LabelPattern, MAX_LABELS, MAX_PATTERNS, Problem, check_glob, check_label,
    check_repository_glob,
};
use store::TeamDraft;

use crate::validate::{check_optional, settle};

/// Checks a whole team; its name only if it is new: a team keeps the name it has.
///
/// # Errors
/// `validation_failed` with everything that is wrong.
pub(super) fn check(draft: &TeamDraft, name_is_new: bool) -> Result<(), Problem> {
    let mut errors = Vec::new();
    if name_is_new && !is_team_name(&draft.name) {
        let detail = "2 to 50 lower-case letters, digits and hyphens, with a letter or digit at either end";
        errors.push(FieldError::new("/name", detail));
    }
    check_optional(&mut errors, "/description", draft.description.as_deref(), 1000);
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

/// Whether a text is a name for a team: kebab-case, 2 to 50 characters.
fn is_team_name(name: &str) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (2..=50).contains(&name.len())
        && name.starts_with(ends)
        && name.ends_with(ends)
        && name.chars().all(|c| ends(c) || c == '-')
}

fn check_labels(errors: &mut Vec<FieldError>, draft: &TeamDraft) {
    if draft.required_labels.len() > MAX_LABELS {
        errors.push(FieldError::new("/required_labels", "at most 100"));
    }
    if draft.optional_label_patterns.len() > MAX_PATTERNS {
        errors.push(FieldError::new("/optional_label_patterns", "at most 100"));
    }
    if draft.allowed_runner_group_ids.len() > 100 || draft.allowed_runner_group_ids.iter().any(|id| *id < 1) {
        errors.push(FieldError::new("/allowed_runner_group_ids", "at most 100 positive numbers"));
    }
    for (at, label) in draft.required_labels.iter().enumerate() {
        if let Err(why) = check_label(label) {
            errors.push(FieldError::new(format!("/required_labels/{at}"), why));
        }
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
