//! Calls: which meeting at the conference's provider is a room's, and who is let into it.
//!
//! The store holds a record of every meeting from before it is opened until after it is closed, and of everybody who was
//! let in, so that what the provider has and what we know can be made one again after whatever went wrong between the
//! two; [`keeping`] does that, and [`events`] takes what the provider tells. Nothing here speaks a provider's protocol.

mod activity;
mod events;
mod keeping;
mod looking;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use meet_api::{
    Call, Kind, Media, Role, Room, RoomId, SessionId, TenantId, UserId,
    request::{ConferenceConfig, RealtimeToken},
};
use meet_store::{Begun, Meeting, NewSeat, StoredSeat};
use secrecy::ExposeSecret;

use crate::{
    app::App,
    auth::Member,
    conference::{Conference, Failure, Fake, Grant, Joining, MeetingId, Opening, Publishing, Seat},
    doctor::{Finding, Level},
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
use keeping::Part;
use looking::Looks;

/// How many tokens for calls a user may fetch in a minute, or a key for all of its names: each is a request to the
/// provider, and some cost the operator money.
const MAX_TOKENS: u64 = 120;

/// How many tokens somebody may have for a call and not have used; beyond that it gets the oldest place again.
const MAX_UNUSED: usize = 3;
/// In how many places of a call one user may be; the store tells of as many.
const MAX_DEVICES: usize = 20;
/// How often somebody is let in again when the meeting ends as it comes.
pub(crate) const TRIES: u32 = 3;
/// How often the same complaint about the provider is logged.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// How often to look for what has ended.
const EVERY: Duration = Duration::from_secs(5);
/// How many requests to the provider are under way at a time, of each kind.
const AT_A_TIME: usize = 4;
/// How many records are taken at a time.
const PAGE: u32 = 200;

/// What a guest of a room without an owner may do.
pub(crate) const GUEST_ROLE: Role = Role::Member;

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
    closings: Part,
    removals: Part,
    looks: Mutex<Looks>,
    /// When it was logged last that the provider did not do something, by what.
    complaints: Mutex<HashMap<&'static str, Duration>>,
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
    /// Who it is, when it may have been let in before.
    pub(crate) own: Option<Own>,
    /// How many may be in the call; 0 for any number.
    pub(crate) most: u64,
}

/// Somebody by the credential that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Own {
    /// The user in the room.
    pub(crate) user: UserId,
    /// The session; `None` for a bare key.
    pub(crate) session: Option<SessionId>,
}

impl Entering<'_> {
    /// Where the hub knows the room.
    pub(crate) fn address(&self) -> Address {
        Address::chat(self.tenant, self.room.id)
    }
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
            closings: Part::default(),
            removals: Part::default(),
            looks: Mutex::default(),
            complaints: Mutex::default(),
        }
    }

    /// Has meetings be closed and people be thrown out soon.
    pub(crate) fn wake(&self) {
        self.closings.work.notify_one();
        self.removals.work.notify_one();
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

    /// Looks in the background whether the provider of calls does what the settings ask for, and logs what does not work:
    /// whoever starts a server should not have to wait for the first call to learn it.
    pub fn look_at_provider(&self) {
        let app = self.clone();
        self.tasks().spawn_until_stop(async move {
            let Ok(conference) = app.conference() else { return };
            for Finding { level, subject, state, fix } in conference.inspect(app.clock().now()).await {
                if level == Level::Fail {
                    tracing::warn!(state, fix, "{subject} do not work");
                }
            }
        });
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
        let own = Own { user: user.id, session: member.session };
        let most = self.most_in_call_of(member);
        let entering = Entering { tenant, room, name: &user.name, kind: user.kind, publishing, own: Some(own), most };
        for _ in 0..TRIES {
            let entered = self.enter(conference, &entering).await?;
            let seat = NewSeat {
                identity: entered.seat.identity.clone(),
                reference: entered.reference.clone(),
                known_as: entered.seat.known_as.clone(),
                user: user.clone(),
                holder: member.tenant,
                generation: member.generation,
                session: member.session,
                expires_at: entered.grant.expires_at,
            };
            let kept = self.store().keep_seat(seat).await;
            if matches!(kept, Ok(true)) {
                let token = entered.grant.token.expose_secret().to_owned();
                return Ok(RealtimeToken { token, expires_at: entered.grant.expires_at });
            }
            self.leave_again(conference, entering.address(), &entered).await;
            kept?;
            // The credential or the room has ended in the meantime; or only the meeting, and there is another.
            self.room(Some(member), room.id).await?;
        }
        Err(Error::Unavailable("the call is being opened; try again in a moment"))
    }

    /// How many may be in the call of a room where this member is; 0 for any number.
    fn most_in_call_of(&self, member: &Member) -> u64 {
        if member.is_of_quick_room { self.config().quick_rooms.max_participants } else { 0 }
    }

    /// Gets a token for a room's call from the provider, which opens its meeting if there is none. Whoever asks again by
    /// the same credential, and did not come by the last token, gets the same place.
    ///
    /// # Errors
    /// [`Error::ProviderFailed`], [`Error::RoomNotFound`] when the room has ended, [`Error::Full`].
    pub(crate) async fn enter(&self, conference: &Conference, entering: &Entering<'_>) -> Result<Entered, Error> {
        let Entering { tenant, room, name, kind, publishing, .. } = *entering;
        let address = entering.address();
        // A meeting may end at the provider without our knowing; then the room gets another one.
        for _ in 0..TRIES {
            let (meeting, id) = self.meeting(conference, tenant, room.id).await?;
            let (seat, is_new) = self.place(&meeting, entering).await?;
            let joining = Joining {
                meeting: id.clone(),
                identity: seat.identity,
                known_as: seat.known_as,
                name: name.to_owned(),
                kind,
                media: room.media,
                publishing,
            };
            let joined = conference.join(&joining, self.clock().now()).await;
            let failure = match joined {
                Ok(grant) => {
                    let seat = Seat { identity: joining.identity, known_as: grant.known_as.clone() };
                    return Ok(Entered { reference: meeting.reference, meeting: id, seat, grant });
                }
                Err(failure) => failure,
            };
            if is_new {
                self.calls().activity.give_back(address, &joining.identity);
            }
            if failure != Failure::Gone {
                return Err(self.provider_failed("let nobody in", &failure));
            }
            self.store().abandon_meeting(&meeting.reference, self.steady_now()).await?;
            self.calls().wake();
        }
        Err(self.provider_failed("let nobody in", &Failure::Gone))
    }

    /// The place of somebody in a meeting, and whether it is a new one: it may have been given one that it did not take.
    async fn place(&self, meeting: &Meeting, entering: &Entering<'_>) -> Result<(Seat, bool), Error> {
        let address = entering.address();
        let there = self.hub().call_identities(address);
        let again = match &entering.own {
            Some(own) => self.place_of(meeting, own, &there).await?,
            None => None,
        };
        let is_new = again.is_none();
        let seat = again.unwrap_or_else(|| Seat { identity: secret::new_identity(self.clock()), known_as: None });
        let now = self.clock().monotonic();
        if self.calls().activity.let_in(address, &seat.identity, &there, entering.most, now) {
            Ok((seat, is_new))
        } else {
            Err(Error::Full("this call is full"))
        }
    }

    /// The place that somebody has and is not in: the one whose token is void, or the oldest of several.
    async fn place_of(&self, meeting: &Meeting, own: &Own, there: &[String]) -> Result<Option<Seat>, Error> {
        let address = Address::chat(meeting.tenant, meeting.room);
        let now = self.steady_now();
        let seats = self.store().seats_of_user(&meeting.reference, own.user, own.session).await?;
        let number = seats.len();
        let free: Vec<StoredSeat> = seats.into_iter().filter(|seat| !there.contains(&seat.identity)).collect();
        // They come newest first.
        let knows = self.calls().looks.lock().unwrap_or_else(PoisonError::into_inner).knows(address);
        // Whoever is not known not to be there may be, and by one identity only once.
        let again = free.last().filter(|seat| (seat.expires_at <= now && knows) || free.len() >= MAX_UNUSED);
        match again {
            Some(StoredSeat { identity, known_as, .. }) => {
                Ok(Some(Seat { identity: identity.clone(), known_as: known_as.clone() }))
            }
            None if number >= MAX_DEVICES => Err(Error::Full("you are in this call as often as you may be")),
            None => Ok(None),
        }
    }

    /// Undoes [`App::enter`] for somebody who could not be recorded.
    pub(crate) async fn leave_again(&self, conference: &Conference, address: Address, entered: &Entered) {
        self.calls().activity.give_back(address, &entered.seat.identity);
        if let Err(failure) = conference.remove(&entered.meeting, &entered.seat, self.clock().now()).await {
            self.provider_failed("kept somebody who has no record", &failure);
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
            opened.map_err(|failure| self.provider_failed("opened no meeting", &failure))?;
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

    /// Logs what the provider did not do, each thing once a minute: a provider that is down fails at all of it again and
    /// again.
    fn provider_failed(&self, what: &'static str, failure: &Failure) -> Error {
        let now = self.clock().monotonic();
        let mut complaints = self.calls().complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.get(what).is_none_or(|at| now >= *at + COMPLAIN_EVERY) {
            complaints.insert(what, now);
            let error: &dyn std::error::Error = failure;
            tracing::warn!(error, "the provider of calls {what}; `meet-ai doctor` looks for the reason");
        }
        Error::ProviderFailed
    }

    /// Closes the meeting of a room that has ended, which is on record. What fails is tried again by that.
    pub(crate) async fn close_call(&self, conference: &Conference, room: RoomId, meeting: &MeetingId) {
        let _turn = self.calls().rooms.of(room).await;
        if let Err(failure) = conference.close(meeting, self.clock().now()).await {
            self.provider_failed("closed no meeting", &failure);
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
                return Err(self.provider_failed("opened no meeting", &failure));
            }
        };
        match self.store().meeting_opened(&meeting.reference, &id.0).await {
            Ok(true) => Ok((Meeting { meeting: Some(id.0.clone()), ..meeting }, id)),
            // The room has ended in the meantime, or the record could not be written.
            written => {
                if let Err(failure) = conference.close(&id, self.clock().now()).await {
                    self.provider_failed("kept a meeting that has no record", &failure);
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
