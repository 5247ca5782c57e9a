//! Rooms: who reaches which, and making, listing, changing and deleting them.

use std::time::Duration;

use meet_api::{
    Media, Role, Room, RoomId, RoomPresence, TenantId, Visibility,
    frame::LobbyEvent,
    request::{CreateRoom, History, UpdateRoom},
    text::RoomName,
};
use meet_store::{Created, DailyLimit, NewRoom, PublicFrom, RoomPatch, StoredRoom};

use crate::{
    app::App,
    auth::Member,
    error::{Error, Window},
    guard,
    hub::{Address, CloseReason, Publication},
    secret,
};

/// How long an expired room says so, before it was never there.
const TOMBSTONE: Duration = Duration::from_hours(24);

/// The longest time that a room may be given, in seconds: ten years.
const MAX_EXPIRES_IN: u64 = 10 * 365 * 24 * 3600;

/// A room that the caller may at least read.
#[derive(Debug, Clone)]
pub struct RoomAccess {
    /// The tenant that owns the room.
    pub tenant: TenantId,
    /// The room as it was when the right was checked.
    pub room: Room,
    /// Messages up to this `seq` are not shown to the caller.
    pub floor: u64,
    /// The message behind which the count of its agents' messages began.
    pub(crate) person_seq: u64,
    right: Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Own,
    Write,
    /// A guest who may only look.
    Look,
    /// Anyone, because the room is public.
    Public,
}

/// A room that the caller may write in.
#[derive(Debug, Clone)]
pub struct RoomWriter(RoomAccess);

/// A room that the caller owns.
#[derive(Debug, Clone)]
pub struct RoomOwner(RoomAccess);

impl std::ops::Deref for RoomWriter {
    type Target = RoomAccess;

    fn deref(&self) -> &RoomAccess {
        &self.0
    }
}

impl std::ops::Deref for RoomOwner {
    type Target = RoomAccess;

    fn deref(&self) -> &RoomAccess {
        &self.0
    }
}

impl RoomAccess {
    /// Where the hub publishes what happens in the room.
    pub fn address(&self) -> Address {
        Address::chat(self.tenant, self.room.id)
    }

    /// Whether the caller is here only because the room is public.
    pub fn is_foreign(&self) -> bool {
        self.right == Right::Public
    }

    /// Whether the caller may write.
    pub fn may_write(&self) -> bool {
        matches!(self.right, Right::Own | Right::Write)
    }

    /// The right to write.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for those who may only look.
    pub fn writer(self) -> Result<RoomWriter, Error> {
        if self.may_write() { Ok(RoomWriter(self)) } else { Err(Error::ReadOnly) }
    }

    /// The right to change the room itself.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for those who may only look, [`Error::Forbidden`] for members.
    pub fn owner(self) -> Result<RoomOwner, Error> {
        match self.right {
            Right::Own => Ok(RoomOwner(self)),
            Right::Write => Err(Error::Forbidden("only an owner may do this")),
            Right::Look | Right::Public => Err(Error::ReadOnly),
        }
    }
}

impl App {
    /// Reaches for a room as `caller`.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] for what is unknown or foreign alike ([`Error::MissingKey`] for callers who showed
    /// nothing), [`Error::Expired`] for 24 hours after the room's end, [`Error::InvalidKey`] when the credential has
    /// ended since it was shown: a body may have taken its time.
    pub async fn room(&self, caller: Option<&Member>, id: RoomId) -> Result<RoomAccess, Error> {
        self.confirm(caller).await?;
        let access = match caller {
            Some(member) if member.reaches(id) => match self.store().room(member.tenant, id).await? {
                Some(stored) => Some(own_access(stored, member.role)),
                None => self.public_access(id).await?,
            },
            Some(_) | None => self.public_access(id).await?,
        };
        let access = access.ok_or(match caller {
            Some(_) => Error::RoomNotFound,
            None => Error::MissingKey,
        })?;
        let now = self.steady_now();
        match access.room.expires_at {
            Some(end) if end.plus(TOMBSTONE) <= now => Err(Error::RoomNotFound),
            Some(end) if end <= now => Err(Error::Expired),
            _ => Ok(access),
        }
    }

    async fn public_access(&self, id: RoomId) -> Result<Option<RoomAccess>, Error> {
        Ok(self.store().public_room(id).await?.map(|stored| RoomAccess {
            tenant: stored.tenant,
            room: stored.room,
            floor: stored.public_from,
            person_seq: stored.person_seq,
            right: Right::Public,
        }))
    }

    /// Fills in how many people are in the room now.
    pub fn with_online(&self, tenant: TenantId, mut room: Room) -> Room {
        room.online = self.hub().online(Address::chat(tenant, room.id));
        room
    }

    /// Who is in a room now.
    pub fn room_presence(&self, access: &RoomAccess) -> RoomPresence {
        self.hub().presence(access.address())
    }

    /// Makes a room; the count of the day is in the answer.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for guests, [`Error::RateLimited`] above the day's number.
    pub async fn create_room(&self, member: &Member, body: CreateRoom) -> Result<(Room, Option<Window>), Error> {
        let tenant = member.owner()?.tenant;
        self.confirm(Some(member)).await?;
        self.refuse_when_disk_is_full()?;
        let name = body.name.as_deref().filter(|name| !name.trim().is_empty());
        let name = RoomName::parse(name.ok_or_else(|| Error::Invalid("name is required".into()))?)?;
        let room = NewRoom {
            id: RoomId::from_uuid(self.clock().uuid()),
            name,
            visibility: body.visibility.unwrap_or(Visibility::Private),
            media: body.media.unwrap_or(Media::Audio),
            bot_enabled: false,
            listed: false,
            epoch: secret::new_epoch(self.clock()),
            created_at: self.clock().now(),
            expires_at: body.expires_in.map(|seconds| self.expiry(seconds)).transpose()?,
            agent_budget: self.config().limits.agent_budget,
            agent_share: self.config().limits.agent_share,
        };
        let limit = self.config().limits.rooms_per_day_per_key;
        let limit = (limit > 0 && self.is_limited(member)).then_some(DailyLimit { limit });
        match self.store().create_room(tenant, room, limit).await? {
            Created::Room(stored, window) => {
                self.publish_lobby(tenant, LobbyEvent::RoomCreated(stored.room.clone()));
                Ok((stored.room, window.map(|window| self.window(&window))))
            }
            Created::TenantGone => Err(Error::InvalidKey),
            Created::Limited(window) => Err(Error::RateLimited(self.window(&window))),
        }
    }

    fn window(&self, state: &meet_store::WindowState) -> Window {
        Window { limit: state.limit, remaining: state.remaining, reset: state.resets_at.since(self.clock().now()) }
    }

    fn expiry(&self, seconds: u64) -> Result<meet_api::Timestamp, Error> {
        if !(1..=MAX_EXPIRES_IN).contains(&seconds) {
            return Err(Error::Invalid(format!("expires_in must be 1 to {MAX_EXPIRES_IN} seconds")));
        }
        Ok(self.clock().now().plus(Duration::from_secs(seconds)))
    }

    /// The member's rooms, oldest first, from behind `after`.
    ///
    /// # Errors
    /// [`Error::UnknownCursor`] when `after` is none of them.
    pub async fn list_rooms(&self, member: &Member, after: Option<RoomId>, limit: u32) -> Result<Vec<Room>, Error> {
        if let Some(after) = after {
            let of = if member.is_guest() { member.clone().within(after) } else { member.clone() };
            if !of.reaches(after) || self.store().room(of.tenant, after).await?.is_none() {
                return Err(Error::UnknownCursor("after"));
            }
        }
        let now = self.steady_now();
        let stored = match &member.rooms {
            None => self.store().rooms(member.tenant, after, limit, now).await?,
            Some(_) => {
                let mut rooms: Vec<_> =
                    member.guest_rooms().filter(|(id, _)| after.is_none_or(|after| *id > after)).collect();
                rooms.sort_unstable();
                rooms.truncate(limit as usize);
                let mut stored = Vec::with_capacity(rooms.len());
                for (id, tenant) in rooms {
                    stored.extend(self.store().room(tenant, id).await?);
                }
                stored.retain(|stored| stored.room.expires_at.is_none_or(|end| end > now));
                stored
            }
        };
        Ok(stored.into_iter().map(|stored| self.with_online(stored.tenant, stored.room)).collect())
    }

    /// The public rooms that the operator owns or has listed, oldest first, from behind `after`.
    ///
    /// # Errors
    /// [`Error::UnknownCursor`] when `after` is no public room.
    pub async fn list_public_rooms(&self, after: Option<RoomId>, limit: u32) -> Result<Vec<Room>, Error> {
        if let Some(after) = after
            && self.store().public_room(after).await?.is_none()
        {
            return Err(Error::UnknownCursor("after"));
        }
        let stored = self.store().public_rooms(after, limit, self.steady_now()).await?;
        Ok(stored.into_iter().map(|stored| self.with_online(stored.tenant, stored.room)).collect())
    }

    /// Changes a room; what the body leaves out stays. In a public room of others the operator may change whether it
    /// is listed, and only that.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for `listed` by anyone but the operator, [`Error::ReadOnly`] for a room of others.
    pub async fn update_room(&self, member: &Member, access: RoomAccess, body: UpdateRoom) -> Result<Room, Error> {
        let only_lists = body.listed.is_some() && body == UpdateRoom { listed: body.listed, ..UpdateRoom::default() };
        let may_list = member.operator && member.owner().is_ok();
        let access = if only_lists && may_list { access } else { access.owner()?.0 };
        if body.listed.is_some() && !member.operator {
            return Err(Error::Forbidden("only the operator lists rooms"));
        }
        guard::check(&body)?;
        let public_from = match (body.history, body.visibility) {
            (Some(History::All), _) => Some(PublicFrom::Start),
            (None, Some(Visibility::Public)) => Some(PublicFrom::Head),
            (None, _) => None,
        };
        let patch = RoomPatch {
            name: body.name.as_deref().map(RoomName::parse).transpose()?,
            visibility: body.visibility,
            media: body.media,
            expires_at: body.expires_in.map(|seconds| self.expiry(seconds)).transpose()?.map(Some),
            listed: body.listed,
            public_from,
            agent_budget: body.agent_budget,
            agent_share: body.agent_share,
            agents_paused: body.agents_paused,
        };
        let (tenant, id) = (access.tenant, access.room.id);
        let stored = self.store().update_room(tenant, id, patch).await?.ok_or(Error::RoomNotFound)?;
        if stored.room.visibility == Visibility::Private {
            self.hub().close_channel(access.address(), CloseReason::RoomGone, true);
        }
        self.tell_rules(access.address(), &body, access.room.agents.paused, &stored.room);
        self.hub().mark_changed(access.address());
        Ok(self.with_online(tenant, stored.room))
    }

    /// Deletes a room: gone at once for everyone, its data is purged in slices.
    pub async fn delete_room(&self, access: &RoomOwner) -> Result<(), Error> {
        let (tenant, id) = (access.tenant, access.room.id);
        if !self.store().delete_room(tenant, id, self.clock().now()).await? {
            return Err(Error::RoomNotFound);
        }
        self.close_room(tenant, id).await;
        self.wake_purger();
        Ok(())
    }

    /// Ends every connection to a room that is gone and tells the lobby.
    pub(crate) async fn close_room(&self, tenant: TenantId, id: RoomId) {
        self.hub().close_channel(Address::chat(tenant, id), CloseReason::RoomGone, false);
        self.calls().wake();
        self.tripped().forget(id);
        let _turn = self.lobby_turn().await;
        self.publish_lobby(tenant, LobbyEvent::RoomDeleted { id });
    }

    fn publish_lobby(&self, tenant: TenantId, event: LobbyEvent) {
        let lobby = Address::org(tenant);
        self.hub().publish(lobby, &[Publication::lobby(lobby, event).into()]);
    }

    /// Tells lobbies of rooms that changed, or whose head or people did, each at most once a second.
    pub(crate) async fn tell_lobbies(self) {
        loop {
            for (tenant, id) in self.hub().changed_rooms().await {
                let now = self.steady_now();
                let _turn = self.lobby_turn().await;
                match self.store().room(tenant, id).await {
                    Ok(Some(stored)) if stored.room.expires_at.is_none_or(|end| end > now) => {
                        let room = self.with_online(tenant, stored.room);
                        self.publish_lobby(tenant, LobbyEvent::RoomUpdated(room));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a lobby was not told of a room");
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Whether the three limits of keys bind this member: the operator's tenant is free of them unless configured.
    pub(crate) fn is_limited(&self, member: &Member) -> bool {
        !member.operator || self.config().limits.operator
    }
}

fn own_access(stored: StoredRoom, role: Role) -> RoomAccess {
    let right = match role {
        Role::Owner => Right::Own,
        Role::Member => Right::Write,
        Role::Spectator => Right::Look,
    };
    RoomAccess { tenant: stored.tenant, room: stored.room, floor: 0, person_seq: stored.person_seq, right }
}
