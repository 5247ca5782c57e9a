//! The keys that sign tokens, one for each kind so that none of one kind passes for the other: from the configuration,
//! or else from a file of their own in the data directory, where the first start makes them.
//!
//! They are never in the database, and so in no backup.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use toml_edit::DocumentMut;

use crate::{
    clock::Clock,
    config::{Config, MIN_SECRET, Realtime},
    data_dir,
    secret::new_secret,
};

use super::TokenError;

/// The file in the data directory.
pub const KEYS_FILE: &str = "signing-keys.toml";
/// The longest token that is looked at; ours have a few hundred bytes.
const MAX_TOKEN: usize = 4096;

/// What stands at the beginning of a new file.
const PREAMBLE: &str = "\
# The keys with which this server signs tokens for its realtime gateway. Whoever has one can pass for anybody.
# To change one, rename `connection` to `previous_connection` (or `subscription` to `previous_subscription`) and start
# the server again: it makes a new one, and takes tokens of the previous one until you remove it.
";

/// The keys of this server.
pub(crate) struct SigningKeys {
    /// For connection tokens.
    pub(crate) connection: SigningKey,
    /// For subscription tokens.
    pub(crate) subscription: SigningKey,
}

/// The key of one kind of token, and the one before it.
pub(crate) struct SigningKey {
    sign: EncodingKey,
    verify: Vec<DecodingKey>,
}

/// Why there are no keys; each is one sentence that names the setting or the file, and never a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or made.
    #[error("the signing keys in {} cannot be read or written ({source}): give this user the right to", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no space for the file.
    #[error("the disk of {} is full: free some space on it, then start again", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what the server wrote.
    #[error(
        "line {line} of the signing keys in {} is not one of connection, previous_connection, subscription and \
         previous_subscription with a text: mend it, or remove the file to have new keys made",
        path.display()
    )]
    NotKeys {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        line: usize,
    },
    /// A key can be guessed.
    #[error("{name} must have at least {MIN_SECRET} bytes")]
    TooShort {
        /// The setting, or the entry with its file.
        name: String,
    },
    /// Two keys are one, so that a token of one kind would pass for the other, or a previous key would never go.
    #[error("{one} and {other} must not be the same secret")]
    Same {
        /// The setting, or the entry with its file.
        one: String,
        /// The other.
        other: String,
    },
}

/// Where a key may come from.
struct Source {
    entry: &'static str,
    setting: &'static str,
    configured: fn(&Realtime) -> Option<&SecretString>,
}

const CONNECTION: Source = Source {
    entry: "connection",
    setting: "MEET_AI_REALTIME__TOKEN_SECRET",
    configured: |realtime| realtime.token_secret.as_ref(),
};
const PREVIOUS_CONNECTION: Source = Source {
    entry: "previous_connection",
    setting: "MEET_AI_REALTIME__PREVIOUS_TOKEN_SECRET",
    configured: |realtime| realtime.previous_token_secret.as_ref(),
};
const SUBSCRIPTION: Source = Source {
    entry: "subscription",
    setting: "MEET_AI_REALTIME__SUBSCRIPTION_SECRET",
    configured: |realtime| realtime.subscription_secret.as_ref(),
};
const PREVIOUS_SUBSCRIPTION: Source = Source {
    entry: "previous_subscription",
    setting: "MEET_AI_REALTIME__PREVIOUS_SUBSCRIPTION_SECRET",
    configured: |realtime| realtime.previous_subscription_secret.as_ref(),
};
const SOURCES: [&Source; 4] = [&CONNECTION, &PREVIOUS_CONNECTION, &SUBSCRIPTION, &PREVIOUS_SUBSCRIPTION];

/// A secret that was found, and what its owner calls it.
struct Found {
    entry: &'static str,
    name: String,
    secret: SecretString,
}

impl SigningKeys {
    /// Takes the keys of the configuration, and those of the file for what is not configured. What is in neither is
    /// made and on disk before anything is signed with it.
    ///
    /// # Errors
    /// [`KeysError`] for a file that cannot be read, and for keys that are too short or twice the same.
    pub(crate) fn load(config: &Config, clock: &Clock) -> Result<Self, KeysError> {
        let path = config.data_dir.join(KEYS_FILE);
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::StorageFull => KeysError::DiskFull { path: path.clone() },
            _ => KeysError::Unreadable { path: path.clone(), source },
        };
        let (mut document, preamble) = match fs::read_to_string(&path) {
            Ok(text) => (parse(&path, &text)?, ""),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (DocumentMut::new(), PREAMBLE),
            Err(error) => return Err(unreadable(error)),
        };
        let found = find(config, &path, &document);
        check(&found)?;
        let mut is_made = false;
        let mut current = |source: &Source| {
            secret(&found, source).cloned().unwrap_or_else(|| {
                let made = new_secret(clock, "", MIN_SECRET);
                document[source.entry] = toml_edit::value(made.expose_secret());
                is_made = true;
                made
            })
        };
        let (connection, subscription) = (current(&CONNECTION), current(&SUBSCRIPTION));
        if is_made {
            data_dir::write_private(&path, &format!("{preamble}{document}")).map_err(unreadable)?;
        }
        Ok(Self {
            connection: SigningKey::new(&connection, secret(&found, &PREVIOUS_CONNECTION)),
            subscription: SigningKey::new(&subscription, secret(&found, &PREVIOUS_SUBSCRIPTION)),
        })
    }

    /// Keys that nobody else has, for a process that serves nobody.
    pub(crate) fn unkept(clock: &Clock) -> Self {
        let key = || SigningKey::new(&new_secret(clock, "", MIN_SECRET), None);
        Self { connection: key(), subscription: key() }
    }
}

impl SigningKey {
    fn new(current: &SecretString, previous: Option<&SecretString>) -> Self {
        let bytes = |secret: &SecretString| DecodingKey::from_secret(secret.expose_secret().as_bytes());
        Self {
            sign: EncodingKey::from_secret(current.expose_secret().as_bytes()),
            verify: [Some(current), previous].into_iter().flatten().map(bytes).collect(),
        }
    }

    /// A token with this payload.
    pub(super) fn sign(&self, payload: &impl Serialize) -> Option<String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), payload, &self.sign).ok()
    }

    /// The payload of a token that this key or the previous one has signed. The library compares signatures in constant
    /// time; it checks no time itself, because the caller's clock is the one that counts.
    pub(super) fn read<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid);
        }
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let read = self.verify.iter().find_map(|key| jsonwebtoken::decode::<T>(token, key, &rules).ok());
        read.map(|read| read.claims).ok_or(TokenError::Invalid)
    }
}

/// Reads the file, in which nothing but keys may stand.
fn parse(path: &Path, text: &str) -> Result<DocumentMut, KeysError> {
    let not_keys = |until: usize| {
        let line = text.get(..until).map_or(1, |before| before.matches('\n').count() + 1);
        KeysError::NotKeys { path: path.to_path_buf(), line }
    };
    let document =
        toml_edit::Document::parse(text).map_err(|error| not_keys(error.span().map_or(0, |span| span.start)))?;
    for (name, item) in document.as_table() {
        if item.as_str().is_none() || !SOURCES.iter().any(|source| source.entry == name) {
            return Err(not_keys(item.span().map_or(0, |span| span.start)));
        }
    }
    Ok(document.into_mut())
}

fn find(config: &Config, path: &Path, document: &DocumentMut) -> Vec<Found> {
    let found = SOURCES.into_iter().map(|source| {
        let configured =
            (source.configured)(&config.realtime).map(|secret| (source.setting.to_owned(), secret.clone()));
        let (name, secret) = configured.or_else(|| {
            let secret = document.get(source.entry)?.as_str()?;
            Some((format!("{} in {}", source.entry, path.display()), secret.into()))
        })?;
        Some(Found { entry: source.entry, name, secret })
    });
    found.flatten().collect()
}

/// Refuses keys that can be guessed, and one key for two uses.
fn check(found: &[Found]) -> Result<(), KeysError> {
    for (place, one) in found.iter().enumerate() {
        if one.secret.expose_secret().len() < MIN_SECRET {
            return Err(KeysError::TooShort { name: one.name.clone() });
        }
        let same = found[..place].iter().find(|other| other.secret.expose_secret() == one.secret.expose_secret());
        if let Some(other) = same {
            return Err(KeysError::Same { one: other.name.clone(), other: one.name.clone() });
        }
    }
    Ok(())
}

fn secret<'a>(found: &'a [Found], source: &Source) -> Option<&'a SecretString> {
    found.iter().find(|found| found.entry == source.entry).map(|found| &found.secret)
}

#[cfg(test)]
mod tests;
