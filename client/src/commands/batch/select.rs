//! `--select 'team:web state:offline'`: the filters of a batch in one text, with the words of the dashboard.

use chrono::{SecondsFormat, Utc};
use domain::{FilterWords, RunnerStatus};

use crate::{
    commands::values::{Fields, duration, runner_status},
    error::ClientError,
};

/// Words for people.
pub(super) const PEOPLE: FilterWords = FilterWords(&["team"]);
/// Words for runners.
pub(super) const RUNNERS: FilterWords = FilterWords(&["state", "team", "by"]);
/// Words for teams.
pub(super) const TEAMS: FilterWords = FilterWords(&["installation", "name"]);
/// Words for failed jobs.
pub(super) const JOBS: FilterWords = FilterWords(&["error", "team", "since", "detail"]);

/// Returns the filters of a text as members of the batch's body.
///
/// # Errors
/// [`ClientError::Usage`] if a part of the text is not understood, and for a text that selects nothing.
pub(super) fn read(words: FilterWords, text: &str) -> Result<Fields, ClientError> {
    let usage = |sentence: String| ClientError::Usage(format!("--select: {sentence}"));
    let mut fields = Fields::default();
    for (word, value) in words.read(text).map_err(usage)? {
        fields = match word {
            "state" => {
                let known =
                    runner_status(&value).map_err(|expected| usage(format!("`state:` is {expected}")))?;
                fields.add("status", Some(RunnerStatus::as_str(known)))
            }
            "by" => fields.add("user_identity", Some(value)),
            "name" => fields.add("q", Some(value)),
            "error" => fields.add("code", Some(value)),
            "since" => {
                let age = duration(&value).map_err(|expected| usage(format!("`since:` is {expected}")))?;
                fields.add("since", Some((Utc::now() - age).to_rfc3339_opts(SecondsFormat::Secs, true)))
            }
            same => fields.add(same, Some(value)),
        };
    }
    if words.0.contains(&"error") && !fields.has("code") {
        return Err(usage(format!("`error:` is missing, the code of a cause. {}", words.sentence())));
    }
    if fields.is_empty() {
        return Err(usage(format!("it selects nothing; `--all` means all. {}", words.sentence())));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_become_the_members_of_the_body() {
        let body = |words, text| read(words, text).unwrap().into_body();
        assert_eq!(body(PEOPLE, "team:web"), json!({ "team": "web" }));
        let runners = json!({ "team": "web", "status": "offline", "user_identity": "ada@example.com" });
        assert_eq!(body(RUNNERS, "team:web state:offline by:ada@example.com"), runners);
        assert_eq!(body(TEAMS, r#"name:"two words""#), json!({ "q": "two words" }));
        let jobs = body(JOBS, "error:github_refused since:2h");
        assert!(jobs["code"] == "github_refused" && jobs["since"].as_str().unwrap().ends_with('Z'), "{jobs}");
    }

    #[test]
    fn unknown_words_and_empty_texts_are_wrong_usage() {
        for (words, text, part) in [
            (RUNNERS, "colour:red", "There is no `colour:`. Words: `state:`, `team:`, `by:`."),
            (PEOPLE, "state:offline", "There is no `state:`. Words: `team:`."),
            (RUNNERS, "state:wet", "`state:` is one of"),
            (JOBS, "since:yesterday", "`since:` is a duration"),
            (JOBS, "team:web", "`error:` is missing"),
            (RUNNERS, " ", "it selects nothing"),
        ] {
            let error = read(words, text).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(part), "{text}: {error}");
        }
    }
}
