//! Who a request comes from: its credential by one precedence, the Origin rule of cookies, its address.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{
        HeaderMap, HeaderValue, Method,
        header::{self, InvalidHeaderValue},
        request::Parts,
    },
};
use axum_extra::extract::CookieJar;
use meet_api::RoomId;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    app::App,
    auth::{Member, Presented},
    config::{Origin, PublicUrl},
    error::Error,
    people::SESSION_LIFE,
};

use super::{Query, Refusal};

/// Marks a request whose credential is the cookie.
#[derive(Debug, Clone, Copy)]
pub(super) struct UsedCookie;

/// Where a request may carry its credential, and what its Origin must be when that is the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Header or cookie.
    Plain,
    /// Header, `?token=` or cookie; an Origin is required with a cookie.
    WebSocket,
    /// Header, `?token=` or cookie; an Origin may be absent, as browsers send none to their own server here.
    Stream,
}

/// Whoever calls: a member, or nobody.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Option<Member>);

/// A caller who showed a valid credential.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated(pub(crate) Member);

/// A caller whose `Authorization` header counts and nothing else does.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(pub(crate) Member);

/// Whoever opens a WebSocket.
#[derive(Debug, Clone)]
pub(crate) struct Socket(pub(crate) Option<Member>);

/// Whoever opens an event stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamCaller(pub(crate) Option<Member>);

/// A caller whose cookie may be dead, on the routes that must never fail because of one.
#[derive(Debug, Clone)]
pub(crate) struct Lenient(pub(crate) Option<Member>);

/// Whoever calls a route that takes no credential at all; one in the URL is refused here too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoCredential;

impl FromRequestParts<App> for NoCredential {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        refuse_token_in_url(&Query::parse(parts.uri.query()))?;
        Ok(Self)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        enter(parts, app, Door::Plain).await.map(Self)
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let member = enter(parts, app, Door::Plain).await?;
        member.map(Self).ok_or_else(|| Error::MissingKey.into())
    }
}

impl FromRequestParts<App> for Bearer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let presented = presented(parts, app, Door::Plain)?;
        if matches!(presented, Presented::Cookie(_)) {
            return Err(Error::MissingKey.into());
        }
        app.authenticate(&presented).await?.map(Self).ok_or_else(|| Error::MissingKey.into())
    }
}

impl FromRequestParts<App> for Socket {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        enter(parts, app, Door::WebSocket).await.map(Self)
    }
}

impl FromRequestParts<App> for StreamCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        enter(parts, app, Door::Stream).await.map(Self)
    }
}

impl FromRequestParts<App> for Lenient {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let presented = presented(parts, app, Door::Plain)?;
        match app.authenticate(&presented).await {
            Err(Error::InvalidKey) if matches!(presented, Presented::Cookie(_)) => Ok(Self(None)),
            Err(error) => Err(error.into()),
            Ok(member) => {
                if member.is_some() && matches!(presented, Presented::Cookie(_)) {
                    check_origin(parts, app, Door::Plain)?;
                }
                Ok(Self(member))
            }
        }
    }
}

async fn enter(parts: &mut Parts, app: &App, door: Door) -> Result<Option<Member>, Refusal> {
    let presented = presented(parts, app, door)?;
    let by_cookie = matches!(presented, Presented::Cookie(_));
    if by_cookie {
        check_origin(parts, app, door)?;
        parts.extensions.insert(UsedCookie);
    }
    let member = app.authenticate(&presented).await.map_err(|error| match error {
        Error::InvalidKey if by_cookie => Refusal::clearing(error, dead_cookie(app)),
        error => Refusal::from(error),
    })?;
    Ok(match room_at(parts.uri.path()) {
        Some(room) => member.map(|member| member.within(room)),
        None => member,
    })
}

/// The room that an address names: whoever calls acts there as who it is in that room.
fn room_at(path: &str) -> Option<RoomId> {
    path.strip_prefix("/api/rooms/")?.split('/').next()?.parse().ok()
}

/// The credential that counts: the header, else `?token=` where it may stand, else the cookie.
fn presented(parts: &Parts, app: &App, door: Door) -> Result<Presented, Error> {
    let query = Query::parse(parts.uri.query());
    if door == Door::Plain {
        refuse_token_in_url(&query)?;
    }
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer).ok_or(Error::MissingKey)?;
        return Ok(Presented::Token(token.to_owned()));
    }
    match query.given("token") {
        None => {}
        // As with an empty header: what is there and says nothing does not let the cookie step in.
        Some("") => return Err(Error::MissingKey),
        Some(token) => return Ok(Presented::Token(token.to_owned())),
    }
    let jar = CookieJar::from_headers(&parts.headers);
    Ok(jar.get(&app.site().cookie).map_or(Presented::Nothing, |cookie| Presented::Cookie(cookie.value().to_owned())))
}

/// A URL ends up in logs and histories, so only sockets and streams, which can send no header, take a token there.
fn refuse_token_in_url(query: &Query) -> Result<(), Error> {
    match query.given("token") {
        None => Ok(()),
        Some(_) => Err(Error::Invalid("token in the URL is for sockets only: send an Authorization header".into())),
    }
}

/// The token of an `Authorization: Bearer` header; the scheme's case does not matter (RFC 9110, 11.1).
pub(crate) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn check_origin(parts: &Parts, app: &App, door: Door) -> Result<(), Error> {
    let is_reading = matches!(parts.method, Method::GET | Method::HEAD);
    match (door, parts.headers.get(header::ORIGIN)) {
        (Door::Plain, _) if is_reading => Ok(()),
        (Door::Stream, None) => Ok(()),
        (_, Some(_)) if accepts_origin(&parts.headers, app) => Ok(()),
        _ => Err(Error::BadOrigin),
    }
}

/// A page from which requests are taken.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Its host, without a port.
    pub(crate) hostname: String,
    /// Whether it is one of this very server's.
    pub(crate) is_own: bool,
}

/// The page that a request comes from, by its Origin, when that is this very server's or on the list.
pub(crate) fn page_of(headers: &HeaderMap, app: &App) -> Option<Page> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let written = text(header::ORIGIN)?;
    let origin = Origin::parse(written).ok()?;
    let public = app.config().public_url.as_ref().map(PublicUrl::origin);
    let is_own = text(header::HOST).is_some_and(|host| origin.is_of_host(host)) || public == Some(&origin);
    let is_accepted = is_own || app.config().origin_listed(written);
    is_accepted.then(|| Page { hostname: origin.hostname().to_owned(), is_own })
}

/// Whether the request's Origin is this very server's, or on the list.
pub(crate) fn accepts_origin(headers: &HeaderMap, app: &App) -> bool {
    page_of(headers, app).is_some()
}

/// Whether the request comes from a page that is none of ours.
pub(crate) fn has_foreign_origin(headers: &HeaderMap, app: &App) -> bool {
    headers.contains_key(header::ORIGIN) && !accepts_origin(headers, app)
}

/// The header that takes a dead session cookie away.
pub(crate) fn dead_cookie(app: &App) -> HeaderValue {
    // A cookie's name is ours and made of letters, so this never falls back.
    cookie(app, "", 0).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The header that keeps a session in the browser.
pub(crate) fn session_cookie(app: &App, token: &SecretString) -> Result<HeaderValue, Error> {
    cookie(app, token.expose_secret(), SESSION_LIFE.as_secs())
        .map_err(|_| Error::Unavailable("the session could not be written into a cookie"))
}

fn cookie(app: &App, value: &str, max_age: u64) -> Result<HeaderValue, InvalidHeaderValue> {
    let site = app.site();
    let secure = if site.is_https { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}", site.cookie);
    let mut header = HeaderValue::from_str(&text)?;
    header.set_sensitive(true);
    Ok(header)
}

/// The address that a request counts for: the socket's, or what the configured proxies say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientIp(pub(crate) IpAddr);

impl FromRequestParts<App> for ClientIp {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::Unavailable("the connection has no address"))?;
        let config = app.config();
        let given = config.client_ip_header.as_deref().map(|name| parts.headers.get_all(name));
        let given = given.into_iter().flatten().filter_map(|value| value.to_str().ok());
        Ok(Self(client_ip(peer.ip(), given, |ip| config.is_trusted_proxy(ip))))
    }
}

/// Walks the addresses that proxies wrote, from the right, for as long as each was written by a trusted one.
fn client_ip<'a>(
    peer: IpAddr,
    header: impl DoubleEndedIterator<Item = &'a str>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer.to_canonical();
    let written = header.rev().flat_map(|line| line.rsplit(',')).map(str::trim);
    for text in written {
        if !is_trusted(client) {
            break;
        }
        let Ok(ip) = text.parse::<IpAddr>() else { break };
        client = ip.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_forged_header_changes_nothing_without_a_trusted_proxy() {
        assert_eq!(client_ip(ip("203.0.113.9"), ["1.2.3.4"].into_iter(), |_| false), ip("203.0.113.9"));
    }

    #[test]
    fn behind_proxies_the_header_is_read_from_the_right() {
        let trusted = |address: IpAddr| ["10.0.0.1", "10.0.0.2"].map(ip).contains(&address);
        let one = client_ip(ip("10.0.0.1"), ["6.6.6.6, 198.51.100.7"].into_iter(), trusted);
        assert_eq!(one, ip("198.51.100.7"));
        let two = client_ip(ip("10.0.0.1"), ["6.6.6.6", "198.51.100.7, 10.0.0.2"].into_iter(), trusted);
        assert_eq!(two, ip("198.51.100.7"));
        assert_eq!(client_ip(ip("10.0.0.1"), ["junk"].into_iter(), trusted), ip("10.0.0.1"));
    }

    #[test]
    fn only_a_bearer_header_is_a_credential() {
        assert_eq!(bearer("Bearer mai_x"), Some("mai_x"));
        assert_eq!(bearer("bearer  mai_x"), Some("mai_x"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("mai_x"), None);
        assert_eq!(bearer("Bearer "), None);
    }
}
