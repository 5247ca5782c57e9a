//! Meetings: where the calls of rooms are held at a provider, from the wish to open one until the provider has closed it.
//!
//! A meeting outlives its room until it is forgotten, so that nothing stays open at the provider. What is marked as
//! closing lets nobody in and never opens again. Who was let in is [`crate::seats`]'.

use futures_util::FutureExt;
use meet_api::{RoomId, TenantId, Timestamp};

use crate::{
    Store, StoreError,
    conn::Conn,
    value::{Row, params},
};

/// A meeting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// Our own name of it.
    pub reference: String,
    /// The tenant of the room.
    pub tenant: TenantId,
    /// The room that it is for; it may be gone.
    pub room: RoomId,
    /// Who holds it.
    pub provider: String,
    /// The provider's name of it; `None` while it is being opened, or when that failed.
    pub meeting: Option<String>,
    /// Since when it is to be closed at the provider.
    pub closing_at: Option<Timestamp>,
}

/// What became of the wish for a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The room has one.
    Open(Meeting),
    /// It is to be opened at the provider, and then to be told to [`Store::meeting_opened`].
    Started(Meeting),
    /// The room is not there, or its time is over.
    RoomGone,
}

/// The columns of a meeting `m`, in the order in which [`read_meeting`] takes them.
macro_rules! meeting_columns {
    () => {
        "m.reference, m.key_id, m.room_id, m.provider, m.meeting, m.closing_at"
    };
}

/// Whether a room `r` is there, its tenant too, and its time is not over at the parameter of this number.
macro_rules! room_in_force {
    ($now:literal) => {
        concat!(
            "r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > ",
            $now,
            ") AND EXISTS (SELECT 1 FROM api_keys k WHERE k.id = r.key_id AND k.deleted_at IS NULL)"
        )
    };
}
pub(crate) use room_in_force;

/// Reads a meeting.
fn read_meeting(row: &Row<'_>) -> Result<Meeting, StoreError> {
    Ok(Meeting {
        reference: row.text(0)?.to_owned(),
        tenant: row.id(1)?,
        room: row.id(2)?,
        provider: row.text(3)?.to_owned(),
        meeting: row.text_or_null(4)?.map(str::to_owned),
        closing_at: row.time_or_null(5)?,
    })
}

/// A wish for a meeting.
struct Wish {
    tenant: TenantId,
    room: RoomId,
    provider: String,
    reference: String,
    now: Timestamp,
}

/// Finds the open meeting of a room, or starts one. The room's row is held, so that it is not deleted meanwhile and two
/// do not start at once.
async fn begin(conn: &mut Conn<'_>, wish: &Wish) -> Result<Begun, StoreError> {
    const ROOM: &str = concat!("SELECT r.id FROM rooms r WHERE r.key_id = $1 AND r.id = $2 AND ", room_in_force!("$3"));
    const HELD_ROOM: &str = concat!(
        "SELECT r.id FROM rooms r WHERE r.key_id = $1 AND r.id = $2 AND ",
        room_in_force!("$3"),
        " FOR NO KEY UPDATE"
    );
    const LEFT_OVER: &str = "UPDATE meetings SET closing_at = $2 WHERE room_id = $1 AND closing_at IS NULL \
                             AND (meeting IS NULL OR provider <> $3)";
    const FIND: &str =
        concat!("SELECT ", meeting_columns!(), " FROM meetings m WHERE m.room_id = $1 AND m.closing_at IS NULL");
    const START: &str = "INSERT INTO meetings (reference, key_id, room_id, provider, opened_at) \
                         VALUES ($1, $2, $3, $4, $5)";
    let Wish { tenant, room, provider, reference, now } = wish;
    let sql = if conn.is_sqlite() { ROOM } else { HELD_ROOM };
    if conn.one(sql, &params![tenant, room, now], |_| Ok(())).await?.is_none() {
        return Ok(Begun::RoomGone);
    }
    conn.execute(LEFT_OVER, &params![room, now, provider]).await?;
    if let Some(meeting) = conn.one(FIND, &params![room], read_meeting).await? {
        return Ok(Begun::Open(meeting));
    }
    conn.execute(START, &params![reference, tenant, room, provider, now]).await?;
    Ok(Begun::Started(Meeting {
        reference: reference.clone(),
        tenant: *tenant,
        room: *room,
        provider: provider.clone(),
        meeting: None,
        closing_at: None,
    }))
}

impl Store {
    /// The open meeting of a room at this provider, or a new one under this reference.
    ///
    /// The caller lets nobody else begin one for the same room meanwhile: one that is not opened yet was left over by a
    /// crash, and is marked as closing, as is one of another provider.
    pub async fn begin_meeting(
        &self,
        tenant: TenantId,
        room: RoomId,
        provider: &str,
        reference: impl Into<String>,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let wish = Wish { tenant, room, provider: provider.to_owned(), reference: reference.into(), now };
        self.write(wish, |conn, wish| begin(conn, wish).boxed()).await
    }

    /// Keeps the provider's name of a meeting, as long as it is not forgotten. `false` when it is, when it is closing
    /// already or when its room is gone: then nobody may be let in, and it is to be closed.
    pub async fn meeting_opened(
        &self,
        reference: impl Into<String>,
        meeting: impl Into<String>,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE meetings SET meeting = $2 WHERE reference = $1 RETURNING CASE WHEN closing_at IS NULL \
            AND EXISTS (SELECT 1 FROM rooms r JOIN api_keys k ON k.id = r.key_id AND k.deleted_at IS NULL \
            WHERE r.id = meetings.room_id AND r.deleted_at IS NULL) \
            THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END";
        self.write((reference.into(), meeting.into()), |conn, (reference, meeting)| {
            async move { Ok(conn.one(SQL, &params![reference, meeting], |row| row.flag(0)).await?.unwrap_or(false)) }
                .boxed()
        })
        .await
    }

    /// Marks a meeting as closing, unless it is already.
    pub async fn abandon_meeting(&self, reference: impl Into<String>, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE meetings SET closing_at = $2 WHERE reference = $1 AND closing_at IS NULL";
        self.write((reference.into(), now), |conn, (reference, now)| {
            async move { conn.execute(SQL, &params![reference, now]).await.map(drop) }.boxed()
        })
        .await
    }

    /// Marks every meeting that was to be opened before `since` and is not open as closing: nobody is at it any more.
    pub async fn abandon_openings(&self, since: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE meetings SET closing_at = $2 WHERE closing_at IS NULL AND meeting IS NULL \
                           AND opened_at <= $1";
        self.write((since, now), |conn, (since, now)| {
            async move { conn.execute(SQL, &params![since, now]).await.map(drop) }.boxed()
        })
        .await
    }

    /// Marks every meeting whose room is gone or has expired as closing; whether there was one.
    pub async fn end_meetings(&self, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = concat!(
            "UPDATE meetings SET closing_at = $1 WHERE closing_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.id = meetings.room_id AND ",
            room_in_force!("$1"),
            ")"
        );
        self.write(now, |conn, now| async move { Ok(conn.execute(SQL, &params![now]).await? > 0) }.boxed()).await
    }

    /// Everyone's meetings that are to be closed, by reference, after the given one.
    pub async fn closing_meetings(&self, after: Option<String>, limit: u32) -> Result<Vec<Meeting>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            meeting_columns!(),
            " FROM meetings m WHERE m.closing_at IS NOT NULL AND m.reference > $1 ORDER BY m.reference LIMIT $2"
        );
        self.read((after.unwrap_or_default(), limit), |conn, (after, limit)| {
            async move { conn.rows(SQL, &params![after, limit], read_meeting).await }.boxed()
        })
        .await
    }

    /// Forgets a meeting that is not open at its provider, and who was let into it.
    pub async fn forget_meeting(&self, reference: impl Into<String>) -> Result<(), StoreError> {
        self.write(reference.into(), |conn, reference| {
            async move {
                // First the meeting, which waits for whoever is being let in.
                conn.execute("DELETE FROM meetings WHERE reference = $1", &params![reference]).await?;
                conn.execute("DELETE FROM seats WHERE reference = $1", &params![reference]).await.map(drop)
            }
            .boxed()
        })
        .await
    }

    /// The meeting of a room that is open at its provider.
    pub async fn open_meeting_of(&self, room: RoomId) -> Result<Option<Meeting>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            meeting_columns!(),
            " FROM meetings m WHERE m.room_id = $1 AND m.closing_at IS NULL AND m.meeting IS NOT NULL"
        );
        self.read(room, |conn, room| async move { conn.one(SQL, &params![room], read_meeting).await }.boxed()).await
    }

    /// The meeting that a provider knows by this name; when none is open, one that is closing.
    pub async fn meeting_by_name(
        &self,
        provider: &str,
        meeting: impl Into<String>,
    ) -> Result<Option<Meeting>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            meeting_columns!(),
            " FROM meetings m WHERE m.provider = $1 AND m.meeting = $2 \
             ORDER BY CASE WHEN m.closing_at IS NULL THEN 0 ELSE 1 END, m.opened_at DESC LIMIT 1"
        );
        self.read((provider.to_owned(), meeting.into()), |conn, (provider, meeting)| {
            async move { conn.one(SQL, &params![provider, meeting], read_meeting).await }.boxed()
        })
        .await
    }

    /// Everyone's meetings that are open at a provider, by reference, after the given one.
    pub async fn open_meetings(
        &self,
        provider: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Meeting>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            meeting_columns!(),
            " FROM meetings m WHERE m.provider = $1 AND m.reference > $2 AND m.closing_at IS NULL \
             AND m.meeting IS NOT NULL ORDER BY m.reference LIMIT $3"
        );
        self.read((provider.to_owned(), after.unwrap_or_default(), limit), |conn, (provider, after, limit)| {
            async move { conn.rows(SQL, &params![provider, after, limit], read_meeting).await }.boxed()
        })
        .await
    }
}
