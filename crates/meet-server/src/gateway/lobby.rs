//! The lobby's event stream: the caller's rooms coming, changing and going.

use meet_api::frame::LobbyEvent;

use crate::{
    app::App,
    auth::Member,
    hub::{Address, Body, Drained, Encoding, Publication, Standing},
    limits::Slot,
};

use super::transport::Transport;

/// What may wait for one reader before it is too slow.
const OUTBOX_BYTES: usize = 256 * 1024;

/// Serves a lobby stream until it ends.
pub(super) async fn run(app: App, member: Member, mut transport: Transport, slot: Slot) {
    let connection = app.hub().connect(Some(member.credential()), OUTBOX_BYTES);
    let subscription = connection.subscribe(Address::org(member.tenant), Standing::Unseen, false, app.clock().now());
    let outbox = std::sync::Arc::clone(connection.outbox());
    if app.confirm(Some(&member)).await.is_err() {
        return;
    }
    let mut batch = vec![bytes::Bytes::from_static(b":\n\n")];
    loop {
        match outbox.drain() {
            Drained::Closed(_) => break,
            Drained::Publications(publications) => {
                let wanted = publications.iter().filter(|publication| is_for(&member, publication));
                batch.extend(wanted.map(|publication| publication.encoded(Encoding::Sse)));
            }
        }
        let sent = tokio::select! {
            biased;
            sent = transport.send_batch(&mut batch) => sent.is_ok(),
            _ = outbox.wait_closed() => false,
        };
        if !sent {
            break;
        }
        tokio::select! {
            () = outbox.wait() => {}
            incoming = transport.recv() => if incoming.is_err() { break },
        }
    }
    drop((subscription, connection, slot));
}

/// A guest hears only of its own rooms.
fn is_for(member: &Member, publication: &Publication) -> bool {
    match &publication.body {
        Body::Lobby(LobbyEvent::RoomCreated(room) | LobbyEvent::RoomUpdated(room)) => member.reaches(room.id),
        Body::Lobby(LobbyEvent::RoomDeleted { id }) => member.reaches(*id),
        Body::Message(_) | Body::Presence(_) => false,
    }
}
