//! How a request reaches the server: over the network, or inside the server's own process.

use bytes::Bytes;
use meet_server::LocalDoor;
use reqwest::{Body, Request, Response};

/// A way to a server's API. What goes through either is the same request, and the same answer comes back.
#[derive(Clone)]
pub(super) enum Door {
    /// Over the network.
    Network(reqwest::Client),
    /// Inside the process, with the credential of the caller whom the door belongs to.
    Local(LocalDoor),
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Network(_) => "Network",
            Self::Local(_) => "Local",
        })
    }
}

impl Door {
    /// Sends a request and gives its answer back, whatever it is.
    pub(super) async fn send(&self, request: Request) -> Result<Response, reqwest::Error> {
        match self {
            Self::Network(http) => http.execute(request).await,
            Self::Local(door) => Ok(door.ask(inside(request)?).await.map(Body::from).into()),
        }
    }
}

/// The request as it goes through a local door.
pub(super) fn inside(request: Request) -> Result<http::Request<Bytes>, reqwest::Error> {
    let (mut parts, body) = http::Request::try_from(request)?.into_parts();
    // Inside, an address is its path and query.
    if let Some(path) = parts.uri.path_and_query() {
        parts.uri = http::Uri::from(path.clone());
    }
    let body = body.as_bytes().map(Bytes::copy_from_slice).unwrap_or_default();
    Ok(http::Request::from_parts(parts, body))
}
