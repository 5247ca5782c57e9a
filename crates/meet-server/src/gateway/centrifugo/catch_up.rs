//! What a client lacks of its rooms and is not on its way to it, read from the store: one page a turn, room by room, so
//! that the client is heard and the other channels go on meanwhile.

use std::{collections::VecDeque, sync::Arc};

use meet_centrifuge::code::{DisconnectCode, UnsubscribeCode};
use meet_store::Page;

use crate::{
    error::Error,
    hub::{Address, Channel, Keep, Outbox, Publication},
};

use super::client::{BATCH_BYTES, Client, End};

/// How many messages are read from the store at a time.
const PAGE: u32 = 100;

/// The rooms in which a client is behind.
#[derive(Debug)]
pub(super) struct Behind {
    rooms: VecDeque<Address>,
    /// How many messages are read next: fewer when those before were long.
    ask: u32,
    /// Whether the queue may lose what the store has.
    may_lose: bool,
}

impl Default for Behind {
    fn default() -> Self {
        Self { rooms: VecDeque::new(), ask: PAGE, may_lose: false }
    }
}

impl Behind {
    /// Notes that a client lacks something of a room. While it is read the queue may overflow, because what is lost is
    /// in the store.
    pub(super) fn note(&mut self, room: Address, outbox: &Outbox) {
        // Not while the queue is yet to be asked what it lost.
        if self.rooms.is_empty() && !self.may_lose {
            outbox.keep(Keep::NotStored);
            self.may_lose = true;
        }
        if !self.rooms.contains(&room) {
            self.rooms.push_back(room);
        }
    }

    /// Whether there is something to read.
    pub(super) fn is_any(&self) -> bool {
        !self.rooms.is_empty() || self.may_lose
    }

    /// The room to read in; nothing when the client lacks nothing. When the queue has lost something meanwhile, it may
    /// be of any of the client's rooms: each is looked at once more, and from then on nothing is lost.
    fn next(&mut self, outbox: &Outbox, all: impl Iterator<Item = Address>) -> Option<Address> {
        if self.rooms.is_empty() && std::mem::take(&mut self.may_lose) && outbox.keep(Keep::All) {
            self.rooms.extend(all);
        }
        self.rooms.pop_front()
    }

    /// Notes how a page went in a room that goes on.
    fn turn(&mut self, room: Address, count: usize, fitting: usize) {
        self.ask = if fitting == count { PAGE.min(self.ask * 2) } else { u32::try_from(fitting).unwrap_or(PAGE) };
        self.rooms.push_back(room);
    }
}

impl Client {
    /// Hands the session the next page of what the client lacks, no more than is written at once: a client that takes
    /// nothing holds no more than that, and the rest of a page of long messages is read again.
    pub(super) async fn catch_up(&mut self) -> Result<(), End> {
        let outbox = Arc::clone(self.peer.connection.outbox());
        let rooms = self.peer.channels.iter().map(|listening| listening.address);
        let rooms = rooms.filter(|address| matches!(address.channel, Channel::Chat(_)));
        let Some(address) = self.peer.behind.next(&outbox, rooms) else { return Ok(()) };
        let (Channel::Chat(room), Some(listening)) = (address.channel, self.peer.listening(address)) else {
            return Ok(());
        };
        let name = listening.name.clone();
        let Some(position) = self.session.position(&name) else { return Ok(()) };
        let access = match self.peer.app.room(self.peer.member.as_ref(), room).await {
            Ok(access) => access,
            Err(Error::RoomNotFound | Error::Expired | Error::MissingKey) => {
                self.session.unsubscribe(&name, UnsubscribeCode::Server);
                return Ok(());
            }
            Err(Error::InvalidKey) => return Err(End::Close(DisconnectCode::InvalidToken)),
            Err(error) => return Err(error.into()),
        };
        if access.floor > position {
            // What was said in the meantime is not for this client; it begins anew behind it.
            self.session.unsubscribe(&name, UnsubscribeCode::InsufficientState);
            return Ok(());
        }
        if access.room.head_seq <= position {
            return Ok(());
        }
        let page =
            self.peer.app.store().history(address.tenant, room, Page::After(position), self.peer.behind.ask).await;
        let page = page.map_err(Error::from)?;
        let (count, mut fitting, mut bytes) = (page.len(), 0, 0);
        // The right was checked up to the head.
        for message in page.into_iter().take_while(|message| message.seq <= access.room.head_seq) {
            let seq = message.seq;
            let pushed = Publication::message(address, Arc::new(message)).pushed(self.protocol);
            bytes += pushed.len();
            fitting += 1;
            self.session.publication(&name, seq, pushed);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        if fitting > 0 {
            self.peer.behind.turn(address, count, fitting);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{ChosenStatus, Kind, Message, MessageId, MessageTag, RoomId, TenantId, Timestamp, UserId};
    use uuid::Uuid;

    use crate::hub::{Hub, Scope, Standing};

    use super::*;

    fn room(n: u128) -> Address {
        Address::chat(TenantId::from_uuid(Uuid::nil()), RoomId::from_uuid(Uuid::from_u128(n)))
    }

    #[test]
    fn rooms_are_read_in_turn_and_all_of_them_again_only_when_the_queue_lost_something() {
        let hub = Hub::default();
        let connection = hub.connect(Uuid::nil(), None, Scope::Many, 1024);
        let (outbox, all) = (connection.outbox(), || [room(1), room(2), room(3)].into_iter());
        let mut behind = Behind::default();
        assert!(!behind.is_any());
        for n in [1, 2, 1] {
            behind.note(room(n), outbox);
        }
        assert_eq!(behind.next(outbox, all()), Some(room(1)));
        behind.turn(room(1), 100, 100);
        assert_eq!(behind.next(outbox, all()), Some(room(2)));
        assert_eq!(behind.next(outbox, all()), Some(room(1)));
        assert!(behind.is_any(), "the queue has to be asked");
        assert_eq!((behind.next(outbox, all()), behind.is_any()), (None, false));
    }

    #[test]
    fn what_the_queue_lost_is_looked_for_even_when_another_room_came_up_meanwhile() {
        let hub = Hub::default();
        let connection = hub.connect(Uuid::nil(), None, Scope::Many, 0);
        let (outbox, all) = (connection.outbox(), || [room(1), room(2), room(3)].into_iter());
        let unseen = (Standing::Unseen, ChosenStatus::Online);
        let _subscription = connection.subscribe(room(3), unseen, false, Timestamp::from_millis(0));
        let mut behind = Behind::default();
        behind.note(room(1), outbox);
        for seq in 1..=2 {
            hub.publish(room(3), &[Publication::message(room(3), Arc::new(message(seq))).into()]);
        }
        assert_eq!(behind.next(outbox, all()), Some(room(1)));
        behind.note(room(2), outbox);
        assert_eq!(behind.next(outbox, all()), Some(room(2)));
        let looked_at = std::iter::from_fn(|| behind.next(outbox, all()));
        assert_eq!(looked_at.collect::<Vec<_>>(), all().collect::<Vec<_>>());
        assert!(!behind.is_any());
    }

    fn message(seq: u64) -> Message {
        let (room, nobody) = (RoomId::from_uuid(Uuid::from_u128(3)), Uuid::nil());
        Message {
            id: MessageId::from_uuid(nobody),
            room_id: room,
            room_id_again: room,
            seq,
            tag: MessageTag::Message,
            user: UserId::from_uuid(nobody),
            sender: "Ann".into(),
            sender_type: Kind::Human,
            content: "hi".into(),
            reply_to: None,
            created_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn long_messages_are_asked_for_a_few_at_a_time() {
        let mut behind = Behind::default();
        behind.turn(room(1), 100, 2);
        assert_eq!(behind.ask, 2);
        behind.turn(room(1), 2, 2);
        assert_eq!(behind.ask, 4);
    }
}
