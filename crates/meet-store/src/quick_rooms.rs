//! Quick rooms: rooms that belong to nobody and are known by their name alone, each a tenant of its own without a key.
//!
//! A name that has ended is a tombstone for a day, unless somebody takes it before; then it is free again. Who comes in
//! is [`crate::admissions`]'.

use std::time::Duration;

use futures_util::FutureExt;
use meet_api::{Media, RoomId, TenantId, Timestamp};

use crate::{
    Created, NewRoom, NewTenant, Store, StoreError, StoredRoom,
    conn::Conn,
    keys::{delete_tenant, insert_tenant, lock_tenant},
    rooms::{ROOM_COLUMNS, create_room, read_room, room_columns},
    value::{Row, params},
};

/// How long a name says that its room has ended.
pub(crate) const TOMBSTONE_KEPT: Duration = Duration::from_hours(24);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickRoom {
    /// The name.
    pub name: String,
    /// The room, while it is there.
    pub room: Option<StoredRoom>,
    /// The tenant that was made for it.
    pub tenant: TenantId,
    /// The room's id.
    pub room_id: RoomId,
    /// When it ends by itself.
    pub ends_at: Timestamp,
    /// When it was ended: since then it is a tombstone.
    pub ended_at: Option<Timestamp>,
}

/// A quick room to be made.
#[derive(Debug, Clone)]
pub struct NewQuickRoom {
    /// The name by which it is found.
    pub name: String,
    /// Its tenant, of the kind [`TenantKind::Quick`](crate::TenantKind::Quick) and without a key.
    pub tenant: NewTenant,
    /// The room, which has an end.
    pub room: NewRoom,
}

/// What became of making a quick room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenedQuick {
    /// It is made.
    Room(Box<StoredRoom>),
    /// There are as many as there may be.
    Full,
    /// The name stands for a room already, or for one that has ended: look at it again.
    Taken,
}

/// Reads what a name stands for: the room's columns, then its own.
fn read_quick_room(row: &Row<'_>) -> Result<QuickRoom, StoreError> {
    Ok(QuickRoom {
        room: if row.text_or_null(0)?.is_some() { Some(read_room(row)?) } else { None },
        name: row.text(ROOM_COLUMNS)?.to_owned(),
        tenant: row.id(ROOM_COLUMNS + 1)?,
        room_id: row.id(ROOM_COLUMNS + 2)?,
        ends_at: row.time(ROOM_COLUMNS + 3)?,
        ended_at: row.time_or_null(ROOM_COLUMNS + 4)?,
    })
}

/// Makes a quick room, unless its name is taken or there are too many.
async fn open(conn: &mut Conn<'_>, new: &NewQuickRoom, max_rooms: u64) -> Result<OpenedQuick, StoreError> {
    const OLD: &str = "DELETE FROM quick_rooms WHERE name = $1 AND ended_at <= $2";
    const FIND: &str = "SELECT name FROM quick_rooms WHERE name = $1";
    const LIVE: &str = "SELECT COUNT(*) FROM quick_rooms WHERE ended_at IS NULL";
    const KEEP: &str = "INSERT INTO quick_rooms (name, key_id, room_id, ends_at) VALUES ($1, $2, $3, $4)";
    let NewQuickRoom { name, tenant, room } = new;
    let ends_at = room.expires_at.ok_or_else(|| StoreError::internal("a quick room has no end"))?;
    if !conn.is_sqlite() {
        // Two that begin at once would each see the name free, and one more place.
        conn.execute("LOCK TABLE quick_rooms IN SHARE ROW EXCLUSIVE MODE", &[]).await?;
    }
    conn.execute(OLD, &params![name, room.created_at.minus(TOMBSTONE_KEPT)]).await?;
    if conn.one(FIND, &params![name], |_| Ok(())).await?.is_some() {
        return Ok(OpenedQuick::Taken);
    }
    let live = conn.one(LIVE, &[], |row| row.count(0)).await?.unwrap_or(0);
    if max_rooms > 0 && live >= max_rooms {
        return Ok(OpenedQuick::Full);
    }
    insert_tenant(conn, tenant).await?;
    conn.execute(KEEP, &params![name, tenant.id, room.id, ends_at]).await?;
    match create_room(conn, &tenant.id, room, None).await? {
        Created::Room(room, _) => Ok(OpenedQuick::Room(room)),
        _ => Err(StoreError::internal("a quick room was not made")),
    }
}

/// Ends a quick room: first its name, so that one of many ends it, then its tenant.
async fn end(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    now: Timestamp,
    tombstone: bool,
) -> Result<Option<String>, StoreError> {
    const KEEP: &str = "UPDATE quick_rooms SET ended_at = $2 WHERE key_id = $1 AND ended_at IS NULL RETURNING name";
    const FORGET: &str = "DELETE FROM quick_rooms WHERE key_id = $1 AND ended_at IS NULL RETURNING name";
    // Whoever is being let in holds the tenant.
    lock_tenant(conn, tenant).await?;
    let read = |row: &Row<'_>| Ok(row.text(0)?.to_owned());
    let name = if tombstone {
        conn.one(KEEP, &params![tenant, now], read).await?
    } else {
        conn.one(FORGET, &params![tenant], read).await?
    };
    if name.is_some() {
        delete_tenant(conn, tenant, None, now).await?;
    }
    Ok(name)
}

impl Store {
    /// What a name stands for; `None` when it is free.
    pub async fn quick_room(&self, name: impl Into<String>) -> Result<Option<QuickRoom>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            room_columns!(),
            ", q.name, q.key_id, q.room_id, q.ends_at, q.ended_at FROM quick_rooms q LEFT JOIN rooms \
             ON rooms.id = q.room_id AND rooms.deleted_at IS NULL WHERE q.name = $1"
        );
        self.read(name.into(), |conn, name| async move { conn.one(SQL, &params![name], read_quick_room).await }.boxed())
            .await
    }

    /// Makes a quick room with its tenant, while fewer than `max_rooms` have not ended; 0 lifts the limit.
    pub async fn open_quick_room(&self, new: NewQuickRoom, max_rooms: u64) -> Result<OpenedQuick, StoreError> {
        self.write((new, max_rooms), |conn, (new, max_rooms)| open(conn, new, *max_rooms).boxed()).await
    }

    /// Ends a quick room and everything in it, and leaves a tombstone, or frees its name at once; the name, or `None`
    /// when it has ended before.
    pub async fn end_quick_room(
        &self,
        tenant: TenantId,
        now: Timestamp,
        tombstone: bool,
    ) -> Result<Option<String>, StoreError> {
        self.write((tenant, now, tombstone), |conn, (tenant, now, tombstone)| {
            end(conn, tenant, *now, *tombstone).boxed()
        })
        .await
    }

    /// Removes a tombstone that is younger than a day, which frees its name; `true` for one of all who try.
    pub async fn take_tombstone(&self, name: impl Into<String>, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM quick_rooms WHERE name = $1 AND ended_at > $2";
        self.write((name.into(), now), |conn, (name, now)| {
            async move { Ok(conn.execute(SQL, &params![name, now.minus(TOMBSTONE_KEPT)]).await? == 1) }.boxed()
        })
        .await
    }

    /// The quick rooms whose time is over and that have not been ended, the longest over first.
    pub async fn quick_rooms_that_ended(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(TenantId, RoomId, String)>, StoreError> {
        const SQL: &str = "SELECT key_id, room_id, name FROM quick_rooms WHERE ended_at IS NULL AND ends_at <= $1 \
                           ORDER BY ends_at LIMIT $2";
        self.read((now, limit), |conn, (now, limit)| {
            let read = |row: &Row<'_>| Ok((row.id(0)?, row.id(1)?, row.text(2)?.to_owned()));
            async move { conn.rows(SQL, &params![now, limit], read).await }.boxed()
        })
        .await
    }

    /// Asks for more in a room's call: screens and cameras, a bot. What it has already stays. `None` when the tenant has
    /// no such room.
    pub async fn negotiate(
        &self,
        tenant: TenantId,
        room: RoomId,
        screenshare: bool,
        bot: bool,
    ) -> Result<Option<StoredRoom>, StoreError> {
        const SQL: &str = concat!(
            "UPDATE rooms SET media = COALESCE($3, media), bot_enabled = COALESCE($4, bot_enabled) \
             WHERE key_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
            room_columns!()
        );
        let (media, bot) = (screenshare.then_some(Media::Screenshare), bot.then_some(true));
        self.write((tenant, room, media, bot), |conn, (tenant, room, media, bot)| {
            async move { conn.one(SQL, &params![tenant, room, media, bot], read_room).await }.boxed()
        })
        .await
    }
}
