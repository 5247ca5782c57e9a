//! Who is in a room: people with their first and last connection, and watchers as a number.

use serde_json::{Value, json};

use crate::support::{Caller, Server, Setup, Socket, databases, eventually};

async fn presence(caller: &Caller, room: &str) -> Value {
    caller.get(&format!("/api/rooms/{room}/presence")).await.expect(200)
}

fn names(presence: &Value) -> Vec<&str> {
    presence["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect()
}

/// The next presence frame as (event, name).
async fn change(socket: &mut Socket) -> (String, String) {
    let frame = socket.expect("presence").await;
    (frame["event"].as_str().unwrap().to_owned(), frame["name"].as_str().unwrap().to_owned())
}

fn event(event: &str, name: &str) -> (String, String) {
    (event.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_user_joins_with_the_first_connection_and_leaves_with_the_last() {
    for database in databases().await {
        let server = Setup::on(database).manual_clock().start().await;
        let owner = server.new_tenant().await;
        let room = owner.room("planning").await;
        let mut observer = owner.socket(&room, "?since=0&name=ann").await;
        observer.expect("hello").await;
        assert_eq!(change(&mut observer).await, event("join", "ann"));
        let session = owner.session("bob").await;
        let phone = session.socket(&room, "").await;
        let frame = observer.expect("presence").await;
        let user = session.get("/api/session").await.expect(200)["user"]["id"].clone();
        let joined = json!({ "type": "presence", "event": "join", "user": user, "name": "bob", "kind": "human", "status": "online" });
        assert_eq!(frame, joined);
        // The bare key is the same user by the same name; a stream counts like a socket.
        let laptop = owner.stream(&format!("/api/rooms/{room}/events?name=bob")).await;
        let agent = owner.socket(&room, "?name=bob&kind=agent").await;
        assert_eq!(observer.expect("presence").await["kind"], "agent");
        let shown = presence(&owner, &room).await;
        let bob = json!({ "user": user, "name": "bob", "kind": "human", "status": "online", "since": "2026-02-07T12:00:00.000Z" });
        assert!(shown["members"].as_array().unwrap().contains(&bob), "{shown}");
        assert_eq!((names(&shown).len(), &shown["watching"]), (3, &json!(0)));
        assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["online"], 3);
        assert_eq!(owner.get("/api/rooms").await.expect(200)[0]["online"], 3);
        drop(phone);
        drop(agent);
        assert_eq!(observer.expect("presence").await["kind"], "agent", "bob is still here by the stream");
        drop(laptop);
        let left = observer.expect("presence").await;
        assert_eq!((&left["event"], &left["user"]), (&json!("leave"), &user));
        assert_eq!(names(&presence(&owner, &room).await), ["ann"]);
        server.stop().await;
    }
}

#[tokio::test]
async fn watchers_are_a_number_and_nothing_else() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let room = owner.room_as(json!({ "name": "stage", "visibility": "public" })).await;
        let mut observer = owner.socket(&room, "?since=0&name=ann").await;
        observer.expect("hello").await;
        assert_eq!(change(&mut observer).await, event("join", "ann"));
        let nameless = owner.socket(&room, "?since=0").await;
        let stranger = server.stranger().socket(&room, "?name=eve").await;
        let other =
            server.new_tenant().await.session("mallory").await.stream(&format!("/api/rooms/{room}/events")).await;
        // A poll and a lobby are not even counted.
        let lobby = owner.stream("/api/lobby/events").await;
        let shown = presence(&owner, &room).await;
        assert_eq!((names(&shown), &shown["watching"]), (vec!["ann"], &json!(3)));
        assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["online"], 1);
        assert_eq!(presence(&server.stranger(), &room).await, shown);
        drop((nameless, stranger, other, lobby));
        let alone = || server.app.hub().connections() == 1;
        eventually("the watchers to go", alone).await;
        assert_eq!(presence(&owner, &room).await["watching"], 0);
        let said = owner.say(&room, "ann", "nobody came").await;
        assert_eq!(observer.next().await.unwrap(), json!(said), "no event in between");
        server.stop().await;
    }
}

#[tokio::test]
async fn guests_are_in_the_presence_of_their_room_and_see_no_other() {
    for database in databases().await {
        let server = Setup::on(database).start().await;
        let owner = server.new_tenant().await;
        let (shared, hidden) = (owner.room("shared").await, owner.room("hidden").await);
        let guest = owner.invite(&shared, "member", "Gil").await;
        let onlooker = owner.invite(&shared, "spectator", "Sue").await;
        let _hidden = owner.socket(&hidden, "?name=Secret").await;
        let mut socket = guest.socket(&shared, "?since=0").await;
        socket.expect("hello").await;
        assert_eq!(change(&mut socket).await, event("join", "Gil"));
        let _looking = onlooker.socket(&shared, "").await;
        assert_eq!(change(&mut socket).await, event("join", "Sue"));
        assert_eq!(names(&presence(&guest, &shared).await), ["Gil", "Sue"]);
        let refused = guest.get(&format!("/api/rooms/{hidden}/presence")).await;
        assert_eq!(refused.refusal(404), "room_not_found");
        server.stop().await;
    }
}

#[tokio::test]
async fn above_two_hundred_members_joins_and_leaves_are_no_longer_told_one_by_one() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("stadium").await;
    let mut observer = owner.socket(&room, "?since=0&name=ann").await;
    observer.expect("hello").await;
    assert_eq!(change(&mut observer).await, event("join", "ann"));
    let mut members = Vec::new();
    for n in 2..=205 {
        members.push(owner.socket(&room, &format!("?name=member%20{n}")).await);
        if n <= 200 {
            assert_eq!(change(&mut observer).await, event("join", &format!("member {n}")));
        }
    }
    let shown = presence(&owner, &room).await;
    assert_eq!(names(&shown).len(), 205);
    assert_eq!(owner.get(&format!("/api/rooms/{room}")).await.expect(200)["online"], 205);
    drop(members.split_off(202));
    eventually("two to leave", || server.app.hub().connections() == 203).await;
    let said = owner.say(&room, "ann", "so many").await;
    assert_eq!(observer.next().await.unwrap(), json!(said), "no event in between");
}

#[tokio::test]
async fn what_an_agent_says_of_itself_is_seen_where_it_is_and_kept_until_it_comes_back() {
    let server = Server::start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let scout = owner.guest(&room, "scout", "agent").await;
    let mut ann = owner.socket(&room, "?since=0&name=Ann").await;
    ann.expect("hello").await;
    let about = json!({ "doing": "working", "note": "reading the code", "model": "large-2", "role": "reviewer" });
    let answer = scout.call("PUT", "/presence/status", &json!({ "about": about })).await.expect(200);
    assert_eq!((&answer["status"], &answer["about"]), (&json!("online"), &about));
    let socket = scout.socket(&room, "").await;
    while ann.expect("presence").await["about"] != about {}
    let told = scout.call("PUT", "/presence/status", &json!({ "about": { "doing": "waiting" } })).await.expect(200);
    let event = ann.expect("presence").await;
    let (change, said) = (&event["event"], &event["about"]);
    assert_eq!(
        (change, said),
        (&json!("status"), &json!({ "doing": "waiting" })),
        "in place of all that it said before"
    );
    let busy = scout.call("PUT", "/presence/status", &json!({ "status": "busy" })).await.expect(200);
    assert_eq!(busy["about"], told["about"], "what is absent stays");
    let event = ann.expect("presence").await;
    assert_eq!((&event["status"], &event["about"]["doing"]), (&json!("busy"), &json!("waiting")));
    drop(socket);
    while ann.expect("presence").await["event"] != "leave" {}
    let _again = scout.socket(&room, "").await;
    assert_eq!(ann.expect("presence").await["about"]["doing"], "waiting");
    let members = owner.get(&format!("/api/rooms/{room}/presence")).await.expect(200)["members"].clone();
    let scout_there = members.as_array().unwrap().iter().find(|member| member["name"] == "scout").unwrap();
    assert_eq!(scout_there["about"], json!({ "doing": "waiting" }));
    for bad in [
        json!({}),
        json!({ "about": { "doing": "sleeping" } }),
        json!({ "about": { "note": "x".repeat(201) } }),
        json!({ "about": { "model": "two\nlines" } }),
        json!({ "about": { "role": "\u{202e}reviewer" } }),
    ] {
        assert_eq!(scout.call("PUT", "/presence/status", &bad).await.refusal(400), "invalid_request", "{bad}");
    }
    scout.call("PUT", "/presence/status", &json!({ "status": "invisible" })).await.expect(200);
    assert_eq!(ann.expect("presence").await["event"], "leave");
    let hidden = json!({ "about": { "doing": "working" } });
    scout.call("PUT", "/presence/status", &hidden).await.expect(200);
    owner.say(&room, "Ann", "anybody here?").await;
    let next = ann.next().await.unwrap();
    assert_eq!(next["type"], "message", "nothing is told of somebody invisible: {next}");
}
