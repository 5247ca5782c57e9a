//! Being in a call of the provider that carries nothing, as its client is.

use reqwest::Method;

use super::{Server, Stream};

/// Somebody who is in a call until this is dropped.
pub(crate) struct Demo(Stream);

impl Demo {
    /// Comes into a call by a token.
    pub(crate) async fn attend(server: &Server, token: &str) -> Self {
        let mut demo = Self::try_attend(server, token).await.unwrap_or_else(|status| panic!("refused with {status}"));
        demo.expect("joined").await;
        demo
    }

    /// Comes into a call by a token, or gives the status that refuses it.
    pub(crate) async fn try_attend(server: &Server, token: &str) -> Result<Self, u16> {
        let caller = server.stranger().with_token(token);
        let stream = Stream::open("POST", caller.request(Method::POST, "/api/demo-call")).await;
        if stream.status == 200 { Ok(Self(stream)) } else { Err(stream.status) }
    }

    /// Waits for what the call tells.
    pub(crate) async fn expect(&mut self, event: &str) {
        self.0.expect(event).await;
    }
}
