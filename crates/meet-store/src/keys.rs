//! Tenants and the keys that make them. Only digests of keys come here.

use futures_util::FutureExt;
use meet_api::{TenantId, Timestamp};

use crate::{
    Digest, Store, StoreError,
    conn::Conn,
    value::{Row, params},
};

/// Where a tenant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TenantKind {
    /// Made with the database, for whoever runs the server.
    Operator,
    /// Made by a key that somebody asked for.
    Key,
    /// A quick room, which nobody owns: it has no key.
    Quick,
    /// Browsers that came to a quick room without a session: there is one of it, made on demand, without a key.
    Visitors,
}

impl TenantKind {
    /// The word as it stands in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Key => "key",
            Self::Quick => "quick",
            Self::Visitors => "visitors",
        }
    }

    /// Reads the word.
    fn from_word(word: &str) -> Option<Self> {
        [Self::Operator, Self::Key, Self::Quick, Self::Visitors].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A tenant: everything that one key owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Where it comes from.
    pub kind: TenantKind,
    /// The first characters of its key, if it has one.
    pub prefix: Option<String>,
    /// Grows when everything signed in by the key must end.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its key was last used.
    pub last_used: Option<Timestamp>,
}

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Where it comes from.
    pub kind: TenantKind,
    /// The digest and the prefix of its key, if it has one.
    pub key: Option<(Digest, String)>,
    /// When it is made.
    pub created_at: Timestamp,
}

/// The columns of a tenant, in the order in which [`read_tenant`] takes them.
macro_rules! tenant_columns {
    () => {
        "api_keys.id, api_keys.kind, api_keys.prefix, api_keys.generation, api_keys.created_at, api_keys.last_used"
    };
}
pub(crate) use tenant_columns;

/// How many columns a tenant has.
pub(crate) const TENANT_COLUMNS: usize = 6;

/// Reads a tenant from the first columns of a row.
pub(crate) fn read_tenant(row: &Row<'_>) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: row.id(0)?,
        kind: row.word(1, TenantKind::from_word)?,
        prefix: row.text_or_null(2)?.map(str::to_owned),
        generation: row.count(3)?,
        created_at: row.time(4)?,
        last_used: row.time_or_null(5)?,
    })
}

/// Holds a tenant's row until the transaction ends; `false` when there is no such tenant.
///
/// Whoever locks more than one row takes tenants before rooms and invites, each in the order of ids.
pub(crate) async fn lock_tenant(conn: &mut Conn<'_>, tenant: &TenantId) -> Result<bool, StoreError> {
    // SQLite has one writer: its transaction is the lock.
    let sql = if conn.is_sqlite() {
        "SELECT generation FROM api_keys WHERE id = $1 AND deleted_at IS NULL"
    } else {
        "SELECT generation FROM api_keys WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE"
    };
    Ok(conn.one(sql, &params![tenant], |_| Ok(())).await?.is_some())
}

impl Store {
    /// Makes a tenant.
    pub async fn create_tenant(&self, tenant: NewTenant) -> Result<(), StoreError> {
        self.write(tenant, |conn, new| insert_tenant(conn, new).boxed()).await
    }

    /// The tenant whose key has this digest.
    pub async fn tenant_by_key(&self, key: &Digest) -> Result<Option<Tenant>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", tenant_columns!(), " FROM api_keys WHERE key_hash = $1 AND deleted_at IS NULL");
        self.read(*key, |conn, key| async move { conn.one(SQL, &params![key], read_tenant).await }.boxed()).await
    }

    /// The tenant with this id.
    pub async fn tenant(&self, tenant: TenantId) -> Result<Option<Tenant>, StoreError> {
        const SQL: &str = concat!("SELECT ", tenant_columns!(), " FROM api_keys WHERE id = $1 AND deleted_at IS NULL");
        self.read(tenant, |conn, tenant| async move { conn.one(SQL, &params![tenant], read_tenant).await }.boxed())
            .await
    }

    /// The operator's tenant, the oldest if there are several.
    pub async fn operator(&self) -> Result<Option<Tenant>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            tenant_columns!(),
            " FROM api_keys WHERE kind = 'operator' AND deleted_at IS NULL ORDER BY id LIMIT 1"
        );
        self.read((), |conn, ()| async move { conn.one(SQL, &[], read_tenant).await }.boxed()).await
    }

    /// Whether the database has never held a tenant, or has forgotten the last one.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT id FROM api_keys LIMIT 1";
        self.read((), |conn, ()| async move { Ok(conn.one(SQL, &[], |_| Ok(())).await?.is_none()) }.boxed()).await
    }

    /// Gives the tenant a new key and ends everything that was signed in or invited under the old
    /// one. `None` when there is no such tenant, or its generation has moved on: the caller's key is
    /// one that somebody else has replaced.
    pub async fn rotate_key(
        &self,
        tenant: TenantId,
        generation: u64,
        key: Digest,
        prefix: String,
        now: Timestamp,
    ) -> Result<Option<Tenant>, StoreError> {
        self.write((tenant, generation, key, prefix, now), |conn, (tenant, generation, key, prefix, now)| {
            rotate_key(conn, tenant, *generation, key, prefix, *now).boxed()
        })
        .await
    }

    /// Ends a tenant: its key, sessions, invites and rooms are gone at once, its data is purged
    /// later. `false` when there is no such tenant, or its generation has moved on.
    pub async fn delete_tenant(&self, tenant: TenantId, generation: u64, now: Timestamp) -> Result<bool, StoreError> {
        self.write((tenant, generation, now), |conn, (tenant, generation, now)| {
            delete_tenant(conn, tenant, Some(*generation), *now).boxed()
        })
        .await
    }

    /// Notes that the tenant's key was used; an earlier time than the noted one changes nothing.
    pub async fn touch_key(&self, tenant: TenantId, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE api_keys SET last_used = $2 \
                           WHERE id = $1 AND deleted_at IS NULL AND (last_used IS NULL OR last_used < $2)";
        self.write((tenant, now), |conn, (tenant, now)| {
            async move { conn.execute(SQL, &params![tenant, now]).await.map(drop) }.boxed()
        })
        .await
    }
}

/// Writes a new tenant; a second one of visitors is not written.
pub(crate) async fn insert_tenant(conn: &mut Conn<'_>, new: &NewTenant) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO api_keys (id, kind, key_hash, prefix, generation, created_at, stored_bytes) \
                       VALUES ($1, $2, $3, $4, 0, $5, 0) \
                       ON CONFLICT (kind) WHERE kind = 'visitors' AND deleted_at IS NULL DO NOTHING";
    let (digest, prefix) = new.key.as_ref().map(|(digest, prefix)| (digest, prefix)).unzip();
    conn.execute(SQL, &params![new.id, new.kind, digest, prefix, new.created_at]).await.map(drop)
}

/// Marks a tenant and its rooms as deleted, unless its generation is another than the given one.
pub(crate) async fn delete_tenant(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    generation: Option<u64>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const MARK: &str = "UPDATE api_keys SET deleted_at = $2, key_hash = NULL, generation = generation + 1 \
                        WHERE id = $1 AND generation = COALESCE($3, generation) AND deleted_at IS NULL";
    const ROOMS: &str = "UPDATE rooms SET deleted_at = $2 WHERE key_id = $1 AND deleted_at IS NULL";
    if conn.execute(MARK, &params![tenant, now, generation]).await? == 0 {
        return Ok(false);
    }
    // Without their tenant sessions and invites let nobody in; their rows are purged with it.
    conn.execute(ROOMS, &params![tenant, now]).await?;
    Ok(true)
}

/// Gives a tenant a new key, and ends what the old one let in.
pub(crate) async fn rotate_key(
    conn: &mut Conn<'_>,
    tenant: &TenantId,
    generation: u64,
    key: &Digest,
    prefix: &str,
    now: Timestamp,
) -> Result<Option<Tenant>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE api_keys SET key_hash = $2, prefix = $3, generation = generation + 1, last_used = $4 \
         WHERE id = $1 AND generation = $5 AND deleted_at IS NULL RETURNING ",
        tenant_columns!()
    );
    let rotated = conn.one(SQL, &params![tenant, key, prefix, now, generation], read_tenant).await?;
    if rotated.is_some() {
        end_access(conn, tenant).await?;
    }
    Ok(rotated)
}

/// Ends the sessions and invites of a tenant, however many there are and long it takes.
async fn end_access(conn: &mut Conn<'_>, tenant: &TenantId) -> Result<(), StoreError> {
    if !conn.is_sqlite() {
        conn.execute("SET LOCAL statement_timeout = 0", &[]).await?;
    }
    conn.execute("DELETE FROM sessions WHERE key_id = $1", &params![tenant]).await?;
    conn.execute("DELETE FROM invites WHERE key_id = $1", &params![tenant]).await?;
    Ok(())
}
