//! The lobby's event stream: the caller's rooms coming, changing and going, what it has read, and what mentions it.

use meet_api::frame::LobbyEvent;

use crate::{
    auth::Member,
    hub::{Body, CloseReason, Connection, Drained, Encoding, Publication, Subscription},
    limits::Slot,
};

use super::transport::{Transport, WRITE_PATIENCE};

/// What may wait for one reader before it is too slow.
pub(super) const OUTBOX_BYTES: usize = 256 * 1024;

/// Serves a lobby stream until it ends.
pub(super) async fn run(
    member: Member,
    mut transport: Transport,
    (connection, subscriptions): (Connection, Vec<Subscription>),
    slot: Slot,
) {
    let outbox = std::sync::Arc::clone(connection.outbox());
    let mut batch = vec![bytes::Bytes::from_static(b":\n\n")];
    let reason = loop {
        match outbox.drain() {
            Drained::Closed(reason) => break Some(reason),
            Drained::Publications(publications) => {
                let wanted = publications.iter().filter(|publication| is_for(&member, publication));
                batch.extend(wanted.map(|publication| publication.encoded(Encoding::Sse)));
            }
        }
        tokio::select! {
            biased;
            sent = transport.send_batch(&mut batch) => if sent.is_err() { break None },
            reason = outbox.wait_closed() => break Some(reason),
            () = tokio::time::sleep(WRITE_PATIENCE) => break Some(CloseReason::TooSlow),
        }
        tokio::select! {
            () = outbox.wait() => {}
            incoming = transport.recv() => if incoming.is_err() { break None },
        }
    };
    drop((subscriptions, connection));
    if let Some(reason) = reason {
        transport.close(reason).await;
    }
    drop(slot);
}

/// A guest hears only of its own rooms.
fn is_for(member: &Member, publication: &Publication) -> bool {
    match &publication.body {
        Body::Lobby(LobbyEvent::RoomCreated(room) | LobbyEvent::RoomUpdated(room)) => member.reaches(room.id),
        Body::Lobby(LobbyEvent::RoomDeleted { id }) => member.reaches(*id),
        // Of its own channel: what it has read, and what mentions it.
        Body::Event(_) => true,
        Body::Message(_) | Body::Presence(_) | Body::Status | Body::Ended(..) | Body::LeftRoom => false,
    }
}
