//! Who is seen in one channel: users with their connections, and watchers as a number.

use std::collections::{BTreeMap, HashMap};

use meet_api::{PresenceChange, PresenceMember, RoomPresence, Shown, Timestamp, UserId};
use uuid::Uuid;

use super::Standing;

/// Above this many members, joins and leaves are no longer told one by one, and above as many connections no longer those
/// of more connections of a member; the list stays complete.
const MAX_ANNOUNCED: usize = 200;

/// Somebody came, left or changed.
#[derive(Debug, Clone)]
pub struct PresenceEvent {
    /// Which of these.
    pub change: PresenceChange,
    /// Who.
    pub member: PresenceMember,
    /// By which connection.
    pub client: Uuid,
    /// Whether it is the user who came or left, and not just one more of its connections.
    pub is_of_user: bool,
}

/// The people of one channel, as far as they are seen: whoever is invisible is not in here.
#[derive(Debug, Default)]
pub(super) struct Roster {
    present: HashMap<UserId, Present>,
    /// How many connections they have together.
    connections: usize,
    watching: u64,
}

#[derive(Debug)]
struct Present {
    member: PresenceMember,
    /// The public id of each connection.
    connections: BTreeMap<u64, Uuid>,
}

impl Roster {
    /// Counts a connection in; an event when somebody came by it.
    pub(super) fn join(
        &mut self,
        (connection, client): (u64, Uuid),
        standing: &Standing,
        shown: &Shown,
        now: Timestamp,
    ) -> Option<PresenceEvent> {
        let user = match standing {
            Standing::Present(user) => user,
            Standing::Watching | Standing::WatchingAs(_) => {
                self.watching += 1;
                return None;
            }
            Standing::Unseen => return None,
        };
        let present = self.present.entry(user.id).or_insert_with(|| Present {
            member: PresenceMember {
                user: user.id,
                name: user.name.clone(),
                kind: user.kind,
                status: shown.status,
                about: shown.about.clone(),
                since: now,
            },
            connections: BTreeMap::new(),
        });
        self.connections += usize::from(present.connections.insert(connection, client).is_none());
        let is_of_user = present.connections.len() == 1;
        Some(PresenceEvent { change: PresenceChange::Join, member: present.member.clone(), client, is_of_user })
    }

    /// Counts a connection out; an event when somebody went by it.
    pub(super) fn leave(&mut self, connection: u64, standing: &Standing) -> Option<PresenceEvent> {
        let user = match standing {
            Standing::Present(user) => user,
            Standing::Watching | Standing::WatchingAs(_) => {
                self.watching = self.watching.saturating_sub(1);
                return None;
            }
            Standing::Unseen => return None,
        };
        let present = self.present.get_mut(&user.id)?;
        let client = present.connections.remove(&connection)?;
        self.connections -= 1;
        let member = present.member.clone();
        let is_of_user = present.connections.is_empty();
        if is_of_user {
            self.present.remove(&user.id);
        }
        Some(PresenceEvent { change: PresenceChange::Leave, member, client, is_of_user })
    }

    /// Shows somebody as something else; an event when it is here and that is new.
    pub(super) fn change_status(&mut self, user: UserId, shown: &Shown) -> Option<PresenceEvent> {
        let present = self.present.get_mut(&user)?;
        let member = &mut present.member;
        if member.status == shown.status && member.about == shown.about {
            return None;
        }
        member.status = shown.status;
        member.about.clone_from(&shown.about);
        let client = present.connections.values().next().copied()?;
        let member = present.member.clone();
        Some(PresenceEvent { change: PresenceChange::Status, member, client, is_of_user: true })
    }

    /// Whether there are few enough that an event is told.
    pub(super) fn announces(&self, event: &PresenceEvent) -> bool {
        self.present.len() <= MAX_ANNOUNCED && (event.is_of_user || self.connections <= MAX_ANNOUNCED)
    }

    /// Everyone, by arrival, and the number of watchers.
    pub(super) fn snapshot(&self) -> RoomPresence {
        let mut members: Vec<_> = self.present.values().map(|present| present.member.clone()).collect();
        members.sort_by_key(|member| (member.since, member.user));
        RoomPresence { members, watching: self.watching }
    }

    /// Every connection with who it is.
    pub(super) fn connections(&self) -> Vec<(Uuid, PresenceMember)> {
        let clients = |present: &Present| present.connections.values().copied().collect::<Vec<_>>();
        self.present
            .values()
            .flat_map(|present| clients(present).into_iter().map(|client| (client, present.member.clone())))
            .collect()
    }

    /// How many connections, and of how many users, are here.
    pub(super) fn numbers(&self) -> (usize, usize) {
        (self.connections, self.present.len())
    }

    /// How many are here.
    pub(super) fn online(&self) -> u64 {
        self.present.len() as u64
    }

    /// Whether a user is here.
    pub(super) fn has(&self, user: UserId) -> bool {
        self.present.contains_key(&user)
    }
}
