//! Invites to rooms and owner links: made, used, counted and revoked.

use futures_util::FutureExt;
use meet_api::{Invite, InviteId, Role, RoomId, SessionId, TenantId, Timestamp, UserId};

use crate::{
    Digest, NewSession, NewUser, Session, Store, StoreError,
    conn::Conn,
    keys::lock_tenant,
    people::{Ensured, ensure_user, insert_session, insert_user, session_by_id},
    value::{Row, params},
};

/// An invite to be made.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// Its id.
    pub id: InviteId,
    /// The digest of its token.
    pub digest: Digest,
    /// The tenant's generation when the caller proved itself: one of an earlier generation is not made.
    pub generation: u64,
    /// The room; `None` for an owner link, which opens all of them.
    pub room: Option<RoomId>,
    /// What those who use it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How often it may be used; `None` for any number.
    pub max_uses: Option<u64>,
    /// When it is made.
    pub created_at: Timestamp,
}

/// Who wants to use an invite.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// The user to be made, or found when the invite is an owner link.
    pub new_user: NewUser,
    /// The id, the digest and the end of the session to be made.
    pub session: (SessionId, Digest, Timestamp),
}

/// What became of using an invite.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The use is counted, and this is the session.
    Session(Session),
    /// The invite is unknown, revoked, used up or expired, or its room is gone.
    Unknown,
    /// Somebody in the tenant has that name; nothing is counted.
    NameTaken,
}

/// What using an invite needs to know of it.
struct Found {
    id: InviteId,
    tenant: TenantId,
    room: Option<RoomId>,
    role: Role,
}

/// Reads an invite as its owner sees it.
fn read_invite(row: &Row<'_>) -> Result<Invite, StoreError> {
    Ok(Invite {
        id: row.id(0)?,
        role: row.word(1, Role::from_word)?,
        expires_at: row.time(2)?,
        max_uses: row.count_or_null(3)?,
        uses: row.count(4)?,
        created_at: row.time(5)?,
    })
}

/// Reads what using an invite needs.
fn read_found(row: &Row<'_>) -> Result<Found, StoreError> {
    Ok(Found { id: row.id(0)?, tenant: row.id(1)?, room: row.id_or_null(2)?, role: row.word(3, Role::from_word)? })
}

/// An invite that can be used at `$2`.
macro_rules! usable {
    () => {
        "digest = $1 AND expires_at > $2 AND (max_uses IS NULL OR uses < max_uses) AND (room_id IS NULL OR EXISTS \
         (SELECT 1 FROM rooms r WHERE r.id = invites.room_id AND r.deleted_at IS NULL \
         AND (r.expires_at IS NULL OR r.expires_at > $2)))"
    };
}

/// Uses an invite: the tenant's row is held, so that names cannot race, and the use is counted by
/// the one statement that also checks it.
async fn redeem(conn: &mut Conn<'_>, digest: &Digest, now: Timestamp, redeem: &Redeem) -> Result<Redeemed, StoreError> {
    const FIND: &str = concat!("SELECT id, key_id, room_id, role FROM invites WHERE ", usable!());
    const COUNT: &str = concat!(
        "UPDATE invites SET uses = uses + 1 WHERE ",
        usable!(),
        " RETURNING (SELECT generation FROM api_keys k WHERE k.id = invites.key_id)"
    );
    let Some(found) = conn.one(FIND, &params![digest, now], read_found).await? else {
        return Ok(Redeemed::Unknown);
    };
    if !lock_tenant(conn, &found.tenant).await? {
        return Ok(Redeemed::Unknown);
    }
    let Some(user) = name_free(conn, &found, &redeem.new_user).await? else {
        return Ok(Redeemed::NameTaken);
    };
    let Some(generation) = conn.one(COUNT, &params![digest, now], |row| row.count(0)).await? else {
        return Ok(Redeemed::Unknown);
    };
    let user = match user {
        Some(user) => user,
        None if found.room.is_none() => match ensure_user(conn, &found.tenant, &redeem.new_user, now).await? {
            Ensured::User(user) => user.id,
            Ensured::NameTaken => return Err(StoreError::internal("a name was taken while its tenant was held")),
        },
        None => {
            insert_user(conn, &found.tenant, &redeem.new_user, true, now).await?;
            redeem.new_user.id
        }
    };
    let (id, digest, expires_at) = redeem.session;
    let session = NewSession {
        id,
        digest,
        tenant: found.tenant,
        generation,
        user,
        role: found.role,
        rooms: found.room.map(|room| vec![room]),
        invite: Some(found.id),
        expires_at,
        created_at: now,
    };
    insert_session(conn, &session).await?;
    let session = session_by_id(conn, &id, now).await?;
    session.map(Redeemed::Session).ok_or_else(|| StoreError::internal("a session was made and is not there"))
}

/// Whether the name may be used with the invite: `None` when it is taken, else the id of the user
/// of the key that an owner link means, if it is there already.
async fn name_free(conn: &mut Conn<'_>, invite: &Found, user: &NewUser) -> Result<Option<Option<UserId>>, StoreError> {
    const HOLDERS: &str = "SELECT id, kind, guest FROM users WHERE key_id = $1 AND folded = $2 LIMIT 10";
    let folded = user.name.folded();
    let read = |row: &Row<'_>| Ok((row.id::<UserId>(0)?, row.text(1)? == user.kind.as_str(), row.flag(2)?));
    let holders = conn.rows(HOLDERS, &params![invite.tenant, &folded], read).await?;
    if invite.room.is_some() {
        return Ok(if holders.is_empty() { Some(None) } else { None });
    }
    if let Some((id, ..)) = holders.iter().find(|(_, same_kind, guest)| *same_kind && !guest) {
        return Ok(Some(Some(*id)));
    }
    Ok(if holders.iter().any(|(.., guest)| *guest) { None } else { Some(None) })
}

impl Store {
    /// Makes an invite. `false` when the tenant or the room is not there, or the generation moved on.
    pub async fn create_invite(&self, tenant: TenantId, invite: NewInvite) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO invites \
            (id, digest, key_id, room_id, role, expires_at, max_uses, uses, created_at) \
            SELECT CAST($2 AS TEXT), CAST($3 AS TEXT), k.id, CAST($4 AS TEXT), CAST($5 AS TEXT), \
            CAST($6 AS BIGINT), CAST($7 AS BIGINT), 0, CAST($8 AS BIGINT) FROM api_keys k \
            WHERE k.id = $1 AND k.generation = $9 AND k.deleted_at IS NULL AND (CAST($4 AS TEXT) IS NULL OR EXISTS \
            (SELECT 1 FROM rooms r WHERE r.id = $4 AND r.key_id = k.id AND r.deleted_at IS NULL))";
        self.write((tenant, invite), |conn, (tenant, new)| {
            async move {
                // A key that is being rotated ends the invites that it sees.
                if !lock_tenant(conn, tenant).await? {
                    return Ok(false);
                }
                let values = params![
                    tenant,
                    new.id,
                    &new.digest,
                    new.room,
                    new.role,
                    new.expires_at,
                    new.max_uses,
                    new.created_at,
                    new.generation
                ];
                Ok(conn.execute(SQL, &values).await? == 1)
            }
            .boxed()
        })
        .await
    }

    /// Whether this is an invite to this room of the tenant.
    pub async fn has_invite(&self, tenant: TenantId, room: RoomId, invite: InviteId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT id FROM invites WHERE key_id = $1 AND room_id = $2 AND id = $3";
        self.read((tenant, room, invite), |conn, (tenant, room, invite)| {
            async move { Ok(conn.one(SQL, &params![tenant, room, invite], |_| Ok(())).await?.is_some()) }.boxed()
        })
        .await
    }

    /// The invites of a room, oldest first, after the given one.
    pub async fn invites(
        &self,
        tenant: TenantId,
        room: RoomId,
        limit: u32,
        after: Option<InviteId>,
    ) -> Result<Vec<Invite>, StoreError> {
        const SQL: &str = "SELECT id, role, expires_at, max_uses, uses, created_at FROM invites \
                           WHERE key_id = $1 AND room_id = $2 AND id > $3 ORDER BY id LIMIT $4";
        self.read((tenant, room, after, limit), |conn, (tenant, room, after, limit)| {
            async move {
                let after = after.map_or_else(String::new, |id| id.to_string());
                conn.rows(SQL, &params![tenant, room, &after, limit], read_invite).await
            }
            .boxed()
        })
        .await
    }

    /// Revokes an invite and ends the sessions that came by it; `None` when there is no such invite.
    pub async fn revoke_invite(
        &self,
        tenant: TenantId,
        invite: InviteId,
    ) -> Result<Option<Vec<SessionId>>, StoreError> {
        const INVITE: &str = "DELETE FROM invites WHERE key_id = $1 AND id = $2";
        const SESSIONS: &str = "DELETE FROM sessions WHERE key_id = $1 AND invite_id = $2 RETURNING id";
        self.write((tenant, invite), |conn, (tenant, invite)| {
            async move {
                // First the invite, which waits for a use in flight, then the sessions that it made.
                if conn.execute(INVITE, &params![tenant, invite]).await? == 0 {
                    return Ok(None);
                }
                conn.rows(SESSIONS, &params![tenant, invite], |row| row.id(0)).await.map(Some)
            }
            .boxed()
        })
        .await
    }

    /// Uses an invite: its user, its session and the counted use are made in one transaction.
    ///
    /// With an owner link the user is one of the key's own, found or made; with an invite to a room
    /// it is a new guest, whose name nobody in the tenant may have.
    pub async fn redeem_invite(
        &self,
        digest: &Digest,
        now: Timestamp,
        request: Redeem,
    ) -> Result<Redeemed, StoreError> {
        self.write((*digest, now, request), |conn, (digest, now, request)| redeem(conn, digest, *now, request).boxed())
            .await
    }
}
