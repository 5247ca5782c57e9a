//! Who gets what through the gateway and who does not: ended credentials, tokens at the wrong door, names of others,
//! other tenants, guests, repeats.

use futures_util::future::join_all;
use meet_centrifuge::{
    Protocol,
    code::{DisconnectCode, ErrorCode},
    message::{
        Command, Error, HistoryRequest, PresenceRequest, PresenceStatsRequest, PublishRequest, RefreshRequest, Reply,
        SubRefreshRequest, SubscribeRequest,
    },
};
use serde_json::{Value, json};

use crate::support::{
    Caller, Emulated, Ended, Form, Server, Setup, Wire, chat, connect, connection_token, databases, encode, message,
    subscribe_token,
};

const BOTH: [Protocol; 2] = [Protocol::Json, Protocol::Protobuf];
const NOBODY: &str = "01900000-0000-7000-8000-000000000001";

/// What ends a connection with this code.
fn ended(code: DisconnectCode) -> Ended {
    Ended(Some(u16::try_from(code.number()).unwrap()))
}

/// A user of a key, by name.
fn named(owner: &Caller, name: &str) -> Caller {
    owner.clone().with_header("x-meet-name", name)
}

/// Who somebody is to others.
async fn id(caller: &Caller) -> String {
    caller.get("/api/session").await.expect(200)["user"]["id"].as_str().unwrap().to_owned()
}

fn subscribe(request: SubscribeRequest) -> Command {
    Command { subscribe: Some(request), ..Command::default() }
}

fn listen(channel: &str) -> Command {
    subscribe(SubscribeRequest { channel: channel.to_owned(), ..SubscribeRequest::default() })
}

fn refresh(token: &str) -> Command {
    Command { refresh: Some(RefreshRequest { token: token.to_owned() }), ..Command::default() }
}

fn sub_refresh(room: &str, token: &str) -> Command {
    let request = SubRefreshRequest { channel: format!("chat:{room}"), token: token.to_owned(), ..Default::default() };
    Command { sub_refresh: Some(request), ..Command::default() }
}

fn publish(room: &str, data: &Value) -> Command {
    let publish =
        PublishRequest { channel: format!("chat:{room}"), data: data.to_string().into(), ..Default::default() };
    Command { publish: Some(publish), ..Command::default() }
}

/// Everything that may be asked of a channel without listening to it.
fn questions(channel: &str) -> [Command; 4] {
    let channel = || channel.to_owned();
    let empty = Command::default;
    let said = PublishRequest { channel: channel(), data: r#"{"content":"hi"}"#.into(), ..Default::default() };
    [
        Command { presence: Some(PresenceRequest { channel: channel() }), ..empty() },
        Command { presence_stats: Some(PresenceStatsRequest { channel: channel() }), ..empty() },
        Command { history: Some(HistoryRequest { channel: channel(), limit: 10, ..Default::default() }), ..empty() },
        Command { publish: Some(said), ..empty() },
    ]
}

#[track_caller]
fn refusal(reply: Reply) -> Error {
    let told = format!("{reply:?}");
    reply.error.unwrap_or_else(|| panic!("no error in {told}"))
}

#[track_caller]
fn expect_denied(reply: Reply) {
    assert_eq!(refusal(reply).code, ErrorCode::PermissionDenied.number());
}

/// Reads a stream to its end, which must have this reason.
async fn expect_end(stream: &mut Emulated, code: DisconnectCode) {
    let mut reason = None;
    while let Some(reply) = stream.next().await {
        reason = reply.push.and_then(|push| push.disconnect);
    }
    assert_eq!(reason, Some(code.into()));
}

/// Everything that a caller can have open at the gateway, in a room, and the tokens by which it came.
struct Held {
    stranger: Caller,
    room: String,
    token: String,
    ticket: String,
    wires: Vec<Wire>,
    streams: Vec<Emulated>,
}

impl Held {
    async fn by(caller: &Caller, room: &str) -> Self {
        let (token, ticket) = (connection_token(caller).await, subscribe_token(caller, room).await);
        let (stranger, mut wires, mut streams) = (caller.stranger(), Vec::new(), Vec::new());
        for protocol in BOTH {
            let (mut wire, _) = Wire::connect(caller.address(), protocol, &token).await;
            wire.subscribe(chat(room, &ticket)).await;
            wires.push(wire);
        }
        for form in [Form::Lines, Form::Prefixed, Form::Events] {
            let (mut stream, _) = Emulated::connect(&stranger, form, &token).await;
            assert!(stream.ask(subscribe(chat(room, &ticket))).await.subscribe.is_some());
            streams.push(stream);
        }
        Self { stranger, room: room.to_owned(), token, ticket, wires, streams }
    }

    /// Asserts that all of it ends for good, and that the token opens nothing any more.
    async fn expect_ended(self, what: &str) -> String {
        let Self { stranger, room, token, ticket, wires, streams } = self;
        for mut wire in wires {
            assert_eq!(wire.end().await, ended(DisconnectCode::InvalidToken), "{what}");
        }
        for mut stream in streams {
            expect_end(&mut stream, DisconnectCode::InvalidToken).await;
        }
        for protocol in BOTH {
            let mut wire = Wire::open(stranger.address(), protocol).await;
            assert_eq!(wire.try_ask(connect(&token)).await, Err(ended(DisconnectCode::InvalidToken)), "{what}");
        }
        for form in Form::ALL {
            let frame = encode(form.protocol(), &[Command { id: 1, ..connect(&token) }]);
            let mut stream = Emulated::open(&stranger, form, &frame).await.unwrap();
            expect_end(&mut stream, DisconnectCode::InvalidToken).await;
        }
        let (mut wire, _) = Wire::connect(stranger.address(), Protocol::Json, &connection_token(&stranger).await).await;
        let refused = wire.try_ask(subscribe(chat(&room, &ticket))).await;
        assert_eq!(refused, Err(ended(DisconnectCode::InvalidToken)), "{what}: a ticket is for one user");
        token
    }
}

#[tokio::test]
async fn whatever_ends_a_credential_ends_all_that_came_by_it_in_every_form() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;

        let (leaver, stays) = (owner.session("Ann").await, owner.session("Ann").await);
        let (held, mut other) = (Held::by(&leaver, &room).await, Held::by(&stays, &room).await);
        leaver.delete("/api/session").await.expect(204);
        let old = held.expect_ended("signed out").await;
        let mut wire = other.wires.pop().unwrap();
        let ended_token = wire.try_ask(refresh(&old)).await;
        assert_eq!(ended_token, Err(ended(DisconnectCode::InvalidToken)), "the same user by an ended session");

        let invite = json!({ "role": "member" });
        let invite = owner.post_json(&format!("/api/rooms/{room}/invites"), invite).await.expect(201);
        let body = json!({ "invite": invite["token"], "name": "Gus" });
        let guest = server.stranger().post_json("/api/session", body).await.expect(201);
        let guest = server.stranger().with_token(guest["token"].as_str().unwrap());
        let held = Held::by(&guest, &room).await;
        owner.delete(&format!("/api/invites/{}", invite["id"].as_str().unwrap())).await.expect(204);
        held.expect_ended("the invite was revoked").await;

        let (by_key, by_session) = (Held::by(&named(&owner, "Kim"), &room).await, other);
        let rotated = owner.post("/api/keys/rotate", "").await.expect(201);
        let (old, _) = (by_key.expect_ended("rotated").await, by_session.expect_ended("rotated").await);
        let owner = server.stranger().with_token(rotated["key"].as_str().unwrap());
        let mut held = Held::by(&named(&owner, "Kim"), &room).await;
        let mut wire = held.wires.pop().unwrap();
        assert_eq!(wire.try_ask(refresh(&old)).await, Err(ended(DisconnectCode::InvalidToken)), "of the old key");

        owner.delete("/api/keys").await.expect(204);
        held.expect_ended("deleted").await;
        server.stop().await;
    }
}

#[tokio::test]
async fn old_tickets_open_no_room_that_is_over_for_their_bearer() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (gone, public) = (owner.room("gone").await, owner.room("stage").await);
        owner.patch(&format!("/api/rooms/{public}"), json!({ "visibility": "public" })).await.expect(200);
        let foreign = server.new_tenant().await.session("Eve").await;
        let mut cases = Vec::new();
        for (caller, room) in [(named(&owner, "Ann"), &gone), (server.stranger(), &public), (foreign.clone(), &public)]
        {
            for protocol in BOTH {
                let ticket = subscribe_token(&caller, room).await;
                let (mut wire, _) = Wire::connect(server.address, protocol, &connection_token(&caller).await).await;
                wire.subscribe(chat(room, &ticket)).await;
                cases.push((caller.clone(), protocol, room, ticket, wire));
            }
        }
        owner.delete(&format!("/api/rooms/{gone}")).await.expect(204);
        owner.patch(&format!("/api/rooms/{public}"), json!({ "visibility": "private" })).await.expect(200);
        for (caller, protocol, room, ticket, mut wire) in cases {
            while wire.push().await.unwrap().unsubscribe.is_none_or(|unsubscribe| unsubscribe.code != 2000) {}
            let (again, _) = Wire::connect(server.address, protocol, &connection_token(&caller).await).await;
            for mut wire in [wire, again] {
                expect_denied(wire.ask(sub_refresh(room, &ticket)).await);
                let refused = refusal(wire.ask(subscribe(chat(room, &ticket))).await);
                assert_eq!(refused.code, ErrorCode::PermissionDenied.number());
                for (old, unknown) in
                    questions(&format!("chat:{room}")).into_iter().zip(questions(&format!("chat:{NOBODY}")))
                {
                    let refused = refusal(wire.ask(old).await);
                    assert_eq!(refused, refusal(wire.ask(unknown).await), "as a room that never was");
                    assert_eq!(refused.code, ErrorCode::PermissionDenied.number());
                }
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_token_opens_its_own_door_and_no_other() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let ann = owner.session("Ann").await;
    let (token, ticket) = (connection_token(&ann).await, subscribe_token(&ann, &room).await);
    let elsewhere = Server::start().await;
    let stranger = elsewhere.operator().session("Ann").await;
    let foreign_room = elsewhere.operator().room("r").await;
    let foreign = (connection_token(&stranger).await, subscribe_token(&stranger, &foreign_room).await);
    for protocol in BOTH {
        for wrong in [&ticket, ann.token(), owner.token(), &foreign.0, &foreign.1, "x", "..", &token[1..]] {
            let mut wire = Wire::open(server.address, protocol).await;
            assert_eq!(wire.try_ask(connect(wrong)).await, Err(ended(DisconnectCode::InvalidToken)), "{wrong}");
            let (mut wire, _) = Wire::connect(server.address, protocol, &token).await;
            assert_eq!(wire.try_ask(refresh(wrong)).await, Err(ended(DisconnectCode::InvalidToken)), "{wrong}");
        }
        for wrong in ["", &token, ann.token(), owner.token(), &foreign.0, &foreign.1, "x", "..", &ticket[1..]] {
            let (mut wire, _) = Wire::connect(server.address, protocol, &token).await;
            expect_denied(wire.ask(subscribe(chat(&room, wrong))).await);
            wire.subscribe(chat(&room, &ticket)).await;
            let refused = wire.try_ask(sub_refresh(&room, wrong)).await;
            assert_eq!(refused, Err(ended(DisconnectCode::InvalidToken)), "{wrong}");
        }
    }
    // And none of them is a key, nor the secret of a stream.
    let (stream, _) = Emulated::connect(&server.stranger(), Form::Lines, &token).await;
    let (node, secret) = stream.secret();
    for wrong in [&*token, &ticket, secret] {
        let bearer = server.stranger().with_token(wrong);
        assert_eq!(bearer.get("/api/rooms").await.refusal(401), "invalid_key");
        assert_eq!(bearer.post("/realtime/connection-token", "").await.refusal(401), "invalid_key");
        assert_eq!(bearer.try_socket(&room, "").await.err(), Some(401));
        let body = json!({ "key": wrong, "name": "Ann" });
        assert!(matches!(server.stranger().post_json("/api/session", body).await.status, 400 | 401));
    }
    for wrong in [&*token, ann.token(), owner.token(), node] {
        let request = json!({ "node": node, "session": wrong, "data": "{}" });
        assert_eq!(server.stranger().post_json("/emulation", request).await.refusal(404), "not_found");
    }
    assert_eq!(secret.len(), 43, "256 bits");
}

#[tokio::test]
async fn nobody_speaks_as_somebody_else() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
    let guest = owner.invite(&room, "member", "Gus").await;
    owner.say(&room, "Ann", "I am here").await;
    for (caller, name) in [(&ann, "Ann"), (&guest, "Gus"), (&named(&owner, "Kim"), "Kim")] {
        let (mut wire, _) = Wire::connect(server.address, Protocol::Protobuf, &connection_token(caller).await).await;
        wire.subscribe(chat(&room, &subscribe_token(caller, &room).await)).await;
        for other in ["Bob", "Zoe"] {
            let refused = refusal(wire.ask(publish(&room, &json!({ "content": "hi", "sender": other }))).await);
            assert_eq!(refused.code, ErrorCode::PermissionDenied.number(), "{name} as {other}: {refused:?}");
        }
        let claims = json!({
            "content": "it is me", "sender": name, "user": id(&bob).await, "sender_type": "human", "id": NOBODY, "seq": 99,
            "room_id": NOBODY, "created_at": "2020-01-01T00:00:00.000Z", "type": "message",
        });
        let reply = wire.ask(publish(&room, &claims)).await;
        assert!(reply.publish.is_some(), "{reply:?}");
        let said = message(&wire.publication().await);
        assert_eq!(
            (said.sender.as_str(), said.content.as_str(), said.room_id.to_string()),
            (name, "it is me", room.clone())
        );
        assert!(said.seq < 10 && said.id.to_string() != NOBODY && said.user.to_string() != id(&bob).await);
        assert_eq!(owner.log(&room).await.pop(), Some(said));
    }
}

#[tokio::test]
async fn a_tenant_hears_and_learns_nothing_of_another() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (owner, other) = (server.new_tenant().await, server.new_tenant().await);
        let (private, public) = (owner.room("private").await, owner.room("stage").await);
        owner.patch(&format!("/api/rooms/{public}"), json!({ "visibility": "public" })).await.expect(200);
        let (ann, eve) = (owner.session("Ann").await, other.session("Eve").await);
        let session = ann.get("/api/session").await.expect(200);
        let (user, org) = (session["user"]["id"].as_str().unwrap(), session["org"].as_str().unwrap());
        let foreign = subscribe_token(&ann, &private).await;
        let (mut present, _) = Wire::connect(server.address, Protocol::Json, &connection_token(&ann).await).await;
        for room in [&private, &public] {
            present.subscribe(chat(room, &subscribe_token(&ann, room).await)).await;
        }
        for (caller, protocol) in [(&eve, Protocol::Json), (&server.stranger(), Protocol::Protobuf)] {
            let (mut wire, _) = Wire::connect(server.address, protocol, &connection_token(caller).await).await;
            for (theirs, unknown) in [
                (format!("chat:{private}"), format!("chat:{NOBODY}")),
                (format!("status:{user}"), format!("status:{NOBODY}")),
                (format!("user:{user}"), format!("user:{NOBODY}")),
                (format!("org:{org}"), format!("org:{NOBODY}")),
                (format!("role:{org}:owner"), format!("role:{NOBODY}:owner")),
            ] {
                let refused = refusal(wire.ask(listen(&theirs)).await);
                assert_eq!(refused, refusal(wire.ask(listen(&unknown)).await), "{theirs}");
                assert_eq!(refused.code, ErrorCode::PermissionDenied.number());
                for (one, another) in questions(&theirs).into_iter().zip(questions(&unknown)) {
                    assert_eq!(refusal(wire.ask(one).await), refusal(wire.ask(another).await), "{theirs}");
                }
            }
            // Somebody else's ticket is no way in, and says no more about the room than that.
            wire.subscribe(chat(&public, &subscribe_token(caller, &public).await)).await;
            let shown = questions(&format!("chat:{public}"));
            for question in &shown[..2] {
                drop(wire.ask(question.clone()).await);
            }
            // Busy in every way that is none of theirs, and at last one thing that is for everyone.
            owner.say(&private, "Ann", "among us").await;
            let second = owner.room("second").await;
            owner.delete(&format!("/api/rooms/{second}")).await.expect(204);
            ann.call("PUT", "/presence/status", &json!({ "status": "busy" })).await.expect(200);
            ann.call("PUT", "/presence/status", &json!({ "status": "online" })).await.expect(200);
            let said = owner.say(&public, "Ann", "for everyone").await;
            // Those who are in a public room are seen there, and change there.
            loop {
                let push = wire.push().await.unwrap();
                assert_eq!(push.channel, format!("chat:{public}"));
                if push.r#pub.as_ref().is_some_and(|publication| publication.offset > 0) {
                    assert_eq!(push.r#pub.as_ref().map(message), Some(said));
                    break;
                }
            }
            let refused = wire.try_ask(subscribe(chat(&private, &foreign))).await;
            assert_eq!(refused, Err(ended(DisconnectCode::InvalidToken)));
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_guest_has_its_room_and_the_people_in_it_and_nothing_else() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (lounge, private) = (owner.room("lounge").await, owner.room("private").await);
        let (ann, zoe) = (owner.session("Ann").await, owner.session("Zoe").await);
        let (beside, outside) = (id(&ann).await, id(&zoe).await);
        let said = json!({ "content": "hi" });
        ann.post_json(&format!("/api/rooms/{lounge}/messages"), said.clone()).await.expect(201);
        zoe.post_json(&format!("/api/rooms/{private}/messages"), said).await.expect(201);
        let (mut host, _) = Wire::connect(server.address, Protocol::Json, &connection_token(&ann).await).await;
        host.subscribe(chat(&lounge, &subscribe_token(&ann, &lounge).await)).await;
        let foreign = subscribe_token(&ann, &private).await;
        for (role, name) in [("member", "Gil"), ("spectator", "Gus")] {
            let guest = owner.invite(&lounge, role, name).await;
            let (mut wire, connected) =
                Wire::connect(server.address, Protocol::Protobuf, &connection_token(&guest).await).await;
            let org = guest.get("/api/session").await.expect(200)["org"].as_str().unwrap().to_owned();
            let mut own: Vec<_> = connected.subs.iter().map(|made| made.key.clone()).collect();
            own.sort();
            assert_eq!(own, [format!("role:{org}:{role}"), format!("user:{}", id(&guest).await)]);
            wire.subscribe(chat(&lounge, &subscribe_token(&guest, &lounge).await)).await;
            assert_eq!(guest.post(&format!("/api/rooms/{private}/subscribe-token"), "").await.status, 404);
            let unknown = refusal(wire.ask(listen(&format!("status:{NOBODY}"))).await);
            assert_eq!(
                refusal(wire.ask(listen(&format!("status:{outside}"))).await),
                unknown,
                "as if there were nobody"
            );
            for channel in
                [format!("org:{org}"), format!("role:{org}:owner"), format!("user:{beside}"), format!("chat:{private}")]
            {
                expect_denied(wire.ask(listen(&channel)).await);
            }
            for (one, another) in
                questions(&format!("chat:{private}")).into_iter().zip(questions(&format!("chat:{NOBODY}")))
            {
                assert_eq!(refusal(wire.ask(one).await), refusal(wire.ask(another).await));
            }
            assert!(wire.ask(listen(&format!("status:{beside}"))).await.subscribe.is_some(), "a host is seen");

            let later = owner.room("later").await;
            owner.say(&private, "Zoe", "not for guests").await;
            owner.delete(&format!("/api/rooms/{later}")).await.expect(204);
            zoe.call("PUT", "/presence/status", &json!({ "status": "away" })).await.expect(200);
            let said = owner.say(&lounge, "Ann", "for guests").await;
            loop {
                let push = wire.push().await.unwrap();
                assert!(push.channel == format!("chat:{lounge}") || own.contains(&push.channel), "{push:?}");
                if push.r#pub.as_ref().is_some_and(|publication| publication.offset > 0) {
                    assert_eq!(push.r#pub.as_ref().map(message), Some(said));
                    break;
                }
            }
            let refused = wire.try_ask(subscribe(chat(&private, &foreign))).await;
            assert_eq!(refused, Err(ended(DisconnectCode::InvalidToken)), "somebody else's ticket");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_hundred_concurrent_repeats_over_all_doors_are_one_message() {
    for database in databases().await {
        let setup = Setup::on(database).with(|config| config.limits.sockets_per_user = 0);
        let server = setup.start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let ann = owner.session("Ann").await;
        let token = connection_token(&ann).await;
        let said = json!({ "content": "hi", "client_id": "once" });
        let repeats = (0..100).map(async |n| match n % 4 {
            0 => {
                let caller = ann.clone().with_header("idempotency-key", "once");
                let path = format!("/api/rooms/{room}/messages");
                caller.post_json(&path, json!({ "content": "hi" })).await.expect(201);
            }
            1 => {
                let mut socket = ann.socket(&room, "").await;
                socket.send(&said).await;
                while socket.next().await.unwrap()["type"] != "ack" {}
            }
            2 => {
                let (mut wire, _) = Wire::connect(server.address, BOTH[n / 2 % 2], &token).await;
                assert!(wire.ask(publish(&room, &said)).await.publish.is_some());
            }
            _ => {
                let form = Form::ALL[n / 4 % 4];
                let (mut stream, _) = Emulated::connect(&server.stranger(), form, &token).await;
                assert!(stream.ask(publish(&room, &said)).await.publish.is_some());
            }
        });
        join_all(repeats).await;
        let log = owner.log(&room).await;
        assert_eq!((log.len(), log[0].sender.as_str()), (1, "Ann"));
        let (mut wire, _) = Wire::connect(server.address, Protocol::Json, &token).await;
        let other = json!({ "content": "something else", "client_id": "once" });
        assert_eq!(refusal(wire.ask(publish(&room, &other)).await).code, 409);
        server.stop().await;
    }
}
