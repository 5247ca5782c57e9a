//! Rooms: made, listed, changed, shown to everyone and hidden again, expired and deleted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Caller, Database, Server, Setup, Stream, databases, soon};

fn contents(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_new_room_is_private_and_shown_with_exactly_the_fields_of_the_contract() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let body = json!({ "name": "  planning ", "colour": "unknown fields are ignored" });
        let room = owner.post_json("/api/rooms", body).await.expect(201);
        let names: Vec<_> = room.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = vec![
            "id",
            "name",
            "visibility",
            "media",
            "bot_enabled",
            "head_seq",
            "epoch",
            "online",
            "created_at",
            "expires_at",
            "agents",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(
            (&room["name"], &room["visibility"], &room["media"], &room["bot_enabled"], &room["head_seq"]),
            (&json!("planning"), &json!("private"), &json!("audio"), &json!(false), &json!(0))
        );
        assert_eq!(room["expires_at"], Value::Null);
        assert_eq!(owner.get("/api/rooms").await.expect(200), json!([room]));
        for body in [json!({}), json!({ "name": "" }), json!({ "name": "  " }), json!({ "name": null })] {
            let answer = owner.post_json("/api/rooms", body).await;
            assert_eq!(answer.refusal(400), "invalid_request");
            assert_eq!(answer.json()["error"], "name is required");
        }
    }
}

#[tokio::test]
async fn rooms_are_listed_oldest_first_page_by_page() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let mut made = Vec::new();
        for n in 0..5 {
            made.push(owner.room(&format!("room {n}")).await);
            server.clock.advance(Duration::from_millis(1));
        }
        let (mut listed, mut path) = (Vec::new(), Some("/api/rooms?limit=2".to_owned()));
        while let Some(page) = path {
            let answer = owner.get(&page).await;
            let rooms = answer.expect(200);
            assert!(rooms.as_array().unwrap().len() <= 2);
            listed.extend(rooms.as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().to_owned()));
            path = answer.link("next");
        }
        assert_eq!(listed, made);
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=99999999999999999999"] {
            assert_eq!(owner.get(&format!("/api/rooms?{query}")).await.refusal(400), "invalid_request", "{query}");
        }
        let foreign = server.new_tenant().await.room("elsewhere").await;
        let invites = format!("/api/rooms/{}/invites", made[0]);
        for after in ["junk", "01900000-0000-7000-8000-000000000001", &foreign] {
            for list in ["/api/rooms", "/api/public/rooms", &invites] {
                assert_eq!(owner.get(&format!("{list}?after={after}")).await.refusal(400), "unknown_cursor", "{list}");
            }
        }
    }
}

/// A room with two messages from before it was public.
async fn with_a_past(database: Database) -> (Server, Caller, String) {
    let server = Setup::on(database).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    owner.say(&room, "ann", "old secret one").await;
    owner.say(&room, "ann", "old secret two").await;
    (server, owner, room)
}

#[tokio::test]
async fn a_room_that_turns_public_shows_only_what_is_said_from_then_on() {
    for database in databases().await {
        let (server, owner, room) = with_a_past(database).await;
        let old = owner.messages(&room, "").await;
        let path = format!("/api/rooms/{room}");
        let stranger = server.stranger();
        assert_eq!(stranger.get(&path).await.refusal(401), "missing_key");
        owner.patch(&path, json!({ "visibility": "public" })).await.expect(200);
        let mut socket = stranger.socket(&room, "?since=0").await;
        let mut events = stranger.stream(&format!("{path}/events?since=0")).await;
        let poller = stranger.clone();
        let waiting = format!("{path}/messages?wait=60&after_seq=0");
        let poll = tokio::task::spawn(async move { poller.get(&waiting).await });
        owner.say(&room, "ann", "new one").await;

        let heard = socket.message().await;
        assert_eq!((heard.seq, heard.content.as_str()), (3, "new one"));
        assert_eq!(events.expect("message").await.data["content"], "new one");
        assert_eq!(contents(&soon("the poll", poll).await.unwrap().expect(200)), ["new one"]);
        for query in ["", "?after_seq=0", "?before_seq=100", "?before_seq=4&limit=1", "?limit=1"] {
            let page = stranger.get(&format!("{path}/messages{query}")).await;
            assert_eq!(contents(&page.expect(200)), ["new one"], "{query}");
            assert_eq!(page.link("prev"), None, "{query}");
        }
        assert_eq!(stranger.get(&format!("{path}/messages?before_seq=3")).await.expect(200), json!([]));
        assert_eq!(contents(&stranger.get(&format!("{path}/search?q=one")).await.expect(200)), ["new one"]);
        assert_eq!(stranger.get(&format!("{path}/search?q=secret")).await.expect(200), json!([]));
        // The id of a hidden message is no cursor, just like one that never was.
        let hidden = stranger.get(&format!("{path}/messages?after={}", old[0].id)).await;
        let unknown = stranger.get(&format!("{path}/messages?after=01900000-0000-7000-8000-000000000001")).await;
        assert_eq!((hidden.refusal(400).as_str(), &hidden.body), ("unknown_cursor", &unknown.body));
        assert_eq!(owner.messages(&room, "").await.len(), 3);
    }
}

#[tokio::test]
async fn history_all_shows_the_past_too() {
    for database in databases().await {
        let (server, owner, room) = with_a_past(database).await;
        let path = format!("/api/rooms/{room}");
        owner.patch(&path, json!({ "visibility": "public", "history": "all" })).await.expect(200);
        let stranger = server.stranger();
        assert_eq!(stranger.messages(&room, "").await, owner.messages(&room, "").await);
        let mut socket = stranger.socket(&room, "?since=0").await;
        assert_eq!(socket.message().await.content, "old secret one");
        let mut events = stranger.stream(&format!("{path}/events?since=1")).await;
        assert_eq!(events.expect("message").await.data["content"], "old secret two");
        // Away and back: again from then on.
        owner.patch(&path, json!({ "visibility": "private" })).await.expect(200);
        owner.patch(&path, json!({ "visibility": "public" })).await.expect(200);
        assert_eq!(stranger.messages(&room, "").await, []);
        owner.patch(&path, json!({ "history": "all" })).await.expect(200);
        assert_eq!(stranger.messages(&room, "").await.len(), 2);
    }
}

#[tokio::test]
async fn a_room_that_leaves_public_sends_its_spectators_away_and_nobody_else() {
    for database in databases().await {
        let (server, owner, room) = with_a_past(database).await;
        let path = format!("/api/rooms/{room}");
        owner.patch(&path, json!({ "visibility": "public" })).await.expect(200);
        let guest = owner.invite(&room, "spectator", "Gil").await;
        let mut own = [owner.socket(&room, "?since=2&name=ann").await, guest.socket(&room, "?since=2").await];
        let stranger = server.stranger();
        let mut watching: Vec<_> = Vec::new();
        for watcher in [stranger.clone(), server.new_tenant().await] {
            let socket = watcher.socket(&room, "?since=2").await;
            let events = watcher.stream(&format!("{path}/events")).await;
            let waiting = format!("{path}/messages?wait=60");
            let poll = tokio::task::spawn(async move { watcher.get(&waiting).await });
            watching.push((socket, events, poll));
        }
        crate::support::eventually("eight connections", || server.app.hub().connections() == 8).await;
        owner.patch(&path, json!({ "visibility": "private" })).await.expect(200);
        for (mut socket, mut events, poll) in watching {
            assert_eq!(socket.end().await.0, Some(4040));
            while events.next().await.is_some() {}
            let answer: Answer = soon("the poll", poll).await.unwrap();
            assert!(matches!(answer.status, 401 | 404), "{}", answer.whole());
        }
        let said = owner.say(&room, "ann", "among ourselves").await;
        for socket in &mut own {
            assert_eq!(socket.message().await, said);
        }
        assert_eq!(stranger.try_socket(&room, "").await.err(), Some(401));
        assert_eq!(stranger.get(&format!("{path}/messages")).await.refusal(401), "missing_key");
    }
}

#[tokio::test]
async fn a_deleted_room_is_gone_at_once_for_everyone_in_it() {
    for database in databases().await {
        let (server, owner, room) = with_a_past(database).await;
        let path = format!("/api/rooms/{room}");
        let guest = owner.invite(&room, "member", "Gil").await;
        let mut lobby = owner.stream("/api/lobby/events").await;
        let elsewhere = owner.room("elsewhere").await;
        let mut stays = owner.socket(&elsewhere, "").await;
        let mut sockets = [owner.socket(&room, "").await, guest.socket(&room, "?since=0").await];
        let mut events = guest.stream(&format!("{path}/events")).await;
        let (poller, waiting) = (owner.clone(), format!("{path}/messages?wait=60"));
        let poll = tokio::task::spawn(async move { poller.get(&waiting).await });
        crate::support::eventually("all connections", || server.app.hub().connections() == 6).await;
        owner.delete(&path).await.expect(204);
        for socket in &mut sockets {
            assert_eq!(socket.end().await.0, Some(4040));
        }
        while events.next().await.is_some() {}
        assert_eq!(soon("the poll", poll).await.unwrap().refusal(404), "room_not_found");
        assert_eq!(lobby.expect("room_deleted").await.data, json!({ "id": room }));
        for caller in [&owner, &guest] {
            assert_eq!(caller.get(&path).await.refusal(404), "room_not_found");
            let listed = caller.get("/api/rooms").await.expect(200);
            assert!(listed.as_array().unwrap().iter().all(|listed| listed["id"] != json!(room)));
            assert_eq!(caller.try_socket(&room, "").await.err(), Some(404));
            let body = json!({ "content": "hello?", "sender": "Gil" });
            assert_eq!(caller.post_json(&format!("{path}/messages"), body).await.refusal(404), "room_not_found");
        }
        assert_eq!(owner.delete(&path).await.refusal(404), "room_not_found");
        let said = owner.say(&elsewhere, "ann", "still here").await;
        assert_eq!(stays.message().await, said);
        server.stop().await;
    }
}

#[tokio::test]
async fn an_expired_room_says_so_for_a_day_and_then_was_never_there() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let body = json!({ "name": "brief", "visibility": "public", "expires_in": 3600 });
        let room = owner.room_as(body).await;
        let path = format!("/api/rooms/{room}");
        let invite = owner.post_json(&format!("{path}/invites"), json!({ "role": "member" })).await.expect(201);
        server.clock.advance(Duration::from_secs(3599));
        owner.say(&room, "ann", "in time").await;
        server.clock.advance(Duration::from_secs(1));
        let messages = format!("{path}/messages");
        for caller in [owner.clone(), server.stranger()] {
            assert_eq!(caller.get(&path).await.refusal(410), "expired");
            assert_eq!(caller.get(&messages).await.refusal(410), "expired");
            assert_eq!(caller.try_socket(&room, "").await.err(), Some(410));
        }
        let body = json!({ "sender": "ann", "content": "too late" });
        assert_eq!(owner.post_json(&messages, body).await.refusal(410), "expired");
        assert_eq!(owner.get("/api/rooms").await.expect(200), json!([]));
        let body = json!({ "invite": invite["token"], "name": "Gil" });
        assert_eq!(server.stranger().post_json("/api/session", body).await.refusal(410), "expired");
        server.clock.advance(Duration::from_hours(24));
        assert_eq!(owner.get(&path).await.refusal(404), "room_not_found");
        assert_eq!(owner.get(&messages).await.refusal(404), "room_not_found");
    }
}

#[tokio::test]
async fn public_rooms_are_the_operators_and_those_that_it_lists() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let (operator, owner) = (server.operator(), server.new_tenant().await);
        let house = operator.room_as(json!({ "name": "house", "visibility": "public" })).await;
        operator.room("private house").await;
        let club = owner.room_as(json!({ "name": "club", "visibility": "public" })).await;
        let path = format!("/api/rooms/{club}");
        let listed = async || {
            let rooms = server.stranger().get("/api/public/rooms").await.expect(200);
            let mut ids: Vec<_> =
                rooms.as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect();
            ids.sort();
            ids
        };
        assert_eq!(listed().await, [house.as_str()]);
        assert_eq!(server.stranger().messages(&club, "").await, [], "whoever has its id reads it");
        assert_eq!(owner.patch(&path, json!({ "listed": true })).await.refusal(403), "forbidden");
        let other = server.new_tenant().await;
        assert_eq!(other.patch(&path, json!({ "listed": true })).await.refusal(403), "read_only");
        let guest = operator.invite(&house, "member", "Gil").await;
        assert_eq!(guest.patch(&path, json!({ "listed": true })).await.refusal(403), "read_only");
        let body = json!({ "listed": true, "name": "mine now" });
        assert_eq!(operator.patch(&path, body).await.refusal(403), "read_only");

        operator.patch(&path, json!({ "listed": true })).await.expect(200);
        let mut both = [house.clone(), club.clone()];
        both.sort();
        assert_eq!(listed().await, both);
        owner.patch(&path, json!({ "visibility": "private" })).await.expect(200);
        assert_eq!(listed().await, [house.as_str()]);
        owner.patch(&path, json!({ "visibility": "public" })).await.expect(200);
        operator.patch(&path, json!({ "listed": false })).await.expect(200);
        operator.patch(&format!("/api/rooms/{house}"), json!({ "visibility": "private" })).await.expect(200);
        assert_eq!(listed().await, [""; 0]);
    }
}

#[tokio::test]
async fn presence_names_who_is_connected_and_counts_who_only_watches() {
    for database in databases().await {
        let (server, owner, room) = with_a_past(database).await;
        let path = format!("/api/rooms/{room}");
        owner.patch(&path, json!({ "visibility": "public" })).await.expect(200);
        let _ann = owner.socket(&room, "?name=ann").await;
        let _bot = owner.socket(&room, "?name=bot&kind=agent").await;
        let _unnamed = owner.socket(&room, "").await;
        let _stranger = server.stranger().socket(&room, "?name=ann").await;
        let _foreign = server.new_tenant().await.socket(&room, "?name=mallory").await;
        crate::support::eventually("five connections", || server.app.hub().connections() == 5).await;
        for caller in [owner.clone(), server.stranger()] {
            let presence = caller.get(&format!("{path}/presence")).await.expect(200);
            let names: Vec<_> = presence["members"].as_array().unwrap().iter().map(|member| &member["name"]).collect();
            assert_eq!(names.len(), 2, "{presence}");
            assert!(names.contains(&&json!("ann")) && names.contains(&&json!("bot")), "{presence}");
            assert_eq!(presence["watching"], 3);
            assert_eq!(caller.get(&path).await.expect(200)["online"], 2);
        }
    }
}

#[tokio::test]
async fn the_lobby_tells_owners_of_rooms_that_come_change_and_go() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let mut lobby: Stream = owner.stream("/api/lobby/events").await;
        crate::support::eventually("the lobby", || server.app.hub().connections() == 1).await;
        let room = owner.room("planning").await;
        assert_eq!(lobby.expect("room_created").await.data["id"], json!(room));
        owner.say(&room, "ann", "hi").await;
        assert_eq!(lobby.expect("room_updated").await.data["head_seq"], 1);
        owner.patch(&format!("/api/rooms/{room}"), json!({ "name": "done" })).await.expect(200);
        assert_eq!(lobby.expect("room_updated").await.data["name"], "done");
        owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
        assert_eq!(lobby.expect("room_deleted").await.data, json!({ "id": room }));
        assert_eq!(server.stranger().stream("/api/lobby/events").await.status, 401);
    }
}
