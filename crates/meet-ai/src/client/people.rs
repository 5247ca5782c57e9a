//! Coming in, and as whom the bearer of a bare key asks.

use meet_api::{
    Kind, User,
    request::{SessionInfo, SignIn},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, Request,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{Client, ClientError, with_json};

/// Who speaks by a key that may name anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Its name.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
}

impl Speaker {
    /// An agent of this name.
    pub fn agent(name: &str) -> Self {
        Self { name: name.trim().to_owned(), kind: Kind::Agent }
    }

    /// The headers by which the operations that ask for a user learn of it.
    pub(super) fn introduce(&self, headers: &mut HeaderMap) {
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC).to_string();
        // What is percent-encoded fits into a header.
        let Ok(name) = HeaderValue::from_str(&name) else { return };
        headers.insert(HeaderName::from_static("x-meet-name"), name);
        headers.insert(HeaderName::from_static("x-meet-kind"), HeaderValue::from_static(self.kind.as_str()));
    }
}

impl Client {
    /// The same client as this user of the key. A session is its own user already.
    #[must_use]
    pub fn speaking_as(self, speaker: Speaker) -> Self {
        let speaker = Some(speaker).filter(|_| !self.is_session());
        Self { speaker, ..self }
    }

    /// As whom it asks by a bare key, when that was said.
    pub fn speaker(&self) -> Option<&Speaker> {
        self.speaker.as_ref()
    }

    /// The user of a session; `None` for a bare key, which nobody is asked about.
    pub(crate) async fn session_user(&self) -> Result<Option<User>, ClientError> {
        if self.is_session() { Ok(self.session().await?.user) } else { Ok(None) }
    }

    /// Signs in; no credential goes along. An invite is used by it, also when the answer is lost.
    pub async fn sign_in(&self, body: &SignIn) -> Result<SessionInfo, ClientError> {
        let request = Request::new(Method::POST, self.endpoint(&["api", "session"]));
        self.read(self.send(with_json(request, body)).await?).await
    }

    /// Ends the session that is the credential.
    pub async fn sign_out(&self) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, self.endpoint(&["api", "session"]));
        self.send(request).await.map(drop)
    }
}
