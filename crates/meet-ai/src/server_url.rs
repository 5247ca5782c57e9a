//! The address of a server as its clients write it, and when two addresses are the same server.

use std::fmt;

use reqwest::Url;

/// Where a client goes when nothing says otherwise.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:3000";

/// Scheme, host and port of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(Url);

/// The text is no address of a server; it completes a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the address of a server: write scheme, host and port, as in {DEFAULT} or https://meet.example.org")]
pub(crate) struct ParseError;

impl ServerUrl {
    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let url = Url::parse(text.trim()).map_err(|_| ParseError)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let whole = url.has_host() && url.path() == "/" && url.password().is_none();
        if matches!(url.scheme(), "http" | "https") && plain && whole { Ok(Self(url)) } else { Err(ParseError) }
    }

    /// The server of this very process.
    pub(crate) fn of_this_machine() -> Self {
        Self(Url::parse(DEFAULT).expect("the default is an address"))
    }

    /// The address of an endpoint; `segments` are escaped.
    pub(crate) fn endpoint(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }

    /// Whether only this machine can be meant.
    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self.0.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// Where a server of this machine listens to be reached so, for `--listen`.
    pub(crate) fn loopback_address(&self) -> Option<String> {
        let host = self.0.host_str().filter(|_| self.is_loopback() && self.0.scheme() == "http")?;
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        Some(format!("{host}:{}", self.0.port_or_known_default()?))
    }

    /// The same host and port without TLS; `None` when there is none anyway.
    pub(crate) fn plain(&self) -> Option<Self> {
        if self.0.scheme() != "https" {
            return None;
        }
        let port = self.0.port_or_known_default();
        let mut url = Url::parse(&self.0.as_str().replacen("https", "http", 1)).ok()?;
        url.set_port(port).ok()?;
        Some(Self(url))
    }

    /// Whether both name one server: the same origin, where the names of loopback are one.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        let loopback = self.is_loopback() && other.is_loopback();
        self.0.scheme() == other.0.scheme()
            && self.0.port_or_known_default() == other.0.port_or_known_default()
            && (loopback || self.0.host() == other.0.host())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    #[test]
    fn an_address_is_an_origin() {
        assert_eq!(url(" HTTPS://Meet.Example.org:443/ ").to_string(), "https://meet.example.org");
        for bad in ["", "127.0.0.1:3000", "ws://x", "http://a:b@x", "http://x/?token=1", "http://x/path", "file:///x"] {
            assert_eq!(ServerUrl::parse(bad), Err(ParseError), "{bad}");
        }
    }

    #[test]
    fn the_names_of_loopback_are_one_server_on_one_port() {
        let here = url("http://127.0.0.1:3000");
        assert!(here.is_same_server(&url("http://localhost:3000")));
        assert!(here.is_same_server(&url("http://[::1]:3000/")));
        assert!(!here.is_same_server(&url("http://127.0.0.1:3001")));
        assert!(!here.is_same_server(&url("https://127.0.0.1:3000")));
        assert!(!here.is_same_server(&url("http://127.0.0.1.evil.example:3000")));
        assert!(url("https://a.example").is_same_server(&url("https://A.example:443")));
    }

    #[test]
    fn what_comes_into_a_path_is_escaped() {
        assert_eq!(url("http://x").endpoint(&["api", "a/../b?c"]).as_str(), "http://x/api/a%2F..%2Fb%3Fc");
    }
}
