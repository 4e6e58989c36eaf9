//! Filters as people type them: `state:queued team:web`. The dashboard and the command line read the same text.

/// Words of the API for words of the filters.
const ALIASES: [(&str, &str); 2] = [("status", "state"), ("user", "by")];

/// Words that the filters of one list have. The first one is the example of the sentences.
#[derive(Clone, Copy, Debug)]
pub struct FilterWords(pub &'static [&'static str]);

impl FilterWords {
    /// Reads filters: each word once, with its value.
    ///
    /// # Errors
    /// A sentence about the first part that is not understood.
    pub fn read(self, text: &str) -> Result<Vec<(&'static str, String)>, String> {
        self.read_parts(&filter_parts(text))
    }

    /// Reads the parts of a text, as [`filter_parts`] returns them.
    ///
    /// # Errors
    /// A sentence about the first part that is not understood.
    pub fn read_parts(self, parts: &[String]) -> Result<Vec<(&'static str, String)>, String> {
        let mut filters: Vec<(&'static str, String)> = Vec::new();
        for part in parts {
            let Some((word, value)) = part.split_once(':') else {
                let first = self.0.first().copied().unwrap_or_default();
                return Err(format!(
                    "`{part}` has no word before it. Write for example `{first}:{part}`. {}",
                    self.sentence()
                ));
            };
            if value.is_empty() {
                return Err(format!("`{word}:` has no value after it. {}", self.sentence()));
            }
            let Some(known) = self.find(word) else {
                return Err(format!("There is no `{word}:`. {}", self.sentence()));
            };
            if filters.iter().any(|(given, _)| *given == known) {
                return Err(format!("`{known}:` is given twice; all filters must fit at once."));
            }
            filters.push((known, value.to_owned()));
        }
        Ok(filters)
    }

    /// Returns the word that a text names: itself, or the word that the API has for it.
    pub fn find(self, text: &str) -> Option<&'static str> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == text).map(|(_, word)| *word);
        let find = |text: &str| self.0.iter().copied().find(|word| *word == text);
        find(text).or_else(|| find(alias?))
    }

    /// Returns the sentence that names all words.
    pub fn sentence(self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| format!("`{word}:`")).collect();
        format!("Words: {}.", words.join(", "))
    }
}

/// Returns the parts of a text between spaces. Quotation marks keep spaces in a part.
pub fn filter_parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: FilterWords = FilterWords(&["state", "team"]);

    #[test]
    fn filters_are_read_with_spaces_and_colons_in_values() {
        let wanted = vec![("team", "web and more".to_owned()), ("state", "a:b".to_owned())];
        assert_eq!(WORDS.read(r#" team:"web and more"  state:a:b "#), Ok(wanted));
        assert_eq!(WORDS.read("  "), Ok(Vec::new()));
        assert_eq!(WORDS.read("status:active"), Ok(vec![("state", "active".to_owned())]));
        assert!(WORDS.read("user:ada").unwrap_err().contains("There is no `user:`."));
    }

    #[test]
    fn wrong_words_get_a_sentence() {
        for (text, part) in [
            ("colour:red", "There is no `colour:`. Words: `state:`, `team:`."),
            (":red", "There is no `:`."),
            ("queued", "`queued` has no word before it. Write for example `state:queued`."),
            ("state:", "`state:` has no value"),
            ("state:queued state:failed", "given twice"),
        ] {
            let sentence = WORDS.read(text).unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
}
