//! Keys that seal secrets at rest.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{ConfigError, Mode, Section, Setting, Sources};

const KEY_LIMIT: usize = 4;
const KEY_BYTES: usize = 32;

const KEYS: Setting = Setting::new(
    "CREDENTIAL_KEYS",
    "1 to 4 pairs `id:base64 of 32 random bytes`, comma-separated, each id once",
    "The keys that seal runner configs at rest: the first seals, all open. To rotate, append a new one \
     everywhere, then move it to the front, then remove the old one once its configs have expired. `openssl rand -base64 32` makes one.",
)
.required()
.secret()
.list();

const TOKEN_KEYS: Setting = Setting::new(
    "TOKEN_KEYS",
    "1 to 4 pairs `id:base64 of 32 random bytes`, comma-separated, each id once, none of them among CREDENTIAL_KEYS",
    "The keys that seal the GitHub token which workers and schedulers share through Redis. For them alone: `rts api` must \
     not have these keys. Without them every process has a token of its own. To rotate, put a new one in front.",
)
.secret()
.list();

/// Keys for credentials, the sealing one first.
#[derive(Clone, Debug)]
pub struct SecretsConfig {
    /// 1 to 4 keys with unique ids.
    pub keys: Vec<CredentialKey>,
}

/// One key. `Debug` shows only its id.
#[derive(Clone)]
pub struct CredentialKey {
    /// Id stored with the sealed data; 1 to 32 characters.
    pub id: String,
    /// 32 bytes.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialKey({})", self.id)
    }
}

impl SecretsConfig {
    /// Returns the keys as `(id, 32 bytes)`, for a key ring.
    pub fn pairs(&self) -> Vec<(String, Zeroizing<Vec<u8>>)> {
        pairs(&self.keys)
    }
}

/// Keys of the shared GitHub token, for workers and schedulers only.
#[derive(Clone, Debug)]
pub struct TokenKeysConfig {
    /// Up to 4 keys with unique ids; empty if processes share no token.
    pub keys: Vec<CredentialKey>,
}

impl TokenKeysConfig {
    /// Returns the keys as `(id, 32 bytes)`, for a key ring.
    pub fn pairs(&self) -> Vec<(String, Zeroizing<Vec<u8>>)> {
        pairs(&self.keys)
    }

    /// Returns whether these keys are given to the process, needed or not.
    pub fn is_given(sources: &Sources) -> bool {
        sources.has(TOKEN_KEYS.name)
    }
}

fn pairs(keys: &[CredentialKey]) -> Vec<(String, Zeroizing<Vec<u8>>)> {
    keys.iter().map(|key| (key.id.clone(), key.key.clone())).collect()
}

impl Section for SecretsConfig {
    const TITLE: &'static str = "Secrets at rest";
    const SETTINGS: &'static [Setting] = &[KEYS];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let keys = load(sources, &KEYS)?;
        if keys.is_empty() { Err(KEYS.missing()) } else { Ok(Self { keys }) }
    }
}

impl Section for TokenKeysConfig {
    const TITLE: &'static str = "Shared GitHub token";
    const SETTINGS: &'static [Setting] = &[TOKEN_KEYS];

    fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let keys = load(sources, &TOKEN_KEYS)?;
        // The API has the credential keys, so keys equal to those are refused.
        let others = load(sources, &KEYS).unwrap_or_default();
        let shared = keys.iter().any(|key| others.iter().any(|other| other.key == key.key));
        match sources.given(&TOKEN_KEYS)? {
            Some(given) if shared => Err(given.bad()),
            _ => Ok(Self { keys }),
        }
    }
}

/// Returns the keys of a setting; empty if it is not given.
fn load(sources: &Sources, setting: &Setting) -> Result<Vec<CredentialKey>, ConfigError> {
    let mode = sources.mode();
    let Some(given) = sources.given(setting)? else { return Ok(Vec::new()) };
    let keys = sources.items(setting, KEY_LIMIT, |text| pair(text, mode))?;
    let mut ids: Vec<_> = keys.iter().map(|key| &key.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if keys.is_empty() || ids.len() != keys.len() { Err(given.bad()) } else { Ok(keys) }
}

fn pair(text: &str, mode: Mode) -> Option<CredentialKey> {
    let (id, key) = text.split_once(':')?;
    let key = Zeroizing::new(STANDARD.decode(key).ok()?);
    let id_fits = (1..=32).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let random = !is_regular(&key) || mode == Mode::Development;
    (id_fits && key.len() == KEY_BYTES && random).then(|| CredentialKey { id: id.to_owned(), key })
}

/// Returns whether the key is an unreplaced placeholder: one byte repeated, or bytes that count up or down.
fn is_regular(key: &[u8]) -> bool {
    let mut steps = key.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let first = steps.next();
    steps.all(|step| Some(step) == first)
}
