//! The names that can be mentioned in each tenant, and where: all of its users', and in a room those of its own guests.
//!
//! They are read once, when somebody writes an `@` or filters by a name, and kept up from then on, so that whoever reads
//! along with a filter knows of those who came later.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use meet_api::{Message, RoomId, TenantId, UserId, text::fold};
use meet_store::KnownUser;

use crate::{
    app::App,
    error::Error,
    mention::{Book, longest, places, stands_at_start},
};

/// The most users of a tenant who are known: its own before guests, and the newest of these.
const MAX_KNOWN: u32 = 10_000;
/// The most names that are remembered of all tenants together, about; beyond it they are read anew.
const MAX_REMEMBERED: usize = 200_000;
/// How long they are believed: those of guests whose time is over are gone by then.
const BELIEVED: Duration = Duration::from_mins(10);
/// How often they are read at a time, when somebody comes or goes meanwhile.
const READS: usize = 2;
/// The most users that one message mentions.
const MAX_MENTIONED: usize = 25;

/// The names of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Names {
    book: RwLock<Book<Vec<Bearer>>>,
    /// How often somebody came, or may have gone, so that what changes while the store is read is not lost.
    changes: AtomicU64,
    /// Until when what was read counts, in milliseconds of the monotonic clock; nobody is known to be gone since.
    fresh_until: AtomicU64,
    reading: tokio::sync::Mutex<()>,
}

/// A user who bears a name.
#[derive(Debug)]
struct Bearer {
    user: UserId,
    /// The rooms that a guest is held to.
    rooms: Option<Vec<RoomId>>,
}

impl Bearer {
    fn is_in(&self, room: RoomId) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.contains(&room))
    }
}

impl Names {
    fn add(&self, known: KnownUser) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        if book.len() >= 2 * MAX_KNOWN as usize {
            self.fresh_until.store(0, Ordering::SeqCst);
            return;
        }
        if known.rooms.is_some() {
            // A guest that comes again may have another name.
            book.values_mut().for_each(|bearers| bearers.retain(|bearer| bearer.user != known.id));
        }
        insert(&mut book, known);
    }

    fn replace(&self, known: Vec<KnownUser>) {
        let mut fresh = Book::new();
        for known in known {
            insert(&mut fresh, known);
        }
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn len(&self) -> usize {
        self.book.read().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// Whom a text mentions in a room besides `writer`, in its order, each once.
    fn mentioned(&self, content: &str, room: RoomId, writer: UserId) -> Vec<UserId> {
        let text = fold(content);
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        let mut users = Vec::new();
        for place in places(&text) {
            let Some((_, bearers)) = longest(&book, place, |bearers| is_known(bearers, room)) else { continue };
            let here = bearers.iter().filter(|bearer| bearer.is_in(room)).map(|bearer| bearer.user);
            for user in here.filter(|user| *user != writer) {
                if users.len() >= MAX_MENTIONED {
                    return users;
                }
                if !users.contains(&user) {
                    users.push(user);
                }
            }
        }
        users
    }
}

fn insert(book: &mut Book<Vec<Bearer>>, KnownUser { id, folded, rooms }: KnownUser) {
    let bearers = book.entry(folded).or_default();
    match bearers.iter_mut().find(|bearer| bearer.user == id) {
        None => bearers.push(Bearer { user: id, rooms }),
        Some(bearer) => bearer.rooms = rooms,
    }
}

fn is_known(bearers: &[Bearer], room: RoomId) -> bool {
    bearers.iter().any(|bearer| bearer.is_in(room))
}

/// Which messages a reader wants, by whom they speak to.
#[derive(Debug, Clone)]
pub(crate) struct Addressed {
    /// The folded name.
    pub(crate) name: String,
    /// Whether those that mention nobody who is known are wanted too.
    pub(crate) or_nobody: bool,
    /// Who is known.
    pub(crate) names: Arc<Names>,
    /// The room that is read.
    pub(crate) room: RoomId,
}

impl Addressed {
    /// Whether a message speaks to the name.
    pub(crate) fn admits(&self, message: &Message) -> bool {
        if !message.content.contains('@') {
            return self.or_nobody;
        }
        let text = fold(&message.content);
        let book = self.names.book.read().unwrap_or_else(PoisonError::into_inner);
        let mut is_to_somebody = false;
        for place in places(&text) {
            let known = longest(&book, place, |bearers| is_known(bearers, self.room)).map(|(name, _)| name);
            let is_longer = known.is_some_and(|known| known.len() > self.name.len());
            if !is_longer && stands_at_start(place, &self.name) {
                return true;
            }
            is_to_somebody |= known.is_some();
        }
        self.or_nobody && !is_to_somebody
    }
}

/// The names of all tenants in which somebody asked for them.
#[derive(Default)]
pub(crate) struct Directory(Mutex<HashMap<TenantId, Arc<Names>>>);

impl Directory {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Names>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, tenant: TenantId) -> Arc<Names> {
        let mut tenants = self.lock();
        let is_full = || tenants.values().map(|names| names.len().max(1)).sum::<usize>() >= MAX_REMEMBERED;
        if !tenants.contains_key(&tenant) && is_full() {
            // Those that somebody reads by stay, so that its filter hears of who comes later.
            tenants.retain(|_, names| Arc::strong_count(names) > 1);
        }
        Arc::clone(tenants.entry(tenant).or_default())
    }

    /// Notes a user who is new in a tenant, or a guest in a room.
    pub(crate) fn add(&self, tenant: TenantId, user: KnownUser) {
        let names = self.lock().get(&tenant).map(Arc::clone);
        // Where nobody asked yet, it is read with all others.
        if let Some(names) = names {
            names.add(user);
        }
    }

    /// Notes that somebody of a tenant may be gone: its names are read anew when they are asked for.
    pub(crate) fn doubt(&self, tenant: TenantId) {
        let mut tenants = self.lock();
        match tenants.get(&tenant) {
            Some(names) if Arc::strong_count(names) > 1 => {
                names.changes.fetch_add(1, Ordering::SeqCst);
                names.fresh_until.store(0, Ordering::SeqCst);
            }
            _ => drop(tenants.remove(&tenant)),
        }
    }
}

impl App {
    /// The names of a tenant.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn names(&self, tenant: TenantId) -> Result<Arc<Names>, Error> {
        let names = self.directory().of(tenant);
        let now = self.clock().monotonic();
        let is_fresh = || names.fresh_until.load(Ordering::SeqCst) > millis(now);
        if !is_fresh() {
            let _reading = names.reading.lock().await;
            for _ in 0..READS {
                if is_fresh() {
                    break;
                }
                let changes = names.changes.load(Ordering::SeqCst);
                names.replace(self.store().known_users(tenant, MAX_KNOWN, self.steady_now()).await?);
                names.fresh_until.store(millis(now + BELIEVED), Ordering::SeqCst);
                if names.changes.load(Ordering::SeqCst) != changes {
                    names.fresh_until.store(0, Ordering::SeqCst);
                }
            }
        }
        Ok(names)
    }

    /// Whom a text mentions in a room besides its writer.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn mentioned(
        &self,
        tenant: TenantId,
        room: RoomId,
        content: &str,
        writer: UserId,
    ) -> Result<Vec<UserId>, Error> {
        if !content.contains('@') {
            return Ok(Vec::new());
        }
        Ok(self.names(tenant).await?.mentioned(content, room, writer))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn room(n: u128) -> RoomId {
        RoomId::from_uuid(Uuid::from_u128(n))
    }

    fn user(n: u128, name: &str, rooms: Option<Vec<RoomId>>) -> KnownUser {
        KnownUser { id: UserId::from_uuid(Uuid::from_u128(n)), folded: fold(name), rooms }
    }

    fn ids(users: &[u128]) -> Vec<UserId> {
        users.iter().map(|n| UserId::from_uuid(Uuid::from_u128(*n))).collect()
    }

    #[test]
    fn a_guest_is_mentioned_in_its_own_room_only() {
        let names = Names::default();
        names.replace(vec![user(1, "Ann", None), user(2, "Ann Lee", Some(vec![room(1)]))]);
        let writer = ids(&[9])[0];
        assert_eq!(names.mentioned("@ann lee?", room(1), writer), ids(&[2]));
        assert_eq!(names.mentioned("@ann lee?", room(2), writer), ids(&[1]), "who is not here is not meant");
        assert_eq!(names.mentioned("@ann, @Ann", room(1), ids(&[1])[0]), ids(&[]), "nobody mentions itself");
    }

    #[test]
    fn so_many_are_mentioned_and_each_once() {
        let names = Names::default();
        (0..100).for_each(|n| names.add(user(n, &format!("u{n}x"), None)));
        let text = (0..100).chain(0..100).map(|n| format!("@u{n}x")).collect::<Vec<_>>().join(" ");
        let mentioned = names.mentioned(&text, room(1), ids(&[0])[0]);
        assert_eq!(mentioned, ids(&(1..=25).collect::<Vec<_>>()));
    }
}
