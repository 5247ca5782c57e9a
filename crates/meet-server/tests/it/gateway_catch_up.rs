//! Clients of the gateway that have much to read from the store, or end in the middle of it.

use meet_centrifuge::{
    Protocol,
    message::{Command, PresenceStatsRequest, PublishRequest, SubscribeRequest},
};
use serde_json::json;

use crate::support::{
    Caller, Database, Server, Setup, Wire, chat, connection_token, message, narrow_line, subscribe_token,
};

/// Longer than what the kernel and the server hold for a client that does not read.
const MESSAGES: u64 = 120;

/// Fills a room with long messages.
async fn fill(owner: &Caller, room: &str) {
    for _ in 0..MESSAGES {
        owner.say(room, "Ann", &"x".repeat(32 * 1024)).await;
    }
}

/// A client that is let in to a room over a line that takes little, and wants everything from its beginning.
async fn from_the_beginning(server: &Server, caller: &Caller, room: &str) -> Wire {
    let mut wire = Wire::over(narrow_line(server.address).await, Protocol::Json).await;
    wire.enter(&connection_token(caller).await).await;
    let request = SubscribeRequest { recover: true, ..chat(room, &subscribe_token(caller, room).await) };
    assert!(wire.subscribe(request).await.recovered);
    wire
}

#[tokio::test]
async fn a_client_that_catches_up_is_heard_meanwhile() {
    let server = Server::start().await;
    let owner = server.operator();
    let (long, other) = (owner.room("long").await, owner.room("other").await);
    let ann = owner.session("Ann").await;
    fill(&owner, &long).await;
    let mut wire = from_the_beginning(&server, &ann, &long).await;
    wire.subscribe(chat(&other, &subscribe_token(&ann, &other).await)).await;
    let stats = PresenceStatsRequest { channel: format!("chat:{other}") };
    let stats = wire.ask(Command { presence_stats: Some(stats), ..Command::default() }).await;
    assert_eq!(stats.presence_stats.unwrap().num_users, 1);
    let read = wire.pushed().filter_map(|push| push.r#pub).map(|publication| publication.offset).max();
    assert!(read < Some(MESSAGES), "the answers did not wait for all of it");
    owner.say(&other, "Bob", "elsewhere").await;
    let (mut offset, mut elsewhere) = (read.unwrap_or(0), false);
    while offset < MESSAGES || !elsewhere {
        let push = wire.push().await.unwrap();
        let Some(publication) = push.r#pub.filter(|publication| publication.offset > 0) else { continue };
        if push.channel == format!("chat:{other}") {
            assert!(!std::mem::replace(&mut elsewhere, true));
        } else {
            offset = publication.offset;
        }
    }
}

#[tokio::test]
async fn a_spectator_that_reads_slowly_gets_nothing_of_what_was_said_while_the_room_was_private() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room_as(json!({ "name": "r", "visibility": "public" })).await;
    fill(&owner, &room).await;
    let mut spectator = from_the_beginning(&server, &server.stranger(), &room).await;
    let path = format!("/api/rooms/{room}");
    owner.patch(&path, json!({ "visibility": "private" })).await.expect(200);
    owner.say(&room, "Ann", "among us").await;
    owner.patch(&path, json!({ "visibility": "public" })).await.expect(200);
    loop {
        let push = spectator.push().await.unwrap();
        if push.unsubscribe.is_some() {
            break;
        }
        let said = message(&push.r#pub.unwrap());
        assert_ne!(said.content, "among us");
    }
}

#[tokio::test]
async fn a_spectator_that_comes_back_from_before_the_room_was_public_begins_at_its_head() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    server.store_unheard(&owner, &room, "Bob", 20).await;
    owner.patch(&format!("/api/rooms/{room}"), json!({ "visibility": "public" })).await.expect(200);
    server.store_unheard(&owner, &room, "Bob", 400).await;
    let stranger = server.stranger();
    let token = connection_token(&stranger).await;
    let (mut wire, _) = Wire::connect(server.address, Protocol::Protobuf, &token).await;
    let ticket = chat(&room, &subscribe_token(&stranger, &room).await);
    let begun = wire.subscribe(SubscribeRequest { recover: true, offset: 10, ..ticket }).await;
    assert_eq!((begun.recovered, begun.was_recovering, begun.offset), (false, true, 420));
    owner.say(&room, "Ann", "now").await;
    assert_eq!(wire.publication().await.offset, 421, "and nothing of what lies between");
}

#[tokio::test]
async fn what_was_stored_is_acknowledged_before_the_server_stops() {
    let mut setup = Setup::on(Database::sqlite());
    let mut key = None;
    for round in 0..8 {
        let server = setup.start().await;
        let key = key.get_or_insert_with(|| server.operator.clone().unwrap());
        let owner = server.stranger().with_token(key);
        let (room, ann) = (owner.room(&format!("round {round}")).await, owner.session("Ann").await);
        let (mut wire, _) = Wire::connect(server.address, Protocol::Json, &connection_token(&ann).await).await;
        let data = json!({ "content": "the last word" }).to_string().into();
        let publish = PublishRequest { channel: format!("chat:{room}"), data, ..PublishRequest::default() };
        let id = wire.say(Command { publish: Some(publish), ..Command::default() }).await;
        let (database, reply) = tokio::join!(server.stop(), wire.reply_to(id));
        setup = Setup::on(database.clone());
        let server = setup.start().await;
        let stored = server.stranger().with_token(key).messages(&room, "").await;
        assert_eq!(stored.len(), usize::from(reply.is_ok_and(|reply| reply.publish.is_some())));
        setup = Setup::on(server.stop().await);
    }
}
