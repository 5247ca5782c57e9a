//! Seats: who was let into a meeting, by which credential, so that whoever's credential ends can be removed from it.
//!
//! A credential is a tenant at a generation and, unless it is a bare key, a session. A seat keeps its own copy of the
//! user's name, which may change afterwards.

use futures_util::FutureExt;
use meet_api::{Kind, RoomId, SessionId, TenantId, Timestamp, User, UserId};

use crate::{
    Store, StoreError,
    conn::Conn,
    value::{Row, params},
};

/// How many seats of one user in one meeting are looked at.
const OWN_SEATS: u32 = 20;

/// A seat to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSeat {
    /// By what we know it.
    pub identity: String,
    /// The reference of the meeting.
    pub reference: String,
    /// By what the provider knows it, where that is another name.
    pub known_as: Option<String>,
    /// Who sits there.
    pub user: User,
    /// The tenant of the credential.
    pub holder: TenantId,
    /// The generation of that tenant.
    pub generation: u64,
    /// The session; `None` for a bare key. It may be of another tenant than the holder.
    pub session: Option<SessionId>,
    /// When the provider's token ends.
    pub expires_at: Timestamp,
}

/// A seat, and the meeting where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSeat {
    /// By what we know it.
    pub identity: String,
    /// The reference of the meeting.
    pub reference: String,
    /// By what the provider knows it, where that is another name.
    pub known_as: Option<String>,
    /// Who sits there, named as when the seat was given.
    pub user: User,
    /// The tenant of the credential.
    pub holder: TenantId,
    /// The generation of that tenant when the seat was given.
    pub generation: u64,
    /// The session; `None` for a bare key.
    pub session: Option<SessionId>,
    /// When the provider's token ends.
    pub expires_at: Timestamp,
    /// Who holds the meeting.
    pub provider: String,
    /// The provider's name of the meeting.
    pub meeting: Option<String>,
    /// The tenant of the meeting's room.
    pub tenant: TenantId,
    /// The meeting's room.
    pub room: RoomId,
    /// Whether its credential has ended.
    pub has_ended: bool,
}

/// Whether the credential of a seat `s` holds, but for the session's time.
macro_rules! credential_holds {
    () => {
        "EXISTS (SELECT 1 FROM api_keys k WHERE k.id = s.holder AND k.generation = s.generation \
         AND k.deleted_at IS NULL) AND (s.session_id IS NULL OR EXISTS (SELECT 1 FROM sessions o JOIN api_keys k \
         ON k.id = o.key_id AND k.generation = o.generation AND k.deleted_at IS NULL WHERE o.id = s.session_id))"
    };
}

/// The beginning of a query for seats `s` in their meetings `m`, in the order in which [`read_seat`] takes the columns.
macro_rules! seats {
    () => {
        concat!(
            "SELECT s.identity, s.reference, s.known_as, s.user_id, s.name, s.kind, s.holder, s.generation, \
             s.session_id, s.expires_at, m.provider, m.meeting, m.key_id, m.room_id, CASE WHEN ",
            credential_holds!(),
            " THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END FROM seats s \
             JOIN meetings m ON m.reference = s.reference WHERE "
        )
    };
}

/// Reads a seat.
fn read_seat(row: &Row<'_>) -> Result<StoredSeat, StoreError> {
    Ok(StoredSeat {
        identity: row.text(0)?.to_owned(),
        reference: row.text(1)?.to_owned(),
        known_as: row.text_or_null(2)?.map(str::to_owned),
        user: User { id: row.id(3)?, name: row.text(4)?.to_owned(), kind: row.word(5, Kind::from_word)? },
        holder: row.id(6)?,
        generation: row.count(7)?,
        session: row.id_or_null(8)?,
        expires_at: row.time(9)?,
        provider: row.text(10)?.to_owned(),
        meeting: row.text_or_null(11)?.map(str::to_owned),
        tenant: row.id(12)?,
        room: row.id(13)?,
        has_ended: row.flag(14)?,
    })
}

/// Holds what a seat depends on until the transaction ends: whoever ends the credential or the meeting meanwhile waits,
/// and finds the seat.
pub(crate) async fn hold_credential(
    conn: &mut Conn<'_>,
    holder: &TenantId,
    session: Option<SessionId>,
    reference: &str,
) -> Result<(), StoreError> {
    const TENANTS: &str = "SELECT id FROM api_keys WHERE id = $1 OR id = (SELECT key_id FROM sessions WHERE id = $2) \
                           ORDER BY id FOR SHARE";
    const SESSION: &str = "SELECT id FROM sessions WHERE id = $1 FOR NO KEY UPDATE";
    const MEETING: &str = "SELECT reference FROM meetings WHERE reference = $1 FOR SHARE";
    // SQLite has one writer: its transaction is the lock.
    if conn.is_sqlite() {
        return Ok(());
    }
    conn.rows(TENANTS, &params![holder, session], |_| Ok(())).await?;
    conn.one(SESSION, &params![session], |_| Ok(())).await?;
    conn.one(MEETING, &params![reference], |_| Ok(())).await.map(drop)
}

/// Writes a seat, or the new token of one, unless the meeting is closing or the credential has ended. The caller holds
/// the credential.
pub(crate) async fn insert_seat(conn: &mut Conn<'_>, new: &NewSeat) -> Result<bool, StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO seats (identity, reference, known_as, user_id, name, kind, holder, generation, session_id, \
         expires_at) SELECT s.identity, s.reference, s.known_as, s.user_id, s.name, s.kind, s.holder, s.generation, \
         s.session_id, s.expires_at FROM (SELECT CAST($1 AS TEXT) AS identity, CAST($2 AS TEXT) AS reference, \
         CAST($3 AS TEXT) AS known_as, CAST($4 AS TEXT) AS user_id, CAST($5 AS TEXT) AS name, \
         CAST($6 AS TEXT) AS kind, CAST($7 AS TEXT) AS holder, CAST($8 AS BIGINT) AS generation, \
         CAST($9 AS TEXT) AS session_id, CAST($10 AS BIGINT) AS expires_at) s \
         JOIN meetings m ON m.reference = s.reference AND m.closing_at IS NULL WHERE ",
        credential_holds!(),
        " ON CONFLICT (identity) DO UPDATE SET known_as = excluded.known_as, expires_at = excluded.expires_at \
         WHERE seats.reference = excluded.reference AND seats.user_id = excluded.user_id \
         AND seats.holder = excluded.holder AND seats.generation = excluded.generation \
         AND COALESCE(seats.session_id, '') = COALESCE(excluded.session_id, '')"
    );
    let values = params![
        &new.identity,
        &new.reference,
        new.known_as.as_ref(),
        new.user.id,
        &new.user.name,
        new.user.kind,
        new.holder,
        new.generation,
        new.session,
        new.expires_at
    ];
    Ok(conn.execute(SQL, &values).await? == 1)
}

impl Store {
    /// Keeps a seat, or the new token of a seat that the same user has by the same credential. `false` when the meeting
    /// is closing or gone, or the credential has ended; the end of a session's time is for the caller to see.
    pub async fn keep_seat(&self, seat: NewSeat) -> Result<bool, StoreError> {
        self.write(seat, |conn, seat| {
            async move {
                hold_credential(conn, &seat.holder, seat.session, &seat.reference).await?;
                insert_seat(conn, seat).await
            }
            .boxed()
        })
        .await
    }

    /// The seat with this identity.
    pub async fn seat(&self, identity: impl Into<String>) -> Result<Option<StoredSeat>, StoreError> {
        const SQL: &str = concat!(seats!(), "s.identity = $1");
        self.read(identity.into(), |conn, identity| {
            async move { conn.one(SQL, &params![identity], read_seat).await }.boxed()
        })
        .await
    }

    /// The seats of a meeting, by identity, after the given one.
    pub async fn seats_of_meeting(
        &self,
        reference: impl Into<String>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<StoredSeat>, StoreError> {
        const SQL: &str = concat!(seats!(), "s.reference = $1 AND s.identity > $2 ORDER BY s.identity LIMIT $3");
        self.read((reference.into(), after.unwrap_or_default(), limit), |conn, (reference, after, limit)| {
            async move { conn.rows(SQL, &params![reference, after, limit], read_seat).await }.boxed()
        })
        .await
    }

    /// The seats of a user in a meeting by one credential that still holds, the newest token first, at most 20: one whose
    /// user never came can be given a new token.
    pub async fn seats_of_user(
        &self,
        reference: impl Into<String>,
        user: UserId,
        session: Option<SessionId>,
    ) -> Result<Vec<StoredSeat>, StoreError> {
        const SQL: &str = concat!(
            seats!(),
            "s.reference = $1 AND s.user_id = $2 AND COALESCE(s.session_id, '') = COALESCE(CAST($3 AS TEXT), '') AND ",
            credential_holds!(),
            " ORDER BY s.expires_at DESC, s.identity LIMIT $4"
        );
        self.read((reference.into(), user, session), |conn, (reference, user, session)| {
            async move { conn.rows(SQL, &params![reference, user, session, OWN_SEATS], read_seat).await }.boxed()
        })
        .await
    }

    /// Everyone's seats whose credential has ended, by identity, after the given one.
    pub async fn ended_seats(&self, after: Option<String>, limit: u32) -> Result<Vec<StoredSeat>, StoreError> {
        const SQL: &str =
            concat!(seats!(), "s.identity > $1 AND NOT (", credential_holds!(), ") ORDER BY s.identity LIMIT $2");
        self.read((after.unwrap_or_default(), limit), |conn, (after, limit)| {
            async move { conn.rows(SQL, &params![after, limit], read_seat).await }.boxed()
        })
        .await
    }

    /// Forgets a seat, unless it was given a token since that ends at `end` or later.
    pub async fn forget_expired_seat(&self, identity: &str, end: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM seats WHERE identity = $1 AND expires_at < $2";
        self.write((identity.to_owned(), end), |conn, (identity, end)| {
            async move { conn.execute(SQL, &params![identity, end]).await.map(drop) }.boxed()
        })
        .await
    }

    /// Forgets a seat.
    pub async fn forget_seat(&self, identity: impl Into<String>) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM seats WHERE identity = $1";
        self.write(identity.into(), |conn, identity| {
            async move { conn.execute(SQL, &params![identity]).await.map(drop) }.boxed()
        })
        .await
    }
}
