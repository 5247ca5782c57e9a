//! Forgetting, in slices: what was deleted, what has expired, and what nothing refers to any more.
//!
//! Meetings and their seats are not among it: they are forgotten by whoever has closed them at the provider.

use std::time::Duration;

use futures_util::FutureExt;
use meet_api::{RoomId, TenantId, Timestamp};

use crate::{
    MESSAGE_OVERHEAD, Store, StoreError,
    batch::IDEMPOTENCY_KEPT,
    conn::Conn,
    quick_rooms::TOMBSTONE_KEPT,
    value::{Row, params},
};

/// How many rows one slice removes at most.
const SLICE: u32 = 500;
/// How long an expired room still says that it has expired.
const EXPIRED_KEPT: Duration = Duration::from_hours(24);

impl Store {
    /// Removes at most a few hundred rows of something that is to be forgotten; `true` when it found
    /// something to remove, so that there may be more.
    pub async fn purge_slice(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.write(now, |conn, now| {
            async move {
                Ok(mark_expired_rooms(conn, *now).await?
                    || purge_room(conn).await?
                    || purge_tenant(conn).await?
                    || purge_rows(conn, *now).await?)
            }
            .boxed()
        })
        .await
    }
}

/// Marks rooms that expired long ago as deleted.
async fn mark_expired_rooms(conn: &mut Conn<'_>, now: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE rooms SET deleted_at = $2 WHERE id IN \
        (SELECT id FROM rooms WHERE expires_at <= $1 AND deleted_at IS NULL LIMIT $3)";
    Ok(conn.execute(SQL, &params![now.minus(EXPIRED_KEPT), now, SLICE]).await? > 0)
}

/// Removes a slice of the oldest deleted room, and at last the room.
async fn purge_room(conn: &mut Conn<'_>) -> Result<bool, StoreError> {
    const ROOM: &str = "SELECT id, key_id FROM rooms WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT 1";
    const KEYS: &str = "DELETE FROM idempotency WHERE room_id = $1 AND (user_id, client_id, key_id) IN \
        (SELECT user_id, client_id, key_id FROM idempotency WHERE room_id = $1 LIMIT $2)";
    // Nobody comes in by an invite to a room that is deleted, so those who are in are all.
    const SESSIONS: &str = "DELETE FROM sessions WHERE id IN (SELECT s.id FROM invites i \
        JOIN sessions s ON s.invite_id = i.id WHERE i.room_id = $1 LIMIT $2)";
    const INVITES: &str =
        "DELETE FROM invites WHERE id IN (SELECT id FROM invites WHERE room_id = $1 ORDER BY id LIMIT $2)";
    const GRANTS: &str = "DELETE FROM session_grants WHERE (session_id, room_id) IN \
        (SELECT session_id, room_id FROM session_grants WHERE room_id = $1 LIMIT $2)";
    const MARKS: &str = "DELETE FROM read_marks WHERE room_id = $1 AND user_id IN \
        (SELECT user_id FROM read_marks WHERE room_id = $1 LIMIT $2)";
    const MENTIONS: &str = "DELETE FROM mentions WHERE (user_id, room_id, seq) IN \
        (SELECT user_id, room_id, seq FROM mentions WHERE room_id = $1 LIMIT $2)";
    let found = conn.one(ROOM, &[], |row| Ok((row.id::<RoomId>(0)?, row.id::<TenantId>(1)?))).await?;
    let Some((room, tenant)) = found else { return Ok(false) };
    if purge_messages(conn, &tenant, &room).await?
        || conn.execute(KEYS, &params![room, SLICE]).await? > 0
        || conn.execute(SESSIONS, &params![room, SLICE]).await? > 0
        || conn.execute(INVITES, &params![room, SLICE]).await? > 0
        || conn.execute(GRANTS, &params![room, SLICE]).await? > 0
        || conn.execute(MARKS, &params![room, SLICE]).await? > 0
        || conn.execute(MENTIONS, &params![room, SLICE]).await? > 0
    {
        return Ok(true);
    }
    conn.execute("DELETE FROM rooms WHERE id = $1 AND deleted_at IS NOT NULL", &params![room]).await?;
    Ok(true)
}

/// Removes the first messages of a room, and gives their bytes back to the tenant.
async fn purge_messages(conn: &mut Conn<'_>, tenant: &TenantId, room: &RoomId) -> Result<bool, StoreError> {
    const BYTES: &str = "UPDATE api_keys SET stored_bytes = stored_bytes - $2 WHERE id = $1";
    const FIRST: &str = "SELECT MIN(seq) FROM messages WHERE room_id = $1";
    const POSTGRES: &str = "DELETE FROM messages WHERE room_id = $1 AND seq < $2 \
        RETURNING CAST(octet_length(content) AS BIGINT), CAST(0 AS BIGINT)";
    const SQLITE: &str = "DELETE FROM messages WHERE room_id = $1 AND seq < $2 RETURNING octet_length(content), pk";
    let sqlite = conn.is_sqlite();
    if !sqlite {
        // Tenants are held before rooms.
        conn.one("SELECT id FROM api_keys WHERE id = $1 FOR NO KEY UPDATE", &params![tenant], |_| Ok(())).await?;
    }
    let Some(first) = conn.one(FIRST, &params![room], |row| row.count_or_null(0)).await?.flatten() else {
        return Ok(false);
    };
    let end = first + u64::from(SLICE);
    let read = |row: &Row<'_>| Ok((row.count(0)?, row.int(1)?));
    let gone = conn.rows(if sqlite { SQLITE } else { POSTGRES }, &params![room, end], read).await?;
    if sqlite {
        let sets: Vec<_> = gone.iter().map(|(_, pk)| params![pk]).collect();
        conn.execute_many("DELETE FROM messages_fts WHERE rowid = $1", &sets).await?;
    }
    let bytes: u64 = gone.iter().map(|(bytes, _)| bytes + MESSAGE_OVERHEAD).sum();
    conn.execute(BYTES, &params![tenant, bytes]).await?;
    Ok(true)
}

/// Removes a slice of the oldest deleted tenant, whose rooms are gone already, and at last the tenant.
async fn purge_tenant(conn: &mut Conn<'_>) -> Result<bool, StoreError> {
    const TENANT: &str = "SELECT id FROM api_keys WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT 1";
    const PARTS: [&str; 3] = [
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE key_id = $1 LIMIT $2)",
        "DELETE FROM invites WHERE id IN (SELECT id FROM invites WHERE key_id = $1 LIMIT $2)",
        "DELETE FROM users WHERE id IN (SELECT id FROM users WHERE key_id = $1 LIMIT $2)",
    ];
    let Some(tenant) = conn.one(TENANT, &[], |row| row.id::<TenantId>(0)).await? else { return Ok(false) };
    for part in PARTS {
        if conn.execute(part, &params![tenant, SLICE]).await? > 0 {
            return Ok(true);
        }
    }
    conn.execute("DELETE FROM counters WHERE key_id = $1", &params![tenant]).await?;
    conn.execute("DELETE FROM api_keys WHERE id = $1 AND deleted_at IS NOT NULL", &params![tenant]).await?;
    Ok(true)
}

/// Removes a slice of the rows whose time is over, and of guests that nothing refers to.
async fn purge_rows(conn: &mut Conn<'_>, now: Timestamp) -> Result<bool, StoreError> {
    const SESSIONS: &str = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT $2)";
    // An expired invite whose sessions live on can still be revoked.
    const INVITES: &str = "DELETE FROM invites WHERE id IN (SELECT i.id FROM invites i WHERE i.expires_at <= $1 \
        AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.invite_id = i.id) LIMIT $2)";
    const KEYS: &str = "DELETE FROM idempotency WHERE (room_id, user_id, client_id, key_id) IN \
        (SELECT room_id, user_id, client_id, key_id FROM idempotency WHERE created_at <= $1 LIMIT $2)";
    const GUESTS: &str = "DELETE FROM users WHERE id IN (SELECT u.id FROM users u WHERE u.guest = 1 \
        AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = u.id) \
        AND NOT EXISTS (SELECT 1 FROM session_grants g WHERE g.user_id = u.id) LIMIT $1)";
    const TOMBSTONES: &str = "DELETE FROM quick_rooms WHERE name IN \
        (SELECT name FROM quick_rooms WHERE ended_at <= $1 LIMIT $2)";
    let day_ago = now.minus(IDEMPOTENCY_KEPT);
    Ok(conn.execute(SESSIONS, &params![now, SLICE]).await? > 0
        || conn.execute(INVITES, &params![now, SLICE]).await? > 0
        || conn.execute(KEYS, &params![day_ago, SLICE]).await? > 0
        || conn.execute(GUESTS, &params![SLICE]).await? > 0
        || conn.execute(TOMBSTONES, &params![now.minus(TOMBSTONE_KEPT), SLICE]).await? > 0)
}
