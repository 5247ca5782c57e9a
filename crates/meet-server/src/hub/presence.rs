//! Who is in one channel: users with their connections, and watchers as a number.

use std::collections::{BTreeMap, HashMap};

use meet_api::{PresenceChange, PresenceMember, RoomPresence, Status, Timestamp, UserId};
use uuid::Uuid;

use super::Standing;

/// Above this many members, joins and leaves are no longer told one by one; the list stays complete.
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

/// The people of one channel.
#[derive(Debug, Default)]
pub(super) struct Roster {
    present: HashMap<UserId, Present>,
    watching: u64,
}

#[derive(Debug)]
struct Present {
    member: PresenceMember,
    /// The public id of each connection.
    connections: BTreeMap<u64, Uuid>,
    visible: bool,
}

impl Roster {
    /// Counts a connection in; an event when others see it come.
    pub(super) fn join(
        &mut self,
        (connection, client): (u64, Uuid),
        standing: &Standing,
        now: Timestamp,
    ) -> Option<PresenceEvent> {
        let user = match standing {
            Standing::Present(user) => user,
            Standing::Watching => {
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
                status: Status::Online,
                since: now,
            },
            connections: BTreeMap::new(),
            visible: true,
        });
        present.connections.insert(connection, client);
        let is_of_user = present.connections.len() == 1;
        let event = PresenceEvent { change: PresenceChange::Join, member: present.member.clone(), client, is_of_user };
        self.told(event)
    }

    /// Counts a connection out; an event when others see it go.
    pub(super) fn leave(&mut self, connection: u64, standing: &Standing) -> Option<PresenceEvent> {
        let user = match standing {
            Standing::Present(user) => user,
            Standing::Watching => {
                self.watching = self.watching.saturating_sub(1);
                return None;
            }
            Standing::Unseen => return None,
        };
        let present = self.present.get_mut(&user.id)?;
        let client = present.connections.remove(&connection)?;
        let (member, visible) = (present.member.clone(), present.visible);
        let is_of_user = present.connections.is_empty();
        if is_of_user {
            self.present.remove(&user.id);
        }
        let event = PresenceEvent { change: PresenceChange::Leave, member, client, is_of_user };
        if visible { self.told(event) } else { None }
    }

    fn told(&self, event: PresenceEvent) -> Option<PresenceEvent> {
        (self.present.len() <= MAX_ANNOUNCED).then_some(event)
    }

    /// Everyone visible, by arrival, and the number of watchers.
    pub(super) fn snapshot(&self) -> RoomPresence {
        let mut members: Vec<_> = self.visible().map(|present| present.member.clone()).collect();
        members.sort_by_key(|member| (member.since, member.user));
        RoomPresence { members, watching: self.watching }
    }

    /// Every visible connection with who it is.
    pub(super) fn connections(&self) -> Vec<(Uuid, PresenceMember)> {
        let clients = |present: &Present| present.connections.values().copied().collect::<Vec<_>>();
        self.visible()
            .flat_map(|present| clients(present).into_iter().map(|client| (client, present.member.clone())))
            .collect()
    }

    /// How many are visible.
    pub(super) fn online(&self) -> u64 {
        self.visible().count() as u64
    }

    fn visible(&self) -> impl Iterator<Item = &Present> {
        self.present.values().filter(|present| present.visible)
    }
}
