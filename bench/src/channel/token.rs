//! Tokens that let a connection in: given on the command line, or signed with the server's secret.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};

use crate::{Outcome, clock};

/// How long a signed token holds: longer than any work takes.
const LIFE: Duration = Duration::from_hours(1);

/// What one person shows to get in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pass {
    /// The connection token; empty where the server wants none.
    pub(crate) connection: String,
    /// The token for the channel; empty where the server wants none.
    pub(crate) subscription: String,
}

/// The claims of both kinds of token.
#[derive(Debug, Serialize)]
struct Claims<'c> {
    sub: &'c str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'c str>,
}

/// A pass for somebody of this name, signed with HS256.
pub(crate) fn sign(secret: &str, name: &str, channel: &str) -> Outcome<Pass> {
    let key = EncodingKey::from_secret(secret.as_bytes());
    let exp = clock::today().plus(LIFE).millis() / 1000;
    let sign = |channel| jsonwebtoken::encode(&Header::default(), &Claims { sub: name, exp, channel }, &key);
    Ok(Pass { connection: sign(None)?, subscription: sign(Some(channel))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_for_a_channel_names_one() {
        let pass = sign("secret", "bench-1", "bench:a").unwrap();
        let claims = |token: &str| jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token).unwrap().claims;
        assert_eq!(claims(&pass.connection)["sub"], "bench-1");
        assert_eq!(claims(&pass.connection)["channel"], serde_json::Value::Null);
        assert_eq!(claims(&pass.subscription)["channel"], "bench:a");
    }
}
