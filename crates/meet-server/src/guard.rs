//! The loop guard: agents may say so much in a row, and a person's message lets them begin anew.
//!
//! The rules are kept and applied in the transaction that stores a message. Here they are read, changed and told: a room
//! hears of it once when its agents are stopped, and when they may go on.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use meet_api::{
    AgentRules, Guard, GuardChange, GuardReason, Kind, Message, Room, RoomId, TenantId, User, UserId,
    request::UpdateRoom,
};
use meet_store::{Stop, StoppedAt};

use crate::{
    app::App,
    error::Error,
    hub::{Address, Hub, Publication},
    rooms::RoomAccess,
};

/// The most messages that agents may be let say in a row.
const MAX_BUDGET: u64 = 10_000;
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
    /// Whether a room has not been told yet that this streak's agents were stopped for this reason.
    fn is_news(&self, room: RoomId, about: Option<UserId>, at: &StoppedAt) -> bool {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= MAX_ROOMS && !rooms.contains_key(&room) {
            rooms.clear();
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

    /// Forgets what a room was told; the rules of then, if it was told anything.
    fn forget(&self, room: RoomId) -> Option<AgentRules> {
        if self.number.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let told = rooms.remove(&room);
        self.number.store(rooms.len(), Ordering::Relaxed);
        told.map(|told| told.agents)
    }

    /// Tells a room that its agents may go on, when a person's message was just stored there and they were stopped.
    pub(crate) fn lift_by(&self, hub: &Hub, tenant: TenantId, message: &Message) {
        if message.sender_type == Kind::Human
            && let Some(agents) = self.forget(message.room_id)
        {
            let address = Address::chat(tenant, message.room_id);
            let agents = AgentRules { remaining: (agents.budget > 0).then_some(agents.budget), ..agents };
            hub.publish(address, &[Publication::guard(address, GuardChange::Lifted, agents, None).into()]);
        }
    }
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

    /// Tells a room, once, that an agent was stopped in it.
    pub(crate) fn tell_stopped(&self, access: &RoomAccess, user: &User, stop: Stop, at: &StoppedAt) {
        let (reason, about) = match stop {
            // Whoever paused them has told the room.
            Stop::Paused => return,
            Stop::Budget => (GuardReason::Budget, None),
            Stop::Share => (GuardReason::Share, Some(user.id)),
        };
        if self.tripped().is_news(access.room.id, about, at) {
            let (address, stopped) = (access.address(), Some((reason, user.id, user.name.as_str())));
            let tripped = Publication::guard(address, GuardChange::Tripped, at.agents, stopped);
            self.hub().publish(address, &[tripped.into()]);
            self.hub().mark_changed(address);
        }
    }

    /// Tells a room what an owner changed of the rules for its agents.
    pub(crate) fn tell_rules(&self, address: Address, body: &UpdateRoom, was_paused: bool, room: &Room) {
        let agents = room.agents;
        let may_go_on = !agents.paused && agents.remaining != Some(0);
        let was_told = may_go_on && self.tripped().forget(room.id).is_some();
        let event = match body.agents_paused {
            Some(true) if !was_paused => GuardChange::Paused,
            Some(false) => GuardChange::Resumed,
            _ if was_told => GuardChange::Lifted,
            _ => return,
        };
        self.hub().publish(address, &[Publication::guard(address, event, agents, None).into()]);
    }
}
