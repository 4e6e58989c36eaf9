//! Runner labels as texts: validation, comparison, and names reserved for GitHub.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Maximum length of a label, in characters; the runner program refuses longer ones.
pub const MAX_LABEL: usize = 256;

/// Label that offers a runner to all jobs that ask for a self-hosted one.
pub(crate) const SELF_HOSTED: &str = "self-hosted";

/// Labels that GitHub itself adds and marks read-only; they need no permission.
const SYSTEM: &[&str] = &[SELF_HOSTED, "linux", "windows", "macos", "x64", "x86", "arm", "arm64"];

/// Prefixes of GitHub-hosted image names. A self-hosted runner with such a label would take jobs meant for GitHub's
/// machines.
const HOSTED: &[&str] = &["ubuntu", "windows", "macos"];

/// Letters of other scripts with the ASCII letters they look like.
const LOOK_ALIKES: &[(&str, char)] = &[
    ("\u{430}\u{3b1}\u{251}\u{237a}\u{ab31}\u{1d00}", 'a'),
    ("\u{184}\u{432}\u{44c}\u{299}\u{13cf}\u{15af}\u{3b2}", 'b'),
    ("\u{441}\u{3f2}\u{2ca5}\u{1d04}", 'c'),
    ("\u{501}\u{13e7}\u{1d05}\u{257}", 'd'),
    ("\u{435}\u{4bd}\u{212e}\u{1d07}\u{3b5}\u{25b}", 'e'),
    ("\u{584}\u{3dd}\u{192}\u{a730}", 'f'),
    ("\u{4bb}\u{570}\u{13c2}\u{29c}\u{43d}", 'h'),
    ("\u{456}\u{3b9}\u{131}\u{269}\u{26a}\u{4cf}\u{7c}\u{5c0}\u{1c0}\u{196}\u{142}\u{26b}\u{29f}", 'l'),
    ("\u{43c}\u{3bc}\u{271}\u{1d0d}", 'm'),
    ("\u{578}\u{57c}\u{274}\u{3b7}\u{273}\u{43f}\u{438}", 'n'),
    ("\u{43e}\u{3bf}\u{585}\u{3c3}\u{1d0f}\u{d8}\u{f8}\u{4e9}\u{2c9f}\u{101d}", 'o'),
    ("\u{433}\u{280}\u{1d26}\u{27e}\u{ab47}", 'r'),
    ("\u{455}\u{a731}\u{1bd}\u{10448}\u{73a}\u{282}", 's'),
    ("\u{442}\u{3c4}\u{1d1b}\u{167}\u{1ad}", 't'),
    ("\u{57d}\u{3c5}\u{1d1c}\u{28b}\u{446}", 'u'),
    ("\u{461}\u{51d}\u{3c9}\u{1d21}\u{270}\u{448}", 'w'),
    ("\u{445}\u{3c7}\u{d7}\u{166e}\u{2179}", 'x'),
    ("\u{2c63}\u{1bc}\u{431}", '6'),
];

/// Characters that no label may contain: controls, formats, blanks, invisible and unassigned characters, marks without
/// a base letter, and GitHub's separator.
#[expect(clippy::unwrap_used, reason = "a constant that a test reads")]
static FORBIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[\p{C}\p{Z}\p{Mn}\p{Me}\p{Default_Ignorable_Code_Point}\u{2800},]").unwrap()
});

#[expect(clippy::unwrap_used, reason = "a constant that a test reads")]
static DASH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{Pd}\u{2212}\u{2043}\u{02d7}\u{06d4}\u{2cba}]").unwrap());

/// Returns the label as it is stored and sent to GitHub: in Unicode form NFKC, so that equal texts have equal bytes.
///
/// # Errors
/// Returns a sentence that names the fault.
pub fn normalize_label(label: &str) -> Result<String, &'static str> {
    // The length is checked before normalisation, which may make a text eighteen times longer.
    if label.is_empty() || label.chars().count() > MAX_LABEL {
        return Err("a label is 1 to 256 characters");
    }
    let normal: String = label.nfkc().collect();
    if normal.chars().count() > MAX_LABEL {
        Err("a label is 1 to 256 characters")
    } else if FORBIDDEN.is_match(&normal) {
        Err(
            "a label has no blanks, control, format or invisible characters and no comma: no job could request it",
        )
    } else {
        Ok(normal)
    }
}

/// Checks that `label` is a valid label.
///
/// # Errors
/// Returns a sentence that names the fault.
pub fn check_label(label: &str) -> Result<(), &'static str> {
    normalize_label(label).map(drop)
}

/// Returns the form used for all comparisons of labels: case-folded, in NFKC.
pub fn fold_label(label: &str) -> String {
    // Upper case first: it unites letters with one capital, such as both lower-case forms of sigma.
    let upper: String = label.nfkc().flat_map(char::to_uppercase).collect();
    upper.chars().flat_map(char::to_lowercase).nfkc().collect()
}

/// Returns whether GitHub itself adds this label (`self-hosted`, operating systems, architectures), ignoring case.
pub fn is_system_label(label: &str) -> bool {
    let folded = fold_label(label);
    SYSTEM.contains(&folded.as_str())
}

/// Returns whether the label names a GitHub-hosted image, such as `ubuntu-latest` or `windows-2025`, or only looks like
/// one of GitHub's names.
pub fn is_reserved_label(label: &str) -> bool {
    let folded = fold_label(label);
    is_hosted(&folded) || is_look_alike(&folded)
}

fn is_hosted(folded: &str) -> bool {
    HOSTED.iter().any(|image| {
        folded.strip_prefix(image).and_then(|rest| rest.strip_prefix('-')).is_some_and(|rest| {
            rest.starts_with("latest")
                || rest.starts_with("slim")
                || rest.starts_with(|c: char| c.is_ascii_digit())
        })
    })
}

/// Returns whether the label looks like one of GitHub's names but is a different text.
pub fn is_look_alike(label: &str) -> bool {
    let folded = fold_label(label);
    let seen = skeleton(&folded);
    let system = SYSTEM.iter().any(|name| *name != folded && skeleton(name) == seen);
    system || (!is_hosted(&folded) && looks_hosted(&folded))
}

fn looks_hosted(folded: &str) -> bool {
    let Some((image, version)) = folded.split_once(|c| look_alike_base(c) == '-') else { return false };
    let image = skeleton(image);
    let seen = skeleton(version);
    HOSTED.iter().any(|name| skeleton(name) == image)
        && (version.starts_with(char::is_numeric)
            || ["latest", "slim"].iter().any(|word| seen.starts_with(&skeleton(word))))
}

/// Returns the text with each character replaced by the representative of all characters that look alike.
fn skeleton(folded: &str) -> String {
    let plain: String = folded.nfd().filter(|c| !is_combining_mark(*c)).map(look_alike_base).collect();
    plain.replace("rn", "m").replace("vv", "w")
}

/// Returns the representative of all characters that look like this one.
fn look_alike_base(c: char) -> char {
    match c {
        'i' | '1' => 'l',
        '0' => 'o',
        c if c.is_ascii() && c != '|' => c,
        c if DASH.is_match(c.encode_utf8(&mut [0; 4])) => '-',
        c => LOOK_ALIKES.iter().find(|(many, _)| many.contains(c)).map_or(c, |(_, one)| *one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_bounds() {
        assert!(check_label(&"é".repeat(256)).is_ok());
        let long = "x".repeat(257);
        for bad in [
            "",
            " a",
            "a\u{7}",
            "a,b",
            &long,
            "full build",
            "a\tb",
            "a\u{a0}b",
            "\u{feff}a",
            "a\u{200b}b",
            "\u{202e}a",
            "a\u{ad}b",
            "a\u{2028}",
            "a\u{3000}b",
            "a\u{fe0f}",
            "\u{3164}",
            "a\u{2800}b",
            "\u{e000}",
            "a\u{ff0c}b",
            &"\u{fdfa}".repeat(200),
        ] {
            assert!(check_label(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_text_has_one_spelling() {
        assert_eq!(normalize_label("ｕbuntu-latest").unwrap(), "ubuntu-latest");
        assert_eq!(normalize_label("cafe\u{301}").unwrap(), "caf\u{e9}");
        assert_eq!(normalize_label("GPU").unwrap(), "GPU", "case stays as it was written");
        for (a, b) in [("K8ſ", "k8s"), ("ΣΑΣ", "σας"), ("STRASSE", "straße"), ("\u{212a}", "k")] {
            assert_eq!(fold_label(a), fold_label(b));
        }
    }

    #[test]
    fn names_of_github_and_their_look_alikes_are_reserved() {
        for name in [
            "ubuntu-latest",
            "Windows-2025",
            "macos-15-xlarge",
            "ubuntu-slim",
            "ubuntu\u{2011}latest",
            "ubuntu\u{2010}latest",
            "ubuntu\u{ff0d}latest",
            "ubuntu\u{2212}24.04",
            "windowſ-latest",
            "ubuntu-lаtest",
            "\u{1d1c}\u{299}\u{1d1c}\u{274}\u{1d1b}\u{1d1c}-latest",
            "ubüntu-latest",
            "wındows-2025",
            "mac0s-14",
            "rnacos-14",
            "ubuntu-1atest",
            "sеlf-hosted",
            "self\u{2013}hosted",
            "lіnux",
            "1inux",
            "х64",
            "aгm64",
            "ѕеlf-hоѕtеd",
        ] {
            assert!(is_reserved_label(name), "{name:?} {}", skeleton(&fold_label(name)));
        }
        for name in [
            "ubuntu-lts",
            "ubuntu-gpu",
            "self-hosted-x",
            "linux-gpu",
            "日本語",
            "завод-24",
            "größe",
            "x64",
            "Linux",
            "arm-7",
        ] {
            assert!(!is_reserved_label(name), "{name}");
        }
    }
}
