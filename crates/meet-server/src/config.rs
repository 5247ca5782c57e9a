//! What an operator can set: one [`Config`] tree, its defaults, and how it is read.
//!
//! A setting comes from the first of these that names it: a flag, the environment, the file, the
//! default. All four go through one table (`settings`) and one reader per type, because an error
//! must name the setting as its author wrote it (`--listen`, `MEET_AI_LISTEN`, `listen`), must never
//! repeat a secret, and must answer a misspelt name with the nearest known one; a general layering
//! library does none of the three, so there is none here. This module reads no environment and no
//! clock by itself: callers hand in what they have.

mod address;
mod calls;
mod exposure;
mod settings;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use meet_store::{Location, SecretUrl};
use secrecy::{ExposeSecret as _, SecretString};

pub use address::{Hosts, Origin, PublicUrl};
pub use calls::{Conference, LiveKit, Provider, QuickRooms, RealtimeKit, ServiceUrl, Turnstile};
pub use exposure::{Exposed, machine_address};

/// The port that the server listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 3000;
/// The least bytes of a secret that signs: as many as the digest that it goes into.
pub const MIN_SECRET: usize = 32;

/// Everything that an operator can set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where the server keeps its files.
    pub data_dir: PathBuf,
    /// A Postgres database; `None` for SQLite in the data directory.
    pub database_url: Option<SecretString>,
    /// The address by which browsers reach the server.
    pub public_url: Option<PublicUrl>,
    /// Pages of other servers that may call this one from a browser.
    pub allowed_origins: Vec<Origin>,
    /// Proxies whose word about a client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which those proxies give the client's address.
    pub client_ip_header: Option<String>,
    /// Whether strangers may make keys; `None` to decide by the public URL.
    pub signup: Option<Signup>,
    /// Whether an empty database gets the room `welcome`.
    pub welcome: bool,
    /// Whether plain http is accepted beyond loopback.
    pub insecure_http: bool,
    /// What is logged, as a filter of the `tracing` kind.
    pub log: String,
    /// Who may read the metrics.
    pub metrics: Metrics,
    /// What agents may do that speak MCP.
    pub mcp: Mcp,
    /// How tokens of the realtime gateway are signed.
    pub realtime: Realtime,
    /// Who carries the calls.
    pub conference: Conference,
    /// A LiveKit server.
    pub livekit: LiveKit,
    /// An app of Cloudflare RealtimeKit.
    pub realtimekit: RealtimeKit,
    /// The check for bots.
    pub turnstile: Turnstile,
    /// Rooms without an owner.
    pub quick_rooms: QuickRooms,
    /// How much of everything one caller gets.
    pub limits: Limits,
}

/// Who may make a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signup {
    /// Everyone who reaches the server.
    Open,
    /// Nobody; the operator hands out invites.
    Closed,
}

/// Where the metrics are shown; with neither, nowhere.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// A listener of their own.
    pub listen: Option<SocketAddr>,
    /// The bearer token that opens `/metrics` on the main listener, and on one of their own beyond this machine.
    pub token: Option<SecretString>,
}

/// The tools at `/mcp`.
#[derive(Debug, Clone, Default)]
pub struct Mcp {
    /// Whether there are tools that change who gets into a room.
    pub manage: bool,
}

/// The secrets that sign tokens of the realtime gateway; the server makes and keeps what is not set here.
#[derive(Debug, Clone, Default)]
pub struct Realtime {
    /// Signs connection tokens.
    pub token_secret: Option<SecretString>,
    /// Signed them before; its tokens are still taken.
    pub previous_token_secret: Option<SecretString>,
    /// Signs subscription tokens.
    pub subscription_secret: Option<SecretString>,
    /// Signed them before; its tokens are still taken.
    pub previous_subscription_secret: Option<SecretString>,
}

impl Realtime {
    /// Two settings that have the same value, if there are any.
    fn same(&self) -> Option<(&'static str, &'static str)> {
        let secrets = [
            ("MEET_AI_REALTIME__TOKEN_SECRET", &self.token_secret),
            ("MEET_AI_REALTIME__PREVIOUS_TOKEN_SECRET", &self.previous_token_secret),
            ("MEET_AI_REALTIME__SUBSCRIPTION_SECRET", &self.subscription_secret),
            ("MEET_AI_REALTIME__PREVIOUS_SUBSCRIPTION_SECRET", &self.previous_subscription_secret),
        ];
        let mut seen = HashMap::new();
        secrets.into_iter().find_map(|(name, secret)| {
            let other = seen.insert(secret.as_ref()?.expose_secret(), name)?;
            Some((name, other))
        })
    }
}

/// Upper bounds; 0 lifts one, and `None` leaves the choice to the machine.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Keys that one address may make in an hour.
    pub keys_per_hour_per_ip: u64,
    /// Rooms that a key may make in a day.
    pub rooms_per_day_per_key: u64,
    /// Messages that a key may send in a minute.
    pub messages_per_minute_per_key: u64,
    /// Call tokens that one address may fetch in a minute.
    pub tokens_per_minute_per_ip: u64,
    /// Bytes of one message; at most [`meet_api::text::MAX_CONTENT`], which 0 stands for too.
    pub message_bytes: usize,
    /// Messages that a room may hold.
    pub messages_per_room: u64,
    /// Bytes of messages that a tenant may store.
    pub bytes_per_tenant: u64,
    /// Messages that agents may say in a row, without a person's between, in a room that is made from now on.
    pub agent_budget: u64,
    /// How many of these one agent may say.
    pub agent_share: u64,
    /// Free disk below which nothing is written; `None` for the smaller of 5 % and 256 MiB.
    pub min_free_bytes: Option<u64>,
    /// Sockets, streams and waiters of one user.
    pub sockets_per_user: usize,
    /// Sockets, streams and waiters of one tenant.
    pub sockets_per_tenant: usize,
    /// Sockets, streams and waiters of one address.
    pub sockets_per_ip: usize,
    /// Sockets, streams and waiters of the whole server; `None` for the descriptor limit less 256.
    pub sockets: Option<usize>,
    /// Open connections of one address that is no trusted proxy; `None` for `sockets_per_ip` and as many again, but
    /// at most half of the server's.
    pub connections_per_ip: Option<usize>,
    /// Open connections of the whole server; `None` for the descriptor limit less 128.
    pub connections: Option<usize>,
    /// Whether the limits per key bind the operator's own tenant too.
    pub operator: bool,
}

impl Limits {
    /// Free bytes below which nothing is written, on a disk of `total` bytes.
    pub fn min_free_bytes(&self, total: u64) -> u64 {
        self.min_free_bytes.unwrap_or_else(|| (total / 20).min(256 * 1024 * 1024))
    }

    /// How many sockets, streams and waiters the whole server takes when the process may open
    /// `descriptors` files; `None` for any number.
    pub fn max_sockets(&self, descriptors: u64) -> Option<usize> {
        match self.sockets {
            Some(0) => None,
            Some(most) => Some(most),
            None => Some(less(descriptors, 256)),
        }
    }

    /// How many connections the whole server takes when the process may open `descriptors` files. The rest is for the
    /// database, the log and the files, so even a lifted limit ends there.
    pub fn max_connections(&self, descriptors: u64) -> usize {
        let most = less(descriptors, 128);
        self.connections.filter(|&connections| connections > 0).map_or(most, |connections| connections.min(most))
    }

    /// How many connections one address may hold of a server that takes `server`; 0 for any number.
    pub fn max_connections_per_ip(&self, server: usize) -> usize {
        let half = (server / 2).max(1);
        self.connections_per_ip.unwrap_or_else(|| self.sockets_per_ip.saturating_mul(2).min(half))
    }
}

/// What is left of the descriptors; never 0, which would be no limit.
fn less(descriptors: u64, kept: u64) -> usize {
    usize::try_from(descriptors.saturating_sub(kept)).unwrap_or(usize::MAX).max(1)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            data_dir: PathBuf::from("./meet-ai-data"),
            database_url: None,
            public_url: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            client_ip_header: None,
            signup: None,
            welcome: true,
            insecure_http: false,
            log: "info,refinery_core=warn".to_owned(),
            metrics: Metrics::default(),
            mcp: Mcp::default(),
            realtime: Realtime::default(),
            conference: Conference::default(),
            livekit: LiveKit::default(),
            realtimekit: RealtimeKit::default(),
            turnstile: Turnstile::default(),
            quick_rooms: QuickRooms::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_per_hour_per_ip: 3,
            rooms_per_day_per_key: 5,
            messages_per_minute_per_key: 60,
            tokens_per_minute_per_ip: 20,
            message_bytes: meet_api::text::MAX_CONTENT,
            messages_per_room: 1_000_000,
            bytes_per_tenant: 1024 * 1024 * 1024,
            agent_budget: 50,
            agent_share: 25,
            min_free_bytes: None,
            sockets_per_user: 50,
            sockets_per_tenant: 2000,
            sockets_per_ip: 500,
            sockets: None,
            connections_per_ip: None,
            connections: None,
            operator: false,
        }
    }
}

/// What the command line says; it goes before everything else.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--public-url`.
    pub public_url: Option<String>,
    /// `--insecure-http`.
    pub insecure_http: bool,
}

/// Why there is no configuration; each is one sentence with the fix in it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not TOML; only the line is told, since a secret may stand in it.
    #[error("the configuration file {path} is not valid TOML in line {line}")]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        line: usize,
    },
    /// A setting's value does not fit.
    #[error("{setting} {problem}")]
    Invalid {
        /// The setting as its author wrote it.
        setting: String,
        /// What is wrong with it and what would be right; never the value of a secret.
        problem: String,
    },
    /// No setting of that name exists.
    #[error("{setting} is not a setting of this server; did you mean {nearest}?")]
    Unknown {
        /// The setting as its author wrote it.
        setting: String,
        /// The known name that is most like it.
        nearest: String,
    },
}

impl Config {
    /// Reads the configuration: defaults, then the variables of the call-room adapter that came before, then the file
    /// (or the one that `MEET_AI_CONFIG` names), then the environment, then `overrides`. An empty value stands for the
    /// default.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        let (env, others): (Vec<_>, Vec<_>) = env.partition(|(name, _)| name.starts_with(settings::PREFIX));
        let named = env.iter().find(|(name, value)| name == settings::FILE_VARIABLE && !value.is_empty());
        let file = file.map(Path::to_path_buf).or_else(|| named.map(|(_, value)| PathBuf::from(value)));
        let mut config = Self::default();
        settings::apply_adapter_env(&mut config, &others)?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            settings::apply_file(&mut config, &path, &text)?;
        }
        settings::apply_env(&mut config, &env)?;
        settings::apply_overrides(&mut config, overrides)?;
        config.check_together()?;
        Ok(config)
    }

    /// The rules that hold between settings.
    fn check_together(&self) -> Result<(), ConfigError> {
        let invalid = |setting: &str, problem: &str| {
            Err(ConfigError::Invalid { setting: setting.to_owned(), problem: problem.to_owned() })
        };
        let shows_metrics_to_others = self.metrics.listen.is_some_and(|address| !address.ip().is_loopback());
        if shows_metrics_to_others && self.metrics.token.is_none() {
            return invalid(
                "MEET_AI_METRICS__LISTEN",
                "is reachable from other machines: set MEET_AI_METRICS__TOKEN too, or listen on 127.0.0.1",
            );
        }
        if let Some((one, other)) = self.realtime.same() {
            return invalid(one, &format!("must not be the same as {other}: every key signs for itself"));
        }
        calls::check(&self.conference, &self.livekit, &self.realtimekit, &self.turnstile)?;
        match (self.trusted_proxies.is_empty(), &self.client_ip_header) {
            (true, Some(_)) => invalid(
                "MEET_AI_CLIENT_IP_HEADER",
                "has no effect without MEET_AI_TRUSTED_PROXIES: name the proxies that set it",
            ),
            (false, None) => invalid(
                "MEET_AI_TRUSTED_PROXIES",
                "has no effect without MEET_AI_CLIENT_IP_HEADER: name the header, for example X-Forwarded-For",
            ),
            _ => Ok(()),
        }
    }

    /// Whether the word of this address about its clients is taken.
    pub fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&ip.to_canonical()))
    }

    /// Whether strangers may make keys: as set, else only where nobody but this machine gets in.
    pub fn signup_is_open(&self) -> bool {
        match self.signup {
            Some(signup) => signup == Signup::Open,
            None => self.public_url.as_ref().is_none_or(PublicUrl::is_loopback),
        }
    }

    /// The address to print and to put into links: the public URL, or else where the server listens.
    pub fn base_url(&self, bound: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.as_str().to_owned(),
            None => format!("http://{}", address::reachable(bound)),
        }
    }

    /// The Host headers that this server answers to.
    pub fn hosts(&self, bound: SocketAddr) -> Hosts {
        Hosts::new(bound, self.public_url.as_ref(), &self.allowed_origins)
    }

    /// Whether a page of this origin is on the list of those that may call the server: the public URL
    /// and the allowed origins.
    pub fn origin_listed(&self, origin: &str) -> bool {
        let public = self.public_url.as_ref().map(PublicUrl::origin);
        Origin::parse(origin).is_ok_and(|origin| Some(&origin) == public || self.allowed_origins.contains(&origin))
    }

    /// Where the database is.
    pub fn location(&self) -> Location {
        match &self.database_url {
            Some(url) => Location::Postgres(SecretUrl::new(url.expose_secret())),
            None => Location::Sqlite(self.data_dir.clone()),
        }
    }

    /// What is in force as TOML, secrets masked.
    pub fn masked(&self) -> String {
        settings::show(self)
    }
}

#[cfg(test)]
mod tests;
