//! Who is in each room's call now, as the conference's provider told it.
//!
//! A call outlives those who listen to its room, so it has a table of its own. Whoever is invisible is in the call and in
//! no list of it. The table's lock is held until what changed is told, so that nobody hears of a leave before its join;
//! it comes after those of people and before those of channels.

use std::collections::{BTreeMap, HashMap};

use meet_api::{Call, CallParticipant, Kind, Timestamp, User, UserId, frame::CallChange};

use super::{Address, Hub, Person, Publication, lock};

/// The calls that somebody is in, by room.
pub(super) type Calls = HashMap<Address, HashMap<String, Attending>>;

/// The most that are listed of one call; what a provider tells beyond that is not kept.
const MAX_ATTENDING: usize = 10_000;

/// Somebody who is in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attending {
    /// Who it is here; `None` for whoever the provider let in by itself.
    pub user: Option<UserId>,
    /// The name that others see.
    pub name: String,
    /// Person or program.
    pub kind: Kind,
    /// Since when.
    pub since: Timestamp,
    /// Whether others may know.
    pub is_visible: bool,
}

impl Attending {
    /// A user of the room's tenant.
    pub fn user(user: &User, since: Timestamp, is_visible: bool) -> Self {
        Self { user: Some(user.id), name: user.name.clone(), kind: user.kind, since, is_visible }
    }
}

impl Hub {
    /// Notes that somebody came into a room's call; the same identity again changes nothing.
    pub fn came_to_call(&self, address: Address, identity: &str, attending: &Attending) {
        let mut calls = lock(&self.0.calls);
        let call = calls.entry(address).or_default();
        if call.contains_key(identity) || call.len() >= MAX_ATTENDING {
            return;
        }
        let is_first = attending.is_visible && !is_seen(call, attending);
        call.insert(identity.to_owned(), attending.clone());
        if is_first {
            self.tell_call(address, CallChange::Join, attending);
        }
    }

    /// Notes that somebody left a room's call.
    pub fn left_call(&self, address: Address, identity: &str) {
        let mut calls = lock(&self.0.calls);
        let Some(call) = calls.get_mut(&address) else { return };
        let left = call.remove(identity);
        if let Some(left) = left.filter(|left| left.is_visible && !is_seen(call, left)) {
            self.tell_call(address, CallChange::Leave, &left);
        }
        if call.is_empty() {
            calls.remove(&address);
        }
    }

    /// Notes that a room's call is over.
    pub fn end_call(&self, address: Address) {
        for identity in self.call_identities(address) {
            self.left_call(address, &identity);
        }
    }

    /// By what everybody in a room's call is known, whoever may know of them.
    pub fn call_identities(&self, address: Address) -> Vec<String> {
        lock(&self.0.calls).get(&address).map_or_else(Vec::new, |call| call.keys().cloned().collect())
    }

    /// The rooms in whose calls somebody is.
    pub fn calls(&self) -> Vec<Address> {
        lock(&self.0.calls).keys().copied().collect()
    }

    /// Who is seen in a room's call.
    pub fn call(&self, address: Address) -> Call {
        let calls = lock(&self.0.calls);
        let seen = calls.get(&address).into_iter().flat_map(|call| call.iter()).filter(|(_, who)| who.is_visible);
        // A user with two devices is there once, since its first.
        let mut participants = BTreeMap::new();
        for (identity, who) in seen {
            let key = who.user.map_or_else(|| identity.clone(), |user| user.to_string());
            let participant =
                CallParticipant { user: who.user, name: who.name.clone(), kind: who.kind, since: who.since };
            let known = participants.entry(key).or_insert_with(|| participant.clone());
            if participant.since < known.since {
                *known = participant;
            }
        }
        let mut participants: Vec<_> = participants.into_values().collect();
        participants.sort_by(|left, right| (left.since, &left.name).cmp(&(right.since, &right.name)));
        Call { participants }
    }

    /// Has a person be seen in its calls from now on, as somebody who comes, or be in none of their lists.
    pub(super) fn show_in_calls(&self, person: Person, is_visible: bool, now: Timestamp) {
        let mut calls = lock(&self.0.calls);
        for (address, call) in calls.iter_mut().filter(|(address, _)| address.tenant == person.tenant) {
            let own = call.values_mut().filter(|who| who.user == Some(person.user) && who.is_visible != is_visible);
            let mut changed = None;
            for who in own {
                who.is_visible = is_visible;
                who.since = now;
                changed = Some(who.clone());
            }
            if let Some(who) = changed {
                self.tell_call(*address, if is_visible { CallChange::Join } else { CallChange::Leave }, &who);
            }
        }
    }

    fn tell_call(&self, address: Address, event: CallChange, who: &Attending) {
        self.publish(address, &[Publication::call(address, event, who).into()]);
    }
}

/// Whether others see the same user in the call already.
fn is_seen(call: &HashMap<String, Attending>, who: &Attending) -> bool {
    who.user.is_some() && call.values().any(|other| other.user == who.user && other.is_visible)
}

#[cfg(test)]
mod tests {
    use meet_api::{ChosenStatus, RoomId, TenantId};
    use uuid::Uuid;

    use super::*;
    use crate::hub::{Drained, Outbox, Scope, Standing};

    fn address() -> Address {
        Address::chat(TenantId::from_uuid(Uuid::from_u128(1)), RoomId::from_uuid(Uuid::from_u128(2)))
    }

    fn ann() -> User {
        User { id: UserId::from_uuid(Uuid::from_u128(7)), name: "Ann".to_owned(), kind: Kind::Human }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn frames(outbox: &Outbox) -> Vec<String> {
        let Drained::Publications(publications) = outbox.drain() else { panic!("closed") };
        let texts = publications.iter().map(|publication| String::from_utf8(publication.frame.to_vec()).unwrap());
        texts.collect()
    }

    #[test]
    fn a_user_with_two_devices_joins_once_and_leaves_with_the_last() {
        let hub = Hub::default();
        let listener = hub.connect(Uuid::from_u128(9), None, Scope::One, 1 << 20);
        let _listening = listener.subscribe(address(), (Standing::Watching, ChosenStatus::Online), false, at(0));
        hub.came_to_call(address(), "phone", &Attending::user(&ann(), at(5), true));
        hub.came_to_call(address(), "laptop", &Attending::user(&ann(), at(9), true));
        hub.came_to_call(address(), "laptop", &Attending::user(&ann(), at(11), true));
        let call = hub.call(address());
        assert_eq!((call.participants.len(), call.participants[0].since), (1, at(5)));
        hub.left_call(address(), "phone");
        hub.left_call(address(), "phone");
        hub.left_call(address(), "laptop");
        let told = frames(listener.outbox());
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("\"event\":\"join\"") && told[1].contains("\"event\":\"leave\""), "{told:?}");
        assert_eq!((hub.call(address()), hub.calls()), (Call::default(), Vec::new()));
    }

    #[test]
    fn whoever_is_invisible_is_in_the_call_and_in_no_list() {
        let hub = Hub::default();
        let person = Person { tenant: address().tenant, user: ann().id };
        hub.came_to_call(address(), "phone", &Attending::user(&ann(), at(5), false));
        assert_eq!((hub.call(address()), hub.call_identities(address()).len()), (Call::default(), 1));
        hub.show_in_calls(person, true, at(7));
        assert_eq!(hub.call(address()).participants[0].since, at(7), "as if it came now");
        hub.show_in_calls(person, false, at(9));
        assert_eq!(hub.call(address()), Call::default());
    }
}
