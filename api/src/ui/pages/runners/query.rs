//! Filters of the list of runners, as the URL has them and as people type them: `state:offline team:web by:ada`.

use chrono::{DateTime, Utc};
use domain::{FilterWords, Problem, RunnerStatus, filter_parts};
use serde::Deserialize;

use crate::{
    routes::runners::list::RunnerParams,
    ui::pages::list_filters::{Filters, PAGE_ROWS, chosen, time},
};

/// Words of the filters, in the order of the fields of the URL.
const WORDS: FilterWords =
    FilterWords(&["state", "team", "by", "name", "label", "ephemeral", "since", "until", "older"]);

/// Filters in the URL, by the words of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Text to search for, or filters as a text, which the page turns into the others.
    q: Option<String>,
    #[serde(alias = "status")]
    state: Option<String>,
    #[serde(alias = "team_id")]
    team: Option<String>,
    #[serde(alias = "user")]
    by: Option<String>,
    ephemeral: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<i64>,
    pub(super) cursor: Option<String>,
}

/// What a typed text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Beginning of a name, a label or a person.
    Search,
    /// Words, which are fields of the URL.
    Words(Filters),
    /// Words with a fault, which the sentence names.
    Fault(String),
}

impl ListParams {
    /// Returns the filters that are given. An empty field of a form is none.
    pub(super) fn filters(&self) -> Filters {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        Filters::of("/runners")
            .with("q", given(&self.q))
            .with("state", given(&self.state))
            .with("team", given(&self.team))
            .with("by", given(&self.by))
            .with("ephemeral", given(&self.ephemeral))
            .with("since", given(&self.since))
            .with("until", given(&self.until))
    }

    /// Reads the text. One without a known word is searched for: a label may contain a colon.
    pub(super) fn typed(&self) -> Typed {
        let text = self.q.as_deref().unwrap_or_default();
        let has_word =
            |part: &String| part.split_once(':').is_some_and(|(word, _)| WORDS.find(word).is_some());
        let parts = filter_parts(text);
        if text.starts_with('"') || !parts.iter().any(has_word) {
            return Typed::Search;
        }
        let with_word = |part: String| if part.contains(':') { part } else { format!("name:{part}") };
        let parts: Vec<String> = parts.into_iter().map(with_word).collect();
        match WORDS.read_parts(&parts) {
            Ok(words) => words
                .into_iter()
                .try_fold(self.filters().without("q"), add)
                .map_or_else(Typed::Fault, Typed::Words),
            Err(sentence) => Typed::Fault(sentence),
        }
    }

    /// Returns the sentence about a word that does not exist, for a search that found nothing.
    pub(super) fn unknown_word(&self) -> Option<String> {
        let text = self.q.as_deref().filter(|text| !text.starts_with('"'))?;
        let (word, _) = text.split_once(':')?;
        Some(format!("There is no `{word}:`. {}", WORDS.sentence()))
    }

    /// Returns the parameters of the API's call.
    ///
    /// # Errors
    /// `validation_failed` with every value that is none of its word.
    pub(super) fn to_call(&self, now: DateTime<Utc>) -> Result<RunnerParams, Problem> {
        let filters = self.filters();
        let given = |word: &str| Some(filters.value(word)).filter(|value| !value.is_empty());
        let mut errors = Vec::new();
        let yes_or_no = |value: bool| if value { "true" } else { "false" };
        let params = RunnerParams {
            status: chosen(
                &mut errors,
                "query:state",
                given("state"),
                RunnerStatus::ALL,
                RunnerStatus::as_str,
            ),
            ephemeral: chosen(&mut errors, "query:ephemeral", given("ephemeral"), &[true, false], yes_or_no),
            team: given("team").map(str::to_owned),
            user: given("by").map(str::to_owned),
            q: given("q").map(|text| text.trim_matches('"').to_owned()),
            since: time(&mut errors, "query:since", given("since"), now),
            until: time(&mut errors, "query:until", given("until"), now),
            limit: self.limit.or(Some(PAGE_ROWS)),
            offset: None,
            cursor: self.cursor.clone(),
        };
        if errors.is_empty() { Ok(params) } else { Err(Problem::invalid(errors)) }
    }
}

/// Adds a word to filters. A name and a label are searched for by the same text.
fn add(filters: Filters, (word, value): (&'static str, String)) -> Result<Filters, String> {
    let (field, value) = match word {
        "name" | "label" if value.contains(':') => ("q", format!("\"{value}\"")),
        "name" | "label" => ("q", value),
        "older" => ("until", value),
        field => (field, value),
    };
    if field == "q" && !filters.value(field).is_empty() {
        return Err("Only one name or label can be searched for.".to_owned());
    }
    Ok(filters.without(field).with(field, Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Result<String, String> {
        match (ListParams { q: Some(text.to_owned()), ..ListParams::default() }).typed() {
            Typed::Search => Ok("search".to_owned()),
            Typed::Words(filters) => Ok(filters.newest()),
            Typed::Fault(sentence) => Err(sentence),
        }
    }

    #[test]
    fn words_become_fields_of_the_url() {
        for (text, url) in [
            ("state:offline team:web", "/runners?state=offline&team=web"),
            ("status:offline user:ada@example.com", "/runners?state=offline&by=ada%40example.com"),
            ("ci- older:24h", "/runners?q=ci-&until=24h"),
            ("label:gpu:a100", "/runners?q=%22gpu%3Aa100%22"),
        ] {
            assert_eq!(typed(text).as_deref(), Ok(url), "{text}");
        }
        for text in ["gpu:a100", "ada", "\"team:gpu\"", ""] {
            assert_eq!(typed(text).as_deref(), Ok("search"), "{text}");
        }
        for (text, part) in [
            ("colour:red state:offline", "There is no `colour:`. Words: `state:`,"),
            ("state:", "`state:` has no value"),
            ("state:offline status:active", "given twice"),
            ("name:a label:b", "one name or label"),
            ("ci- old- state:active", "given twice"),
        ] {
            let sentence = typed(text).unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
}
