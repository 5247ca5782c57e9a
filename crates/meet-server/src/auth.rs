//! From a credential to a [`Member`]: who calls, for which tenant, with which role and rooms.
//!
//! A `Member` is a capability: rooms are reached only through [`App::room`] with one, so a handler cannot forget to
//! ask.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meet_api::{ChosenStatus, Kind, Role, RoomId, SessionId, TenantId, Timestamp, User, UserId};
use meet_store::{Digest, RoomGrant, Session, Tenant, TenantKind};

use crate::{
    app::App,
    calls::GUEST_ROLE,
    error::Error,
    hub::{Address, Connection, CredentialRef, Person, Standing, Subscription},
    limits::{LOOK_EVERY, Subject},
    secret::{self, KEY_PREFIX, SESSION_PREFIX},
    tokens::Issued,
};

/// How long a credential is believed without asking the store again: what another node ended is noticed after this.
const BELIEVED: Duration = Duration::from_secs(5);
/// The most credentials remembered.
const MAX_REMEMBERED: usize = 10_000;
/// How often a key's last use is written.
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// The credential that came with a request, after precedence was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// None at all.
    Nothing,
    /// A key or session token, from the header or a socket's query.
    Token(String),
    /// The session cookie.
    Cookie(String),
}

/// Who is speaking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A bare key, which may name any sender of its tenant.
    Key,
    /// A session, which always speaks as itself.
    User(User),
}

/// What a member showed, by which it is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Proof {
    /// The digest of a key.
    Key(Digest),
    /// The digest of a session's token.
    Session(Digest),
    /// What a connection token was issued for.
    Issued(Arc<Issued>),
}

/// Whoever calls with a valid credential.
#[derive(Debug, Clone)]
pub struct Member {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant of its credential: another one while a session acts as the guest of a room that it was let into.
    pub home: TenantId,
    /// Whether it is the operator's.
    pub operator: bool,
    /// Whether it is that of a room without an owner.
    pub is_of_quick_room: bool,
    /// The tenant's generation, which moves on when its key is rotated.
    pub generation: u64,
    /// What it may do.
    pub role: Role,
    /// The rooms that it is held to; `None` for all of the tenant's.
    pub rooms: Option<Arc<[RoomId]>>,
    /// Who is speaking.
    pub who: Who,
    /// The session; `None` for a bare key.
    pub session: Option<SessionId>,
    /// When the session ends by itself; `None` for a bare key.
    pub expires_at: Option<Timestamp>,
    /// The rooms of other tenants that its session was let into, with who it is there.
    pub(crate) grants: Arc<[RoomGrant]>,
    /// By what it can be asked for again.
    proof: Proof,
    /// How many credentials had ended when this one was last found to be valid; clones share it.
    revision: Arc<AtomicU64>,
}

impl Member {
    fn of_key(tenant: &Tenant, digest: Digest) -> Self {
        Self::of_tenant(tenant, Who::Key, Proof::Key(digest))
    }

    /// The named user of a bare key for which a token was issued: it speaks as itself, with the rights of the key.
    pub(crate) fn of_named_user(tenant: &Tenant, issued: &Arc<Issued>) -> Self {
        Self::of_tenant(tenant, Who::User(issued.user.clone()), Proof::Issued(Arc::clone(issued)))
    }

    fn of_tenant(tenant: &Tenant, who: Who, proof: Proof) -> Self {
        Self {
            tenant: tenant.id,
            home: tenant.id,
            operator: tenant.kind == TenantKind::Operator,
            is_of_quick_room: tenant.kind == TenantKind::Quick,
            generation: tenant.generation,
            role: Role::Owner,
            rooms: None,
            who,
            session: None,
            expires_at: None,
            grants: Arc::default(),
            proof,
            revision: Arc::default(),
        }
    }

    /// The member that a session stands for.
    pub(crate) fn of_session(session: &Session, digest: Digest) -> Self {
        Self::of_session_by(session, Proof::Session(digest))
    }

    /// The member that a session stands for, by whichever proof of it.
    pub(crate) fn of_session_by(session: &Session, proof: Proof) -> Self {
        Self {
            tenant: session.tenant.id,
            home: session.tenant.id,
            operator: session.tenant.kind == TenantKind::Operator,
            is_of_quick_room: session.tenant.kind == TenantKind::Quick,
            generation: session.tenant.generation,
            role: session.role,
            rooms: session.rooms.as_deref().map(Arc::from),
            who: Who::User(session.user.clone()),
            session: Some(session.id),
            expires_at: Some(session.expires_at),
            grants: session.grants.as_slice().into(),
            proof,
            revision: Arc::default(),
        }
    }

    /// As whom the member acts in a room: as the guest that its session is there, if it was let in, else as itself.
    #[must_use]
    pub fn within(self, room: RoomId) -> Self {
        match self.grants.iter().find(|grant| grant.room == room) {
            None => self,
            Some(grant) => Self {
                tenant: grant.tenant.id,
                operator: false,
                is_of_quick_room: grant.tenant.kind == TenantKind::Quick,
                generation: grant.tenant.generation,
                role: GUEST_ROLE,
                rooms: Some([room].into()),
                who: Who::User(grant.user.clone()),
                ..self.clone()
            },
        }
    }

    /// Whether the credential, as it is `now`, still lets this member act as it does.
    fn is_still(&self, now: &Self) -> bool {
        self.tenant == now.tenant || now.grants.iter().any(|grant| grant.tenant.id == self.tenant)
    }

    /// Whether anything of it ends with this tenant.
    fn is_of(&self, tenant: TenantId) -> bool {
        self.tenant == tenant || self.home == tenant || self.grants.iter().any(|grant| grant.tenant.id == tenant)
    }

    /// Whether the member's scope holds the room.
    pub fn reaches(&self, room: RoomId) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.contains(&room))
    }

    /// The rooms that a guest is held to, with their tenants.
    pub(crate) fn guest_rooms(&self) -> impl Iterator<Item = (RoomId, TenantId)> {
        let own = self.rooms.iter().flat_map(|rooms| rooms.iter()).map(|room| (*room, self.tenant));
        let granted = self.grants.iter().map(|grant| (grant.room, grant.tenant.id));
        own.chain(granted.filter(|(_, tenant)| *tenant != self.tenant))
    }

    /// Whether it came by an invite.
    pub fn is_guest(&self) -> bool {
        self.rooms.is_some()
    }

    /// The user, when the member is one.
    pub fn user(&self) -> Option<&User> {
        match &self.who {
            Who::Key => None,
            Who::User(user) => Some(user),
        }
    }

    /// Where that is counted which it does for a user of its own: names cost nothing, so what a bare key does for any of
    /// them is counted together.
    pub(crate) fn counted_as(&self, user: UserId) -> Subject {
        self.session.map_or(Subject::Tenant(self.tenant), |_| Subject::User(user))
    }

    /// What a connection of this member ends with.
    pub fn credential(&self) -> CredentialRef {
        CredentialRef { tenant: self.tenant, home: self.home, session: self.session, expires_at: self.expires_at }
    }

    /// The member as an owner of its tenant.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for members and spectators.
    pub fn owner(&self) -> Result<&Self, Error> {
        match self.role {
            Role::Owner => Ok(self),
            Role::Member | Role::Spectator => Err(Error::Forbidden("only an owner may do this")),
        }
    }

    /// The member as the bearer of the key itself.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a session, even an owner's.
    pub fn bare_key(&self) -> Result<&Self, Error> {
        match self.who {
            Who::Key => Ok(self),
            Who::User(_) => Err(Error::Forbidden("this needs the API key itself, not a session")),
        }
    }
}

/// What was lately looked up, for a few seconds: a request must not cost a query for what did not change.
#[derive(Default)]
pub struct Remembered(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    /// Rises when any credential ends; a look-up that began before is not remembered.
    revision: u64,
    members: HashMap<Proof, (Member, Duration)>,
    touched: HashMap<TenantId, Duration>,
    /// When the full table of last uses was looked through.
    looked: Option<Duration>,
    users: HashMap<(TenantId, String, Kind), User>,
}

impl Remembered {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member(&self, proof: &Proof, now: Duration) -> Result<Member, u64> {
        let tables = self.tables();
        match tables.members.get(proof) {
            Some((member, until)) if *until > now => {
                Ok(Member { revision: Arc::new(tables.revision.into()), ..member.clone() })
            }
            _ => Err(tables.revision),
        }
    }

    fn keep(&self, member: &Member, now: Duration, revision: u64) {
        let mut tables = self.tables();
        if tables.revision != revision {
            return;
        }
        if tables.members.len() >= MAX_REMEMBERED {
            tables.members.retain(|_, (_, until)| *until > now);
        }
        if tables.members.len() < MAX_REMEMBERED {
            tables.members.insert(member.proof.clone(), (member.clone(), now + BELIEVED));
        }
    }

    /// Forgets everything about a tenant.
    pub fn forget(&self, tenant: TenantId) {
        let mut tables = self.tables();
        tables.revision += 1;
        tables.members.retain(|_, (member, _)| !member.is_of(tenant));
        tables.users.retain(|(of, _, _), _| *of != tenant);
    }

    /// Forgets what was looked up for a session, which may do more now.
    pub(crate) fn forget_session(&self, session: SessionId) {
        let mut tables = self.tables();
        tables.revision += 1;
        tables.members.retain(|_, (member, _)| member.session != Some(session));
    }

    fn is_touch_due(&self, tenant: TenantId, now: Duration) -> bool {
        let mut tables = self.tables();
        if tables.touched.get(&tenant).is_some_and(|at| now < *at + TOUCH_EVERY) {
            return false;
        }
        if tables.touched.len() >= MAX_REMEMBERED && tables.looked.is_none_or(|looked| now >= looked + LOOK_EVERY) {
            tables.touched.retain(|_, at| now < *at + TOUCH_EVERY);
            tables.looked = Some(now);
        }
        if tables.touched.len() >= MAX_REMEMBERED {
            // Its last use is written when there is place again; a crowd must not make every request write.
            return false;
        }
        tables.touched.insert(tenant, now);
        true
    }

    /// A user of a key, if it was met lately.
    pub fn user(&self, tenant: TenantId, folded: &str, kind: Kind) -> Option<User> {
        self.tables().users.get(&(tenant, folded.to_owned(), kind)).cloned()
    }

    /// Remembers a user of a key; users never change.
    pub fn keep_user(&self, tenant: TenantId, folded: String, user: &User) {
        let mut tables = self.tables();
        if tables.users.len() >= MAX_REMEMBERED {
            tables.users.clear();
        }
        tables.users.insert((tenant, folded, user.kind), user.clone());
    }
}

impl App {
    /// Who presents this; `None` for nobody.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for a credential that is present and wrong: nothing falls through to another.
    pub async fn authenticate(&self, presented: &Presented) -> Result<Option<Member>, Error> {
        match presented {
            Presented::Nothing => Ok(None),
            Presented::Token(token) | Presented::Cookie(token) => self.member_of(token).await.map(Some),
        }
    }

    async fn member_of(&self, token: &str) -> Result<Member, Error> {
        if !token.starts_with(KEY_PREFIX) && !token.starts_with(SESSION_PREFIX) {
            return Err(Error::InvalidKey);
        }
        let digest = secret::digest(token);
        let is_key = token.starts_with(KEY_PREFIX);
        let member = self.member_by(if is_key { Proof::Key(digest) } else { Proof::Session(digest) }).await?;
        if is_key && self.remembered().is_touch_due(member.tenant, self.clock().monotonic()) {
            let (app, tenant) = (self.clone(), member.tenant);
            self.tasks().spawn(async move {
                if let Err(error) = app.store().touch_key(tenant, app.clock().now()).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the key's last use was not written");
                }
            });
        }
        Ok(member)
    }

    /// The member whom this proves, as it was lately remembered or as the store has it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when there is none, or not any more.
    pub(crate) async fn member_by(&self, proof: Proof) -> Result<Member, Error> {
        let now = self.clock().monotonic();
        match self.remembered().member(&proof, now) {
            Ok(member) => Ok(member),
            Err(revision) => {
                let found = self.look_up(&proof).await?.ok_or(Error::InvalidKey)?;
                let member = Member { revision: Arc::new(revision.into()), ..found };
                self.remembered().keep(&member, now, revision);
                Ok(member)
            }
        }
    }

    async fn look_up(&self, proof: &Proof) -> Result<Option<Member>, Error> {
        match proof {
            Proof::Key(digest) => {
                Ok(self.store().tenant_by_key(digest).await?.map(|tenant| Member::of_key(&tenant, *digest)))
            }
            Proof::Session(digest) => {
                // A session that ends takes its cookie along, so the clock must not be mistaken about it.
                let session = self.store().session_by_digest(digest, self.steady_now()).await?;
                Ok(session.map(|session| Member::of_session(&session, *digest)))
            }
            Proof::Issued(issued) => self.look_up_issued(issued).await,
        }
    }

    /// Has a connection of this caller listen. Then it asks for the credential again: what ended
    /// between its check and the registration would otherwise keep the connection for good.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when the credential has ended, [`Error::Unavailable`] when the server stops.
    pub(crate) async fn listen(
        &self,
        member: Option<&Member>,
        connection: &Connection,
        (address, standing, foreign): (Address, Standing, bool),
    ) -> Result<Subscription, Error> {
        let person = |member: &Member| member.user().map(|user| Person { tenant: member.tenant, user: user.id });
        let standing = match (standing, member.and_then(person)) {
            (Standing::Watching, Some(person)) => Standing::WatchingAs(person),
            (standing, _) => standing,
        };
        let subscription = match standing.person(address.tenant) {
            None => connection.subscribe(address, (standing, ChosenStatus::Online), foreign, self.clock().now()),
            Some(person) => {
                let _turn = self.hub().turn_of(person).await;
                let chosen = self.appearance(person).await?;
                connection.subscribe(address, (standing, chosen), foreign, self.clock().now())
            }
        };
        if self.tasks().is_stopping() {
            return Err(Error::Unavailable("the server is stopping"));
        }
        self.confirm(member).await?;
        Ok(subscription)
    }

    /// Asks for a caller's credential again.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when it has ended.
    pub(crate) async fn confirm(&self, member: Option<&Member>) -> Result<(), Error> {
        let Some(member) = member else { return Ok(()) };
        let revision = self.remembered().tables().revision;
        if member.revision.load(Ordering::Relaxed) == revision {
            return Ok(());
        }
        let found = self.look_up(&member.proof).await?;
        found.filter(|found| member.is_still(found)).ok_or(Error::InvalidKey)?;
        // Whoever stays connected for long is not looked up each time because some other credential ended once.
        member.revision.store(revision, Ordering::Relaxed);
        Ok(())
    }

    /// Makes what ended in the store end here at once: remembered credentials and open connections, of one session
    /// or with `None` of the whole tenant.
    pub(crate) fn end_credential(&self, tenant: TenantId, session: Option<SessionId>) {
        match session {
            Some(session) => self.remembered().forget_session(session),
            None => {
                self.remembered().forget(tenant);
                // Its guests are gone, and their names with them.
                self.directory().doubt(tenant);
            }
        }
        self.hub().end_credential(tenant, session);
        self.calls().wake();
    }

    /// A fresh user id.
    pub(crate) fn new_user_id(&self) -> UserId {
        UserId::from_uuid(self.clock().uuid())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_table_of_last_uses_stays_bounded_whoever_calls() {
        let remembered = Remembered::default();
        let tenant = |n: usize| TenantId::from_uuid(Uuid::from_u128(n as u128));
        let due = (0..2 * MAX_REMEMBERED).filter(|n| remembered.is_touch_due(tenant(*n), Duration::ZERO)).count();
        assert_eq!((due, remembered.tables().touched.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(remembered.is_touch_due(tenant(0), TOUCH_EVERY), "and has place again after a minute");
    }
}
