//! Rooms without an owner: whoever says a name is in the call of that name, and in its chat, for two hours.
//!
//! Each incarnation of a name is a tenant and a room of its own, so nobody ever sees what an earlier group said. One
//! caller at a time makes, changes or ends the room of a name.

use std::{net::IpAddr, time::Duration};

use meet_api::{
    Kind, Media, RoomId, SessionId, TenantId, UserId, Visibility,
    request::{CallToken, NewCallToken},
    text::{RoomName, TextError, UserName},
};
use meet_store::{
    Admission, Admitted, Entry, GuestSeat, KnownUser, NewQuickRoom, NewRoom, NewTenant, NewUser, OpenedQuick,
    QuickRoom, StoredRoom, TenantKind,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    app::App,
    auth::Member,
    calls::{Entered, Entering, Own, TRIES, in_time, publishing_in},
    conference::{Conference, MeetingId},
    error::{Error, Window},
    hub::{Address, CloseReason},
    limits::{Bucket, Subject},
    secret, turnstile,
};

/// The most characters of a room's name.
const MAX_ROOM: usize = 64;
/// The most characters of a visitor's name.
const MAX_NAME: usize = 32;
/// For how long a browser without a login is known after it came into a room by a name; until the room's end in any case.
const VISITOR_LIFE: Duration = Duration::from_hours(24);
/// How many rooms that have ended are put away at a time.
const PAGE: u32 = 100;

/// Whoever asks for a way into a room without an owner.
pub struct Visitor {
    /// Its address.
    pub ip: IpAddr,
    /// The host of the page that it comes from.
    pub hostname: String,
    /// Whether that page is this server's own.
    pub is_own_page: bool,
    /// Who it is here already.
    pub member: Option<Member>,
}

/// By what somebody is in the room's chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The session that it has, whatever else that may do.
    Own(SessionId),
    /// A new session in its cookie.
    Cookie,
    /// A new session whose token it is given.
    Token,
}

impl Visitor {
    /// By what it will be in the chat of a room of this tenant. A browser that shows a key keeps the cookie that it has.
    fn pass(&self, tenant: TenantId) -> Pass {
        match &self.member {
            Some(Member { session: Some(session), tenant: own, .. }) if self.is_own_page || *own == tenant => {
                Pass::Own(*session)
            }
            None if self.is_own_page => Pass::Cookie,
            _ => Pass::Token,
        }
    }

    /// The guest that it is already in a room of this tenant.
    fn guest_of(&self, room: RoomId, tenant: TenantId) -> Option<UserId> {
        let member = self.member.clone()?.within(room);
        member.user().filter(|_| member.tenant == tenant).map(|user| user.id)
    }
}

/// The way in.
pub struct LetIn {
    /// The answer.
    pub token: CallToken,
    /// A new session, for the cookie of a browser that had none.
    pub session: Option<SecretString>,
}

impl App {
    /// Counts a request for a call's token against its address.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub fn count_call_token(&self, ip: IpAddr) -> Result<Option<Window>, Error> {
        let limit = self.config().limits.tokens_per_minute_per_ip;
        let counted =
            self.limits().windows.take(Bucket::QuickTokens, Subject::network(ip), limit, self.clock().monotonic())?;
        Ok(counted.map(|counted| counted.window))
    }

    /// Lets a visitor into the room of a name, which is made if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Forbidden`] for what Turnstile does not vouch for, [`Error::Expired`] once for a
    /// room that has ended since it was entered last, [`Error::Full`], [`Error::ProviderFailed`],
    /// [`Error::ConferenceUnavailable`].
    pub async fn call_token(&self, visitor: &Visitor, body: NewCallToken) -> Result<LetIn, Error> {
        let (Some(room), Some(name)) = (filled(body.room.as_deref()), filled(body.name.as_deref())) else {
            return Err(Error::Invalid("room and name required".into()));
        };
        let (room, name) = names(room, name)?;
        let conference = self.conference()?;
        self.refuse_when_disk_is_full()?;
        self.vouch_for(visitor, body.turnstile_token.as_deref()).await?;
        let wanted = body.media.unwrap_or(Media::Audio);
        let stored = self.quick_room(conference, &room, wanted, body.enable_bot == Some(true)).await?;
        let type_conflict = wanted == Media::Audio && stored.room.media == Media::Screenshare;
        let let_in = self.let_visitor_in(conference, visitor, &stored, &name).await;
        if matches!(let_in, Err(Error::Expired)) {
            self.free_name(&room, &stored).await?;
        }
        let (entered, pass, session) = let_in?;
        let (chat_token, session) = match pass {
            Pass::Token => (session.map(|token| token.expose_secret().to_owned()), None),
            Pass::Cookie | Pass::Own(_) => (None, session),
        };
        let token = CallToken {
            auth_token: entered.grant.token.expose_secret().to_owned(),
            room_type: stored.room.media,
            type_conflict,
            bot_enabled: stored.room.bot_enabled,
            room_id: stored.room.id,
            ends_at: stored.room.expires_at.unwrap_or_else(|| self.clock().now()),
            chat_token,
        };
        Ok(LetIn { token, session })
    }

    async fn vouch_for(&self, visitor: &Visitor, token: Option<&str>) -> Result<(), Error> {
        let Some(turnstile) = self.turnstile() else { return Ok(()) };
        let token = filled(token).ok_or(Error::Forbidden("Turnstile verification required"))?;
        let vouched = turnstile.verify(token, visitor.ip, &visitor.hostname, self.clock().uuid()).await;
        vouched.map_err(|reason: turnstile::Refused| {
            tracing::info!(error = &reason as &dyn std::error::Error, "Turnstile vouched for nobody");
            Error::Forbidden("Turnstile verification failed")
        })
    }

    /// The live room of a name, with what this caller asks of it.
    async fn quick_room(
        &self,
        conference: &Conference,
        name: &RoomName,
        wanted: Media,
        bot: bool,
    ) -> Result<StoredRoom, Error> {
        let _turn = in_time(self.calls().names.of(name.as_str().to_owned())).await?;
        let now = self.steady_now();
        let Some(found) = self.store().quick_room(name.as_str()).await? else {
            return self.make_quick_room(conference, name, wanted, bot).await;
        };
        if found.ended_at.is_some() {
            if self.store().take_tombstone(name.as_str(), now).await? {
                return Err(Error::Expired);
            }
            return self.make_quick_room(conference, name, wanted, bot).await;
        }
        if found.ends_at <= now {
            // Whoever is told now is the one who has to be told, when the meeting is closed if that can be.
            let meeting = self.store().open_meeting_of(found.room_id).await?.and_then(|meeting| meeting.meeting);
            self.end_quick_room(found.tenant, found.room_id, false).await?;
            if let Some(meeting) = meeting {
                self.close_call(conference, found.room_id, &MeetingId(meeting)).await;
            }
            return Err(Error::Expired);
        }
        let is_screenshare = wanted == Media::Screenshare;
        if let Some(stored) = found.room
            && (!is_screenshare || stored.room.media == Media::Screenshare)
            && (!bot || stored.room.bot_enabled)
        {
            return Ok(stored);
        }
        let changed = self.store().negotiate(found.tenant, found.room_id, is_screenshare, bot).await?;
        self.hub().mark_changed(Address::chat(found.tenant, found.room_id));
        changed.ok_or(Error::Expired)
    }

    async fn make_quick_room(
        &self,
        conference: &Conference,
        name: &RoomName,
        media: Media,
        bot: bool,
    ) -> Result<StoredRoom, Error> {
        let now = self.steady_now();
        let settings = &self.config().quick_rooms;
        let ends_at = now.plus(Duration::from_secs(settings.max_age_seconds));
        let new = NewQuickRoom {
            name: name.as_str().to_owned(),
            tenant: NewTenant {
                id: TenantId::from_uuid(self.clock().uuid()),
                kind: TenantKind::Quick,
                key: None,
                created_at: now,
            },
            room: NewRoom {
                id: RoomId::from_uuid(self.clock().uuid()),
                name: name.clone(),
                visibility: Visibility::Private,
                media,
                bot_enabled: bot,
                listed: false,
                epoch: secret::new_epoch(self.clock()),
                created_at: now,
                expires_at: Some(ends_at),
                agent_budget: self.config().limits.agent_budget,
                agent_share: self.config().limits.agent_share,
            },
        };
        let stored = match self.store().open_quick_room(new, settings.max_rooms).await? {
            OpenedQuick::Room(stored) => *stored,
            OpenedQuick::Full => return Err(Error::Full("this server holds as many call rooms as it may")),
            OpenedQuick::Taken => return Err(Error::Unavailable("the room is being made; try again in a moment")),
        };
        // A name is not to be taken for hours by a room that never had a call.
        if let Err(error) = self.open_call(conference, stored.tenant, stored.room.id).await {
            self.end_quick_room(stored.tenant, stored.room.id, false).await?;
            return Err(error);
        }
        Ok(stored)
    }

    /// Gets a visitor a token, and has it be a guest of the room's chat: by the session that it has, or by a new one, whose
    /// token is given.
    async fn let_visitor_in(
        &self,
        conference: &Conference,
        visitor: &Visitor,
        stored: &StoredRoom,
        name: &UserName,
    ) -> Result<(Entered, Pass, Option<SecretString>), Error> {
        let (tenant, room) = (stored.tenant, &stored.room);
        let mut pass = visitor.pass(tenant);
        for _ in 0..TRIES {
            let own = match pass {
                Pass::Own(session) => {
                    visitor.guest_of(room.id, tenant).map(|user| Own { user, session: Some(session) })
                }
                Pass::Cookie | Pass::Token => None,
            };
            let entering = Entering {
                tenant,
                room,
                name: name.as_str(),
                kind: Kind::Human,
                publishing: publishing_in(room.media),
                own,
                most: self.config().quick_rooms.max_participants,
            };
            let entered = self.enter(conference, &entering).await;
            let entered =
                entered.map_err(|error| if matches!(error, Error::RoomNotFound) { Error::Expired } else { error })?;
            let token = secret::new_session(self.clock());
            let admitted = self.store().admit(self.admission(pass, stored, name, &entered, &token)).await;
            if let Ok(Admitted::In { user, session }) = &admitted {
                // What was remembered of it does not know the room.
                self.remembered().forget_session(session.id);
                let known = KnownUser { id: user.id, folded: name.folded(), rooms: Some(vec![room.id]) };
                self.directory().add(tenant, known);
                return Ok((entered, pass, (!matches!(pass, Pass::Own(_))).then_some(token)));
            }
            self.leave_again(conference, entering.address(), &entered).await;
            admitted?;
            let now = self.steady_now();
            let is_over = |found: &StoredRoom| found.room.expires_at.is_some_and(|end| end <= now);
            if self.store().room(tenant, room.id).await?.as_ref().is_none_or(is_over) {
                return Err(Error::Expired);
            }
            // Perhaps its session has just ended, without which it is a visitor like others; or only the meeting has.
            if let Pass::Own(session) = pass
                && self.store().session(session, now).await?.is_none()
            {
                pass = if visitor.is_own_page { Pass::Cookie } else { Pass::Token };
            }
        }
        Err(Error::Unavailable("the call is being opened; try again in a moment"))
    }

    /// What is recorded of somebody who was let in.
    fn admission(
        &self,
        pass: Pass,
        stored: &StoredRoom,
        name: &UserName,
        entered: &Entered,
        token: &SecretString,
    ) -> Admission {
        let now = self.clock().now();
        let expires_at = stored.room.expires_at.unwrap_or(now);
        let visitor_until = now.plus(VISITOR_LIFE).max(expires_at);
        let (id, digest) = (SessionId::from_uuid(self.clock().uuid()), secret::digest(token.expose_secret()));
        let entry = match pass {
            Pass::Own(session) => Entry::Grant { session, visitor_until },
            Pass::Cookie => Entry::Visitor {
                session: id,
                digest,
                expires_at: visitor_until,
                tenant: TenantId::from_uuid(self.clock().uuid()),
                user: self.new_user_id(),
            },
            Pass::Token => Entry::Session { id, digest },
        };
        Admission {
            tenant: stored.tenant,
            room: stored.room.id,
            user: NewUser { id: self.new_user_id(), name: name.clone(), kind: Kind::Human },
            seat: GuestSeat {
                identity: entered.seat.identity.clone(),
                reference: entered.reference.clone(),
                known_as: entered.seat.known_as.clone(),
                expires_at: entered.grant.expires_at,
            },
            entry,
            now: self.steady_now(),
            expires_at,
        }
    }

    /// Ends a room without an owner: its chat, and whoever is in it. Its meeting is closed by its record.
    async fn end_quick_room(&self, tenant: TenantId, room: RoomId, tombstone: bool) -> Result<(), Error> {
        self.store().end_quick_room(tenant, self.steady_now(), tombstone).await?;
        self.store().end_meetings(self.steady_now()).await?;
        self.hub().end_call(Address::chat(tenant, room));
        self.hub().close_tenant(tenant, CloseReason::RoomGone);
        self.end_credential(tenant, None);
        self.wake_purger();
        Ok(())
    }

    /// Frees the name of a room whose end is being told: it ended while somebody came, who is the one that had to be told.
    async fn free_name(&self, name: &RoomName, told: &StoredRoom) -> Result<(), Error> {
        let _turn = self.calls().names.of(name.as_str().to_owned()).await;
        match self.store().quick_room(name.as_str()).await? {
            Some(found) if found.room_id != told.room.id => Ok(()),
            Some(QuickRoom { ended_at: None, .. }) => self.end_quick_room(told.tenant, told.room.id, false).await,
            Some(_) => Ok(self.store().take_tombstone(name.as_str(), self.steady_now()).await.map(drop)?),
            None => Ok(()),
        }
    }

    /// Ends the rooms without an owner whose time is over. One whose name somebody is at is left to it, or to the next
    /// time.
    pub(crate) async fn end_quick_rooms(&self) -> Result<(), Error> {
        loop {
            let over = self.store().quick_rooms_that_ended(self.steady_now(), PAGE).await?;
            let (found, mut ended) = (over.len(), 0);
            for (tenant, room, name) in over {
                let Some(_turn) = self.calls().names.try_of(name.clone()) else { continue };
                // Somebody may have been told just now, and have made another one.
                let found = self.store().quick_room(name).await?;
                if found.is_some_and(|found| found.room_id == room && found.ended_at.is_none()) {
                    self.end_quick_room(tenant, room, true).await?;
                    ended += 1;
                }
            }
            if found < PAGE as usize || ended == 0 {
                return Ok(());
            }
        }
    }
}

/// The room's name and the visitor's, by their rules.
fn names(room: &str, name: &str) -> Result<(RoomName, UserName), Error> {
    let is_over = |text: &str, most: usize| text.chars().nth(most).is_some();
    if is_over(room, MAX_ROOM) || is_over(name, MAX_NAME) {
        return Err(Error::Invalid("input too long".into()));
    }
    let blank = |error| match error {
        TextError::Empty { .. } => Error::Invalid("room and name must not be blank".into()),
        // The rule is that of every room's name, and here the field is called otherwise.
        TextError::Forbidden { what, .. } => Error::Invalid(format!("room and name must not contain {what}")),
        error => error.into(),
    };
    Ok((RoomName::parse(room).map_err(blank)?, UserName::parse("name", name).map_err(blank)?))
}

/// A text that says something; a text of blanks is for the rules of names.
fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
