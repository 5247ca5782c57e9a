//! A server that speaks the protocol: ours, or any other that is named by the address of its WebSocket.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    sync::atomic::{AtomicU32, Ordering},
};

use clap::Args;
use meet_centrifuge::Protocol;

use super::{
    client::{Client, Door},
    crowd::{Head, Interest},
    token::{self, Pass},
};
use crate::{
    Outcome, Setup, clock,
    http::Http,
    posting::{Poster, Posters},
    socket::Source,
    target::{Home, Server, Target},
};

/// Where our server takes connections.
const PATH: &str = "/connection/websocket";
/// The second byte of the source addresses of connections that publish or look.
const NET: u8 = 100;

/// How to get into somebody else's server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Access {
    /// A connection token for a ws:// server; several are shown in turn
    #[arg(long = "token", global = true, value_name = "TOKEN")]
    tokens: Vec<String>,
    /// The secret with which a ws:// server checks HS256 tokens: each person then gets its own
    #[arg(long, global = true, value_name = "SECRET", conflicts_with = "tokens")]
    token_secret: Option<String>,
    /// The namespace of a ws:// server whose channels are used: it must let clients subscribe and publish, and keep
    /// history for recovery
    #[arg(long, global = true, default_value = "bench")]
    namespace: String,
}

/// A server that speaks the protocol.
pub(crate) enum Peer {
    /// Ours: rooms and tokens come from its API, and messages are posted.
    Meet(Target),
    /// Another one: messages are published by the protocol.
    Other(Other),
}

/// A server of which the protocol alone is known.
pub(crate) struct Other {
    address: SocketAddr,
    host: String,
    path: String,
    access: Access,
    process: Option<u32>,
    channels: AtomicU32,
}

impl Other {
    fn new(url: &str, setup: &Setup) -> Outcome<Self> {
        let rest = url.strip_prefix("ws://").ok_or("a server is named as ws://host:port/path, without TLS")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = host.to_socket_addrs()?.next().ok_or("the host of --url has no address")?;
        if setup.pid.is_some() && !address.ip().is_loopback() {
            return Err("--pid says nothing of a server on another machine".into());
        }
        Ok(Self {
            address,
            host: host.to_owned(),
            path: if path.is_empty() { PATH.to_owned() } else { format!("/{path}") },
            access: setup.access.clone(),
            process: setup.pid,
            channels: AtomicU32::new(0),
        })
    }

    fn passes(&self, channel: &str, people: usize) -> Outcome<Vec<Pass>> {
        let Access { tokens, token_secret, .. } = &self.access;
        if let Some(secret) = token_secret {
            return (0..people).map(|number| token::sign(secret, &format!("bench-{number}"), channel)).collect();
        }
        let pass = |token: &String| Pass { connection: token.clone(), subscription: String::new() };
        let passes: Vec<Pass> = tokens.iter().take(people).map(pass).collect();
        Ok(if passes.is_empty() { vec![Pass::default()] } else { passes })
    }
}

impl Peer {
    /// The process whose CPU time and memory are read, if it is known.
    pub(crate) fn process(&self) -> Option<u32> {
        match self {
            Self::Meet(target) => Some(target.process),
            Self::Other(other) => other.process,
        }
    }

    /// How messages come in.
    pub(crate) fn publishing(&self) -> &'static str {
        match self {
            Self::Meet(_) => "POST",
            Self::Other(_) => "publish",
        }
    }

    /// How many messages are published at the same time, back to back: many where they share a commit, few where a
    /// connection is not read, pongs included, until its publication has gone to every subscriber.
    pub(crate) fn concurrency(&self) -> usize {
        match self {
            Self::Meet(_) => 64,
            Self::Other(_) => 8,
        }
    }

    /// Where its connections are taken.
    pub(crate) fn door(&self, protocol: Protocol) -> Door {
        match self {
            Self::Meet(Target { address, .. }) => {
                Door { address: *address, host: address.to_string(), path: PATH.to_owned(), protocol }
            }
            Self::Other(Other { address, host, path, .. }) => {
                Door { address: *address, host: host.clone(), path: path.clone(), protocol }
            }
        }
    }

    /// A channel that nobody has used.
    pub(crate) async fn channel(&self) -> Outcome<String> {
        match self {
            Self::Meet(target) => Ok(format!("chat:{}", target.room().await?)),
            Self::Other(other) => {
                let number = other.channels.fetch_add(1, Ordering::Relaxed);
                Ok(format!("{}:{}-{number}", other.access.namespace, clock::today().millis()))
            }
        }
    }

    /// Passes into a channel for so many people, or fewer where there are fewer tokens, but one at least.
    pub(crate) async fn passes(&self, channel: &str, people: usize) -> Outcome<Vec<Pass>> {
        match self {
            Self::Other(other) => other.passes(channel, people),
            Self::Meet(target) => {
                let mut http = Http::connect(target).await?;
                let mut passes = Vec::with_capacity(people);
                for number in 0..people {
                    http.speak_as(&format!("bench-{number}"));
                    let connection = http.call(200, "POST", "/realtime/connection-token", "{}").await?.text("token")?;
                    let path = format!("/api/rooms/{}/subscribe-token", room(channel));
                    let subscription = http.call(200, "POST", &path, "{}").await?.text("token")?;
                    passes.push(Pass { connection, subscription });
                }
                Ok(passes)
            }
        }
    }

    /// So many connections that publish, and what the channel is called among them.
    pub(crate) async fn posters(&self, protocol: Protocol, channel: &str, count: usize) -> Outcome<Posters> {
        let Self::Meet(target) = self else {
            let door = self.door(protocol);
            let pass = self.one_pass(channel).await?;
            let mut posters = Vec::with_capacity(count);
            for place in 0..count {
                let client = Client::connect(&door, &pass.connection, Source { net: NET, place }).await?;
                posters.push(Poster::Socket(Box::new(client)));
            }
            return Ok(Posters::new(posters));
        };
        Posters::connect(target, count).await
    }

    /// Where those connections publish for a channel.
    pub(crate) fn place(&self, channel: &str) -> String {
        match self {
            Self::Meet(_) => room(channel).to_owned(),
            Self::Other(_) => channel.to_owned(),
        }
    }

    /// The newest place in a channel's history; an error for a channel without any, because nothing then tells what
    /// was missed.
    pub(crate) async fn head(&self, channel: &str) -> Outcome<Head> {
        let pass = self.one_pass(channel).await?;
        let source = Source { net: NET, place: 0 };
        let mut client = Client::connect(&self.door(Protocol::Json), &pass.connection, source).await?;
        let result = client.subscribe(Interest::live(channel).request(&pass.subscription)).await?;
        if !result.recoverable && !result.positioned {
            return Err(
                format!("{channel} keeps no history: nothing tells what is missed, so it is not measured").into()
            );
        }
        Ok(Head { offset: result.offset, epoch: result.epoch })
    }

    /// A pass for one.
    pub(crate) async fn one_pass(&self, channel: &str) -> Outcome<Pass> {
        self.passes(channel, 1).await?.pop().ok_or_else(|| "no pass".into())
    }
}

/// The room of our server whose chat a channel is.
fn room(channel: &str) -> &str {
    channel.trim_start_matches("chat:")
}

/// A server to measure, with what must outlive it.
pub(crate) struct Hosted {
    /// The server.
    pub(crate) peer: Peer,
    server: Option<Server>,
    _home: Option<Home>,
}

impl Hosted {
    /// Ours, started here or running already, or another one that runs already.
    pub(crate) async fn start(setup: &Setup) -> Outcome<Self> {
        if let Some(url) = setup.websocket() {
            return Ok(Self { peer: Peer::Other(Other::new(url, setup)?), server: None, _home: None });
        }
        let (server, home) = setup.server().await?;
        Ok(Self { peer: Peer::Meet(server.target.clone()), server: Some(server), _home: home })
    }

    /// Stops it, unless somebody else started it.
    pub(crate) fn stop(self) -> Outcome<()> {
        self.server.map_or(Ok(()), Server::stop)
    }
}
