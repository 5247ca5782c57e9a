//! Rooms: made, listed, changed and marked as deleted. Their messages are [`crate::messages`]'.

use std::time::Duration;

use futures_util::FutureExt;
use meet_api::{Media, Room, RoomId, TenantId, Timestamp, Visibility, text::RoomName};

use crate::{
    Store, StoreError,
    batch::agent_rules,
    conn::Conn,
    keys::lock_tenant,
    value::{Row, params},
};

/// How long a window of the daily limit lasts.
const DAY: Duration = Duration::from_hours(24);

/// A room as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Whose room it is.
    pub tenant: TenantId,
    /// The room; nobody counts as online here.
    pub room: Room,
    /// Whether the operator put it into the list of public rooms.
    pub listed: bool,
    /// Strangers see only messages with a greater `seq`.
    pub public_from: u64,
    /// The message behind which the count of its agents' messages began.
    pub person_seq: u64,
}

/// A room to be made.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Its id.
    pub id: RoomId,
    /// Its name.
    pub name: RoomName,
    /// Who may read it.
    pub visibility: Visibility,
    /// What its call carries.
    pub media: Media,
    /// Whether a bot is asked into its call.
    pub bot_enabled: bool,
    /// Whether it stands in the list of public rooms.
    pub listed: bool,
    /// Its epoch.
    pub epoch: String,
    /// When it is made.
    pub created_at: Timestamp,
    /// When it ends; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// How many messages agents may say in a row; 0 for any number.
    pub agent_budget: u64,
    /// How many of these one of them may say; 0 for all.
    pub agent_share: u64,
}

/// How many rooms a tenant may make in 24 hours, from the first counted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyLimit {
    /// The number of rooms.
    pub limit: u64,
}

/// Where a tenant stands in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowState {
    /// How many a window holds.
    pub limit: u64,
    /// How many are left in this one.
    pub remaining: u64,
    /// When the next one begins.
    pub resets_at: Timestamp,
}

/// What became of making a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The room, and where the tenant stands, if it is limited.
    Room(Box<StoredRoom>, Option<WindowState>),
    /// The window is used up; nothing is made.
    Limited(WindowState),
    /// The tenant is gone.
    TenantGone,
}

/// From where on strangers may read a room that turns public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicFrom {
    /// Only what is said from now on; a room that is public already stays as it is.
    Head,
    /// Everything.
    Start,
}

/// What is to change in a room; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct RoomPatch {
    /// A new name.
    pub name: Option<RoomName>,
    /// Who may read it.
    pub visibility: Option<Visibility>,
    /// What its call carries.
    pub media: Option<Media>,
    /// When it ends; `Some(None)` for never.
    pub expires_at: Option<Option<Timestamp>>,
    /// Whether it stands in the list of public rooms.
    pub listed: Option<bool>,
    /// From where on strangers may read it.
    pub public_from: Option<PublicFrom>,
    /// How many messages agents may say in a row; 0 for any number.
    pub agent_budget: Option<u64>,
    /// How many of these one of them may say; 0 for all.
    pub agent_share: Option<u64>,
    /// Whether agents may say nothing; `false` begins their count anew.
    pub agents_paused: Option<bool>,
}

/// The columns of a room, in the order in which [`read_room`] takes them.
macro_rules! room_columns {
    () => {
        "rooms.key_id, rooms.id, rooms.name, rooms.visibility, rooms.media, rooms.bot_enabled, rooms.head_seq, \
         rooms.epoch, rooms.created_at, rooms.expires_at, rooms.listed, rooms.public_from, \
         rooms.agents_paused, rooms.agent_budget, rooms.agent_share, rooms.person_seq"
    };
}

pub(crate) use room_columns;

/// How many columns a room has.
pub(crate) const ROOM_COLUMNS: usize = 16;

/// Reads a room from the first columns of a row.
pub(crate) fn read_room(row: &Row<'_>) -> Result<StoredRoom, StoreError> {
    let (head_seq, person_seq) = (row.count(6)?, row.count(15)?);
    let used = head_seq.saturating_sub(person_seq);
    let room = Room {
        id: row.id(1)?,
        name: row.text(2)?.to_owned(),
        visibility: row.word(3, Visibility::from_word)?,
        media: row.word(4, Media::from_word)?,
        bot_enabled: row.flag(5)?,
        head_seq,
        epoch: row.text(7)?.to_owned(),
        online: 0,
        created_at: row.time(8)?,
        expires_at: row.time_or_null(9)?,
        agents: agent_rules(row.flag(12)?, row.count(13)?, row.count(14)?, used),
        read_seq: None,
        unread: None,
        mentions: None,
    };
    Ok(StoredRoom { tenant: row.id(0)?, room, listed: row.flag(10)?, public_from: row.count(11)?, person_seq })
}

/// Counts one more room in the tenant's window. The caller holds the tenant's row.
async fn count_room(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    limit: u64,
    now: Timestamp,
) -> Result<(bool, WindowState), StoreError> {
    const FIND: &str = "SELECT started_at, count FROM counters WHERE key_id = $1 AND name = 'rooms'";
    const KEEP: &str = "INSERT INTO counters (key_id, name, started_at, count) VALUES ($1, 'rooms', $2, $3) \
                        ON CONFLICT (key_id, name) DO UPDATE SET started_at = excluded.started_at, count = excluded.count";
    let window = conn.one(FIND, &params![tenant], |row| Ok((row.time(0)?, row.count(1)?))).await?;
    let (started_at, used) = window.filter(|(started_at, _)| started_at.plus(DAY) > now).unwrap_or((now, 0));
    let allowed = used < limit;
    let used = if allowed { used + 1 } else { used };
    if allowed {
        conn.execute(KEEP, &params![tenant, started_at, used]).await?;
    }
    Ok((allowed, WindowState { limit, remaining: limit.saturating_sub(used), resets_at: started_at.plus(DAY) }))
}

/// Makes a room.
pub(crate) async fn create_room(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    new: &NewRoom,
    limit: Option<DailyLimit>,
) -> Result<Created, StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO rooms (id, key_id, name, visibility, media, bot_enabled, listed, public_from, head_seq, \
         epoch, created_at, expires_at, agent_budget, agent_share) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $10, $11, $12) RETURNING ",
        room_columns!()
    );
    if !lock_tenant(conn, tenant).await? {
        return Ok(Created::TenantGone);
    }
    let window = match limit {
        None => None,
        Some(DailyLimit { limit }) => match count_room(conn, tenant, limit, new.created_at).await? {
            (true, window) => Some(window),
            (false, window) => return Ok(Created::Limited(window)),
        },
    };
    let values = params![
        new.id,
        tenant,
        new.name.as_str(),
        new.visibility,
        new.media,
        new.bot_enabled,
        new.listed,
        &new.epoch,
        new.created_at,
        new.expires_at,
        new.agent_budget,
        new.agent_share
    ];
    let room = conn.one(SQL, &values, read_room).await?;
    room.map(|room| Created::Room(Box::new(room), window))
        .ok_or_else(|| StoreError::internal("a room was made and is not there"))
}

/// Changes a room.
async fn update_room(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    room: &RoomId,
    patch: &RoomPatch,
) -> Result<Option<StoredRoom>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE rooms SET name = COALESCE($3, name), visibility = COALESCE($4, visibility), \
         media = COALESCE($5, media), listed = COALESCE($6, listed), \
         expires_at = CASE WHEN CAST($7 AS BIGINT) = 1 THEN CAST($8 AS BIGINT) ELSE expires_at END, \
         public_from = CASE WHEN CAST($9 AS TEXT) = 'start' THEN 0 \
         WHEN CAST($9 AS TEXT) = 'head' AND visibility = 'private' THEN head_seq ELSE public_from END, \
         agent_budget = COALESCE($10, agent_budget), agent_share = COALESCE($11, agent_share), \
         agents_paused = COALESCE($12, agents_paused), \
         person_seq = CASE WHEN CAST($12 AS BIGINT) = 0 THEN head_seq ELSE person_seq END \
         WHERE key_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
        room_columns!()
    );
    let public_from = patch.public_from.map(|from| match from {
        PublicFrom::Head => "head",
        PublicFrom::Start => "start",
    });
    let values = params![
        tenant,
        room,
        patch.name.as_ref().map(RoomName::as_str),
        patch.visibility,
        patch.media,
        patch.listed,
        patch.expires_at.is_some(),
        patch.expires_at.flatten(),
        public_from,
        patch.agent_budget,
        patch.agent_share,
        patch.agents_paused
    ];
    conn.one(SQL, &values, read_room).await
}

impl Store {
    /// Makes a room, unless the tenant has made too many today.
    pub async fn create_room(
        &self,
        tenant: TenantId,
        room: NewRoom,
        limit: Option<DailyLimit>,
    ) -> Result<Created, StoreError> {
        self.write((tenant, room, limit), |conn, (tenant, room, limit)| create_room(conn, tenant, room, *limit).boxed())
            .await
    }

    /// A room of the tenant; one that has expired as well, until it is purged.
    pub async fn room(&self, tenant: TenantId, room: RoomId) -> Result<Option<StoredRoom>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", room_columns!(), " FROM rooms WHERE key_id = $1 AND id = $2 AND deleted_at IS NULL");
        self.read((tenant, room), |conn, (tenant, room)| {
            async move { conn.one(SQL, &params![tenant, room], read_room).await }.boxed()
        })
        .await
    }

    /// A public room, whoever asks; one that has expired as well, until it is purged.
    pub async fn public_room(&self, room: RoomId) -> Result<Option<StoredRoom>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms WHERE id = $1 AND visibility = 'public' AND deleted_at IS NULL"
        );
        self.read(room, |conn, room| async move { conn.one(SQL, &params![room], read_room).await }.boxed()).await
    }

    /// The tenant's rooms that have not expired, oldest first, after the given one.
    pub async fn rooms(
        &self,
        tenant: TenantId,
        after: Option<RoomId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<StoredRoom>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms WHERE key_id = $1 AND id > $2 AND deleted_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $3) ORDER BY id LIMIT $4"
        );
        self.read((tenant, after, now, limit), |conn, (tenant, after, now, limit)| {
            async move {
                let after = after.map_or_else(String::new, |id| id.to_string());
                conn.rows(SQL, &params![tenant, &after, now, limit], read_room).await
            }
            .boxed()
        })
        .await
    }

    /// The public rooms that the operator owns or has listed and that have not expired, oldest first.
    pub async fn public_rooms(
        &self,
        after: Option<RoomId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<StoredRoom>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            room_columns!(),
            " FROM rooms JOIN api_keys k ON k.id = rooms.key_id WHERE rooms.visibility = 'public' AND rooms.id > $1 \
             AND rooms.deleted_at IS NULL AND (rooms.expires_at IS NULL OR rooms.expires_at > $2) \
             AND (rooms.listed = 1 OR k.kind = 'operator') ORDER BY rooms.id LIMIT $3"
        );
        self.read((after, now, limit), |conn, (after, now, limit)| {
            async move {
                let after = after.map_or_else(String::new, |id| id.to_string());
                conn.rows(SQL, &params![&after, now, limit], read_room).await
            }
            .boxed()
        })
        .await
    }

    /// Everyone's rooms whose time ended after `from` and until `until`, by id, after the given one.
    pub async fn expired_rooms(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<RoomId>,
        limit: u32,
    ) -> Result<Vec<(TenantId, RoomId)>, StoreError> {
        const SQL: &str = "SELECT key_id, id FROM rooms WHERE expires_at > $1 AND expires_at <= $2 AND id > $3 \
                           AND deleted_at IS NULL ORDER BY id LIMIT $4";
        self.read((from, until, after, limit), |conn, (from, until, after, limit)| {
            async move {
                let after = after.map_or_else(String::new, |id| id.to_string());
                conn.rows(SQL, &params![from, until, &after, limit], |row| Ok((row.id(0)?, row.id(1)?))).await
            }
            .boxed()
        })
        .await
    }

    /// Changes a room; `None` when the tenant has no such room.
    pub async fn update_room(
        &self,
        tenant: TenantId,
        room: RoomId,
        patch: RoomPatch,
    ) -> Result<Option<StoredRoom>, StoreError> {
        self.write((tenant, room, patch), |conn, (tenant, room, patch)| update_room(conn, tenant, room, patch).boxed())
            .await
    }

    /// Marks a room as deleted, which hides it at once; its data is purged later. `false` when the
    /// tenant has no such room.
    pub async fn delete_room(&self, tenant: TenantId, room: RoomId, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE rooms SET deleted_at = $3 WHERE key_id = $1 AND id = $2 AND deleted_at IS NULL";
        self.write((tenant, room, now), |conn, (tenant, room, now)| {
            async move { Ok(conn.execute(SQL, &params![tenant, room, now]).await? == 1) }.boxed()
        })
        .await
    }
}
