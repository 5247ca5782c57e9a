//! Access tokens: who may do what in which room, signed with the secret of an API key (`auth/accesstoken.go`,
//! `auth/grants.go`, `auth/verifier.go`).
//!
//! A token is a JWT (RFC 7519) with HS256, and the key's id is its issuer. When it begins, when it ends and what time it
//! is are arguments.

mod grant;

use std::{collections::BTreeMap, fmt, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};

pub use grant::VideoGrant;

use crate::{UnixSeconds, model::Kind, protojson, protojson::nullable};

/// The longest token that is made or looked at. It goes into a header or a query, which have no room for more.
pub const MAX_TOKEN: usize = 16 * 1024;

/// How far the clocks of two machines may be apart; LiveKit allows as much.
pub const LEEWAY: Duration = Duration::from_mins(1);

/// What a token says (`ClaimGrants`, and the registered claims beside it). By default of nobody, and for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// Who the bearer is in the room; two with one identity throw each other out. Empty for a service.
    #[serde(rename = "sub", default, deserialize_with = "nullable")]
    pub identity: String,
    /// The first second at which it holds.
    #[serde(rename = "nbf", default, deserialize_with = "nullable")]
    pub not_before: UnixSeconds,
    /// The first second at which it holds no longer.
    #[serde(rename = "exp")]
    pub expires_at: UnixSeconds,
    /// The token's own id, if it has one.
    #[serde(rename = "jti", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name that others see.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the bearer is.
    #[serde(default, with = "protojson::lower")]
    pub kind: Kind,
    /// Text of the application, which everybody in the room sees.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The same by name.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What it allows; `None` for nothing at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoGrant>,
    /// The hash of a body that the token vouches for, in a [webhook](crate::webhook).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A signed token. Whoever has it is its bearer, so it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token for its bearer: the value of `access_token`, or behind `Bearer`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken(…)")
    }
}

/// An API key: an id that everybody may know, and the secret that signs. `Debug` shows the id alone.
#[derive(Clone)]
pub struct ApiKey {
    id: String,
    sign: EncodingKey,
    verify: DecodingKey,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key that anybody could guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key needs an id and a secret")]
pub struct EmptyKey;

/// Why a token is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It would open a room without naming it, or without saying for whom.
    #[error("a token for a room must name the room, and one that joins must name who")]
    Incomplete,
    /// It would be longer than [`MAX_TOKEN`].
    #[error("the token would be too long")]
    TooLong,
    /// The library does not sign.
    #[error("the token could not be signed")]
    Signing,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JWT with HS256 and these claims.
    #[error("the token is malformed")]
    Malformed,
    /// Another key issued or signed it.
    #[error("the token is of another key")]
    WrongKey,
    /// Its time has not come.
    #[error("the token does not hold yet")]
    NotYet,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The payload that is written: the claims, and whose they are.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    #[serde(flatten)]
    claims: &'a Claims,
}

/// The payload that is read.
#[derive(Deserialize)]
struct Read {
    iss: String,
    #[serde(flatten)]
    claims: Claims,
}

impl ApiKey {
    /// A key that is known by `id`.
    ///
    /// # Errors
    /// [`EmptyKey`] when the id or the secret is empty.
    pub fn new(id: impl Into<String>, secret: &[u8]) -> Result<Self, EmptyKey> {
        let id = id.into();
        if id.is_empty() || secret.is_empty() {
            return Err(EmptyKey);
        }
        Ok(Self { id, sign: EncodingKey::from_secret(secret), verify: DecodingKey::from_secret(secret) })
    }

    /// By what it is known: the `iss` of its tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A token that says this.
    ///
    /// # Errors
    /// [`SignError`] for claims that LiveKit would refuse, or that make the token too long.
    pub fn sign(&self, claims: &Claims) -> Result<AccessToken, SignError> {
        let video = claims.video.as_ref();
        if video.is_some_and(|video| video.lacks_room() || video.room_join && claims.identity.is_empty()) {
            return Err(SignError::Incomplete);
        }
        let payload = Written { iss: &self.id, claims };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &self.sign);
        let token = token.map_err(|_| SignError::Signing)?;
        if token.len() > MAX_TOKEN { Err(SignError::TooLong) } else { Ok(AccessToken(token)) }
    }

    /// What a token of this key says, if it holds `now`, give or take `leeway`.
    ///
    /// # Errors
    /// [`TokenError`]. Nothing is said about the claims of a token that another key signed.
    pub fn verify(&self, token: &str, now: UnixSeconds, leeway: Duration) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        // The library would ask a clock of its own.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let read = jsonwebtoken::decode::<Read>(token, &self.verify, &rules);
        let Read { iss, claims } = match read {
            Ok(read) => read.claims,
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => return Err(TokenError::WrongKey),
            Err(_) => return Err(TokenError::Malformed),
        };
        if iss != self.id {
            return Err(TokenError::WrongKey);
        }
        if now.after(leeway) < claims.not_before {
            return Err(TokenError::NotYet);
        }
        if claims.expires_at <= now.before(leeway) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}
