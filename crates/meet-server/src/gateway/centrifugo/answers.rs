//! What a client may have: each question of its session, answered by the same operations as any other caller's.

use std::collections::BTreeMap;

use bytes::Bytes;
use meet_api::{
    Message, RoomId, UserId,
    frame::{ClientMessage, UserEvent},
    text::ClientId,
};
use meet_centrifuge::{
    code::{DisconnectCode, ErrorCode},
    message::{ClientInfo, Error as Refused, Publication},
    session::{Answer, Ask, Connected, History, Position, Subscribed},
};
use meet_store::Page;

use crate::{
    app::App,
    auth::{Member, Who},
    error::Error,
    hub::{Address, Channel, Named, Standing, client_info, json, message_publication},
    rooms::RoomAccess,
    tokens::{ConnectionClaims, SubscriptionClaims, TokenError},
};

use super::client::Peer;

/// How many messages a client may have missed and still get them: the first ones with its subscription, the rest as
/// publications behind it.
const MAX_MISSED: u64 = 10_000;
/// How many of them come with the subscription.
const MAX_RECOVERED: u64 = 300;
/// The most bytes of them: SDKs wait five seconds for a subscription and begin anew when it does not come, so that a
/// slow line must bring it in less.
const RECOVERED_BYTES: usize = 64 * 1024;
/// The most bytes of messages in an answer to `history`: clients commonly take frames of up to 1 MiB.
const HISTORY_BYTES: usize = 512 * 1024;
/// How many messages are read from the store at a time.
const PAGE: u32 = 100;

/// What is said of users who are not there, and of those who are none of the client's business.
const NO_SUCH_USER: &str = "there is no such user for you";

/// Why a question is not answered as its client hoped.
enum Refusal {
    Error(Refused),
    End(DisconnectCode),
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

impl From<DisconnectCode> for Refusal {
    fn from(code: DisconnectCode) -> Self {
        Self::End(code)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Error(error) => Self::Refused(error),
            Refusal::End(code) => code.into(),
        }
    }
}

/// An error of ours in the protocol's words. What the protocol has no number for keeps the one that it has over HTTP,
/// which lies in the range left to applications.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let refused = |code: ErrorCode| Refused { message: error.to_string(), ..code.into() };
        let own = |code| Refused { code, message: error.to_string(), temporary: false };
        Self::Error(match &error {
            Error::InvalidKey => return Self::End(DisconnectCode::InvalidToken),
            Error::RoomNotFound | Error::MissingKey | Error::Expired | Error::ReadOnly | Error::Forbidden(_) => {
                refused(ErrorCode::PermissionDenied)
            }
            Error::RateLimited(_) => refused(ErrorCode::TooManyRequests),
            Error::Invalid(_) | Error::UnknownCursor(_) | Error::TooLarge(_) | Error::Text(_) => {
                refused(ErrorCode::BadRequest)
            }
            Error::IdempotencyConflict | Error::NameTaken(_) | Error::RoomFull | Error::Stopped(..) => own(409),
            Error::QuotaExceeded | Error::DiskFull => own(507),
            other => {
                tracing::warn!(
                    error = other as &dyn std::error::Error,
                    "a client of the gateway could not be answered"
                );
                refused(ErrorCode::Internal)
            }
        })
    }
}

/// A refusal for want of a right, with what would help.
fn denied(sentence: &str) -> Refusal {
    Refusal::Error(Refused { message: sentence.to_owned(), ..ErrorCode::PermissionDenied.into() })
}

/// Where a part of a room's history is read from.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Behind this offset, oldest first.
    On(u64),
    /// Before this offset, newest first.
    Back(u64),
}

impl Peer {
    /// Answers what the session asks.
    pub(super) async fn decide(&mut self, ask: Ask) -> Answer {
        let answer = match ask {
            Ask::Connect { token, .. } => self.connect(&token).await.map(Answer::Connected),
            Ask::Subscribe { channel, token, since, .. } => {
                self.subscribe(channel, &token, since).await.map(Answer::Subscribed)
            }
            Ask::Publish { channel, data } => self.publish(&channel, &data).await.map(|()| Answer::Done),
            Ask::Presence { channel } => self.presence(&channel).await.map(Answer::Presence),
            Ask::PresenceStats { channel } => self.presence_stats(&channel).await,
            Ask::History { channel, limit, since, reverse } => {
                self.history(&channel, limit, since, reverse).await.map(Answer::History)
            }
            Ask::Rpc { .. } => Err(ErrorCode::NotAvailable.into()),
            Ask::Send { .. } => Err(DisconnectCode::NotAvailable.into()),
            Ask::Refresh { token } => self.refresh(&token).await,
            Ask::SubRefresh { channel, token } => self.sub_refresh(&channel, &token).await,
        };
        answer.unwrap_or_else(Into::into)
    }

    /// The user behind the connection.
    fn user(&self) -> Option<UserId> {
        self.member.as_ref().and_then(Member::user).map(|user| user.id)
    }

    async fn connect(&mut self, token: &str) -> Result<Connected, Refusal> {
        if token.is_empty() {
            return Err(DisconnectCode::BadRequest.into());
        }
        let claims = self.app.verify_connection_token(token).map_err(|error| match error {
            TokenError::Expired => Refusal::from(ErrorCode::TokenExpired),
            TokenError::Invalid => DisconnectCode::InvalidToken.into(),
        })?;
        let member = self.app.member_of_token(&claims).await?;
        let mut subscriptions = BTreeMap::new();
        if let Some(member) = &member {
            let user = member.user().map(|user| user.id);
            let place = self.slot.claim(Some(member.tenant), user, self.app.slot_caps());
            place.map_err(|_| Refusal::from(DisconnectCode::ConnectionLimit))?;
            self.connection.identify(member.credential());
            for (address, standing) in server_side(member) {
                let place = (address, standing, false);
                let subscription = self.app.listen(Some(member), &self.connection, place).await?;
                let data = match address.channel {
                    Channel::User(user) => {
                        let chosen = self.app.own_choice(member.tenant, user).await?;
                        json(&UserEvent::Status { status: chosen.status, about: chosen.said() })
                    }
                    _ => Bytes::new(),
                };
                subscriptions.insert(address.name(), Subscribed { data, ..Subscribed::default() });
                self.keep(address, address.name(), subscription);
            }
        }
        self.member = member;
        Ok(Connected { ttl: Some(self.ttl(claims.expires_at)), data: Bytes::new(), subscriptions })
    }

    /// In how many seconds something ends; at least one, because none would be for ever.
    fn ttl(&self, end: meet_api::Timestamp) -> u32 {
        let left = end.since(self.app.steady_now()).as_secs();
        u32::try_from(left).unwrap_or(u32::MAX).max(1)
    }

    async fn subscribe(
        &mut self,
        channel: String,
        token: &str,
        since: Option<Position>,
    ) -> Result<Subscribed, Refusal> {
        match Named::parse(&channel) {
            None => Err(ErrorCode::UnknownChannel.into()),
            Some(Named::ServerSide) => Err(denied("the server alone subscribes clients to this channel")),
            Some(Named::Nobody) => Err(denied("what stands behind the colon is no id")),
            Some(Named::Status(user)) => self.watch(user, channel).await,
            Some(Named::Chat(room)) => {
                let claims = self.admit(&channel, token, |error| match error {
                    TokenError::Expired => ErrorCode::TokenExpired.into(),
                    TokenError::Invalid => denied("bring a token of POST /api/rooms/{id}/subscribe-token"),
                })?;
                self.enter(room, channel, &claims, since).await
            }
        }
    }

    /// Begins to listen to somebody's status, by the same rule that holds for asking for it.
    async fn watch(&mut self, user: UserId, channel: String) -> Result<Subscribed, Refusal> {
        let member = self.member.clone().ok_or(ErrorCode::PermissionDenied)?;
        if !self.app.may_see_status(&member, user).await? {
            return Err(denied(NO_SUCH_USER));
        }
        let address = Address::status(member.tenant, user);
        let place = (address, Standing::Unseen, false);
        let subscription = self.app.listen(Some(&member), &self.connection, place).await?;
        // Whoever left the shared room before is noticed here, and from here on by what is published.
        if !self.app.may_see_status(&member, user).await? {
            return Err(denied(NO_SUCH_USER));
        }
        self.keep(address, channel, subscription);
        let data = json(&self.app.status_of(member.tenant, user));
        Ok(Subscribed { ttl: None, data, history: None })
    }

    /// Verifies a subscription token for this connection and channel.
    fn admit(
        &self,
        channel: &str,
        token: &str,
        refuse: impl FnOnce(TokenError) -> Refusal,
    ) -> Result<SubscriptionClaims, Refusal> {
        let claims = self.app.verify_subscription_token(token).map_err(refuse)?;
        // A token that is ours and speaks of somebody or something else was not given to this client for this.
        if claims.channel != channel || claims.user != self.user() {
            return Err(DisconnectCode::InvalidToken.into());
        }
        Ok(claims)
    }

    /// Begins to listen to a room, then reads what the client missed, so that nothing lies between the two.
    async fn enter(
        &mut self,
        room: RoomId,
        channel: String,
        claims: &SubscriptionClaims,
        since: Option<Position>,
    ) -> Result<Subscribed, Refusal> {
        let access = self.app.room(self.member.as_ref(), room).await?;
        let standing = match self.member.as_ref().map(|member| &member.who) {
            Some(Who::User(user)) if !access.is_foreign() => Standing::Present(user.clone()),
            _ => Standing::Watching,
        };
        let address = access.address();
        let place = (address, standing, access.is_foreign());
        let subscription = self.app.listen(self.member.as_ref(), &self.connection, place).await?;
        let access = self.app.room(self.member.as_ref(), room).await?;
        let history = self.app.missed(&access, since).await?;
        self.keep(address, channel, subscription);
        if history.top < access.room.head_seq {
            self.note_behind(address);
        }
        Ok(Subscribed { ttl: Some(self.ttl(claims.expires_at)), data: Bytes::new(), history: Some(history) })
    }

    /// Stores what the client says; the same operation as a POST.
    async fn publish(&self, channel: &str, data: &[u8]) -> Result<(), Refusal> {
        let access = self.room_of(channel, ErrorCode::PermissionDenied).await?;
        let member = self.member.as_ref().ok_or(Error::ReadOnly)?;
        let writer = access.writer()?;
        let said: ClientMessage = serde_json::from_slice(data)
            .map_err(|error| Error::Invalid(format!("the data is not what it should be: {error}")))?;
        let client_id = said.client_id.as_deref().map(|id| ClientId::parse("client_id", id)).transpose();
        let client_id = client_id.map_err(Error::from)?;
        self.app.send_message(member, &writer, said.message, client_id).await?;
        Ok(())
    }

    /// The room that a channel names, as far as this client reaches; other channels do not have what is asked for.
    async fn room_of(&self, channel: &str, otherwise: ErrorCode) -> Result<RoomAccess, Refusal> {
        match Named::parse(channel) {
            Some(Named::Chat(room)) => Ok(self.app.room(self.member.as_ref(), room).await?),
            Some(Named::Nobody) => Err(ErrorCode::PermissionDenied.into()),
            Some(Named::Status(_) | Named::ServerSide) => Err(otherwise.into()),
            None => Err(ErrorCode::UnknownChannel.into()),
        }
    }

    async fn presence(&self, channel: &str) -> Result<BTreeMap<String, ClientInfo>, Refusal> {
        let access = self.room_of(channel, ErrorCode::NotAvailable).await?;
        let present = self.app.hub().present_connections(access.address());
        let shown = present.into_iter().map(|(client, member)| {
            (client.to_string(), client_info(&member.user.to_string(), client, &member.name, member.kind))
        });
        Ok(shown.collect())
    }

    async fn presence_stats(&self, channel: &str) -> Result<Answer, Refusal> {
        let access = self.room_of(channel, ErrorCode::NotAvailable).await?;
        let (clients, users) = self.app.hub().present_numbers(access.address());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Answer::PresenceStats { clients: number(clients), users: number(users) })
    }

    async fn history(&self, channel: &str, limit: u32, since: Option<u64>, reverse: bool) -> Result<History, Refusal> {
        let access = self.room_of(channel, ErrorCode::NotAvailable).await?;
        let way = match (since, reverse) {
            (since, false) => Way::On(since.unwrap_or(0)),
            (since, true) => Way::Back(since.unwrap_or(u64::MAX)),
        };
        Ok(self.app.publications(&access, way, (limit.into(), HISTORY_BYTES)).await?)
    }

    async fn refresh(&mut self, token: &str) -> Result<Answer, Refusal> {
        let claims = self.app.verify_connection_token(token).map_err(|error| match error {
            TokenError::Expired => DisconnectCode::Expired,
            TokenError::Invalid => DisconnectCode::InvalidToken,
        })?;
        let ConnectionClaims { user, expires_at, .. } = &claims;
        if user.as_ref().map(|user| user.id) != self.user() {
            return Err(DisconnectCode::InvalidToken.into());
        }
        let (ttl, member) = (self.ttl(*expires_at), self.app.member_of_token(&claims).await?);
        if let (Some(old), Some(new)) = (&self.member, &member) {
            if server_side(old).map(|(address, _)| address).ne(server_side(new).map(|(address, _)| address)) {
                // What it hears unasked has changed, and only connecting tells a client of that.
                return Err(DisconnectCode::ForceReconnect.into());
            }
            self.connection.identify(new.credential());
        }
        self.member = member;
        // What ended before the connection stood under the new credential is noticed here, and from here on by the hub.
        self.app.confirm(self.member.as_ref()).await?;
        Ok(Answer::Refreshed { ttl: Some(ttl) })
    }

    async fn sub_refresh(&self, channel: &str, token: &str) -> Result<Answer, Refusal> {
        let claims = self.admit(channel, token, |error| match error {
            TokenError::Expired => DisconnectCode::SubscriptionExpired.into(),
            TokenError::Invalid => DisconnectCode::InvalidToken.into(),
        })?;
        self.room_of(channel, ErrorCode::PermissionDenied).await?;
        Ok(Answer::Refreshed { ttl: Some(self.ttl(claims.expires_at)) })
    }
}

/// What a member hears without asking, and how it stands there. Its own channel also says that it is connected.
fn server_side(member: &Member) -> impl Iterator<Item = (Address, Standing)> {
    member.user().into_iter().flat_map(|user| {
        member.server_channels(user.id).map(|address| match address.channel {
            Channel::User(_) => (address, Standing::Present(user.clone())),
            _ => (address, Standing::Unseen),
        })
    })
}

impl App {
    /// What a client missed behind `since`, as much as fits into a reply: the history then ends there, and the rest is to
    /// follow. Nothing when it asks for nothing, or for too much.
    async fn missed(&self, access: &RoomAccess, since: Option<Position>) -> Result<History, Error> {
        let RoomAccess { room, .. } = access;
        let (epoch, head) = (&room.epoch, room.head_seq);
        // What lies before the floor is not for this client, so nothing goes on from there.
        let since = since.filter(|since| since.offset >= access.floor);
        let since = since.filter(|since| since.epoch.is_empty() || since.epoch == *epoch);
        match since.and_then(|since| Some((since.offset, head.checked_sub(since.offset)?))) {
            Some((after, 1..=MAX_MISSED)) => {
                let mut history = self.publications(access, Way::On(after), (MAX_RECOVERED, RECOVERED_BYTES)).await?;
                history.top = history.publications.last().map_or(history.top, |last| last.offset);
                Ok(history)
            }
            _ => Ok(History { epoch: epoch.clone(), top: head, publications: Vec::new() }),
        }
    }

    /// A part of a room's history as publications, with its newest offset: at most so many, and fewer when they would
    /// take more than so many bytes.
    async fn publications(
        &self,
        access: &RoomAccess,
        way: Way,
        (limit, max_bytes): (u64, usize),
    ) -> Result<History, Error> {
        let RoomAccess { tenant, room, floor, .. } = access;
        let mut history = History { epoch: room.epoch.clone(), top: room.head_seq, publications: Vec::new() };
        let mut page = match way {
            Way::On(after) => Page::After(after.max(*floor)),
            Way::Back(before) => Page::Before(before.min(room.head_seq + 1)),
        };
        let mut bytes = 0;
        loop {
            let left = limit.saturating_sub(history.publications.len() as u64);
            let ask = PAGE.min(u32::try_from(left).unwrap_or(PAGE));
            if ask == 0 {
                return Ok(history);
            }
            let mut messages = self.store().history(*tenant, room.id, page, ask).await?;
            let is_last = messages.len() < ask as usize;
            if matches!(way, Way::Back(_)) {
                messages.reverse();
            }
            // The right was checked for what lies between these two.
            for message in messages.iter().filter(|message| message.seq > *floor && message.seq <= room.head_seq) {
                let publication: Publication = message_publication(message);
                bytes += publication.data.len();
                if bytes > max_bytes && !history.publications.is_empty() {
                    return Ok(history);
                }
                history.publications.push(publication);
            }
            let goes_on = |last: &&Message| !is_last && last.seq > *floor && last.seq < room.head_seq;
            let Some(last) = messages.last().filter(goes_on) else { return Ok(history) };
            page = match way {
                Way::On(_) => Page::After(last.seq),
                Way::Back(_) => Page::Before(last.seq),
            };
        }
    }
}
