//! How far each user has read each room, and what it has not read yet.

use futures_util::FutureExt;
use meet_api::{Reading, RoomId, TenantId, UserId};

use crate::{
    Store, StoreError,
    value::{Row, params},
};

/// Up to how many messages are counted: a look at one room costs no more, however long it was not read.
const MAX_UNREAD: u32 = 1000;

/// How many messages behind a mark are looked at: whoever says much itself and never marks makes no look longer.
const LOOKED_AT: u32 = 10_000;

/// How far user `$1` has read room `$2`, and what of others stands behind that, counted up to `$3` among the `$5` newest.
const READING: &str = "SELECT r.id, COALESCE(m.seq, 0), \
     CAST((SELECT COUNT(*) FROM (SELECT 1 FROM (SELECT x.user_id FROM messages x WHERE x.room_id = r.id \
     AND x.seq > COALESCE(m.seq, 0) AND x.seq > r.head_seq - $5 ORDER BY x.seq DESC) newest \
     WHERE newest.user_id <> $1 LIMIT $3) counted) AS BIGINT), \
     CAST((SELECT COUNT(*) FROM (SELECT 1 FROM mentions y WHERE y.user_id = $1 AND y.room_id = r.id \
     AND y.seq > COALESCE(m.seq, 0) LIMIT $3) counted) AS BIGINT) \
     FROM rooms r LEFT JOIN read_marks m ON m.room_id = r.id AND m.user_id = $1 \
     WHERE r.id = $2 AND r.key_id = $4 AND r.deleted_at IS NULL";

fn read_reading(row: &Row<'_>) -> Result<Reading, StoreError> {
    Ok(Reading { room_id: row.id(0)?, read_seq: row.count(1)?, unread: row.count(2)?, mentions: row.count(3)? })
}

impl Store {
    /// Notes that a user has read a room up to `seq`; a mark never goes back. Whether it moved, which it does not for a
    /// room or user that the tenant does not have.
    pub async fn mark_read(&self, tenant: TenantId, room: RoomId, user: UserId, seq: u64) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO read_marks (user_id, room_id, seq) \
            SELECT u.id, r.id, CAST($4 AS BIGINT) FROM rooms r JOIN users u ON u.key_id = r.key_id \
            WHERE r.key_id = $1 AND r.id = $2 AND u.id = $3 AND r.deleted_at IS NULL \
            ON CONFLICT (user_id, room_id) DO UPDATE SET seq = excluded.seq WHERE read_marks.seq < excluded.seq";
        self.write((tenant, room, user, seq), |conn, (tenant, room, user, seq)| {
            async move { Ok(conn.execute(SQL, &params![tenant, room, user, seq]).await? == 1) }.boxed()
        })
        .await
    }

    /// How far a user of the tenant has read these rooms of it, in their order; a room that is gone is left out.
    pub async fn readings(
        &self,
        tenant: TenantId,
        user: UserId,
        rooms: Vec<RoomId>,
    ) -> Result<Vec<Reading>, StoreError> {
        self.read((tenant, user, rooms), |conn, (tenant, user, rooms)| {
            async move {
                let sets: Vec<_> =
                    rooms.iter().map(|room| params![user, room, MAX_UNREAD, tenant, LOOKED_AT]).collect();
                Ok(conn.one_of_many(READING, &sets, read_reading).await?.into_iter().flatten().collect())
            }
            .boxed()
        })
        .await
    }

    /// How many messages a user has in a room of the tenant behind `since`.
    pub async fn said_since(
        &self,
        tenant: TenantId,
        room: RoomId,
        since: u64,
        user: UserId,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM messages WHERE room_id = \
                           (SELECT id FROM rooms WHERE id = $2 AND key_id = $1) AND seq > $3 AND user_id = $4";
        self.read((tenant, room, since, user), |conn, (tenant, room, since, user)| {
            async move {
                let count = conn.one(SQL, &params![tenant, room, since, user], |row| row.count(0)).await?;
                Ok(count.unwrap_or(0))
            }
            .boxed()
        })
        .await
    }
}
