//! Users and their sessions.
//!
//! The users of a key are known by name and kind; a guest is a user of its own for every invite
//! that it came by, and lives as long as its sessions.

use std::collections::HashMap;

use futures_util::FutureExt;
use meet_api::{
    About, Appearance, ChosenStatus, InviteId, Kind, Role, RoomId, SessionId, TenantId, Timestamp, User, UserId,
    text::UserName,
};

use crate::{
    Digest, Store, StoreError, Tenant,
    conn::Conn,
    keys::{TENANT_COLUMNS, lock_tenant, read_tenant, tenant_columns},
    value::{Param, Row, params},
};

/// A user, and whether it came by an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// The user.
    pub user: User,
    /// Whether it came by an invite.
    pub guest: bool,
}

/// A user by the name that mentions it, and where it can be mentioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownUser {
    /// Its id.
    pub id: UserId,
    /// Its name, folded.
    pub folded: String,
    /// The rooms that a guest is held to; `None` for all of the tenant's.
    pub rooms: Option<Vec<RoomId>>,
}

/// A user to be made, unless it is there.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The id that it gets if it is new.
    pub id: UserId,
    /// Its name.
    pub name: UserName,
    /// Person or program.
    pub kind: Kind,
}

/// What became of asking for a user of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// The user, found or made.
    User(User),
    /// A guest has that name.
    NameTaken,
}

/// A session to be made.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// The digest of its token.
    pub digest: Digest,
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's generation when the caller proved itself: a session of an earlier one is void.
    pub generation: u64,
    /// Whose session it is.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// The rooms that it is held to; `None` for all.
    pub rooms: Option<Vec<RoomId>>,
    /// The invite that it came by.
    pub invite: Option<InviteId>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A session that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The tenant.
    pub tenant: Tenant,
    /// Whose session it is.
    pub user: User,
    /// What it may do.
    pub role: Role,
    /// The rooms that it is held to; `None` for all.
    pub rooms: Option<Vec<RoomId>>,
    /// The invite that it came by.
    pub invite: Option<InviteId>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The rooms of other tenants that it reaches as well.
    pub grants: Vec<RoomGrant>,
}

/// A room of another tenant that a session reaches, as a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomGrant {
    /// The room.
    pub room: RoomId,
    /// The room's tenant.
    pub tenant: Tenant,
    /// As whom the session is there: a guest of that tenant.
    pub user: User,
}

/// Reads a user whose columns begin at `first`: id, name, kind.
fn read_user_at(row: &Row<'_>, first: usize) -> Result<User, StoreError> {
    Ok(User { id: row.id(first)?, name: row.text(first + 1)?.to_owned(), kind: row.word(first + 2, Kind::from_word)? })
}

/// Reads a user with its guest flag.
fn read_stored_user(row: &Row<'_>) -> Result<StoredUser, StoreError> {
    Ok(StoredUser { user: read_user_at(row, 0)?, guest: row.flag(3)? })
}

/// Reads as what a user wants to be seen: the status, then what it says of itself.
fn read_appearance(row: &Row<'_>) -> Result<Appearance, StoreError> {
    let about = row.text_or_null(1)?.map_or(Ok(About::default()), serde_json::from_str);
    let about = about.map_err(|_| StoreError::Unreadable { what: "what a user says of itself" })?;
    Ok(Appearance { status: row.word(0, ChosenStatus::from_word)?, about })
}

/// Reads a session without its grants: the tenant's columns, then the user's, then its own.
fn read_session(row: &Row<'_>) -> Result<Session, StoreError> {
    let own = TENANT_COLUMNS + 3;
    let rooms = row.text_or_null(own + 2)?;
    let rooms = rooms.map(|list| list.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<RoomId>, _>>());
    Ok(Session {
        tenant: read_tenant(row)?,
        user: read_user_at(row, TENANT_COLUMNS)?,
        id: row.id(own)?,
        role: row.word(own + 1, Role::from_word)?,
        rooms: rooms.transpose().map_err(|_| StoreError::Unreadable { what: "list of rooms" })?,
        invite: row.id_or_null(own + 3)?,
        expires_at: row.time(own + 4)?,
        grants: Vec::new(),
    })
}

/// Reads a grant: the tenant's columns, then the user's, then the room.
fn read_grant(row: &Row<'_>) -> Result<RoomGrant, StoreError> {
    Ok(RoomGrant {
        tenant: read_tenant(row)?,
        user: read_user_at(row, TENANT_COLUMNS)?,
        room: row.id(TENANT_COLUMNS + 3)?,
    })
}

/// A session with its tenant and user, if it is in force at `$2`.
macro_rules! session_query {
    ($which:literal) => {
        concat!(
            "SELECT ",
            tenant_columns!(),
            ", u.id, u.name, u.kind, s.id, s.role, s.rooms, s.invite_id, s.expires_at FROM sessions s \
             JOIN api_keys ON api_keys.id = s.key_id AND api_keys.generation = s.generation \
             AND api_keys.deleted_at IS NULL \
             JOIN users u ON u.id = s.user_id WHERE s.expires_at > $2 AND ",
            $which
        )
    };
}

/// The session with this id, in a transaction that may have just made it.
pub(crate) async fn session_by_id(
    conn: &mut Conn<'_>,
    session: &SessionId,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    find_session(conn, session_query!("s.id = $1"), &params![session, now]).await
}

/// The session that a query finds, with its grants whose rooms and tenants are there.
async fn find_session(conn: &mut Conn<'_>, sql: &str, values: &[Param<'_>]) -> Result<Option<Session>, StoreError> {
    const GRANTS: &str = concat!(
        "SELECT ",
        tenant_columns!(),
        ", u.id, u.name, u.kind, r.id FROM session_grants g JOIN rooms r ON r.id = g.room_id AND r.deleted_at IS NULL \
         JOIN api_keys ON api_keys.id = r.key_id AND api_keys.deleted_at IS NULL \
         JOIN users u ON u.id = g.user_id WHERE g.session_id = $1 ORDER BY r.id"
    );
    let Some(mut session) = conn.one(sql, values, read_session).await? else { return Ok(None) };
    session.grants = conn.rows(GRANTS, &params![session.id], read_grant).await?;
    Ok(Some(session))
}

/// Finds the user of a key by name and kind, or makes it. The caller holds the tenant's row.
pub(crate) async fn ensure_user(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    new: &NewUser,
    now: Timestamp,
) -> Result<Ensured, StoreError> {
    const TAKEN: &str = "SELECT id FROM users WHERE key_id = $1 AND folded = $2 AND guest = 1 LIMIT 1";
    let folded = new.name.folded();
    if let Some(user) = find_user(conn, tenant, &folded, new.kind).await? {
        return Ok(Ensured::User(user));
    }
    if conn.one(TAKEN, &params![tenant, &folded], |_| Ok(())).await?.is_some() {
        return Ok(Ensured::NameTaken);
    }
    insert_user(conn, tenant, new, false, now).await?;
    Ok(Ensured::User(User { id: new.id, name: new.name.as_str().to_owned(), kind: new.kind }))
}

/// The user of a key by its folded name and kind.
async fn find_user(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    folded: &str,
    kind: Kind,
) -> Result<Option<User>, StoreError> {
    const SQL: &str =
        "SELECT id, name, kind FROM users WHERE key_id = $1 AND folded = $2 AND kind = $3 AND guest = 0 LIMIT 1";
    conn.one(SQL, &params![tenant, folded, kind], |row| read_user_at(row, 0)).await
}

/// Writes a new user.
pub(crate) async fn insert_user(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    new: &NewUser,
    guest: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO users (id, key_id, name, folded, kind, guest, created_at) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let folded = new.name.folded();
    conn.execute(SQL, &params![new.id, tenant, new.name.as_str(), &folded, new.kind, guest, now]).await.map(drop)
}

/// Writes a new session, unless the tenant or the user is gone or the generation has moved on.
pub(crate) async fn insert_session(conn: &mut Conn<'_>, new: &NewSession) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO sessions \
        (id, digest, key_id, generation, user_id, role, rooms, invite_id, expires_at, created_at) \
        SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), k.id, k.generation, u.id, CAST($5 AS TEXT), CAST($6 AS TEXT), \
        CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT) \
        FROM api_keys k JOIN users u ON u.key_id = k.id \
        WHERE k.id = $3 AND u.id = $4 AND k.generation = $10 AND k.deleted_at IS NULL";
    let rooms = new.rooms.as_ref().map(|rooms| rooms.iter().map(RoomId::to_string).collect::<Vec<_>>().join(" "));
    let values = params![
        new.id,
        &new.digest,
        new.tenant,
        new.user,
        new.role,
        rooms.as_ref(),
        new.invite,
        new.expires_at,
        new.created_at,
        new.generation
    ];
    Ok(conn.execute(SQL, &values).await? == 1)
}

/// Reads the users of a tenant, its own before guests and the newest first, and the rooms of those who are guests.
async fn known_users(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<KnownUser>, StoreError> {
    const USERS: &str = "SELECT id, folded, guest FROM users WHERE key_id = $1 ORDER BY guest, id DESC LIMIT $2";
    const INVITED: &str = "SELECT s.user_id, s.rooms FROM sessions s JOIN users u ON u.id = s.user_id \
                           WHERE s.key_id = $1 AND u.guest = 1 AND s.rooms IS NOT NULL AND s.expires_at > $3 \
                           ORDER BY s.user_id DESC LIMIT $2";
    const LET_IN: &str = "SELECT g.user_id, g.room_id FROM session_grants g JOIN users u ON u.id = g.user_id \
                          WHERE u.key_id = $1 AND u.guest = 1 ORDER BY g.user_id DESC LIMIT $2";
    let mut rooms: HashMap<UserId, Vec<RoomId>> = HashMap::new();
    let read = |row: &Row<'_>| Ok((row.id::<UserId>(0)?, row.text(1)?.to_owned()));
    let mut held = conn.rows(INVITED, &params![tenant, limit, now], read).await?;
    held.extend(conn.rows(LET_IN, &params![tenant, limit], read).await?);
    for (user, list) in held {
        let list = list.split_ascii_whitespace().filter_map(|id| id.parse::<RoomId>().ok());
        rooms.entry(user).or_default().extend(list);
    }
    let read = |row: &Row<'_>| Ok((row.id::<UserId>(0)?, row.text(1)?.to_owned(), row.flag(2)?));
    let users = conn.rows(USERS, &params![tenant, limit], read).await?;
    let known = |(id, folded, is_guest)| {
        let rooms = if is_guest { Some(rooms.remove(&id).unwrap_or_default()) } else { None };
        KnownUser { id, folded, rooms }
    };
    Ok(users.into_iter().map(known).collect())
}

impl Store {
    /// The user of a key with this folded name and kind.
    pub async fn own_user(&self, tenant: TenantId, folded: String, kind: Kind) -> Result<Option<User>, StoreError> {
        self.read((tenant, folded, kind), |conn, (tenant, folded, kind)| find_user(conn, tenant, folded, *kind).boxed())
            .await
    }

    /// The user of a key with this name and kind, made if it is new. `NameTaken` when a guest of the
    /// tenant has that name; a tenant that is gone is `NameTaken` for everyone.
    pub async fn ensure_user(&self, tenant: TenantId, user: NewUser, now: Timestamp) -> Result<Ensured, StoreError> {
        self.write((tenant, user, now), |conn, (tenant, user, now)| {
            async move {
                if !lock_tenant(conn, tenant).await? {
                    return Ok(Ensured::NameTaken);
                }
                ensure_user(conn, tenant, user, *now).await
            }
            .boxed()
        })
        .await
    }

    /// The first users of the tenant, oldest first.
    pub async fn users(&self, tenant: TenantId, limit: u32) -> Result<Vec<StoredUser>, StoreError> {
        const SQL: &str = "SELECT id, name, kind, guest FROM users WHERE key_id = $1 ORDER BY id LIMIT $2";
        self.read((tenant, limit), |conn, (tenant, limit)| {
            async move { conn.rows(SQL, &params![tenant, limit], read_stored_user).await }.boxed()
        })
        .await
    }

    /// The users of the tenant, its own before guests and the newest first, by the names that mention them, and where each
    /// guest can be mentioned.
    pub async fn known_users(
        &self,
        tenant: TenantId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<KnownUser>, StoreError> {
        self.read((tenant, limit, now), |conn, (tenant, limit, now)| known_users(conn, tenant, *limit, *now).boxed())
            .await
    }

    /// As what a user of the tenant chose to be seen, and what it says of itself; `None` when there is no such user.
    pub async fn appearance(&self, tenant: TenantId, user: UserId) -> Result<Option<Appearance>, StoreError> {
        const SQL: &str = "SELECT status, about FROM users WHERE key_id = $1 AND id = $2";
        self.read((tenant, user), |conn, (tenant, user)| {
            async move { conn.one(SQL, &params![tenant, user], read_appearance).await }.boxed()
        })
        .await
    }

    /// Keeps as what a user of the tenant wants to be seen; `false` when there is no such user.
    pub async fn set_appearance(
        &self,
        tenant: TenantId,
        user: UserId,
        appearance: Appearance,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE users SET status = $3, about = $4 WHERE key_id = $1 AND id = $2";
        self.write((tenant, user, appearance), |conn, (tenant, user, appearance)| {
            async move {
                let about = (appearance.about != About::default()).then(|| serde_json::to_string(&appearance.about));
                let about = about.transpose().map_err(|_| StoreError::internal("what a user says has no JSON"))?;
                Ok(conn.execute(SQL, &params![tenant, user, appearance.status, about.as_ref()]).await? == 1)
            }
            .boxed()
        })
        .await
    }

    /// Makes a session. `false` when the tenant or the user is gone, or the generation moved on.
    pub async fn create_session(&self, session: NewSession) -> Result<bool, StoreError> {
        self.write(session, |conn, session| insert_session(conn, session).boxed()).await
    }

    /// The session whose token has this digest, if it is in force.
    pub async fn session_by_digest(&self, digest: &Digest, now: Timestamp) -> Result<Option<Session>, StoreError> {
        self.read((*digest, now), |conn, (digest, now)| {
            async move { find_session(conn, session_query!("s.digest = $1"), &params![digest, now]).await }.boxed()
        })
        .await
    }

    /// The session with this id, if it is in force, whosever it is.
    pub async fn session(&self, session: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        self.read((session, now), |conn, (session, now)| session_by_id(conn, session, *now).boxed()).await
    }

    /// The tenant while its generation is this one, if the user is one of its key's own.
    pub async fn tenant_of_user(
        &self,
        tenant: TenantId,
        generation: u64,
        user: UserId,
    ) -> Result<Option<Tenant>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            tenant_columns!(),
            " FROM api_keys JOIN users u ON u.key_id = api_keys.id AND u.guest = 0 \
             WHERE api_keys.id = $1 AND api_keys.generation = $2 AND api_keys.deleted_at IS NULL AND u.id = $3"
        );
        self.read((tenant, generation, user), |conn, (tenant, generation, user)| {
            async move { conn.one(SQL, &params![tenant, generation, user], read_tenant).await }.boxed()
        })
        .await
    }

    /// Ends a session; `false` when there was none.
    pub async fn end_session(&self, tenant: TenantId, session: SessionId) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM sessions WHERE key_id = $1 AND id = $2";
        self.write((tenant, session), |conn, (tenant, session)| {
            async move { Ok(conn.execute(SQL, &params![tenant, session]).await? == 1) }.boxed()
        })
        .await
    }
}
