//! Calls: which meeting at the conference's provider is a room's, and who is let into it.
//!
//! The store holds a record of every meeting from before it is opened until after it is closed, and of everybody who was
//! let in, so that what the provider has and what we know can be made one again after whatever went wrong between the
//! two; [`keeping`] does that, and [`events`] takes what the provider tells. Nothing here speaks a provider's protocol.

mod activity;
mod events;
mod keeping;

use std::{sync::Mutex, time::Duration};

use meet_api::{
    Call, Kind, Media, Role, Room, RoomId, TenantId, UserId,
    request::{ConferenceConfig, RealtimeToken},
};
use meet_store::{Begun, Meeting, NewSeat, StoredSeat};
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::{
    app::App,
    auth::Member,
    conference::{Conference, Failure, Fake, Grant, Joining, MeetingId, Opening, Publishing, Seat},
    error::Error,
    hub::Address,
    limits::{Bucket, Subject},
    rooms::RoomAccess,
    secret,
    tokens::Named,
    turns::Turns,
};

pub(crate) use activity::Activity;
use events::Told;
use keeping::{Kept, Looks};

/// How many tokens for calls a user may fetch in a minute, or a key for all of its names: each is a request to the
/// provider, and some cost the operator money.
const MAX_TOKENS: u64 = 120;

/// How long somebody waits for others who are at the same room, before the provider is asked at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What calls need while the process runs.
pub(crate) struct Calls {
    conference: Option<Conference>,
    /// Who opens or closes the meeting of a room holds its turn.
    rooms: Turns<RoomId>,
    /// Who makes or ends a room without an owner holds the turn of its name.
    pub(crate) names: Turns<String>,
    /// What happened lately, by room.
    pub(crate) activity: Activity,
    told: Told,
    kept: Mutex<Kept>,
    /// Held while all of it is tended: two at once would do everything twice.
    tending: tokio::sync::Mutex<()>,
    work: Notify,
    looks: Mutex<Looks>,
}

/// Somebody on the way into a room's call.
pub(crate) struct Entering<'a> {
    /// Whose room it is.
    pub(crate) tenant: TenantId,
    /// The room.
    pub(crate) room: &'a Room,
    /// What others will see.
    pub(crate) name: &'a str,
    /// Person or program.
    pub(crate) kind: Kind,
    /// What it may send.
    pub(crate) publishing: Publishing,
}

/// Somebody who got a token from the provider and is in no record yet.
pub(crate) struct Entered {
    /// Our name of the meeting.
    pub(crate) reference: String,
    /// The provider's name of it.
    pub(crate) meeting: MeetingId,
    /// By what the provider knows the bearer.
    pub(crate) seat: Seat,
    /// The token.
    pub(crate) grant: Grant,
}

impl Calls {
    pub(crate) fn new(conference: Option<Conference>) -> Self {
        Self {
            conference,
            rooms: Turns::default(),
            names: Turns::default(),
            activity: Activity::default(),
            told: Told::default(),
            kept: Mutex::default(),
            tending: tokio::sync::Mutex::default(),
            work: Notify::new(),
            looks: Mutex::default(),
        }
    }

    /// Has meetings be closed and people be thrown out soon.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }
}

impl RoomAccess {
    /// What the caller may send in the room's call.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for those who are here only because the room is public.
    pub fn publishing(&self) -> Result<Publishing, Error> {
        if self.is_foreign() {
            return Err(Error::ReadOnly);
        }
        Ok(if self.may_write() { publishing_in(self.room.media) } else { Publishing::Nothing })
    }
}

/// What a member may send in the call of such a room.
pub(crate) fn publishing_in(media: Media) -> Publishing {
    match media {
        Media::Audio => Publishing::Microphone,
        Media::Screenshare => Publishing::Everything,
    }
}

impl App {
    /// Who carries the calls.
    ///
    /// # Errors
    /// [`Error::ConferenceUnavailable`] when nobody does.
    pub fn conference(&self) -> Result<&Conference, Error> {
        self.calls().conference.as_ref().ok_or(Error::ConferenceUnavailable)
    }

    /// The calls that carry nothing, where the operator chose them.
    pub fn demo_calls(&self) -> Option<&Fake> {
        match self.conference() {
            Ok(Conference::Fake(fake)) => Some(fake),
            _ => None,
        }
    }

    /// Where clients of calls connect, and what they must show first; `None` without calls.
    pub fn conference_config(&self) -> Option<ConferenceConfig> {
        let turnstile_site_key = self.config().turnstile.site_key.clone();
        self.conference().ok().map(|conference| ConferenceConfig { turnstile_site_key, ..conference.config() })
    }

    /// Who is in a room's call.
    pub fn call(&self, tenant: TenantId, room: RoomId) -> Call {
        self.hub().call(Address::chat(tenant, room))
    }

    /// A token for the call of a room that the member reaches.
    ///
    /// # Errors
    /// [`Error::ConferenceUnavailable`], [`Error::ReadOnly`] or [`Error::Forbidden`] for those who may not join,
    /// [`Error::RateLimited`], [`Error::ProviderFailed`], and as [`App::connection_token`].
    pub async fn conference_token(
        &self,
        member: &Member,
        named: Named,
        access: &RoomAccess,
    ) -> Result<RealtimeToken, Error> {
        let conference = self.conference()?;
        let publishing = access.publishing()?;
        if publishing == Publishing::Nothing && !conference.can_listen_only() {
            return Err(Error::Forbidden("this server's conferences have no place for those who only listen"));
        }
        let user = self.user_of(member, named).await?;
        let subject = member.session.map_or(Subject::Tenant(member.tenant), |_| Subject::User(user.id));
        self.limits().windows.take(Bucket::CallTokens, subject, MAX_TOKENS, self.clock().monotonic())?;
        let (tenant, room) = (access.tenant, &access.room);
        let entering = Entering { tenant, room, name: &user.name, kind: user.kind, publishing };
        let entered = self.enter(conference, &entering, Some((user.id, member))).await?;
        let seat = NewSeat {
            identity: entered.seat.identity.clone(),
            reference: entered.reference.clone(),
            known_as: entered.seat.known_as.clone(),
            user,
            holder: member.tenant,
            generation: member.generation,
            session: member.session,
            expires_at: entered.grant.expires_at,
        };
        match self.store().keep_seat(seat).await {
            Ok(true) => {}
            // The credential or the room has ended in the meantime.
            kept => {
                self.leave_again(conference, &entered).await;
                kept?;
                return Err(self.room(Some(member), room.id).await.err().unwrap_or(Error::InvalidKey));
            }
        }
        self.calls().activity.let_in(access.address(), &entered.seat.identity, self.clock().monotonic());
        Ok(RealtimeToken {
            token: entered.grant.token.expose_secret().to_owned(),
            expires_at: entered.grant.expires_at,
        })
    }

    /// Gets a token for a room's call from the provider, which opens its meeting if there is none. Whoever was let in
    /// `before`, by the same credential, and is not there, gets the place that it had.
    ///
    /// # Errors
    /// [`Error::ProviderFailed`], [`Error::RoomNotFound`] when the room has ended.
    pub(crate) async fn enter(
        &self,
        conference: &Conference,
        entering: &Entering<'_>,
        before: Option<(UserId, &Member)>,
    ) -> Result<Entered, Error> {
        let Entering { tenant, room, name, kind, publishing } = *entering;
        // A meeting may end at the provider without our knowing; then the room gets another one.
        for _ in 0..2 {
            let (meeting, id) = self.meeting(conference, tenant, room.id).await?;
            let place = match before {
                Some((user, member)) => self.place_of(&meeting, user, member).await?,
                None => None,
            };
            let (identity, known_as) = match place {
                Some(seat) => (seat.identity, seat.known_as),
                None => (secret::new_identity(self.clock()), None),
            };
            let joining = Joining {
                meeting: id.clone(),
                identity,
                known_as,
                name: name.to_owned(),
                kind,
                media: room.media,
                publishing,
            };
            match conference.join(&joining, self.clock().now()).await {
                Ok(grant) => {
                    let seat = Seat { identity: joining.identity, known_as: grant.known_as.clone() };
                    return Ok(Entered { reference: meeting.reference, meeting: id, seat, grant });
                }
                Err(Failure::Gone) => {
                    self.store().abandon_meeting(&meeting.reference, self.steady_now()).await?;
                    self.calls().wake();
                }
                Err(failure) => return Err(failed("let nobody in", &failure)),
            }
        }
        Err(failed("let nobody in", &Failure::Gone))
    }

    /// The place that somebody had in a meeting by the same credential, when its token is void and it is not there.
    async fn place_of(&self, meeting: &Meeting, user: UserId, member: &Member) -> Result<Option<StoredSeat>, Error> {
        let there = self.hub().call_identities(Address::chat(meeting.tenant, meeting.room));
        let now = self.clock().now();
        let seats = self.store().seats_of_user(&meeting.reference, user, member.session).await?;
        let is_free = |seat: &StoredSeat| seat.expires_at <= now && !there.contains(&seat.identity);
        Ok(seats.into_iter().find(is_free))
    }

    /// Undoes [`App::enter`] for somebody who could not be recorded.
    pub(crate) async fn leave_again(&self, conference: &Conference, entered: &Entered) {
        if let Err(failure) = conference.remove(&entered.meeting, &entered.seat, self.clock().now()).await {
            failed("kept somebody who has no record", &failure);
        }
    }

    /// The meeting of a room, opened if there is none.
    async fn meeting(
        &self,
        conference: &Conference,
        tenant: TenantId,
        room: RoomId,
    ) -> Result<(Meeting, MeetingId), Error> {
        let _turn = in_time(self.calls().rooms.of(room)).await?;
        if let Some(meeting) = self.store().open_meeting_of(room).await?
            && meeting.provider == conference.name()
        {
            return self.meeting_again(conference, meeting).await;
        }
        let reference = self.clock().uuid().to_string();
        let begun = self.store().begin_meeting(tenant, room, conference.name(), reference, self.steady_now()).await?;
        match begun {
            Begun::RoomGone => Err(Error::RoomNotFound),
            Begun::Started(meeting) => self.open_meeting(conference, meeting).await,
            Begun::Open(meeting) => self.meeting_again(conference, meeting).await,
        }
    }

    /// A meeting that is on record as open.
    async fn meeting_again(&self, conference: &Conference, meeting: Meeting) -> Result<(Meeting, MeetingId), Error> {
        if conference.forgets_empty_meetings() {
            let opened = conference.open(&opening_of(&meeting), self.clock().now()).await;
            opened.map_err(|failure| failed("opened no meeting", &failure))?;
        }
        let id = meeting.meeting.clone().unwrap_or_default();
        Ok((meeting, MeetingId(id)))
    }

    /// Opens the meeting of a room, if there is none.
    ///
    /// # Errors
    /// As [`App::enter`].
    pub(crate) async fn open_call(&self, conference: &Conference, tenant: TenantId, room: RoomId) -> Result<(), Error> {
        self.meeting(conference, tenant, room).await.map(drop)
    }

    /// Closes the meeting of a room that has ended, which is on record. What fails is tried again by that.
    pub(crate) async fn close_call(&self, conference: &Conference, room: RoomId, meeting: &MeetingId) {
        let _turn = self.calls().rooms.of(room).await;
        if let Err(failure) = conference.close(meeting, self.clock().now()).await {
            failed("closed no meeting", &failure);
        }
        self.calls().wake();
    }

    /// Opens the meeting that is on record as being opened.
    async fn open_meeting(&self, conference: &Conference, meeting: Meeting) -> Result<(Meeting, MeetingId), Error> {
        let id = match conference.open(&opening_of(&meeting), self.clock().now()).await {
            Ok(id) => id,
            Err(failure) => {
                match failure {
                    // Nothing was opened, so nothing is to be looked for.
                    Failure::Refused(_) | Failure::Busy | Failure::Gone => {
                        self.store().forget_meeting(&meeting.reference).await?;
                    }
                    Failure::Unknown(_) => {
                        self.store().abandon_meeting(&meeting.reference, self.steady_now()).await?;
                        self.calls().wake();
                    }
                }
                return Err(failed("opened no meeting", &failure));
            }
        };
        match self.store().meeting_opened(&meeting.reference, &id.0).await {
            Ok(true) => Ok((Meeting { meeting: Some(id.0.clone()), ..meeting }, id)),
            // The room has ended in the meantime, or the record could not be written.
            written => {
                if let Err(failure) = conference.close(&id, self.clock().now()).await {
                    failed("kept a meeting that has no record", &failure);
                }
                self.calls().wake();
                written?;
                Err(Error::RoomNotFound)
            }
        }
    }
}

/// A turn, unless it takes so long that whoever waits for it will have gone.
pub(crate) async fn in_time<T>(turn: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, turn)
        .await
        .map_err(|_| Error::Unavailable("the call is busy; try again in a moment"))
}

/// What the provider is asked to open, or is looked through for.
fn opening_of(meeting: &Meeting) -> Opening {
    Opening { room: meeting.room, reference: meeting.reference.clone() }
}

/// Logs what the provider did not do.
fn failed(what: &'static str, failure: &Failure) -> Error {
    tracing::warn!(error = failure as &dyn std::error::Error, "the conference's provider {what}");
    Error::ProviderFailed
}

/// What a guest of a room without an owner may do.
pub(crate) const GUEST_ROLE: Role = Role::Member;
