//! Whether the server may listen where it is told to: beyond this machine only with TLS in front, or
//! with a clear word that there is none.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::{Config, PublicUrl};

/// The server would be reachable from other machines without a public URL, or by plain http.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    listen: SocketAddr,
    plain: Option<String>,
}

impl Config {
    /// Holds the server to loopback unless `public_url` is https, is http with `insecure_http`, or is
    /// itself loopback (a container whose port is published on loopback only).
    pub fn check_exposure(&self) -> Result<(), Exposed> {
        let allowed = match &self.public_url {
            Some(url) => url.is_https() || url.is_loopback() || self.insecure_http,
            None => self.listen.ip().is_loopback(),
        };
        let plain = self.public_url.as_ref().map(PublicUrl::to_string);
        if allowed { Ok(()) } else { Err(Exposed { listen: self.listen, plain }) }
    }
}

impl Exposed {
    /// The sentence for the operator, with the commands that work in this network. `serve` is the command that starts
    /// the server, `machine` this machine's own address there, when it is known.
    pub fn sentence(&self, serve: &str, machine: Option<IpAddr>) -> String {
        let listen = self.listen;
        let own = if listen.ip().is_unspecified() { machine } else { Some(listen.ip()) };
        let host = match own {
            Some(IpAddr::V6(ip)) => format!("[{ip}]"),
            Some(IpAddr::V4(ip)) => ip.to_string(),
            None => "ADDRESS-OF-THIS-MACHINE".to_owned(),
        };
        let why = match &self.plain {
            Some(url) => format!("{url} is plain http beyond this machine: keys and messages would travel readable"),
            None => format!("{listen} is reachable from other machines, and the server does not know its public URL"),
        };
        let url = self.plain.clone().unwrap_or_else(|| format!("http://{host}:{}", listen.port()));
        format!(
            "{why}.\n\
             In a network that you trust, start it so:\n  \
             {serve} --listen {listen} --public-url {url} --insecure-http\n\
             Behind a proxy with TLS, under a name of your own:\n  \
             {serve} --listen {listen} --public-url https://meet.example.org"
        )
    }
}

/// This machine's own address in its network. Nothing is sent: the system only says from where it
/// would be.
pub fn machine_address() -> Option<IpAddr> {
    // An address that is reserved for documentation lies beyond every local network.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}
