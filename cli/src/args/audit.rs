//! Options of the verification of the audit log.

use chrono::{DateTime, Utc};
use domain::{AuditChain, AuditPublicKeys, BadPublicKey, ChainHash};

use super::Output;

/// Verbs of `rts audit`: those over the API, and one over the database.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuditVerb {
    #[command(flatten)]
    Remote(client::AuditVerb),
    /// Verify that no audit row or security event was removed, edited or inserted. Needs `DATABASE_URL`.
    #[command(
        after_help = "Examples:\n  rts audit verify\n  rts audit verify -o json\n  rts audit verify --head audit_log:4711:9f86d081… --public-key k1:3b6a27bc…\n\nExits 7 and names each difference. It reads every row, a thousand at a time, and locks nothing. With TOKEN_KEYS, or the public keys that it prints, signatures are checked too."
    )]
    Verify(WhatToVerify),
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyAudit {
    #[command(flatten)]
    pub(crate) what: WhatToVerify,
    /// Text for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhatToVerify {
    /// Only this chain. Without it, both.
    #[arg(long, value_parser = chain)]
    pub(crate) chain: Option<AuditChain>,
    /// A public key of the scheduler's; may be repeated. Without it, the keys of `TOKEN_KEYS`.
    #[arg(long = "public-key", value_name = "ID:HEX", value_parser = public_key)]
    pub(crate) public_keys: Vec<String>,
    /// A block that was noted after an earlier verification, to find a chain that was cut or rewritten since.
    #[arg(long = "head", value_name = "CHAIN:BLOCK:HASH", value_parser = noted_head)]
    pub(crate) heads: Vec<NotedHead>,
}

/// A block that was noted after an earlier verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotedHead {
    pub(crate) chain: AuditChain,
    pub(crate) position: i64,
    pub(crate) hash: ChainHash,
}

fn chain(text: &str) -> Result<AuditChain, String> {
    let words: Vec<&str> = AuditChain::ALL.iter().map(|chain| chain.as_str()).collect();
    text.parse().map_err(|_| format!("one of {}", words.join(", ")))
}

fn public_key(text: &str) -> Result<String, BadPublicKey> {
    AuditPublicKeys::parse(&[text.to_owned()]).map(|_| text.to_owned())
}

fn noted_head(text: &str) -> Result<NotedHead, String> {
    let expected = "CHAIN:BLOCK:HASH, as `rts verify-audit-log` prints it";
    let parts: Vec<&str> = text.split(':').collect();
    let [name, position, hash] = parts[..] else { return Err(expected.to_owned()) };
    Ok(NotedHead {
        chain: chain(name)?,
        position: position.parse().ok().filter(|position| *position > 0).ok_or(expected)?,
        hash: hash.parse().map_err(|_| expected)?,
    })
}

/// Returns a time as people read it.
pub(crate) fn minutes(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_heads_are_read_as_they_are_printed() {
        let hash = "ab".repeat(32);
        let head = noted_head(&format!("audit_log:7:{hash}")).unwrap();
        assert_eq!(
            (head.chain, head.position, head.hash.to_string()),
            (AuditChain::AuditLog, 7, hash.clone())
        );
        for bad in
            ["", "audit_log:7", &format!("audit_log:0:{hash}"), &format!("x:7:{hash}"), "audit_log:7:ab"]
        {
            assert!(noted_head(bad).is_err(), "{bad}");
        }
    }
}
