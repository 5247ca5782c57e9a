//! Keys, session tokens and invites: made here, shown once, kept as digests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use meet_store::Digest;
use secrecy::{ExposeSecret, SecretString};
use sha2::Digest as _;

use crate::clock::Clock;

/// What an API key begins with.
pub(crate) const KEY_PREFIX: &str = "mai_";
/// What a session token begins with.
pub(crate) const SESSION_PREFIX: &str = "mas_";
/// How many characters of a key may be shown.
const SHOWN: usize = 8;

/// A new API key: `mai_` and 24 URL-safe characters, 144 random bits.
pub(crate) fn new_key(clock: &Clock) -> SecretString {
    new_secret(clock, KEY_PREFIX, 18)
}

/// A new session token: `mas_` and 256 random bits.
pub(crate) fn new_session(clock: &Clock) -> SecretString {
    new_secret(clock, SESSION_PREFIX, 32)
}

/// A new invite or owner-link token: 144 random bits.
pub(crate) fn new_invite(clock: &Clock) -> SecretString {
    new_secret(clock, "", 18)
}

/// By what somebody is known in one call: 128 random bits, so that nobody can be pushed out by guessing.
pub(crate) fn new_identity(clock: &Clock) -> String {
    let mut random = [0; 16];
    clock.fill(&mut random);
    URL_SAFE_NO_PAD.encode(random)
}

/// A secret of so many random bytes in URL-safe characters, behind a prefix.
pub(crate) fn new_secret(clock: &Clock, prefix: &str, bytes: usize) -> SecretString {
    let mut random = vec![0; bytes];
    clock.fill(&mut random);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random)).into()
}

/// The first characters of a key, by which people tell keys apart.
pub(crate) fn shown_prefix(key: &SecretString) -> String {
    key.expose_secret().chars().take(SHOWN).collect()
}

/// SHA-256 of a secret: with this much entropy in it, a slow hash would add nothing.
pub(crate) fn digest(secret: &str) -> Digest {
    Digest(sha2::Sha256::digest(secret.as_bytes()).into())
}

/// A room's epoch: 48 random bits, short because every cursor carries it.
pub(crate) fn new_epoch(clock: &Clock) -> String {
    let mut random = [0; 6];
    clock.fill(&mut random);
    URL_SAFE_NO_PAD.encode(random)
}
