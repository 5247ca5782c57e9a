//! One channel: who listens to it, and who of them is seen there.

use std::{collections::HashMap, sync::Arc};

use meet_api::{Shown, Timestamp, UserId};
use uuid::Uuid;

use super::{
    Address, Channel, CloseReason, Outbox, Publication, Scope, Standing,
    presence::{PresenceEvent, Roster},
};

/// Who listens to a channel, and its people: only a room has any.
#[derive(Default)]
pub(super) struct Topic {
    pub(super) subscribers: HashMap<u64, Subscriber>,
    pub(super) roster: Roster,
}

/// A connection in a channel.
pub(super) struct Subscriber {
    pub(super) outbox: Arc<Outbox>,
    pub(super) client: Uuid,
    pub(super) foreign: bool,
    pub(super) standing: Standing,
    pub(super) scope: Scope,
    /// Whether it holds its user's name in this channel alone.
    pub(super) is_exclusive: bool,
    /// Tells it from an earlier one of the same connection in the same channel.
    pub(super) number: u64,
}

impl Subscriber {
    pub(super) fn end(&self, address: Address, reason: CloseReason) {
        match self.scope {
            Scope::One => self.outbox.close(reason),
            Scope::Many => self.outbox.push(&[Arc::new(Publication::ended(address, reason, self.number))]),
        }
    }
}

/// What changes who is seen answers whether the number of them is another now.
impl Topic {
    pub(super) fn publish(&self, publications: &[Arc<Publication>]) {
        for subscriber in self.subscribers.values() {
            subscriber.outbox.push(publications);
        }
    }

    /// Takes a connection in; it is seen when it has a status.
    pub(super) fn add(
        &mut self,
        address: Address,
        (connection, subscriber): (u64, Subscriber),
        shown: Option<&Shown>,
        now: Timestamp,
    ) -> bool {
        let client = subscriber.client;
        self.subscribers.insert(connection, subscriber);
        shown.is_some_and(|shown| self.show(address, (connection, client), shown, now))
    }

    /// Has a connection hold its user's name here alone: another one that did is closed.
    pub(super) fn hold_alone(&mut self, connection: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&connection) else { return };
        subscriber.is_exclusive = true;
        let Standing::Present(user) = &subscriber.standing else { return };
        let user = user.id;
        for (other, subscriber) in &self.subscribers {
            let is_same = matches!(&subscriber.standing, Standing::Present(holder) if holder.id == user);
            if *other != connection && is_same && subscriber.is_exclusive {
                subscriber.outbox.close(CloseReason::TakenOver);
            }
        }
    }

    /// Lets a connection go that was seen or was not.
    pub(super) fn remove(&mut self, address: Address, connection: u64, is_seen: bool) -> bool {
        let Some(subscriber) = self.subscribers.remove(&connection) else { return false };
        let event = if is_seen { self.roster.leave(connection, &subscriber.standing) } else { None };
        self.tell(address, event)
    }

    /// Shows a connection that is here under an id, as if it had just come.
    pub(super) fn show(
        &mut self,
        address: Address,
        (connection, client): (u64, Uuid),
        shown: &Shown,
        now: Timestamp,
    ) -> bool {
        let Some(subscriber) = self.subscribers.get(&connection) else { return false };
        if !matches!(address.channel, Channel::Chat(_)) {
            return false;
        }
        let event = self.roster.join((connection, client), &subscriber.standing, shown, now);
        self.tell(address, event)
    }

    /// Hides a connection that stays here, as if it had gone.
    pub(super) fn conceal(&mut self, address: Address, connection: u64) -> bool {
        let Some(subscriber) = self.subscribers.get(&connection) else { return false };
        let event = self.roster.leave(connection, &subscriber.standing);
        self.tell(address, event)
    }

    /// Shows somebody who is seen here as something else.
    pub(super) fn change_status(&mut self, address: Address, user: UserId, shown: &Shown) -> bool {
        let event = self.roster.change_status(user, shown);
        self.tell(address, event);
        false
    }

    fn tell(&self, address: Address, event: Option<PresenceEvent>) -> bool {
        let Some(event) = event else { return false };
        let is_of_user = event.is_of_user;
        if self.roster.announces(&event) {
            self.publish(&[Arc::new(Publication::presence(address, event))]);
        }
        is_of_user
    }
}
