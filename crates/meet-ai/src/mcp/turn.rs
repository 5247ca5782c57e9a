//! Who asks: for each request, a client of the API with the caller's credential, and the name under which it speaks.

use std::sync::Arc;

use http::request::Parts;
use meet_api::{Message, RoomId, User};
use meet_server::{Clock, LocalDoor};
use percent_encoding::percent_decode;
use rmcp::{ErrorData, RoleServer, service::RequestContext, transport::common::http_header::HEADER_SESSION_ID};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::attending::Attending;
use crate::{
    client::{Client, ClientError, people::Speaker},
    output::escape,
    own,
};

/// Who an agent is whose client does not say what it is.
const NAMELESS: &str = "agent";
/// The longest name that the server takes.
const MAX_NAME: usize = 64;

/// Where requests come from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// One client, on standard input: the credential is this process's own.
    Own(Arc<Own>),
    /// Anybody, over HTTP: each request brings its credential. This is what a session keeps of them.
    Visitors(Arc<Attending>),
}

/// The one client of a process.
pub(crate) struct Own {
    /// The API.
    pub(crate) client: Client,
    /// The name that was chosen for a bare key.
    pub(crate) name: Option<String>,
    /// What the agent says of itself besides what it is doing.
    pub(crate) model: Option<String>,
    /// What it is there for.
    pub(crate) role: Option<String>,
    user: OnceCell<Option<User>>,
    attending: Arc<Attending>,
}

impl Own {
    /// One whose user is not known yet.
    pub(crate) fn new(client: Client, name: Option<String>, model: Option<String>, role: Option<String>) -> Self {
        Self { client, name, model, role, user: OnceCell::new(), attending: Arc::new(Attending::lasting()) }
    }

    /// The user of the session; `None` for a bare key. Asked once.
    pub(super) async fn user(&self) -> Result<Option<User>, ClientError> {
        let known = self.user.get_or_try_init(|| self.client.session_user());
        known.await.cloned()
    }
}

/// Why nobody is known to have asked.
#[derive(Debug)]
pub(super) enum NoTurn {
    /// The request came without a way to the API.
    NoDoor,
    /// The API does not say who it is.
    Client(ClientError),
}

impl From<ClientError> for NoTurn {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<NoTurn> for ErrorData {
    fn from(reason: NoTurn) -> Self {
        match reason {
            NoTurn::NoDoor => Self::internal_error("the request came by no door", None),
            NoTurn::Client(error) => refused(&error),
        }
    }
}

/// One request's caller.
pub(super) struct Turn {
    pub(super) client: Client,
    pub(super) clock: Clock,
    /// The user of a session; `None` for a bare key, which speaks under `name`.
    pub(super) user: Option<User>,
    pub(super) name: String,
    pub(super) model: Option<String>,
    pub(super) role: Option<String>,
    own: own::Own,
    attending: Option<Arc<Attending>>,
}

impl Turn {
    pub(super) async fn begin(origin: &Origin, context: &RequestContext<RoleServer>) -> Result<Self, NoTurn> {
        let client_name = context.client_info().map(|info| info.name).unwrap_or_default();
        let (client, wanted, model, role, user) = match origin {
            Origin::Own(own) => {
                let user = own.user().await?;
                (own.client.clone(), own.name.clone(), own.model.clone(), own.role.clone(), user)
            }
            Origin::Visitors(_) => {
                let parts = context.extensions.get::<Parts>().ok_or(NoTurn::NoDoor)?;
                let client = visitor(parts).ok_or(NoTurn::NoDoor)?;
                let user = client.session_user().await?;
                let said = |header| parts.headers.get(header).and_then(|value| decoded(value.as_bytes()));
                (
                    client,
                    said("x-meet-name").or_else(|| name_in_url(parts)),
                    said("x-meet-model"),
                    said("x-meet-role"),
                    user,
                )
            }
        };
        let name = name_of(user.as_ref(), wanted, &client_name);
        let client = client.speaking_as(Speaker::agent(&name));
        let attending = match origin {
            Origin::Own(own) => Some(Arc::clone(&own.attending)),
            Origin::Visitors(attending) => is_in_session(context).then(|| Arc::clone(attending)),
        };
        let own = own_of(user.as_ref(), &name);
        Ok(Self { client, clock: Clock::system(), user, name, model, role, own, attending })
    }

    /// A turn that no request asked for.
    pub(super) async fn unasked(own: &Own, client_name: &str) -> Result<Self, ClientError> {
        let user = own.user().await?;
        let name = name_of(user.as_ref(), own.name.clone(), client_name);
        let client = own.client.clone().speaking_as(Speaker::agent(&name));
        let own = own_of(user.as_ref(), &name);
        Ok(Self { client, clock: Clock::system(), user, name, model: None, role: None, own, attending: None })
    }

    /// Is seen in a room from here on, where there is something that outlasts this request.
    pub(super) fn enter(&self, room: RoomId) {
        if let Some(attending) = &self.attending {
            attending.enter(&self.client, room);
        }
    }

    /// Whether the caller itself wrote the message.
    pub(super) fn is_own(&self, message: &Message) -> bool {
        self.own.said(message)
    }
}

/// Whose messages are those of a session's user, or else of the agent of this name.
fn own_of(user: Option<&User>, name: &str) -> own::Own {
    user.map_or_else(|| own::Own::agent(name), |user| own::Own::User(user.id))
}

/// The name of a session's user, or else the one that was chosen, or else what the client calls itself.
fn name_of(user: Option<&User>, wanted: Option<String>, client_name: &str) -> String {
    let known = user.map(|user| user.name.clone());
    known.or(wanted).unwrap_or_else(|| presentable(client_name))
}

/// Whether a request over HTTP belongs to a session of the protocol; without one, nothing is kept between requests.
fn is_in_session(context: &RequestContext<RoleServer>) -> bool {
    context.extensions.get::<Parts>().is_some_and(|parts| parts.headers.contains_key(HEADER_SESSION_ID))
}

/// The API in the hands of whoever sent a request over HTTP.
fn visitor(parts: &Parts) -> Option<Client> {
    let door = parts.extensions.get::<LocalDoor>()?.clone();
    let header = parts.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (_, key) = header.split_once(' ')?;
    Some(Client::inside(door, key.trim().into()))
}

/// `?name=` of the address.
fn name_in_url(parts: &Parts) -> Option<String> {
    let query = parts.uri.query()?;
    let name = query.split('&').find_map(|pair| pair.strip_prefix("name="))?;
    decoded(name.replace('+', " ").as_bytes())
}

fn decoded(text: &[u8]) -> Option<String> {
    let text = percent_decode(text).decode_utf8().ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A name that the server takes, from what a program calls itself.
pub(super) fn presentable(name: &str) -> String {
    let kept: String = name.chars().filter(|c| c.is_alphanumeric() || " -_.".contains(*c)).take(MAX_NAME).collect();
    let kept = kept.trim();
    if kept.is_empty() { NAMELESS.to_owned() } else { kept.to_owned() }
}

/// What the API refused where the protocol has no place for a tool's answer.
pub(super) fn refused(error: &ClientError) -> ErrorData {
    let code = error.code().map(|code| Value::from(code.as_str()));
    ErrorData::invalid_request(escape(&error.to_string()), code.map(|code| serde_json::json!({ "code": code })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_lends_its_name_to_the_agent() {
        assert_eq!(presentable("claude-code"), "claude-code");
        assert_eq!(presentable(" Zoë's\u{202e}\n client/1 "), "Zoës client1");
        assert_eq!(presentable("\u{1b}[2J"), "2J");
        assert_eq!(presentable(" /// "), "agent");
        assert_eq!(presentable(&"x".repeat(200)).len(), MAX_NAME);
    }

    #[test]
    fn a_name_may_stand_in_the_address() {
        let named = |uri: &str| {
            let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
            name_in_url(&parts)
        };
        assert_eq!(named("/mcp?x=1&name=Zo%C3%AB+two").as_deref(), Some("Zoë two"));
        assert_eq!(named("/mcp?name="), None);
        assert_eq!(named("/mcp"), None);
    }
}
