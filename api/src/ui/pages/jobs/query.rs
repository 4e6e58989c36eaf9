//! Filters of the list of jobs, as people type them: `state:queued kind:provision team:web`, or only `ci-77`.

use domain::{FilterWords, JobKind, JobState, filter_parts};
use uuid::Uuid;

/// Word of one job.
const ID: &str = "id";
/// Word of a text to search for.
const ABOUT: &str = "about";
/// Words of the filters. All but the last one are fields of the URL too.
pub(super) const WORDS: FilterWords = FilterWords(&[
    ABOUT,
    "state",
    "kind",
    "team",
    "runner",
    "by",
    "error",
    "worker",
    "installation",
    "since",
    "until",
    ID,
]);
/// Words whose jobs are found only by looking at all: without `since:`, those of the last 24 hours are shown.
const SCANS: [&str; 2] = ["worker", "installation"];

/// What a text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// The jobs that fit these words and values.
    Filters(Vec<(&'static str, String)>),
    /// One job.
    Job(Uuid),
}

impl Query {
    /// Reads a text.
    ///
    /// # Errors
    /// A sentence about the first part that is not understood.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let with_word =
            |part: String| if part.contains(':') { part } else { format!("{}:{part}", meant(&part)) };
        let parts: Vec<String> = filter_parts(text).into_iter().map(with_word).collect();
        let texts = parts.iter().filter(|part| part.split_once(':').is_some_and(|(word, _)| word == ABOUT));
        if texts.count() > 1 {
            return Err("Only one text can be searched for. Put quotation marks around it.".to_owned());
        }
        let mut filters = WORDS.read_parts(&parts)?;
        if let Some((_, value)) = filters.iter().find(|(word, _)| *word == ID) {
            let unknown = |_| format!("`{value}` is no id of a job: an id has 32 hexadecimal digits.");
            return value.parse().map(Self::Job).map_err(unknown);
        }
        let has = |words: &[&str]| filters.iter().any(|(word, _)| words.contains(word));
        if has(&SCANS) && !has(&["since"]) {
            filters.push(("since", "24h".to_owned()));
        }
        Ok(Self::Filters(filters))
    }
}

/// Returns the word of a part that has none: it is a pasted id, a state, a kind, or a text to search for.
fn meant(token: &str) -> &'static str {
    if token.parse::<Uuid>().is_ok() {
        ID
    } else if JobState::ALL.iter().any(|state| state.as_str() == token) {
        "state"
    } else if JobKind::ALL.iter().any(|kind| kind.as_str() == token) {
        "kind"
    } else {
        ABOUT
    }
}

/// Returns filters as a text that [`Query::read`] reads.
pub(super) fn written(filters: &[(&'static str, String)]) -> String {
    let part = |(word, value): &(&str, String)| {
        if value.contains(char::is_whitespace) {
            format!("{word}:\"{value}\"")
        } else {
            format!("{word}:{value}")
        }
    };
    filters.iter().map(part).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_they_are_written() {
        let filters = vec![
            ("state", "queued".to_owned()),
            ("team", "web and more".to_owned()),
            ("since", "1h".to_owned()),
        ];
        let text = written(&filters);
        assert_eq!(text, r#"state:queued team:"web and more" since:1h"#);
        assert_eq!(Query::read(&text), Ok(Query::Filters(filters)));
        assert_eq!(Query::read("  "), Ok(Query::Filters(Vec::new())));
        let with_colon = Query::read("by:https://issuer#sub since:2026-01-01T00:00:00Z").unwrap();
        let wanted =
            vec![("by", "https://issuer#sub".to_owned()), ("since", "2026-01-01T00:00:00Z".to_owned())];
        assert_eq!(with_colon, Query::Filters(wanted));
    }

    #[test]
    fn filters_that_scan_are_of_the_last_day() {
        let filters = |text| match Query::read(text) {
            Ok(Query::Filters(filters)) => written(&filters),
            other => panic!("{other:?}"),
        };
        assert_eq!(filters("worker:worker-3"), "worker:worker-3 since:24h");
        assert_eq!(filters("installation:games since:7d"), "installation:games since:7d");
        assert_eq!(filters("runner:ci-01"), "runner:ci-01");
    }

    #[test]
    fn part_without_a_word_is_a_state_a_kind_or_a_text() {
        let filters = |text| match Query::read(text) {
            Ok(Query::Filters(filters)) => written(&filters),
            other => panic!("{other:?}"),
        };
        assert_eq!(filters("failed provision ci-77"), "state:failed kind:provision about:ci-77");
        assert_eq!(filters("\"Ada Lovelace\" team:web"), "about:\"Ada Lovelace\" team:web");
    }

    #[test]
    fn id_leads_to_its_job() {
        let id = Uuid::now_v7();
        assert_eq!(Query::read(&format!("id:{id}")), Ok(Query::Job(id)));
        assert_eq!(Query::read(&format!(" {id} ")), Ok(Query::Job(id)));
    }

    #[test]
    fn wrong_words_get_a_sentence() {
        for (text, part) in [
            ("colour:red", "There is no `colour:`. Words: `about:`,"),
            ("ci-77 ci-78", "Only one text"),
            ("queued state:failed", "given twice"),
            ("state:", "`state:` has no value"),
            ("state:queued state:failed", "given twice"),
            ("id:7", "`7` is no id"),
            ("status:failed state:failed", "`state:` is given twice"),
        ] {
            let sentence = Query::read(text).unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
}
