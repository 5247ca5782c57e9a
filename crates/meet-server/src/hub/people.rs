//! Every user who is here by any connection: as what it chose to be seen, and in which channels it is.
//!
//! What happens to one user happens in one order: joins, leaves and changes of status hold the lock of the user's part
//! of the table until they were told everywhere. That lock comes before those of channels. The table knows of no rights
//! and no store.

use std::collections::{BTreeMap, HashMap};

use meet_api::{Appearance, SeenStatus, Shown, TenantId, Timestamp, UserId, UserStatus, frame::UserEvent};
use tokio::sync::MutexGuard;
use uuid::Uuid;

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
    chosen: Appearance,
    connections: BTreeMap<u64, At>,
    /// In how many places it is by name.
    named: usize,
    /// What those who look at its status were told last.
    told: Option<Shown>,
}

/// One connection of a user.
struct At {
    /// The id by which others know it: another one each time that it comes to be seen.
    client: Uuid,
    /// Where it is, in the order in which it came there.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    address: Address,
    is_named: bool,
}

impl Whereabouts {
    /// What others see of the user; nothing when it is nowhere by name, or invisible.
    fn shown(&self) -> Option<Shown> {
        self.chosen.shown().filter(|_| self.named > 0)
    }

    /// Whether others see something else now than they were told; from here on they were told it.
    fn has_news(&mut self) -> bool {
        let shown = self.shown();
        let is_news = self.told != shown;
        self.told = shown;
        is_news
    }

    /// Every place with the connection that is there, one connection after the other, first come first.
    fn places(&self) -> impl Iterator<Item = ((u64, Uuid), Address)> {
        self.connections
            .iter()
            .flat_map(|(connection, at)| at.places.iter().map(|place| ((*connection, at.client), place.address)))
    }

    /// The same, but where a connection came last it leaves first, as when it ends.
    fn leaving(&self) -> impl Iterator<Item = (u64, Address)> {
        self.connections
            .iter()
            .flat_map(|(connection, at)| at.places.iter().rev().map(|place| (*connection, place.address)))
    }
}

impl Part {
    /// Notes that a connection came to a channel; the id by which others know it, and what the
    /// user shows there. `chosen` counts when the user was unknown.
    pub(super) fn come(
        &mut self,
        person: Person,
        chosen: Appearance,
        (connection, client): (u64, Uuid),
        (address, is_named): (Address, bool),
    ) -> (Uuid, Option<Shown>) {
        if !self.people.contains_key(&person) && self.people.len() - self.here >= MAX_ABSENT {
            self.people.retain(|_, whereabouts| !whereabouts.connections.is_empty());
        }
        let new = || Whereabouts { chosen, connections: BTreeMap::new(), named: 0, told: None };
        let whereabouts = self.people.entry(person).or_insert_with(new);
        self.here += usize::from(whereabouts.connections.is_empty());
        whereabouts.named += usize::from(is_named);
        let at = whereabouts.connections.entry(connection).or_insert_with(|| At { client, places: Vec::new() });
        at.places.push(Place { address, is_named });
        (at.client, whereabouts.chosen.shown())
    }

    /// Notes that a connection left a channel; whether it was seen there.
    pub(super) fn go(&mut self, person: Person, connection: u64, address: Address) -> bool {
        let Some(whereabouts) = self.people.get_mut(&person) else { return true };
        if let Some(at) = whereabouts.connections.get_mut(&connection)
            && let Some(left) = at.places.iter().position(|place| place.address == address)
        {
            whereabouts.named -= usize::from(at.places.remove(left).is_named);
            if at.places.is_empty() {
                whereabouts.connections.remove(&connection);
            }
            self.here -= usize::from(whereabouts.connections.is_empty());
        }
        whereabouts.chosen.status.shown().is_some()
    }

    fn shown(&self, person: Person) -> Option<Shown> {
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
    pub fn chosen(&self, person: Person) -> Option<Appearance> {
        lock(&self.0.people[self.part_of(person)]).people.get(&person).map(|whereabouts| whereabouts.chosen.clone())
    }

    /// What others see of a person; `None` for somebody who is not here, or does as if.
    pub fn shown(&self, person: Person) -> Option<Shown> {
        lock(&self.0.people[self.part_of(person)]).shown(person)
    }

    /// Whether a user is visible in a channel.
    pub fn is_visible_in(&self, address: Address, user: UserId) -> bool {
        self.topic(address).is_some_and(|topic| lock(&topic).roster.has(user))
    }

    /// Has a person be seen as something else, wherever it is. Whoever is seen again comes under ids that are `fresh`, as
    /// somebody who was gone would.
    pub fn set_status(
        &self,
        person: Person,
        chosen: impl Into<Appearance>,
        now: Timestamp,
        mut fresh: impl FnMut() -> Uuid,
    ) {
        let chosen = chosen.into();
        self.happens_to(person, |part| {
            // Somebody may be in a call and nowhere else.
            self.show_in_calls(person, chosen.status.shown().is_some(), now);
            let Some(whereabouts) = part.people.get_mut(&person) else { return };
            let before = std::mem::replace(&mut whereabouts.chosen, chosen.clone());
            match (before.shown(), chosen.shown()) {
                _ if before == chosen => return,
                (None, None) => {}
                (Some(_), None) => {
                    for (connection, address) in whereabouts.leaving() {
                        self.in_topic(address, |topic| topic.conceal(address, connection));
                    }
                }
                (None, Some(shown)) => {
                    whereabouts.connections.values_mut().for_each(|at| at.client = fresh());
                    for (connection, address) in whereabouts.places().collect::<Vec<_>>() {
                        self.in_topic(address, |topic| topic.show(address, connection, &shown, now));
                        // Whoever comes anew is told of at once by its first place, before it is in the next.
                        self.tell_status(person, whereabouts);
                    }
                }
                (Some(_), Some(shown)) => {
                    for (_, address) in whereabouts.places() {
                        self.in_topic(address, |topic| topic.change_status(address, person.user, &shown));
                    }
                }
            }
            let own = Address::user(person.tenant, person.user);
            self.publish(
                own,
                &[Publication::own_status(own, &UserEvent::Status { status: chosen.status, about: chosen.said() })
                    .into()],
            );
        });
    }

    /// Has one thing happen to a person, and tells those who look at its status what that changed.
    pub(super) fn happens_to<T>(&self, person: Person, happen: impl FnOnce(&mut Part) -> T) -> T {
        let mut part = lock(&self.0.people[self.part_of(person)]);
        let result = happen(&mut part);
        if let Some(whereabouts) = part.people.get_mut(&person) {
            self.tell_status(person, whereabouts);
        }
        result
    }

    fn tell_status(&self, person: Person, whereabouts: &mut Whereabouts) {
        if whereabouts.has_news() {
            let address = Address::status(person.tenant, person.user);
            let seen = seen_as(person.user, whereabouts.told.clone());
            self.publish(address, &[Publication::status(address, &seen).into()]);
        }
    }

    /// Does something to a channel, and tells the lobby when it changed the number of those who are there.
    fn in_topic(&self, address: Address, change: impl FnOnce(&mut Topic) -> bool) {
        let Some(topic) = self.topic(address) else { return };
        let has_changed = change(&mut lock(&topic));
        if has_changed {
            self.mark_changed(address);
        }
    }

    fn part_of(&self, person: Person) -> usize {
        self.place_of(person, PARTS)
    }
}

/// As what a user is seen who shows this.
pub(crate) fn seen_as(user: UserId, shown: Option<Shown>) -> UserStatus {
    let status = SeenStatus::of(shown.as_ref().map(|shown| shown.status));
    UserStatus { user, status, about: shown.and_then(|shown| shown.about) }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use meet_api::{ChosenStatus, Kind, PresenceChange, RoomId, Status, User};

    use super::*;
    use crate::hub::{Body, Connection, Drained, Scope, Standing, Subscription};

    const USERS: u128 = 3;
    const ROOMS: u128 = 2;

    fn tenant() -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(1))
    }

    fn person(n: u128) -> Person {
        Person { tenant: tenant(), user: UserId::from_uuid(Uuid::from_u128(n)) }
    }

    fn room(n: u128) -> Address {
        Address::chat(tenant(), RoomId::from_uuid(Uuid::from_u128(n)))
    }

    fn present(n: u128) -> Standing {
        Standing::Present(User { id: person(n).user, name: format!("user {n}"), kind: Kind::Human })
    }

    /// Chance that repeats itself.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: u128) -> u128 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u128::from(self.0 >> 33) % end
        }

        fn chosen(&mut self) -> ChosenStatus {
            let all = [ChosenStatus::Online, ChosenStatus::Away, ChosenStatus::Busy, ChosenStatus::Invisible];
            // Every other time it is the one that matters.
            if self.below(2) == 0 { ChosenStatus::Invisible } else { all[usize::try_from(self.below(4)).unwrap()] }
        }
    }

    /// A connection in a channel, as the reference sees it.
    struct Joined {
        who: u128,
        at: Address,
        client: Uuid,
        is_named: bool,
        _subscription: Subscription,
        connection: Connection,
    }

    /// Who is seen: in each room the status by user and connection, and how many watch; each user's status.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Seen {
        rooms: BTreeMap<u128, BTreeMap<(UserId, Uuid), Status>>,
        watching: BTreeMap<u128, u64>,
        statuses: BTreeMap<u128, SeenStatus>,
    }

    impl Seen {
        /// By the definition, without any book-keeping.
        fn expected(joined: &[Joined], chosen: &BTreeMap<u128, ChosenStatus>) -> Self {
            let mut seen = Self::default();
            for n in 0..ROOMS {
                let here = || joined.iter().filter(|joined| joined.at == room(n));
                let shown = |joined: &Joined| chosen[&joined.who].shown();
                let named = here().filter(|joined| joined.is_named);
                let named = named.filter_map(|joined| Some(((person(joined.who).user, joined.client), shown(joined)?)));
                seen.rooms.insert(n, named.collect());
                let watching = here().filter(|joined| !joined.is_named && shown(joined).is_some()).count();
                seen.watching.insert(n, watching as u64);
            }
            for n in 0..USERS {
                let is_here = joined.iter().any(|joined| joined.who == n && joined.is_named);
                seen.statuses.insert(n, SeenStatus::of(chosen[&n].shown().filter(|_| is_here)));
            }
            seen
        }

        /// By what the hub answers.
        fn found(hub: &Hub) -> Self {
            let mut seen = Self::default();
            for n in 0..ROOMS {
                let connections = hub.present_connections(room(n)).into_iter();
                let connections = connections.map(|(client, member)| ((member.user, client), member.status));
                seen.rooms.insert(n, connections.collect());
                let presence = hub.presence(room(n));
                seen.watching.insert(n, presence.watching);
                let users: BTreeSet<_> = seen.rooms[&n].keys().map(|(user, _)| *user).collect();
                assert_eq!(users, presence.members.iter().map(|member| member.user).collect());
                assert_eq!(hub.online(room(n)), users.len() as u64);
                assert!((0..USERS).all(|user| hub.is_visible_in(room(n), person(user).user)
                    == users.contains(&person(user).user)));
            }
            for n in 0..USERS {
                seen.statuses.insert(n, SeenStatus::of(hub.shown(person(n)).map(|shown| shown.status)));
            }
            seen
        }

        /// The same, where nobody can know the ids.
        fn without_ids(mut self) -> Self {
            for people in self.rooms.values_mut() {
                let numbered = (0..).zip(std::mem::take(people));
                *people = numbered.map(|(n, ((user, _), status))| ((user, Uuid::from_u128(n)), status)).collect();
            }
            self
        }

        fn online(&self, room: u128) -> usize {
            self.rooms[&room].keys().map(|(user, _)| *user).collect::<BTreeSet<_>>().len()
        }
    }

    /// Somebody who looks at everything and is not seen.
    struct Observer {
        connection: Connection,
        _places: Vec<Subscription>,
        seen: Seen,
        events: usize,
    }

    impl Observer {
        fn new(hub: &Hub) -> Self {
            let connection = hub.connect(Uuid::nil(), None, Scope::Many, 1 << 24);
            let statuses = (0..USERS).map(|n| Address::status(tenant(), person(n).user));
            let places = (0..ROOMS).map(room).chain(statuses).chain([Address::org(tenant())]);
            let unseen = (Standing::Unseen, ChosenStatus::Online);
            let place = |at| connection.subscribe(at, unseen.clone(), false, Timestamp::from_millis(0));
            let places = places.map(place).collect();
            let seen = Seen::expected(&[], &(0..USERS).map(|n| (n, ChosenStatus::Online)).collect());
            Self { connection, _places: places, seen, events: 0 }
        }

        /// Follows what was told since the last time.
        fn follow(&mut self) {
            let Drained::Publications(publications) = self.connection.outbox().drain() else { panic!("closed") };
            let is_told = |publication: &&Arc<Publication>| !matches!(publication.body, Body::LeftRoom);
            self.events = publications.iter().filter(is_told).count();
            for publication in publications {
                match &publication.body {
                    Body::Presence(event) => {
                        let n = (0..ROOMS).find(|n| room(*n) == publication.address).unwrap();
                        let members = self.seen.rooms.get_mut(&n).unwrap();
                        let key = (event.member.user, event.client);
                        match event.change {
                            PresenceChange::Join => assert_eq!(members.insert(key, event.member.status), None),
                            PresenceChange::Leave => assert!(members.remove(&key).is_some(), "{event:?}"),
                            PresenceChange::Status => {
                                let of_user = members.iter_mut().filter(|((user, _), _)| *user == event.member.user);
                                of_user.for_each(|(_, status)| *status = event.member.status);
                            }
                        }
                    }
                    Body::Status => {
                        let told: UserStatus = serde_json::from_slice(&publication.frame).unwrap();
                        let n = (0..USERS).find(|n| person(*n).user == told.user).unwrap();
                        assert_eq!(publication.address, Address::status(tenant(), told.user));
                        assert_ne!(self.seen.statuses.insert(n, told.status), Some(told.status), "told twice");
                    }
                    // A hint for the gateway, of which no client is told.
                    Body::LeftRoom => {}
                    _ => panic!("nothing else was published"),
                }
            }
        }
    }

    /// One random thing that happens; the connection it was about, if it was one.
    fn happen(hub: &Hub, dice: &mut Dice, joined: &mut Vec<Joined>, chosen: &mut BTreeMap<u128, ChosenStatus>) {
        let (who, now) = (dice.below(USERS), Timestamp::from_millis(7));
        match dice.below(4) {
            0 | 1 => {
                let at = match dice.below(ROOMS + 1) {
                    ROOMS => Address::user(tenant(), person(who).user),
                    n => room(n),
                };
                let is_named = dice.below(4) > 0;
                let standing = if is_named { present(who) } else { Standing::WatchingAs(person(who)) };
                let client = Uuid::from_u128(u128::from(dice.0));
                let connection = hub.connect(client, None, Scope::One, 1 << 20);
                let subscription = connection.subscribe(at, (standing, chosen[&who]), false, now);
                joined.push(Joined { who, at, client, is_named, _subscription: subscription, connection });
            }
            2 if !joined.is_empty() => {
                let gone = usize::try_from(dice.below(joined.len() as u128)).unwrap();
                drop(joined.swap_remove(gone));
            }
            _ => {
                let status = dice.chosen();
                chosen.insert(who, status);
                let mut own: Vec<_> = joined.iter_mut().filter(|joined| joined.who == who).collect();
                own.sort_by_key(|joined| joined.connection.id);
                let mut own = own.into_iter();
                hub.set_status(person(who), status, now, || {
                    dice.below(2);
                    let id = Uuid::from_u128(u128::from(dice.0));
                    // What others joined in the meantime is not in this list.
                    if let Some(own) = own.next() {
                        own.client = id;
                    }
                    id
                });
            }
        }
    }

    fn nobody_chose() -> BTreeMap<u128, ChosenStatus> {
        (0..USERS).map(|n| (n, ChosenStatus::Online)).collect()
    }

    #[test]
    fn whatever_happens_others_are_told_exactly_what_changed_of_what_they_see() {
        for seed in 0..300 {
            let (hub, mut dice) = (Hub::default(), Dice(seed));
            let mut observer = Observer::new(&hub);
            let (mut joined, mut chosen) = (Vec::new(), nobody_chose());
            for step in 0..60 {
                let before = observer.seen.clone();
                happen(&hub, &mut dice, &mut joined, &mut chosen);
                let expected = Seen::expected(&joined, &chosen);
                assert_eq!(Seen::found(&hub), expected, "seed {seed}, step {step}");
                observer.follow();
                // Watchers are a number for those who ask; nobody is told of them.
                observer.seen.watching.clone_from(&expected.watching);
                assert_eq!(observer.seen, expected, "seed {seed}, step {step}: what was told");
                let is_same = Seen { watching: expected.watching.clone(), ..before.clone() } == expected;
                assert!(!is_same || observer.events == 0, "seed {seed}, step {step}: told of nothing");
                let changed = std::mem::take(&mut *lock(&hub.0.changed));
                let changed: BTreeSet<_> = changed
                    .into_iter()
                    .map(|(tenant, id)| Address::chat(tenant, id))
                    .map(|at| (0..ROOMS).find(|n| room(*n) == at).unwrap())
                    .collect();
                let counted = (0..ROOMS).filter(|n| before.online(*n) != expected.online(*n)).collect();
                assert_eq!(changed, counted, "seed {seed}, step {step}: the lobby");
            }
            drop(joined);
            observer.follow();
            assert_eq!(observer.seen.rooms, Observer::new(&hub).seen.rooms, "seed {seed}: all are gone");
        }
    }

    #[test]
    fn an_invisible_user_goes_and_comes_in_the_order_of_a_connection_that_ends_and_begins() {
        let run = |is_by_status: bool| {
            let hub = Hub::default();
            let observer = Observer::new(&hub);
            let now = Timestamp::from_millis(0);
            let client = hub.connect(Uuid::from_u128(5), None, Scope::Many, 1 << 20);
            let places = [Address::user(tenant(), person(0).user), room(1), room(0)];
            let come = || places.map(|at| client.subscribe(at, (present(0), ChosenStatus::Busy), false, now));
            let mut subscriptions: Vec<_> = come().into();
            if is_by_status {
                hub.set_status(person(0), ChosenStatus::Invisible, now, Uuid::nil);
                hub.set_status(person(0), ChosenStatus::Busy, now, Uuid::nil);
            } else {
                while subscriptions.pop().is_some() {}
                subscriptions = come().into();
            }
            let Drained::Publications(told) = observer.connection.outbox().drain() else { panic!("closed") };
            let told: Vec<_> = told
                .iter()
                .filter(|publication| !matches!(publication.body, Body::LeftRoom))
                .map(|publication| (publication.address, publication.frame.clone()))
                .collect();
            drop(subscriptions);
            told
        };
        let (by_status, by_connection) = (run(true), run(false));
        assert_eq!(by_status, by_connection);
        assert_eq!(by_status.len(), 9);
    }

    #[test]
    fn what_happens_at_once_is_told_in_one_order() {
        for seed in 0..50 {
            let hub = Hub::default();
            let mut observer = Observer::new(&hub);
            let mut all: Vec<_> = std::thread::scope(|scope| {
                let run = |seed| {
                    let hub = &hub;
                    scope.spawn(move || {
                        let (mut dice, mut joined, mut chosen) = (Dice(seed), Vec::new(), nobody_chose());
                        for _ in 0..60 {
                            happen(hub, &mut dice, &mut joined, &mut chosen);
                        }
                        joined
                    })
                };
                let threads: Vec<_> = (0..4).map(|n| run(seed * 4 + n + 1)).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            let chosen = |n| hub.chosen(person(n)).map_or(ChosenStatus::Online, |chosen| chosen.status);
            let chosen = (0..USERS).map(|n| (n, chosen(n))).collect();
            let expected = Seen::expected(&all, &chosen);
            let found = Seen::found(&hub);
            assert_eq!(found.clone().without_ids(), expected.without_ids(), "seed {seed}");
            observer.follow();
            observer.seen.watching.clone_from(&found.watching);
            assert_eq!(observer.seen, found, "seed {seed}: what was told");
            all.clear();
        }
    }

    #[test]
    fn those_who_are_invisible_do_not_make_a_room_too_full_for_news() {
        let hub = Hub::default();
        let observer = hub.connect(Uuid::nil(), None, Scope::One, 1 << 24);
        let now = Timestamp::from_millis(0);
        let _place = observer.subscribe(room(0), (Standing::Unseen, ChosenStatus::Online), false, now);
        let come = |n, chosen| {
            let connection = hub.connect(Uuid::from_u128(n), None, Scope::One, 1 << 20);
            (connection.subscribe(room(0), (present(n), chosen), false, now), connection)
        };
        let told = || match observer.outbox().drain() {
            Drained::Publications(publications) => publications.len(),
            Drained::Closed(reason) => panic!("{reason:?}"),
        };
        let _invisible: Vec<_> = (0..300).map(|n| come(n, ChosenStatus::Invisible)).collect();
        assert_eq!(told(), 0);
        let _visible: Vec<_> = (300..500).map(|n| come(n, ChosenStatus::Busy)).collect();
        assert_eq!((told(), hub.online(room(0))), (200, 200));
        hub.set_status(person(0), ChosenStatus::Away, now, Uuid::nil);
        assert_eq!((told(), hub.online(room(0))), (0, 201), "one too many");
        hub.set_status(person(0), ChosenStatus::Invisible, now, Uuid::nil);
        assert_eq!((told(), hub.online(room(0))), (1, 200));
    }

    #[test]
    fn those_who_are_gone_are_remembered_up_to_a_number_and_those_who_are_here_always() {
        let hub = Hub::default();
        let come = |n| {
            let connection = hub.connect(Uuid::from_u128(n), None, Scope::One, 1 << 20);
            let standing = (present(n), ChosenStatus::Invisible);
            (connection.subscribe(room(0), standing, false, Timestamp::from_millis(0)), connection)
        };
        let here: Vec<_> = (0..1000).map(come).collect();
        (1000..100_000).map(come).for_each(drop);
        let remembered = hub.0.people.iter().map(|part| lock(part).people.len()).sum::<usize>();
        assert!(remembered <= 1000 + PARTS * (MAX_ABSENT + 1), "{remembered}");
        assert!((0..1000).all(|n| hub.chosen(person(n)) == Some(ChosenStatus::Invisible.into())));
        drop(here);
        assert_eq!(hub.0.people.iter().map(|part| lock(part).here).sum::<usize>(), 0);
    }
}
