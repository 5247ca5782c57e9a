//! Who listens to what: (tenant, channel) → connections.
//!
//! The hub hands publications to bounded queues and knows who is present. It keeps no history (the
//! store does), speaks no protocol (the gateway does) and checks no rights (the operations did).

pub mod call;
mod channel;
mod outbox;
pub mod people;
pub mod presence;
mod publication;
mod push;
mod topic;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use meet_api::{Appearance, PresenceMember, RoomId, RoomPresence, SessionId, Shown, Status, TenantId, Timestamp, User};
use tokio::sync::Notify;
use uuid::Uuid;

pub use call::Attending;
pub use channel::{Address, Channel, Named};
pub use outbox::{CloseReason, Drained, Keep, Outbox};
pub use people::Person;
pub use publication::{Body, Encoding, Publication};
pub(crate) use publication::{json, sse_event};
pub(crate) use push::{client_info, message_publication};

use people::Part;
use topic::{Subscriber, Topic};

/// Enough locks that two busy rooms rarely wait for one another.
const SHARDS: usize = 64;

/// How a subscriber stands in a channel.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Named in presence.
    Present(User),
    /// Counted, never named.
    Watching,
    /// Counted, never named, and not even counted while the person behind it is invisible.
    WatchingAs(Person),
    /// Neither named nor counted: a long poll, a lobby stream.
    Unseen,
}

impl Standing {
    /// Who stands there, in a channel of this tenant, if anybody is known to.
    pub(crate) fn person(&self, tenant: TenantId) -> Option<Person> {
        match self {
            Self::Present(user) => Some(Person { tenant, user: user.id }),
            Self::WatchingAs(person) => Some(*person),
            Self::Watching | Self::Unseen => None,
        }
    }
}

/// What a connection came in with, so that it ends when that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialRef {
    /// The tenant that it acts in.
    pub tenant: TenantId,
    /// The tenant of the key or session.
    pub home: TenantId,
    /// The session; `None` for a bare key.
    pub session: Option<SessionId>,
    /// When the session ends by itself; `None` for a bare key.
    pub expires_at: Option<Timestamp>,
}

/// The hub; a clone is the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    hasher: RandomState,
    shards: Box<[Shard]>,
    people: Box<[Mutex<Part>]>,
    turns: Box<[tokio::sync::Mutex<()>]>,
    connections: Mutex<HashMap<u64, Registered>>,
    calls: Mutex<call::Calls>,
    next: AtomicU64,
    changed: Mutex<HashSet<(TenantId, RoomId)>>,
    changed_wake: Notify,
}

/// Some of the channels, behind one lock.
type Shard = Mutex<HashMap<Address, Arc<Mutex<Topic>>>>;

/// A connection's credential and queue.
type Registered = (Option<CredentialRef>, Arc<Outbox>);

/// What a connection listens to, and so what ends when a channel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This one channel: the connection ends with it.
    One,
    /// Any number of them: the connection is told, and goes on.
    Many,
}

/// A poisoned lock only says that another task panicked; the maps stay whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Hub {
    fn default() -> Self {
        Self(Arc::new(Inner {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            people: (0..people::PARTS).map(|_| Mutex::default()).collect(),
            turns: (0..people::PARTS).map(|_| tokio::sync::Mutex::default()).collect(),
            connections: Mutex::default(),
            calls: Mutex::default(),
            next: AtomicU64::new(1),
            changed: Mutex::default(),
            changed_wake: Notify::new(),
        }))
    }
}

impl Hub {
    /// Registers a connection under the id by which others know it; it unregisters when the returned value is dropped.
    pub fn connect(
        &self,
        client: Uuid,
        credential: Option<CredentialRef>,
        scope: Scope,
        outbox_bytes: usize,
    ) -> Connection {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let outbox = Arc::new(Outbox::new(outbox_bytes));
        lock(&self.0.connections).insert(id, (credential, Arc::clone(&outbox)));
        Connection { hub: self.clone(), id, client, scope, outbox }
    }

    /// Ends every connection that came in with this credential: one session, or with `None` the whole tenant.
    pub fn end_credential(&self, tenant: TenantId, session: Option<SessionId>) {
        for (credential, outbox) in lock(&self.0.connections).values() {
            if let Some(credential) = credential
                && match session {
                    Some(_) => credential.session == session,
                    None => credential.tenant == tenant || credential.home == tenant,
                }
            {
                outbox.close(CloseReason::CredentialEnded);
            }
        }
    }

    /// Ends every connection that came in with a session whose time is over.
    pub fn end_expired(&self, now: Timestamp) {
        for (credential, outbox) in lock(&self.0.connections).values() {
            if credential.and_then(|credential| credential.expires_at).is_some_and(|end| end <= now) {
                outbox.close(CloseReason::CredentialEnded);
            }
        }
    }

    /// Ends every connection.
    pub fn close_all(&self, reason: CloseReason) {
        for (_, outbox) in lock(&self.0.connections).values() {
            outbox.close(reason);
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        lock(&self.0.connections).len()
    }

    /// How many bytes wait in all queues together. Connections share what they wait for, so it takes less memory.
    pub fn queued_bytes(&self) -> usize {
        lock(&self.0.connections).values().map(|(_, outbox)| outbox.bytes()).sum()
    }

    /// Hands publications to everyone who listens there, each listener woken once. Never waits: a full queue closes
    /// its connection.
    pub fn publish(&self, address: Address, publications: &[Arc<Publication>]) {
        if let Some(topic) = self.topic(address) {
            lock(&topic).publish(publications);
        }
        if publications.iter().any(|publication| publication.offset().is_some()) {
            self.mark_changed(address);
        }
    }

    /// Hands a publication that the store has as well to everyone who listens there and has place for it.
    pub(crate) fn hint(&self, address: Address, publication: &Arc<Publication>) {
        if let Some(topic) = self.topic(address) {
            for subscriber in lock(&topic).subscribers.values() {
                subscriber.outbox.hint(publication);
            }
        }
    }

    /// Notes that a room, its head or its people changed, for the lobby of its tenant, if anyone is in it.
    pub fn mark_changed(&self, address: Address) {
        let Channel::Chat(room) = address.channel else { return };
        if self.has_subscribers(Address::org(address.tenant)) {
            lock(&self.0.changed).insert((address.tenant, room));
            self.0.changed_wake.notify_one();
        }
    }

    /// Waits for rooms that changed, and takes them.
    pub async fn changed_rooms(&self) -> HashSet<(TenantId, RoomId)> {
        loop {
            let changed = std::mem::take(&mut *lock(&self.0.changed));
            if !changed.is_empty() {
                return changed;
            }
            self.0.changed_wake.notified().await;
        }
    }

    /// Whether anyone listens there.
    pub fn has_subscribers(&self, address: Address) -> bool {
        self.topic(address).is_some()
    }

    /// Ends a channel for everyone who listens there; with `foreign_only`, for those who are there because the room is
    /// public.
    pub fn close_channel(&self, address: Address, reason: CloseReason, foreign_only: bool) {
        if let Some(topic) = self.topic(address) {
            for subscriber in lock(&topic).subscribers.values() {
                if subscriber.foreign || !foreign_only {
                    subscriber.end(address, reason);
                }
            }
        }
    }

    /// Ends all channels of a tenant.
    pub fn close_tenant(&self, tenant: TenantId, reason: CloseReason) {
        for shard in &self.0.shards {
            let topics: Vec<_> = lock(shard)
                .iter()
                .filter(|(at, _)| at.tenant == tenant)
                .map(|(at, topic)| (*at, Arc::clone(topic)))
                .collect();
            for (address, topic) in topics {
                lock(&topic).subscribers.values().for_each(|subscriber| subscriber.end(address, reason));
            }
        }
    }

    /// Who is in a channel.
    pub fn presence(&self, address: Address) -> RoomPresence {
        self.topic(address)
            .map_or_else(|| RoomPresence { members: Vec::new(), watching: 0 }, |topic| lock(&topic).roster.snapshot())
    }

    /// Every visible connection in a channel by the id that others know, with who it is.
    pub fn present_connections(&self, address: Address) -> Vec<(Uuid, PresenceMember)> {
        self.topic(address).map_or_else(Vec::new, |topic| lock(&topic).roster.connections())
    }

    /// How many connections, and of how many users, are visible in a channel.
    pub fn present_numbers(&self, address: Address) -> (usize, usize) {
        self.topic(address).map_or((0, 0), |topic| lock(&topic).roster.numbers())
    }

    /// How many users are visible in a channel.
    pub fn online(&self, address: Address) -> u64 {
        self.topic(address).map_or(0, |topic| lock(&topic).roster.online())
    }

    fn shard(&self, address: Address) -> &Shard {
        &self.0.shards[self.place_of(address, SHARDS)]
    }

    /// Which of several locks a key is behind.
    fn place_of(&self, key: impl std::hash::Hash, places: usize) -> usize {
        usize::try_from(self.0.hasher.hash_one(key) % places as u64).unwrap_or(0)
    }

    fn topic(&self, address: Address) -> Option<Arc<Mutex<Topic>>> {
        lock(self.shard(address)).get(&address).map(Arc::clone)
    }

    fn add(&self, address: Address, subscriber: (u64, Subscriber), shown: Option<&Shown>, now: Timestamp) {
        let mut shard = lock(self.shard(address));
        let topic = Arc::clone(shard.entry(address).or_default());
        let mut topic = lock(&topic);
        drop(shard);
        let has_changed = topic.add(address, subscriber, shown, now);
        drop(topic);
        if has_changed {
            self.mark_changed(address);
        }
    }

    fn remove(&self, address: Address, connection: u64, is_seen: bool) {
        let mut shard = lock(self.shard(address));
        let Some(topic) = shard.get(&address).map(Arc::clone) else { return };
        let mut topic = lock(&topic);
        if topic.subscribers.keys().all(|subscriber| *subscriber == connection) {
            shard.remove(&address);
        }
        // The others of the shard do not wait until all are told.
        drop(shard);
        let has_changed = topic.remove(address, connection, is_seen);
        drop(topic);
        if has_changed {
            self.mark_changed(address);
        }
    }
}

/// A registered connection.
pub struct Connection {
    hub: Hub,
    id: u64,
    client: Uuid,
    scope: Scope,
    outbox: Arc<Outbox>,
}

impl Connection {
    /// The connection's queue.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Says what the connection came in with, once that is known.
    pub fn identify(&self, credential: CredentialRef) {
        if let Some((known, _)) = lock(&self.hub.0.connections).get_mut(&self.id) {
            *known = Some(credential);
        }
    }

    /// Listens to a channel until the returned value is dropped. What is published from here on is queued, so a
    /// history read that starts afterwards leaves no gap. `foreign` marks those who are there because it is public;
    /// `chosen` is as what the person of the standing chose to be seen, and counts unless the hub knows it already.
    pub fn subscribe(
        &self,
        address: Address,
        (standing, chosen): (Standing, impl Into<Appearance>),
        foreign: bool,
        now: Timestamp,
    ) -> Subscription {
        let person = standing.person(address.tenant);
        let is_named = matches!(standing, Standing::Present(_));
        let outbox = Arc::clone(&self.outbox);
        let number = self.hub.0.next.fetch_add(1, Ordering::Relaxed);
        let mut subscriber = Subscriber {
            outbox,
            client: self.client,
            foreign,
            standing,
            scope: self.scope,
            is_exclusive: false,
            number,
        };
        match person {
            None => self.hub.add(address, (self.id, subscriber), Some(&Status::Online.into()), now),
            Some(person) => self.hub.happens_to(person, |part| {
                let (client, shown) = part.come(person, chosen.into(), (self.id, self.client), (address, is_named));
                subscriber.client = client;
                self.hub.add(address, (self.id, subscriber), shown.as_ref(), now);
            }),
        }
        Subscription { hub: self.hub.clone(), address, connection: self.id, number, person }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.hub.0.connections).remove(&self.id);
    }
}

/// A connection's place in a channel.
pub struct Subscription {
    hub: Hub,
    address: Address,
    connection: u64,
    number: u64,
    person: Option<Person>,
}

impl Subscription {
    /// By what it is told from an earlier one of the same connection in the same channel.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Has the connection hold its user's name in the channel alone: an earlier one that does is closed, and this one
    /// will be by a later one.
    pub fn hold_alone(&self) {
        if let Some(topic) = self.hub.topic(self.address) {
            lock(&topic).hold_alone(self.connection);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let (address, connection) = (self.address, self.connection);
        match self.person {
            None => self.hub.remove(address, connection, true),
            Some(person) => self.hub.happens_to(person, |part| {
                let is_seen = part.go(person, connection, address);
                self.hub.remove(address, connection, is_seen);
                if is_seen && matches!(address.channel, Channel::Chat(_)) {
                    let status = Address::status(person.tenant, person.user);
                    self.hub.publish(status, &[Publication::left_room(status).into()]);
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{ChosenStatus, Kind, PresenceChange};
    use uuid::Uuid;

    use super::*;

    fn connect(hub: &Hub, credential: Option<CredentialRef>) -> Connection {
        hub.connect(Uuid::from_u128(77), credential, Scope::One, 1 << 20)
    }

    fn address() -> Address {
        Address::chat(TenantId::from_uuid(Uuid::from_u128(1)), RoomId::from_uuid(Uuid::from_u128(2)))
    }

    fn user(n: u128) -> User {
        User { id: meet_api::UserId::from_uuid(Uuid::from_u128(n)), name: format!("user {n}"), kind: Kind::Human }
    }

    fn changes(outbox: &Outbox) -> Vec<(PresenceChange, String)> {
        let Drained::Publications(publications) = outbox.drain() else { panic!("closed") };
        publications
            .iter()
            .filter_map(|publication| match &publication.body {
                Body::Presence(event) if event.is_of_user => Some((event.change, event.member.name.clone())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_user_joins_with_its_first_connection_and_leaves_with_its_last() {
        let (hub, now) = (Hub::default(), Timestamp::from_millis(5));
        let watcher = connect(&hub, None);
        let _watching = watcher.subscribe(address(), (Standing::Watching, ChosenStatus::Online), false, now);
        let (phone, laptop) = (connect(&hub, None), connect(&hub, None));
        let on_phone = phone.subscribe(address(), (Standing::Present(user(7)), ChosenStatus::Online), false, now);
        let on_laptop = laptop.subscribe(address(), (Standing::Present(user(7)), ChosenStatus::Online), false, now);
        assert_eq!(changes(watcher.outbox()), [(PresenceChange::Join, "user 7".to_owned())]);
        assert_eq!((hub.online(address()), hub.presence(address()).watching), (1, 1));
        drop(on_phone);
        assert_eq!(changes(watcher.outbox()), []);
        drop(on_laptop);
        assert_eq!(changes(watcher.outbox()), [(PresenceChange::Leave, "user 7".to_owned())]);
        assert_eq!(hub.online(address()), 0);
    }

    #[test]
    fn ending_a_session_closes_its_connections_and_no_others() {
        let hub = Hub::default();
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let session = SessionId::from_uuid(Uuid::from_u128(9));
        let key = connect(&hub, Some(CredentialRef { tenant, home: tenant, session: None, expires_at: None }));
        let signed_in =
            connect(&hub, Some(CredentialRef { tenant, home: tenant, session: Some(session), expires_at: None }));
        hub.end_credential(tenant, Some(session));
        assert!(matches!(signed_in.outbox().drain(), Drained::Closed(CloseReason::CredentialEnded)));
        assert!(matches!(key.outbox().drain(), Drained::Publications(_)));
        hub.end_credential(tenant, None);
        assert!(matches!(key.outbox().drain(), Drained::Closed(CloseReason::CredentialEnded)));
    }

    #[test]
    fn the_last_to_leave_takes_the_channel_with_it() {
        let hub = Hub::default();
        let connection = connect(&hub, None);
        drop(connection.subscribe(
            address(),
            (Standing::Unseen, ChosenStatus::Online),
            false,
            Timestamp::from_millis(0),
        ));
        assert!(!hub.has_subscribers(address()));
        drop(connection);
        assert_eq!(hub.connections(), 0);
    }
}
