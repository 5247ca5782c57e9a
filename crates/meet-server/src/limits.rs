//! How much of something a caller may do: fixed windows for what happens, slots for what stays open, a budget of bytes
//! for what is still being sent, or waits to be taken.
//!
//! All tables are bounded, and take the time as an argument. What must survive a restart (rooms per
//! day, bytes per tenant) is counted in the store instead.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use meet_api::{TenantId, UserId};

use crate::error::{Error, Window};

/// The most windows that are kept; beyond that, strangers share one.
const MAX_WINDOWS: usize = 100_000;
/// How often a full table is looked through for windows that have ended: a look takes time, and a crowd would make
/// every request take it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The bytes that all request bodies under way may hold.
pub const BODIES_BYTES: usize = 64 * 1024 * 1024;
/// The part of them that one network may hold, so that a few who never finish do not silence everybody.
pub const BODIES_BYTES_PER_NETWORK: usize = 16 * 1024 * 1024;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// New API keys, an hour.
    Keys,
    /// Tries to use an invite or owner link, a minute.
    InviteTries,
    /// Messages, a minute.
    Messages,
    /// Requests for a way into a room without an owner, a minute.
    QuickTokens,
    /// Tokens for calls, a minute.
    CallTokens,
    /// Events that nobody signed, a minute.
    Forgeries,
    /// Changes of status, a minute.
    Statuses,
    /// Names that a key says for the first time, a minute.
    NewUsers,
    /// Moves of marks of what was read, a minute.
    Marks,
    /// Lines about what somebody is doing, a minute.
    Logs,
}

impl Bucket {
    const fn length(self) -> Duration {
        match self {
            Self::Keys => Duration::from_hours(1),
            Self::InviteTries
            | Self::Messages
            | Self::QuickTokens
            | Self::CallTokens
            | Self::Forgeries
            | Self::Statuses
            | Self::NewUsers
            | Self::Marks
            | Self::Logs => Duration::from_mins(1),
        }
    }
}

/// Whose count it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A tenant, over all its names.
    Tenant(TenantId),
    /// One user.
    User(UserId),
    /// An address; an IPv6 host owns a /64, so that is what counts.
    Network(IpAddr),
    /// Everyone who found the table full.
    Crowd,
}

impl Subject {
    /// The subject that an address counts as.
    pub fn network(ip: IpAddr) -> Self {
        Self::Network(match ip {
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => IpAddr::V4(ip),
                None => {
                    let [a, b, c, d, ..] = ip.segments();
                    IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
                }
            },
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

/// Fixed windows: from the first counted request, per bucket and subject.
#[derive(Default)]
pub struct Windows(Mutex<Table>);

#[derive(Default)]
struct Table {
    counts: HashMap<(Bucket, Subject), Count>,
    looked: Option<Duration>,
}

struct Count {
    ends: Duration,
    used: u64,
}

/// A request that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The window that it was counted in, as its caller is told.
    pub window: Window,
    /// Where it was counted, which is not the caller's own place when the table was full.
    place: (Bucket, Subject),
    ends: Duration,
}

impl Windows {
    /// Counts one request at `now` (monotonic). A limit of 0 is none. Refused requests are not counted.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the window is used up.
    pub fn take(&self, bucket: Bucket, subject: Subject, limit: u64, now: Duration) -> Result<Option<Counted>, Error> {
        if limit == 0 {
            return Ok(None);
        }
        let mut table = lock(&self.0);
        let place = (bucket, table.place_for(bucket, subject, now));
        let count = table.counts.entry(place).or_insert(Count { ends: Duration::ZERO, used: 0 });
        if count.ends <= now {
            *count = Count { ends: now + bucket.length(), used: 0 };
        }
        let reset = count.ends.saturating_sub(now);
        if count.used >= limit {
            return Err(Error::RateLimited(Window { limit, remaining: 0, reset }));
        }
        count.used += 1;
        let window = Window { limit, remaining: limit - count.used, reset };
        Ok(Some(Counted { window, place, ends: count.ends }))
    }

    /// Gives a counted request back, for what turned out to be a repeat.
    pub fn give_back(&self, counted: &Counted) {
        // Of a window that has ended meanwhile there is nothing to give back.
        if let Some(count) = lock(&self.0).counts.get_mut(&counted.place).filter(|count| count.ends == counted.ends) {
            count.used = count.used.saturating_sub(1);
        }
    }
}

impl Table {
    /// Under which subject a request counts: its own, unless the table has no place for one more.
    fn place_for(&mut self, bucket: Bucket, subject: Subject, now: Duration) -> Subject {
        if self.counts.len() < MAX_WINDOWS || self.counts.contains_key(&(bucket, subject)) {
            return subject;
        }
        if self.looked.is_none_or(|looked| now >= looked + LOOK_EVERY) {
            self.counts.retain(|_, count| count.ends > now);
            self.looked = Some(now);
        }
        if self.counts.len() < MAX_WINDOWS { subject } else { Subject::Crowd }
    }
}

/// Open sockets, streams and waiters, counted per user, tenant, address and server.
#[derive(Clone, Default)]
pub struct Slots(Arc<Mutex<HashMap<Place, usize>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Server,
    Of(Subject),
}

/// The caps of [`Slots`]; 0 is none.
#[derive(Debug, Clone, Copy)]
pub struct SlotCaps {
    /// Per user.
    pub user: usize,
    /// Per tenant.
    pub tenant: usize,
    /// Per address.
    pub ip: usize,
    /// All together.
    pub server: usize,
}

/// One open connection's place; given back when dropped.
pub struct Slot {
    slots: Slots,
    places: Vec<Place>,
}

impl Slots {
    /// Takes a place for a connection.
    ///
    /// # Errors
    /// [`Error::TooManyConnections`] when the caller has too many, [`Error::Unavailable`] when the server has.
    pub fn take(
        &self,
        tenant: Option<TenantId>,
        user: Option<UserId>,
        ip: IpAddr,
        caps: SlotCaps,
    ) -> Result<Slot, Error> {
        let mut slot = Slot { slots: self.clone(), places: Vec::new() };
        slot.take([(Place::Server, caps.server), (Place::Of(Subject::network(ip)), caps.ip)])?;
        slot.claim(tenant, user, caps)?;
        Ok(slot)
    }
}

impl Slot {
    /// Takes a place in the name of its tenant and user too, who may only be known when the connection is open.
    ///
    /// # Errors
    /// [`Error::TooManyConnections`] when one of them has too many.
    pub fn claim(&mut self, tenant: Option<TenantId>, user: Option<UserId>, caps: SlotCaps) -> Result<(), Error> {
        let tenant = tenant.map(|tenant| (Place::Of(Subject::Tenant(tenant)), caps.tenant));
        let user = user.map(|user| (Place::Of(Subject::User(user)), caps.user));
        self.take(tenant.into_iter().chain(user))
    }

    /// Takes all of these places, or none.
    fn take(&mut self, wanted: impl IntoIterator<Item = (Place, usize)>) -> Result<(), Error> {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let mut table = lock(&self.slots.0);
        for (place, cap) in &wanted {
            if *cap > 0 && table.get(place).copied().unwrap_or(0) >= *cap {
                return Err(match place {
                    Place::Server => Error::Unavailable("the server holds as many connections as it can"),
                    Place::Of(_) => Error::TooManyConnections,
                });
            }
        }
        for (place, _) in wanted {
            *table.entry(place).or_insert(0) += 1;
            self.places.push(place);
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = lock(&self.slots.0);
        for place in &self.places {
            if let Some(count) = table.get_mut(place) {
                *count -= 1;
                if *count == 0 {
                    table.remove(place);
                }
            }
        }
    }
}

/// The bytes of the request bodies that are still coming in or wait for a stream's connection, counted per network and
/// for the whole server.
#[derive(Clone, Default)]
pub struct Bodies(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    all: usize,
    networks: HashMap<Subject, usize>,
}

/// The bytes that one body holds; given back when dropped.
pub struct Share {
    bodies: Bodies,
    network: Subject,
    bytes: usize,
}

impl Bodies {
    /// Nothing yet, for a body from this address.
    pub fn share(&self, ip: IpAddr) -> Share {
        Share { bodies: self.clone(), network: Subject::network(ip), bytes: 0 }
    }
}

impl Share {
    /// Takes more bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the network or the server holds as many as it may.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let mut held = lock(&self.bodies.0);
        let of_network = held.networks.get(&self.network).copied().unwrap_or(0) + bytes;
        if of_network > BODIES_BYTES_PER_NETWORK || held.all + bytes > BODIES_BYTES {
            return Err(Error::Unavailable("the server takes in as much as it can just now"));
        }
        held.all += bytes;
        held.networks.insert(self.network, of_network);
        drop(held);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = lock(&self.bodies.0);
        held.all -= self.bytes;
        if let Some(of_network) = held.networks.get_mut(&self.network) {
            *of_network -= self.bytes;
            if *of_network == 0 {
                held.networks.remove(&self.network);
            }
        }
    }
}

/// A poisoned lock only says that another task panicked; the counts stay whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(n: u128) -> Subject {
        Subject::Tenant(TenantId::from_uuid(Uuid::from_u128(n)))
    }

    #[test]
    fn a_window_admits_its_limit_and_starts_anew_when_it_ends() {
        let windows = Windows::default();
        let start = Duration::from_secs(100);
        for used in 1..=60 {
            let counted = windows.take(Bucket::Messages, tenant(1), 60, start).unwrap().unwrap();
            assert_eq!(counted.window.remaining, 60 - used);
        }
        let later = start + Duration::from_secs(59);
        let Err(Error::RateLimited(window)) = windows.take(Bucket::Messages, tenant(1), 60, later) else { panic!() };
        assert_eq!((window.remaining, window.reset), (0, Duration::from_secs(1)));
        assert!(windows.take(Bucket::Messages, tenant(1), 60, start + Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn one_bucket_never_eats_anothers() {
        let windows = Windows::default();
        assert!(windows.take(Bucket::Messages, tenant(1), 1, Duration::ZERO).is_ok());
        assert!(windows.take(Bucket::Messages, tenant(1), 1, Duration::ZERO).is_err());
        assert!(windows.take(Bucket::Messages, tenant(2), 1, Duration::ZERO).is_ok());
        assert!(windows.take(Bucket::InviteTries, tenant(1), 1, Duration::ZERO).is_ok());
    }

    #[test]
    fn ten_thousand_addresses_of_one_network_count_as_one() {
        let windows = Windows::default();
        let admitted = (0..10_000u32)
            .filter(|n| {
                let ip = Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(*n));
                windows.take(Bucket::Keys, Subject::network(ip.into()), 3, Duration::ZERO).is_ok()
            })
            .count();
        assert_eq!(admitted, 3);
        let mapped = Subject::network("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(mapped, Subject::network("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_table_stays_bounded_whoever_knocks() {
        let windows = Windows::default();
        for n in 0..200_000 {
            let _ = windows.take(Bucket::Keys, tenant(n), 3, Duration::ZERO);
        }
        assert!(lock(&windows.0).counts.len() <= MAX_WINDOWS + 1);
        assert!(windows.take(Bucket::Keys, tenant(5), 4, Duration::ZERO).is_ok(), "who has a window keeps it");
        assert!(windows.take(Bucket::Keys, tenant(200_001), 3, Duration::ZERO).is_err(), "the others share one");
        assert!(windows.take(Bucket::Keys, tenant(200_001), 3, Duration::from_hours(1)).is_ok());
    }

    #[test]
    fn what_is_given_back_goes_where_it_was_counted() {
        let (windows, now) = (Windows::default(), Duration::ZERO);
        for n in 0..MAX_WINDOWS as u128 {
            windows.take(Bucket::Messages, tenant(n), 1, now).unwrap();
        }
        let counted = windows.take(Bucket::Messages, tenant(MAX_WINDOWS as u128), 1, now).unwrap().unwrap();
        let other = tenant(MAX_WINDOWS as u128 + 1);
        assert!(windows.take(Bucket::Messages, other, 1, now).is_err(), "the crowd shares one window");
        windows.give_back(&counted);
        assert!(windows.take(Bucket::Messages, other, 1, now).is_ok());
    }

    #[test]
    fn what_is_given_back_too_late_frees_nothing_in_the_next_window() {
        let windows = Windows::default();
        let early = windows.take(Bucket::Messages, tenant(1), 1, Duration::ZERO).unwrap().unwrap();
        let later = Duration::from_mins(1);
        windows.take(Bucket::Messages, tenant(1), 1, later).unwrap();
        windows.give_back(&early);
        assert!(windows.take(Bucket::Messages, tenant(1), 1, later).is_err());
    }

    #[test]
    fn bodies_under_way_hold_so_much_per_network_and_so_much_in_all() {
        let bodies = Bodies::default();
        let share = |n: u8| bodies.share(IpAddr::from([10, 0, 0, n]));
        let mut first = share(1);
        first.grow(BODIES_BYTES_PER_NETWORK).unwrap();
        assert!(first.grow(1).is_err() && share(1).grow(1).is_err());
        let mut others: Vec<_> = (2..=4).map(share).collect();
        for other in &mut others {
            other.grow(BODIES_BYTES_PER_NETWORK).unwrap();
        }
        assert!(share(5).grow(1).is_err(), "the server is full");
        drop(first);
        assert!(share(5).grow(1).is_ok());
        drop(others);
        assert!(lock(&bodies.0).networks.is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn a_slot_comes_back_when_its_connection_ends() {
        let slots = Slots::default();
        let caps = SlotCaps { user: 0, tenant: 0, ip: 2, server: 0 };
        let ip = "10.0.0.1".parse().unwrap();
        let first = slots.take(None, None, ip, caps).unwrap();
        let _second = slots.take(None, None, ip, caps).unwrap();
        assert!(matches!(slots.take(None, None, ip, caps), Err(Error::TooManyConnections)));
        drop(first);
        assert!(slots.take(None, None, ip, caps).is_ok());
    }
}
