//! Publications as pushes of the Centrifugo protocol. What a push says is decided here, once for all connections; how it
//! is written is `meet-centrifuge`'s.

use bytes::Bytes;
use meet_api::{Kind, Message, PresenceChange};
use meet_centrifuge::{
    Protocol,
    message::{ClientInfo, Join, Leave, Publication as Published, Push, Reply},
};
use uuid::Uuid;

use super::{Address, Body, Publication, json, presence::PresenceEvent};

/// A publication as a reply in `protocol`; empty when there is none for it.
pub(super) fn encode(publication: &Publication, protocol: Protocol) -> Bytes {
    let Some(push) = push(publication) else { return Bytes::new() };
    let push = Push { channel: publication.address.name(), ..push };
    // All our data is JSON of our own types, so this never fails.
    protocol.encode(&Reply { push: Some(push), ..Reply::default() }).unwrap_or_default()
}

fn push(publication: &Publication) -> Option<Push> {
    let data = publication.frame.clone();
    let published = match &publication.body {
        Body::Message(message) => Published { data, offset: message.seq, ..Published::default() },
        Body::Presence(event) => match event.change {
            PresenceChange::Join => {
                return Some(Push { join: Some(Join { info: Some(info(event)) }), ..Push::default() });
            }
            PresenceChange::Leave => {
                return Some(Push { leave: Some(Leave { info: Some(info(event)) }), ..Push::default() });
            }
            PresenceChange::Status => Published { data, ..Published::default() },
        },
        Body::Lobby(event) => Published { data: json(event), ..Published::default() },
        Body::Event(_) | Body::Status => Published { data, ..Published::default() },
        Body::Ended(..) | Body::LeftRoom => return None,
    };
    Some(Push { r#pub: Some(published), ..Push::default() })
}

fn info(event: &PresenceEvent) -> ClientInfo {
    client_info(&event.member.user.to_string(), event.client, &event.member.name, event.member.kind)
}

/// Who a connection is, as others see it.
pub(crate) fn client_info(user: &str, client: Uuid, name: &str, kind: Kind) -> ClientInfo {
    ClientInfo {
        user: user.to_owned(),
        client: client.to_string(),
        conn_info: json(&serde_json::json!({ "name": name, "kind": kind })),
        chan_info: Bytes::new(),
    }
}

/// A stored message as a publication of its room's channel.
pub(crate) fn message_publication(message: &Message) -> Published {
    Published { data: json(message), offset: message.seq, ..Published::default() }
}

/// The encodings of a publication for clients of the protocol, by form.
pub(super) const fn place(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Json => 0,
        Protocol::Protobuf => 1,
    }
}

impl Publication {
    /// That the user whose status it is left a room.
    pub(super) fn left_room(status: Address) -> Self {
        Self::new(status, Body::LeftRoom, Bytes::new())
    }

    /// That a channel is over for whoever listens to it among others.
    pub(super) fn ended(address: Address, reason: super::CloseReason, subscription: u64) -> Self {
        Self::new(address, Body::Ended(reason, subscription), Bytes::new())
    }
}
