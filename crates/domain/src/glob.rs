//! Globs over names: `*` matches any number of characters, `?` exactly one. Matching ignores case and takes bounded
//! time.

/// Maximum length of a glob, in bytes.
const MAX_GLOB: usize = 256;

/// Checks that `glob` is valid.
///
/// # Errors
/// Returns a sentence that names the fault.
pub fn check_glob(glob: &str) -> Result<(), &'static str> {
    if glob.is_empty() || glob.len() > MAX_GLOB {
        Err("a glob is 1 to 256 bytes")
    } else if glob.chars().any(char::is_control) || glob.trim() != glob {
        Err("a glob has no control characters, and no white space at either end")
    } else {
        Ok(())
    }
}

/// Checks that `glob` is a valid repository glob: `owner/name`, each part a glob.
///
/// # Errors
/// Returns a sentence that names the fault.
pub fn check_repository_glob(glob: &str) -> Result<(), &'static str> {
    check_glob(glob)?;
    match glob.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => Ok(()),
        _ => Err("a repository is `owner/name`; write `octo-org/*` for all of an owner's"),
    }
}

/// Returns whether the whole `text` matches.
pub(crate) fn fits(glob: &str, text: &str) -> bool {
    let glob: Vec<char> = glob.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut at, mut read) = (0, 0);
    // The last star, and the number of text bytes it has matched.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                at = place + 1;
                read = taken + 1;
            }
        }
    }
    glob[at..].iter().all(|c| *c == '*')
}

/// Returns whether the repository `owner/name` matches; a star does not match across the slash.
pub(crate) fn repository_fits(glob: &str, repository: &str) -> bool {
    match (glob.split_once('/'), repository.split_once('/')) {
        (Some((owner, name)), Some((of, called))) => fits(owner, of) && fits(name, called),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_text_must_match_case_insensitively() {
        for (glob, text) in
            [("*", ""), ("CI*", "ci / build"), ("a?c", "abc"), ("*b*d", "abcbd"), ("é*", "É1")]
        {
            assert!(fits(glob, text), "{glob} {text}");
        }
        for (glob, text) in [("", "a"), ("CI", "ci2"), ("a?c", "ac"), ("*b*d", "abde"), ("a.c", "abc")] {
            assert!(!fits(glob, text), "{glob} {text}");
        }
    }

    #[test]
    fn star_stays_on_its_side_of_the_slash() {
        assert!(repository_fits("octo-*/*", "Octo-Org/web"));
        assert!(!repository_fits("*/web", "octo/other"));
        assert!(!repository_fits("octo*", "octo/web"));
        assert!(!repository_fits("*/*", "no-slash"));
    }

    #[test]
    fn hostile_glob_takes_linear_time() {
        assert!(!fits(&"a*".repeat(128), &"a".repeat(127)));
        assert!(!fits(&format!("{}b", "*a".repeat(100)), &"a".repeat(5000)));
    }

    #[test]
    fn globs_have_bounds() {
        assert!(check_glob("CI / *").is_ok());
        assert!(check_repository_glob("octo-org/*").is_ok());
        for bad in ["", " a", "a\n", &"x".repeat(257)] {
            assert!(check_glob(bad).is_err(), "{bad:?}");
        }
        for bad in ["octo-org", "/a", "a/", "a/b/c"] {
            assert!(check_repository_glob(bad).is_err(), "{bad:?}");
        }
    }
}
