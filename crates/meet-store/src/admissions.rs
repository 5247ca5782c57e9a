//! Letting somebody into the call and the chat of a quick room: a guest, its seat, and a session that reaches the room,
//! in one transaction.
//!
//! A session that somebody has already stays as it is, and is granted the room. Guests of a quick room may share a name.

use futures_util::FutureExt;
use meet_api::{Kind, Role, RoomId, SessionId, TenantId, Timestamp, User, UserId};

use crate::{
    Digest, NewSeat, NewSession, NewTenant, NewUser, Session, Store, StoreError, TenantKind,
    conn::Conn,
    keys::insert_tenant,
    meetings::room_in_force,
    people::{insert_session, insert_user, session_by_id},
    seats::{hold_credential, insert_seat},
    value::{Row, params},
};

/// Somebody who comes into a quick room, once the provider has let it into the meeting.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The quick room's tenant.
    pub tenant: TenantId,
    /// The quick room.
    pub room: RoomId,
    /// As whom it comes: a guest of the quick room.
    pub user: NewUser,
    /// Its seat in the meeting.
    pub seat: GuestSeat,
    /// By what it reaches the room from now on.
    pub entry: Entry,
    /// When it comes.
    pub now: Timestamp,
    /// When the room ends.
    pub expires_at: Timestamp,
}

/// The seat of somebody who comes into a quick room.
#[derive(Debug, Clone)]
pub struct GuestSeat {
    /// By what we know it.
    pub identity: String,
    /// The reference of the meeting.
    pub reference: String,
    /// By what the provider knows it, where that is another name.
    pub known_as: Option<String>,
    /// When the provider's token ends.
    pub expires_at: Timestamp,
}

/// By what somebody reaches a quick room.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A new session of the quick room's tenant, which ends with the room.
    Session {
        /// Its id.
        id: SessionId,
        /// The digest of its token.
        digest: Digest,
    },
    /// A grant that is added to a session in force, whosever it is.
    Grant {
        /// The session.
        session: SessionId,
        /// Until when it lasts at least, when it is one of the visitors' tenant.
        visitor_until: Timestamp,
    },
    /// A grant that is added to a new session of the visitors' tenant, which by itself reaches no room.
    Visitor {
        /// The session's id.
        session: SessionId,
        /// The digest of its token.
        digest: Digest,
        /// When it ends.
        expires_at: Timestamp,
        /// The id that the visitors' tenant gets if there is none yet.
        tenant: TenantId,
        /// The id that the user of the session gets.
        user: UserId,
    },
}

/// What became of letting somebody in.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is in.
    In {
        /// As whom: the guest that the session was in this room before, or a new one.
        user: User,
        /// The session, with its grants.
        session: Session,
    },
    /// The room, its meeting or the session is not there any more; nothing is written.
    Gone,
}

/// Lets somebody in. All that could stand in the way is held and looked at before anything is written.
async fn admit(conn: &mut Conn<'_>, new: &Admission) -> Result<Admitted, StoreError> {
    const ROOM: &str = concat!(
        "SELECT k.generation FROM rooms r JOIN api_keys k ON k.id = r.key_id AND k.kind = 'quick' \
         JOIN meetings m ON m.reference = $3 AND m.room_id = r.id AND m.closing_at IS NULL \
         WHERE r.key_id = $1 AND r.id = $2 AND ",
        room_in_force!("$4")
    );
    let Admission { tenant, room, seat, now, .. } = new;
    let granted = if let Entry::Grant { session, .. } = new.entry { Some(session) } else { None };
    hold_credential(conn, tenant, granted, &seat.reference).await?;
    let found = conn.one(ROOM, &params![tenant, room, &seat.reference, now], |row| row.count(0)).await?;
    let Some(generation) = found else { return Ok(Admitted::Gone) };
    if let Some(session) = granted
        && session_by_id(conn, &session, *now).await?.is_none()
    {
        return Ok(Admitted::Gone);
    }
    let (user, session) = enter(conn, new, generation).await?;
    let seat = NewSeat {
        identity: seat.identity.clone(),
        reference: seat.reference.clone(),
        known_as: seat.known_as.clone(),
        user: user.clone(),
        holder: *tenant,
        generation,
        session: Some(session),
        expires_at: seat.expires_at,
    };
    let session = session_by_id(conn, &session, *now).await?;
    match (insert_seat(conn, &seat).await?, session) {
        (true, Some(session)) => Ok(Admitted::In { user, session }),
        _ => Err(StoreError::internal("somebody was let in and is not there")),
    }
}

/// Writes the guest and what it reaches the room by; as whom it is in, and by which session.
async fn enter(conn: &mut Conn<'_>, new: &Admission, generation: u64) -> Result<(User, SessionId), StoreError> {
    match &new.entry {
        Entry::Session { id, digest } => {
            insert_user(conn, &new.tenant, &new.user, true, new.now).await?;
            let session = NewSession {
                id: *id,
                digest: *digest,
                tenant: new.tenant,
                generation,
                user: new.user.id,
                role: Role::Member,
                rooms: Some(vec![new.room]),
                invite: None,
                expires_at: new.expires_at,
                created_at: new.now,
            };
            insert_session(conn, &session).await?;
            Ok((user_of(&new.user), *id))
        }
        Entry::Grant { session, visitor_until } => {
            const RENEW: &str = "UPDATE sessions SET expires_at = $2 WHERE id = $1 AND expires_at < $2 \
                                 AND key_id IN (SELECT id FROM api_keys WHERE kind = 'visitors')";
            conn.execute(RENEW, &params![session, visitor_until]).await?;
            Ok((grant(conn, new, session).await?, *session))
        }
        Entry::Visitor { session, digest, expires_at, tenant, user } => {
            let (tenant, generation) = visitors(conn, tenant, new.now).await?;
            let visitor = NewUser { id: *user, ..new.user.clone() };
            insert_user(conn, &tenant, &visitor, true, new.now).await?;
            let made = NewSession {
                id: *session,
                digest: *digest,
                tenant,
                generation,
                user: *user,
                role: Role::Member,
                rooms: Some(Vec::new()),
                invite: None,
                expires_at: *expires_at,
                created_at: new.now,
            };
            insert_session(conn, &made).await?;
            Ok((grant(conn, new, session).await?, *session))
        }
    }
}

/// A new user as others see it.
fn user_of(new: &NewUser) -> User {
    User { id: new.id, name: new.name.as_str().to_owned(), kind: new.kind }
}

/// Grants the room to a session; as whom it is there. One that is there already, by a grant or as a session of that very
/// room, only gets its new name.
async fn grant(conn: &mut Conn<'_>, new: &Admission, session: &SessionId) -> Result<User, StoreError> {
    const RENAME: &str = "UPDATE users SET name = $3, folded = $4 WHERE id = COALESCE(\
        (SELECT user_id FROM session_grants WHERE session_id = $1 AND room_id = $2), \
        (SELECT user_id FROM sessions WHERE id = $1 AND key_id = $5)) RETURNING id, name, kind";
    const GRANT: &str = "INSERT INTO session_grants (session_id, room_id, user_id) VALUES ($1, $2, $3)";
    let folded = new.user.name.folded();
    let values = params![session, new.room, new.user.name.as_str(), &folded, new.tenant];
    let read =
        |row: &Row<'_>| Ok(User { id: row.id(0)?, name: row.text(1)?.to_owned(), kind: row.word(2, Kind::from_word)? });
    if let Some(user) = conn.one(RENAME, &values, read).await? {
        return Ok(user);
    }
    insert_user(conn, &new.tenant, &new.user, true, new.now).await?;
    conn.execute(GRANT, &params![session, new.room, new.user.id]).await?;
    Ok(user_of(&new.user))
}

/// The visitors' tenant and its generation; made when there is none, under this id.
async fn visitors(conn: &mut Conn<'_>, id: &TenantId, now: Timestamp) -> Result<(TenantId, u64), StoreError> {
    const FIND: &str = "SELECT id, generation FROM api_keys WHERE kind = 'visitors' AND deleted_at IS NULL";
    let read = |row: &Row<'_>| Ok((row.id(0)?, row.count(1)?));
    if let Some(found) = conn.one(FIND, &[], read).await? {
        return Ok(found);
    }
    // Two that come first at once: the one waits for the other, and finds what it made.
    let new = NewTenant { id: *id, kind: TenantKind::Visitors, key: None, created_at: now };
    insert_tenant(conn, &new).await?;
    let found = conn.one(FIND, &[], read).await?;
    found.ok_or_else(|| StoreError::internal("the visitors' tenant was made and is not there"))
}

impl Store {
    /// Lets somebody into a quick room.
    pub async fn admit(&self, admission: Admission) -> Result<Admitted, StoreError> {
        self.write(admission, |conn, admission| admit(conn, admission).boxed()).await
    }
}
