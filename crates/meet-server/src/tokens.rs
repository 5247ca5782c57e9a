//! Tokens for the realtime gateway: issued for ten minutes, verified without the database, and asked of it again for
//! whoever they were issued for, because a token by itself does not know what has ended.
//!
//! It knows nothing of sockets: what a refusal means to a client is the gateway's business.

mod keys;

use std::{sync::Arc, time::Duration};

use meet_api::{Kind, Role, SessionId, TenantId, Timestamp, User, UserId, request::RealtimeToken, text::UserName};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::{Member, Proof, Who},
    error::Error,
    hub::Address,
    rooms::RoomAccess,
};

pub(crate) use keys::SigningKeys;
pub use keys::{KEYS_FILE, KeysError};

/// How long a token holds.
pub const TOKEN_LIFE: Duration = Duration::from_mins(10);

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none of this server's, or not of this kind.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over, or has not come yet.
    #[error("the token has expired")]
    Expired,
}

/// What a connection token says, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionClaims {
    /// Whom it was issued for; `None` for an anonymous one.
    pub user: Option<User>,
    /// When it ends.
    pub expires_at: Timestamp,
    issued: Option<Arc<Issued>>,
}

/// What a subscription token says, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionClaims {
    /// Whom it was issued for; `None` for nobody in particular. It must be the user of the connection.
    pub user: Option<UserId>,
    /// The one channel that it opens.
    pub channel: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// By what a connection token is known in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Issued {
    pub(crate) tenant: TenantId,
    pub(crate) generation: u64,
    pub(crate) role: Role,
    /// The session; `None` for a named user of a bare key.
    pub(crate) session: Option<SessionId>,
    pub(crate) user: User,
}

/// As whom the bearer of a bare key wants a token. A session may repeat what it is.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// The name.
    pub name: Option<UserName>,
    /// Person or program.
    pub kind: Option<Kind>,
}

/// The header that says the name.
pub const NAME_HEADER: &str = "X-Meet-Name";
/// The header that says the kind.
pub const KIND_HEADER: &str = "X-Meet-Kind";

/// The payload of a connection token. A claim that is not listed makes it invalid, and so does above all `channel`:
/// a subscription token must open no connection.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionPayload {
    sub: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

/// The payload of a subscription token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionPayload {
    sub: String,
    channel: String,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

/// What others may know of the user.
#[derive(Debug, Serialize, Deserialize)]
struct Info {
    name: String,
    kind: Kind,
}

/// What only servers know.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// `null` for a bare key; said outright, so that leaving it out gives nobody the rights of one.
    #[serde(deserialize_with = "Option::deserialize")]
    session: Option<SessionId>,
    generation: u64,
}

/// When a token that is issued now begins and ends, in seconds since 1970. The time is the one that verifies it, so that
/// a jump of the wall clock before makes its life no longer and no shorter.
fn life(now: Timestamp) -> (i64, i64) {
    let iat = now.millis().div_euclid(1000);
    (iat, iat.saturating_add(TOKEN_LIFE.as_secs().cast_signed()))
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

/// When a token ends that holds now. There is no leeway: whoever issues is whoever verifies.
fn end(exp: i64, nbf: Option<i64>, now: Timestamp) -> Result<Timestamp, TokenError> {
    let has_begun = nbf.is_none_or(|start| time(start) <= now);
    if has_begun && now < time(exp) { Ok(time(exp)) } else { Err(TokenError::Expired) }
}

impl Member {
    /// The channels that a connection of this member hears without asking for them.
    pub fn server_channels(&self, user: UserId) -> impl Iterator<Item = Address> + use<> {
        let (own, role) = (Address::user(self.tenant, user), Address::role(self.tenant, self.role));
        let org = (!self.is_guest()).then(|| Address::org(self.tenant));
        [own].into_iter().chain(org).chain([role])
    }
}

impl ConnectionPayload {
    /// What was issued; `None` for a token of nobody.
    fn issued(self) -> Result<Option<Issued>, TokenError> {
        let Self { sub, channels, info, meta, .. } = self;
        match (sub.as_str(), info, meta) {
            ("", None, None) if channels.is_empty() => Ok(None),
            (sub, Some(info), Some(meta)) => {
                let id = sub.parse().map_err(|_| TokenError::Invalid)?;
                let (tenant, role) = tenant_and_role(&channels, id).ok_or(TokenError::Invalid)?;
                // A bare key owns its tenant.
                if meta.session.is_none() && role != Role::Owner {
                    return Err(TokenError::Invalid);
                }
                let user = User { id, name: info.name, kind: info.kind };
                Ok(Some(Issued { tenant, generation: meta.generation, role, session: meta.session, user }))
            }
            _ => Err(TokenError::Invalid),
        }
    }
}

/// The tenant and the role that a token's channels name, when they are the ones of this user and no others.
fn tenant_and_role(channels: &[String], user: UserId) -> Option<(TenantId, Role)> {
    let (own, org, role) = match channels {
        [own, role] => (own, None, role),
        [own, org, role] => (own, Some(org), role),
        _ => return None,
    };
    let (tenant, role) = role.strip_prefix("role:")?.split_once(':')?;
    let (tenant, role) = (tenant.parse::<TenantId>().ok()?, Role::from_word(role)?);
    let is_whole =
        *own == Address::user(tenant, user).name() && org.is_none_or(|org| *org == Address::org(tenant).name());
    is_whole.then_some((tenant, role))
}

impl App {
    /// A connection token for whoever calls; for nobody an anonymous one, which opens public rooms.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a bare key does not say a name, [`Error::NameTaken`] when a guest has it,
    /// [`Error::Forbidden`] when a session says another than its own.
    pub async fn connection_token(&self, caller: Option<&Member>, named: Named) -> Result<RealtimeToken, Error> {
        self.confirm(caller).await?;
        let (iat, exp) = life(self.steady_now());
        let payload = match caller {
            None => ConnectionPayload {
                sub: String::new(),
                channels: Vec::new(),
                info: None,
                meta: None,
                iat,
                exp,
                nbf: None,
            },
            Some(member) => {
                let user = self.user_of(member, named).await?;
                ConnectionPayload {
                    sub: user.id.to_string(),
                    channels: member.server_channels(user.id).map(|address| address.name()).collect(),
                    info: Some(Info { name: user.name, kind: user.kind }),
                    meta: Some(Meta { session: member.session, generation: member.generation }),
                    iat,
                    exp,
                    nbf: None,
                }
            }
        };
        issue(self.signing_keys().connection.sign(&payload), exp)
    }

    /// A subscription token for a room that the caller reaches.
    ///
    /// # Errors
    /// As [`App::connection_token`].
    pub async fn subscription_token(
        &self,
        caller: Option<&Member>,
        named: Named,
        room: &RoomAccess,
    ) -> Result<RealtimeToken, Error> {
        let sub = match caller {
            None => String::new(),
            Some(member) => self.user_of(member, named).await?.id.to_string(),
        };
        let (iat, exp) = life(self.steady_now());
        let payload = SubscriptionPayload { sub, channel: room.address().name(), iat, exp, nbf: None };
        issue(self.signing_keys().subscription.sign(&payload), exp)
    }

    /// The user that a member is: a session's own, or the one that a bare key names.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a bare key names none, [`Error::NameTaken`] when a guest has the name,
    /// [`Error::Forbidden`] when a session names another than its own.
    pub(crate) async fn user_of(&self, member: &Member, named: Named) -> Result<User, Error> {
        match &member.who {
            Who::Key => {
                let name = named.name.ok_or_else(|| {
                    Error::Invalid(format!(
                        "{NAME_HEADER} is required with an API key: it says for whom of its users this is"
                    ))
                })?;
                self.named_user(member, name, named.kind.unwrap_or(Kind::Human)).await
            }
            Who::User(user) => {
                let is_own = named.name.is_none_or(|name| name.folded() == meet_api::text::fold(&user.name));
                if is_own && named.kind.is_none_or(|kind| kind == user.kind) {
                    Ok(user.clone())
                } else {
                    Err(Error::Forbidden("a session speaks as itself: leave X-Meet-Name and X-Meet-Kind out"))
                }
            }
        }
    }

    /// Whom a connection token was issued for, if it is one of this server's and its time has not passed. What has
    /// ended since is for [`App::member_of_token`] to find.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify_connection_token(&self, token: &str) -> Result<ConnectionClaims, TokenError> {
        let payload: ConnectionPayload = self.signing_keys().connection.read(token)?;
        let (exp, nbf) = (payload.exp, payload.nbf);
        let issued = payload.issued()?;
        let user = issued.as_ref().map(|issued| issued.user.clone());
        let expires_at = end(exp, nbf, self.steady_now())?;
        Ok(ConnectionClaims { user, expires_at, issued: issued.map(Arc::new) })
    }

    /// Which channel a subscription token opens for whom. Whether they still may is for the room to say.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify_subscription_token(&self, token: &str) -> Result<SubscriptionClaims, TokenError> {
        let SubscriptionPayload { sub, channel, exp, nbf, .. } = self.signing_keys().subscription.read(token)?;
        let user = match sub.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| TokenError::Invalid)?),
        };
        Ok(SubscriptionClaims { user, channel, expires_at: end(exp, nbf, self.steady_now())? })
    }

    /// The member that a connection token stands for, as the store has it; `None` for an anonymous one.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when it has ended: the session is over, or the key was rotated or deleted.
    pub async fn member_of_token(&self, claims: &ConnectionClaims) -> Result<Option<Member>, Error> {
        match &claims.issued {
            None => Ok(None),
            Some(issued) => self.member_by(Proof::Issued(Arc::clone(issued))).await.map(Some),
        }
    }

    /// Looks into the store for whom a token was issued for; `None` when that has ended, or is not what it was.
    pub(crate) async fn look_up_issued(&self, issued: &Arc<Issued>) -> Result<Option<Member>, Error> {
        let Issued { tenant, generation, role, session, user } = &**issued;
        let Some(session) = session else {
            let tenant = self.store().tenant_of_user(*tenant, *generation, user.id).await?;
            return Ok(tenant.map(|tenant| Member::of_named_user(&tenant, issued)));
        };
        let Some(found) = self.store().session(*session, self.steady_now()).await? else { return Ok(None) };
        let member = Member::of_session_by(&found, Proof::Issued(Arc::clone(issued)));
        // For another tenant it was issued to the guest that the session is there.
        let granted = found.grants.iter().find(|grant| grant.tenant.id == *tenant).map(|grant| grant.room);
        let member = granted.map_or_else(|| member.clone(), |room| member.clone().within(room));
        let is_same = member.tenant == *tenant
            && member.generation == *generation
            && member.role == *role
            && member.user().is_some_and(|own| own.id == user.id);
        Ok(is_same.then_some(member))
    }
}

fn issue(signed: Option<String>, exp: i64) -> Result<RealtimeToken, Error> {
    let token = signed.ok_or(Error::Unavailable("the token could not be signed"))?;
    Ok(RealtimeToken { token, expires_at: time(exp) })
}
