//! Addresses of a web server as browsers name them: public URL, origins, Host headers.
//!
//! Pure comparisons; who may do what with a match is decided elsewhere.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use url::{Host, Url};

/// Scheme, host and port of a page, in the one spelling that browsers use: no default port, lower
/// case, no path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    text: String,
    url: Url,
}

/// The address by which browsers reach the server: an origin, since the pages own the whole host.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl(Origin);

/// The hosts that a server answers to.
#[derive(Debug, Clone)]
pub struct Hosts(Vec<Host<String>>);

impl Origin {
    /// Reads an origin such as `https://app.example.org`; the error completes a sentence that starts
    /// with the setting's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = || format!("must be like https://meet.example.org, and {text:?} is not");
        let url = Url::parse(text).map_err(|_| shape())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(shape());
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err("must be scheme, host and port only: no user, path, query or fragment".to_owned());
        }
        Ok(Self { text: url.origin().ascii_serialization(), url })
    }

    /// The origin as a browser writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this page came from the very host and port that the request's Host header names. A
    /// Host without a port has the default one of the page's own scheme.
    pub fn is_of_host(&self, host_header: &str) -> bool {
        let named = split_host(host_header);
        let port = self.url.port_or_known_default();
        named.is_some_and(|(host, named_port)| {
            self.url.host() == Some(as_borrowed(&host)) && named_port.or_else(|| default_port(&self.url)) == port
        })
    }

    /// The page's host, without the port.
    pub fn hostname(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn host(&self) -> Option<Host<String>> {
        self.url.host().map(|host| host.to_owned())
    }
}

impl PublicUrl {
    /// Reads a public URL such as `https://meet.example.org`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Origin::parse(text).map(Self)
    }

    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL as an origin.
    pub fn origin(&self) -> &Origin {
        &self.0
    }

    /// Whether browsers come by TLS.
    pub fn is_https(&self) -> bool {
        self.0.url.scheme() == "https"
    }

    /// Whether only this machine can mean it.
    pub fn is_loopback(&self) -> bool {
        self.0.host().is_some_and(|host| is_loopback(&host))
    }
}

impl Hosts {
    /// Loopback, the address that the server listens on, its public URL and the allowed origins.
    pub fn new(bound: SocketAddr, public: Option<&PublicUrl>, allowed: &[Origin]) -> Self {
        let mut hosts = Vec::new();
        if !bound.ip().is_unspecified() {
            hosts.push(ip_host(bound.ip()));
        }
        hosts.extend(public.map(PublicUrl::origin).into_iter().chain(allowed).filter_map(Origin::host));
        Self(hosts)
    }

    /// Whether a request with this Host header is meant for this server. Ports are not compared: a
    /// forwarded port is still this server, and a page of another port is another Origin.
    pub fn accepts(&self, host_header: &str) -> bool {
        split_host(host_header).is_some_and(|(host, _)| is_loopback(&host) || self.0.contains(&host))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An address to call a listener by: one that listens everywhere is called by its loopback.
pub(super) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// Reads `host[:port]` as a Host header has it.
fn split_host(header: &str) -> Option<(Host<String>, Option<u16>)> {
    let bracket = header.rfind(']').unwrap_or(0);
    let (host, port) = match header.get(bracket..)?.rfind(':') {
        Some(at) => (&header[..bracket + at], Some(header[bracket + at + 1..].parse().ok()?)),
        None => (header, None),
    };
    Some((Host::parse(host).ok()?, port))
}

fn default_port(url: &Url) -> Option<u16> {
    match url.scheme() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

fn as_borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(ip) => Host::Ipv4(*ip),
        Host::Ipv6(ip) => Host::Ipv6(*ip),
    }
}

fn ip_host(ip: IpAddr) -> Host<String> {
    match ip {
        IpAddr::V4(ip) => Host::Ipv4(ip),
        IpAddr::V6(ip) => Host::Ipv6(ip),
    }
}
