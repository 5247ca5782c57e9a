//! The first start of a server: what an empty database begins with, all of it or nothing.
//!
//! Until the caller says that it has handed out the operator's key, the first start stays open, and a
//! later start gives the operator another key: nobody has seen the first one.

use futures_util::FutureExt;
use meet_api::{TenantId, Timestamp};

use crate::{
    NewMessage, NewRoom, NewTenant, NewUser, Store, StoreError,
    batch::{Entry, write_batch},
    conn::Conn,
    keys::{insert_tenant, rotate_key},
    people::insert_user,
    rooms::create_room,
    value::{Row, params},
    words::words,
};

/// What an empty database begins with.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The operator's tenant.
    pub operator: NewTenant,
    /// A room to begin with.
    pub welcome: Option<Welcome>,
}

/// A room with a conversation in it.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// The room.
    pub room: NewRoom,
    /// Who speaks in it.
    pub users: Vec<NewUser>,
    /// What they say.
    pub messages: Vec<NewMessage>,
}

impl Store {
    /// Fills an empty database, or gives a new key to the operator of one whose first start is still
    /// open; the operator's tenant, or `None` when there is nothing to be done.
    pub async fn found(&self, founding: Founding) -> Result<Option<TenantId>, StoreError> {
        if !self.is_empty().await? && !self.first_start_is_open().await? {
            return Ok(None);
        }
        self.write(founding, |conn, founding| found(conn, founding).boxed()).await
    }

    /// Notes that the operator's key is in its owner's hands.
    pub async fn end_first_start(&self) -> Result<(), StoreError> {
        self.write((), |conn, ()| {
            async move { conn.execute("DELETE FROM marks WHERE name = 'first start'", &[]).await.map(drop) }.boxed()
        })
        .await
    }

    async fn first_start_is_open(&self) -> Result<bool, StoreError> {
        self.read((), |conn, ()| is_open(conn).boxed()).await
    }
}

async fn is_open(conn: &mut Conn<'_>) -> Result<bool, StoreError> {
    Ok(conn.one("SELECT at FROM marks WHERE name = 'first start'", &[], |_| Ok(())).await?.is_some())
}

async fn found(conn: &mut Conn<'_>, founding: &Founding) -> Result<Option<TenantId>, StoreError> {
    const OPERATOR: &str = "SELECT id, generation FROM api_keys WHERE kind = 'operator' AND deleted_at IS NULL \
                            ORDER BY id LIMIT 1";
    if !conn.is_sqlite() {
        // Two that begin at once would each see it empty.
        conn.execute("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE", &[]).await?;
    }
    let now = founding.operator.created_at;
    if conn.one("SELECT id FROM api_keys LIMIT 1", &[], |_| Ok(())).await?.is_none() {
        begin(conn, founding, now).await?;
        return Ok(Some(founding.operator.id));
    }
    let (true, Some((digest, prefix))) = (is_open(conn).await?, &founding.operator.key) else { return Ok(None) };
    let read = |row: &Row<'_>| Ok((row.id::<TenantId>(0)?, row.count(1)?));
    let Some((operator, generation)) = conn.one(OPERATOR, &[], read).await? else { return Ok(None) };
    let rotated = rotate_key(conn, &operator, generation, digest, prefix, now).await?;
    Ok(rotated.map(|operator| operator.id))
}

/// Writes everything into an empty database.
async fn begin(conn: &mut Conn<'_>, founding: &Founding, now: Timestamp) -> Result<(), StoreError> {
    const RULES: &str = "UPDATE rooms SET agent_budget = $2, person_seq = head_seq WHERE id = $1";
    let tenant = founding.operator.id;
    insert_tenant(conn, &founding.operator).await?;
    conn.execute("INSERT INTO marks (name, at) VALUES ('first start', $1)", &params![now]).await?;
    let Some(Welcome { room, users, messages }) = &founding.welcome else { return Ok(()) };
    // Agents talk in it, and what they say is no start of a streak.
    create_room(conn, &tenant, &NewRoom { agent_budget: 0, ..room.clone() }, None).await?;
    for user in users {
        insert_user(conn, &tenant, user, false, now).await?;
    }
    let entry = |message: &NewMessage| Entry { message: message.clone(), words: words(message.content.as_str()) };
    let entries: Vec<_> = messages.iter().map(entry).collect();
    write_batch(conn, &entries).await?;
    let rules = params![room.id, room.agent_budget];
    conn.execute(RULES, &rules).await.map(drop)
}
