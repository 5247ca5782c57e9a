//! Tokens, requests and webhooks: literal ones, round trips, and those of others that are none.

#![expect(clippy::unwrap_used, reason = "a story ends where it goes wrong")]

mod forged;
mod roles;
mod room_service;
mod round_trip;
mod webhook;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use meet_livekit::{ApiKey, UnixSeconds};
use serde_json::Value;

/// What time it is in these stories.
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// When their tokens end.
const END: UnixSeconds = UnixSeconds(1_800_000_600);

const SECRET: &[u8] = b"a-secret-that-has-thirty-two-bytes";

fn key() -> ApiKey {
    ApiKey::new("APIkey", SECRET).unwrap()
}

/// A part of a token, decoded.
fn part(token: &str, which: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(which).unwrap()).unwrap()).unwrap()
}

/// A token with any payload, as somebody with the secret could make it.
fn signed(algorithm: Algorithm, payload: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), payload, &EncodingKey::from_secret(SECRET)).unwrap()
}
