//! Advice about TLS connections that failed.

use std::error::Error;

use crate::error_chain;

/// Texts of TLS errors, and what each of them means. The first text found decides.
const ADVICE: &[(&str, &str)] = &[
    (
        "UnknownIssuer",
        "its certificate is from an authority that is not trusted; name the authority's file in EXTRA_CA_FILE",
    ),
    (
        "not valid for name",
        "its certificate is for another host name; use a name that the certificate contains",
    ),
    ("certificate expired", "its certificate has expired"),
    ("certificate not valid yet", "its certificate is not valid yet"),
    ("does not support TLS", PLAIN),
    ("InvalidContentType", PLAIN),
    ("invalid peer certificate", "its certificate is not valid"),
];
const PLAIN: &str = "it does not speak TLS on this port";

/// Returns why a server's TLS failed and what to do about it, if that is the reason of the error. The client libraries
/// wrap the reason in types of their own, so it is found by its text; the text itself is not repeated.
pub fn tls_advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let text = error_chain(error);
    ADVICE.iter().find(|(part, _)| text.contains(part)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_found_below_other_errors() {
        let advice = |text: &str| tls_advice(&std::io::Error::other(std::io::Error::other(text)));
        for (text, part) in [
            ("invalid peer certificate: UnknownIssuer", "EXTRA_CA_FILE"),
            (
                "invalid peer certificate: certificate not valid for name \"db\"; certificate is only …",
                "host name",
            ),
            ("invalid peer certificate: certificate expired: verification time 7 (UNIX), …", "expired"),
            ("invalid peer certificate: BadSignature", "is not valid"),
            ("received corrupt message of type InvalidContentType", "does not speak TLS"),
        ] {
            assert!(advice(text).unwrap().contains(part), "{text}");
        }
        assert_eq!(advice("connection refused"), None);
    }
}
