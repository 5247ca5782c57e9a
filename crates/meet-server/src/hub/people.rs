//! Every user who is here by any connection: as what it chose to be seen, and in which channels it is.
//!
//! What happens to one user happens in one order: joins, leaves and changes of status hold the lock of the user's part
//! of the table until they were told everywhere. That lock comes before those of channels. The table knows of no rights
//! and no store.

use std::collections::{BTreeMap, HashMap};

use meet_api::{ChosenStatus, SeenStatus, Status, TenantId, Timestamp, UserId, UserStatus, frame::UserEvent};
use tokio::sync::MutexGuard;

use super::{Address, Hub, Publication, Topic, lock};

/// Enough locks that two busy users rarely wait for one another.
pub(super) const PARTS: usize = 64;

/// How many users who are gone a part remembers, so that most who come back cost no look into the store.
const MAX_ABSENT: usize = 256;

/// A user of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Person {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
}

/// Some of the people, behind one lock.
#[derive(Default)]
pub(super) struct Part {
    people: HashMap<Person, Whereabouts>,
    here: usize,
}

struct Whereabouts {
    chosen: ChosenStatus,
    /// Where each connection is, in the order in which it came there.
    places: BTreeMap<u64, Vec<Place>>,
    /// In how many places it is by name.
    named: usize,
}

#[derive(Clone, Copy)]
struct Place {
    address: Address,
    is_named: bool,
}

impl Whereabouts {
    /// What others see of the user; nothing when it is nowhere by name, or invisible.
    fn shown(&self) -> Option<Status> {
        self.chosen.shown().filter(|_| self.named > 0)
    }

    /// Every place with the connection that is there, one connection after the other.
    fn places(&self) -> impl Iterator<Item = (u64, Address)> {
        self.places.iter().flat_map(|(connection, places)| places.iter().map(|place| (*connection, place.address)))
    }
}

impl Part {
    /// Notes that a connection came to a channel; what the user shows there. `chosen` counts when the user was unknown.
    pub(super) fn come(
        &mut self,
        person: Person,
        chosen: ChosenStatus,
        connection: u64,
        (address, is_named): (Address, bool),
    ) -> Option<Status> {
        if !self.people.contains_key(&person) && self.people.len() - self.here >= MAX_ABSENT {
            self.people.retain(|_, whereabouts| !whereabouts.places.is_empty());
        }
        let new = || Whereabouts { chosen, places: BTreeMap::new(), named: 0 };
        let whereabouts = self.people.entry(person).or_insert_with(new);
        self.here += usize::from(whereabouts.places.is_empty());
        whereabouts.named += usize::from(is_named);
        whereabouts.places.entry(connection).or_default().push(Place { address, is_named });
        whereabouts.chosen.shown()
    }

    /// Notes that a connection left a channel; whether it was seen there.
    pub(super) fn go(&mut self, person: Person, connection: u64, address: Address) -> bool {
        let Some(whereabouts) = self.people.get_mut(&person) else { return true };
        if let Some(places) = whereabouts.places.get_mut(&connection)
            && let Some(at) = places.iter().position(|place| place.address == address)
        {
            whereabouts.named -= usize::from(places.remove(at).is_named);
            if places.is_empty() {
                whereabouts.places.remove(&connection);
            }
            self.here -= usize::from(whereabouts.places.is_empty());
        }
        whereabouts.chosen.shown().is_some()
    }

    fn shown(&self, person: Person) -> Option<Status> {
        self.people.get(&person).and_then(Whereabouts::shown)
    }
}

impl Hub {
    /// Held from before the store is asked or told as what a person chose to be seen until the hub has gone by it: so
    /// no connection joins with a choice that is not in force any more.
    pub(crate) async fn turn_of(&self, person: Person) -> MutexGuard<'_, ()> {
        self.0.turns[self.part_of(person)].lock().await
    }

    /// As what a person chose to be seen, if the hub knows it.
    pub fn chosen(&self, person: Person) -> Option<ChosenStatus> {
        lock(&self.0.people[self.part_of(person)]).people.get(&person).map(|whereabouts| whereabouts.chosen)
    }

    /// What others see of a person; `None` for somebody who is not here, or does as if.
    pub fn shown(&self, person: Person) -> Option<Status> {
        lock(&self.0.people[self.part_of(person)]).shown(person)
    }

    /// Whether a user is visible in a channel.
    pub fn is_visible_in(&self, address: Address, user: UserId) -> bool {
        self.topic(address).is_some_and(|topic| lock(&topic).roster.has(user))
    }

    /// Has a person be seen as something else, wherever it is.
    pub fn set_status(&self, person: Person, chosen: ChosenStatus, now: Timestamp) {
        self.happens_to(person, |part| {
            let Some(whereabouts) = part.people.get_mut(&person) else { return };
            let before = std::mem::replace(&mut whereabouts.chosen, chosen);
            match (before.shown(), chosen.shown()) {
                _ if before == chosen => return,
                (None, None) => {}
                (Some(_), None) => {
                    for (connection, address) in whereabouts.places() {
                        self.in_topic(address, |topic| topic.conceal(address, connection));
                    }
                }
                (None, Some(status)) => {
                    for (connection, address) in whereabouts.places() {
                        self.in_topic(address, |topic| topic.show(address, connection, status, now));
                    }
                }
                (Some(_), Some(status)) => {
                    for (_, address) in whereabouts.places() {
                        self.in_topic(address, |topic| topic.change_status(address, person.user, status));
                    }
                }
            }
            let own = Address::user(person.tenant, person.user);
            self.publish(own, &[Publication::own_status(own, &UserEvent::Status { status: chosen }).into()]);
        });
    }

    /// Has one thing happen to a person, and tells those who look at its status what that changed.
    pub(super) fn happens_to<T>(&self, person: Person, happen: impl FnOnce(&mut Part) -> T) -> T {
        let mut part = lock(&self.0.people[self.part_of(person)]);
        let before = part.shown(person);
        let result = happen(&mut part);
        let after = part.shown(person);
        if before != after {
            let address = Address::status(person.tenant, person.user);
            let seen = UserStatus { user: person.user, status: SeenStatus::of(after) };
            self.publish(address, &[Publication::status(address, &seen).into()]);
        }
        result
    }

    /// Does something to a channel, and tells the lobby when it changed the number of those who are there.
    fn in_topic(&self, address: Address, change: impl FnOnce(&mut Topic) -> bool) {
        if let Some(topic) = self.topic(address)
            && change(&mut lock(&topic))
        {
            self.mark_changed(address);
        }
    }

    fn part_of(&self, person: Person) -> usize {
        self.place_of(person, PARTS)
    }
}
