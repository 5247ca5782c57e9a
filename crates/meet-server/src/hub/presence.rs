//! Who is in one channel: users with their connections, and watchers as a number.

use std::collections::HashMap;

use meet_api::{PresenceChange, PresenceMember, RoomPresence, Status, Timestamp, UserId};

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
    connections: usize,
    visible: bool,
}

impl Roster {
    /// Counts a connection in; an event when that makes somebody appear.
    pub(super) fn join(&mut self, standing: &Standing, now: Timestamp) -> Option<PresenceEvent> {
        let user = match standing {
            Standing::Present(user) => user,
            Standing::Watching => {
                self.watching += 1;
                return None;
            }
            Standing::Unseen => return None,
        };
        if let Some(present) = self.present.get_mut(&user.id) {
            present.connections += 1;
            return None;
        }
        let member = PresenceMember {
            user: user.id,
            name: user.name.clone(),
            kind: user.kind,
            status: Status::Online,
            since: now,
        };
        self.present.insert(user.id, Present { member: member.clone(), connections: 1, visible: true });
        self.event(PresenceChange::Join, member)
    }

    /// Counts a connection out; an event when that makes somebody disappear.
    pub(super) fn leave(&mut self, standing: &Standing) -> Option<PresenceEvent> {
        let user = match standing {
            Standing::Present(user) => user,
            Standing::Watching => {
                self.watching = self.watching.saturating_sub(1);
                return None;
            }
            Standing::Unseen => return None,
        };
        let present = self.present.get_mut(&user.id)?;
        present.connections -= 1;
        if present.connections > 0 {
            return None;
        }
        let gone = self.present.remove(&user.id)?;
        if gone.visible { self.event(PresenceChange::Leave, gone.member) } else { None }
    }

    fn event(&self, change: PresenceChange, member: PresenceMember) -> Option<PresenceEvent> {
        (self.present.len() <= MAX_ANNOUNCED).then_some(PresenceEvent { change, member })
    }

    /// Everyone visible, by arrival, and the number of watchers.
    pub(super) fn snapshot(&self) -> RoomPresence {
        let mut members: Vec<_> = self.visible().map(|present| present.member.clone()).collect();
        members.sort_by_key(|member| (member.since, member.user));
        RoomPresence { members, watching: self.watching }
    }

    /// How many are visible.
    pub(super) fn online(&self) -> u64 {
        self.visible().count() as u64
    }

    fn visible(&self) -> impl Iterator<Item = &Present> {
        self.present.values().filter(|present| present.visible)
    }
}
