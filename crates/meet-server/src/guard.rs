//! The loop guard: agents may say so much in a row, and a person's message lets them begin anew.
//!
//! The rules are kept and applied in the transaction that stores a message. Here they are read, changed and told: a room
//! hears of it once when its agents are stopped, and when they may go on.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use meet_api::{AgentRules, Guard, GuardChange, GuardReason, Kind, Room, RoomId, User, UserId, request::UpdateRoom};
use meet_store::{Appended, Committed, Stop, Stopped, StoppedAt};

use crate::{
    app::App,
    error::Error,
    hub::{Address, Hub, Publication},
    rooms::RoomAccess,
};

/// The most messages that agents may be let say in a row: a share is counted over as many.
pub(crate) const MAX_BUDGET: u64 = 1000;
/// The most rooms of which it is remembered that their agents were stopped.
const MAX_ROOMS: usize = 10_000;
/// The most agents of a room of which it is remembered that their share is spent.
const MAX_AGENTS: usize = 100;

/// The rooms that were told that their agents are stopped.
#[derive(Default)]
pub(crate) struct Tripped {
    rooms: Mutex<HashMap<RoomId, Told>>,
    /// How many these are: a message in any other time costs one look.
    number: AtomicUsize,
}

/// What a room was told.
struct Told {
    /// The streak that it was told of.
    person_seq: u64,
    /// Which agents it was told of that spent their share; `None` for the budget of all.
    about: Vec<Option<UserId>>,
    agents: AgentRules,
}

impl Tripped {
    /// Tells rooms, in the order of a commit, that an agent was stopped there, and that a person lets them go on.
    pub(crate) fn follow(&self, hub: &Hub, committed: &Committed) {
        let mut stopped = committed.stopped.iter().peekable();
        for (place, Appended { tenant, message, .. }) in committed.stored.iter().enumerate() {
            while let Some(stopped) = stopped.next_if(|stopped| stopped.after <= place) {
                self.trip(hub, stopped);
            }
            if message.sender_type == Kind::Human
                && let Some(agents) = self.forget(message.room_id)
            {
                let address = Address::chat(*tenant, message.room_id);
                let agents = AgentRules { remaining: (agents.budget > 0).then_some(agents.budget), ..agents };
                hub.publish(address, &[Publication::guard(address, GuardChange::Lifted, agents, None).into()]);
            }
        }
        stopped.for_each(|stopped| self.trip(hub, stopped));
    }

    /// Tells a room, once for a streak and a reason, that an agent was stopped in it.
    fn trip(&self, hub: &Hub, stopped: &Stopped) {
        let (reason, about) = match stopped.stop {
            // Whoever paused them has told the room.
            Stop::Paused => return,
            Stop::Budget => (GuardReason::Budget, None),
            Stop::Share => (GuardReason::Share, Some(stopped.user)),
        };
        if self.is_news(stopped.room, about, &stopped.at) {
            let address = Address::chat(stopped.tenant, stopped.room);
            let who = Some((reason, stopped.user, stopped.sender.as_str()));
            hub.publish(address, &[Publication::guard(address, GuardChange::Tripped, stopped.at.agents, who).into()]);
            hub.mark_changed(address);
        }
    }

    /// Whether a room has not been told yet that this streak's agents were stopped for this reason.
    fn is_news(&self, room: RoomId, about: Option<UserId>, at: &StoppedAt) -> bool {
        let mut rooms = lock(&self.rooms);
        if rooms.len() >= MAX_ROOMS && !rooms.contains_key(&room) {
            let any = rooms.keys().next().copied();
            any.and_then(|any| rooms.remove(&any));
        }
        let new = || Told { person_seq: at.person_seq, about: Vec::new(), agents: at.agents };
        let told = rooms.entry(room).or_insert_with(new);
        if told.person_seq != at.person_seq {
            *told = new();
        }
        let is_news = !told.about.contains(&about) && told.about.len() < MAX_AGENTS;
        if is_news {
            told.about.push(about);
        }
        told.agents = at.agents;
        self.number.store(rooms.len(), Ordering::Relaxed);
        is_news
    }

    /// Forgets what a room was told; the rules as they are, if it was told anything.
    pub(crate) fn forget(&self, room: RoomId) -> Option<AgentRules> {
        if self.number.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut rooms = lock(&self.rooms);
        let told = rooms.remove(&room);
        self.number.store(rooms.len(), Ordering::Relaxed);
        told.map(|told| told.agents)
    }

    /// Notes new rules of a room that was told; whether nobody is stopped under them who was.
    fn change(&self, room: RoomId, agents: AgentRules) -> bool {
        let mut rooms = lock(&self.rooms);
        let Some(told) = rooms.get_mut(&room) else { return false };
        let before = std::mem::replace(&mut told.agents, agents);
        let holds_share = agents.budget > 0 && agents.share > 0 && agents.share <= before.share;
        told.about.retain(|about| agents.remaining == Some(0) || (about.is_some() && holds_share));
        let is_lifted = told.about.is_empty();
        if is_lifted {
            rooms.remove(&room);
            self.number.store(rooms.len(), Ordering::Relaxed);
        }
        is_lifted
    }
}

/// A poisoned lock only says that another task panicked; the map stays whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds the numbers of a change to their bounds.
///
/// # Errors
/// [`Error::Invalid`] for a budget or share out of range.
pub(crate) fn check(body: &UpdateRoom) -> Result<(), Error> {
    for (name, number) in [("agent_budget", body.agent_budget), ("agent_share", body.agent_share)] {
        if number.is_some_and(|number| number > MAX_BUDGET) {
            return Err(Error::Invalid(format!("{name} must be 0 to {MAX_BUDGET}")));
        }
    }
    Ok(())
}

impl App {
    /// The rules for agents in a room, and what the caller itself may still say under them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn guard(&self, access: &RoomAccess, user: Option<&User>) -> Result<Guard, Error> {
        let agents = access.room.agents;
        let own_remaining = match (user.filter(|user| user.kind == Kind::Agent), agents.remaining) {
            (Some(_), Some(0)) => Some(0),
            (Some(_), _) if agents.paused => Some(0),
            (Some(user), Some(remaining)) if agents.share > 0 => {
                let said = self.store().said_since(access.tenant, access.room.id, access.person_seq, user.id).await?;
                Some(remaining.min(agents.share.saturating_sub(said)))
            }
            (Some(_), remaining) => remaining,
            (None, _) => None,
        };
        Ok(Guard { agents, own_remaining })
    }

    /// Tells a room what an owner changed of the rules for its agents.
    pub(crate) fn tell_rules(&self, address: Address, body: &UpdateRoom, was_paused: bool, room: &Room) {
        let event = match body.agents_paused {
            Some(is_paused) => {
                self.tripped().forget(room.id);
                if is_paused && was_paused {
                    return;
                }
                if is_paused { GuardChange::Paused } else { GuardChange::Resumed }
            }
            None if body.agent_budget.is_none() && body.agent_share.is_none() => return,
            None if self.tripped().change(room.id, room.agents) && !room.agents.paused => GuardChange::Lifted,
            None => return,
        };
        self.hub().publish(address, &[Publication::guard(address, event, room.agents, None).into()]);
    }
}
