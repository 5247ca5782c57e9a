//! The gateway of the Centrifugo protocol, as a client speaks it by hand: who gets in, what it hears, what it may do.

use meet_api::Message;
use serde_json::{Value, json};

use crate::support::{Caller, Ended, Realtime, Server, Setup, code, connection_token, eventually, subscribe_token};

/// The offsets of a reply's publications.
fn offsets(publications: &Value) -> Vec<u64> {
    let publications = publications.as_array().into_iter().flatten();
    publications.map(|publication| publication["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_client_connects_by_token_and_hears_its_own_channels() {
    let server = Server::start().await;
    let owner = server.operator().session("Ann").await;
    let (_client, connected) = Realtime::connect(&owner).await;
    let user = owner.get("/api/session").await.expect(200);
    let (id, org) = (user["user"]["id"].as_str().unwrap(), user["org"].as_str().unwrap());
    let subs: Vec<_> = connected["subs"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(subs, [format!("org:{org}"), format!("role:{org}:owner"), format!("user:{id}")]);
    assert_eq!(
        (&connected["ping"], &connected["pong"], &connected["expires"]),
        (&json!(25), &json!(true), &json!(true))
    );
    assert!((590..=600).contains(&connected["ttl"].as_u64().unwrap()), "{connected}");
    assert!(connected.get("session").is_none(), "a WebSocket has a way up");
    let own = &connected["subs"][format!("user:{id}")]["data"];
    assert_eq!(own, &json!({ "type": "status", "status": "online" }), "what it chose, from the beginning");
}

#[tokio::test]
async fn a_guest_has_no_lobby_and_nobody_in_particular_no_channel_at_all() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let guest = owner.invite(&room, "member", "Gus").await;
    let (_client, connected) = Realtime::connect(&guest).await;
    let subs: Vec<_> = connected["subs"].as_object().unwrap().keys().cloned().collect();
    assert!(subs.len() == 2 && subs.iter().all(|name| !name.starts_with("org:")), "{subs:?}");
    let (_client, connected) = Realtime::connect(&server.stranger()).await;
    assert!(connected.get("subs").is_none(), "{connected}");
}

#[tokio::test]
async fn what_is_posted_is_published_and_what_is_published_is_stored() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let named = owner.clone().with_header("x-meet-name", "Ann");
    let mut client = Realtime::named(&owner, "Ann").await;
    let begun = client.subscribe(&named, &room, json!({})).await;
    assert_eq!((&begun["recoverable"], &begun["positioned"]), (&json!(true), &json!(true)));
    assert!(begun.get("offset").is_none(), "an empty room begins before its first message: {begun}");
    let mut watcher = owner.socket(&room, "").await;

    let posted = owner.say(&room, "Bob", "by POST").await;
    let push = client.push().await;
    assert_eq!(push["channel"], format!("chat:{room}"));
    assert_eq!(push["pub"]["offset"], 1);
    assert_eq!(serde_json::from_value::<Message>(push["pub"]["data"].clone()).unwrap(), posted);

    let publish = json!({ "publish": { "channel": format!("chat:{room}"), "data": { "content": "by publish" } } });
    assert_eq!(client.ask(publish).await["publish"], json!({}));
    let heard: Message = serde_json::from_value(client.publication().await["data"].clone()).unwrap();
    assert_eq!((heard.seq, heard.sender.as_str(), heard.content.as_str()), (2, "Ann", "by publish"));
    assert_eq!(watcher.message().await, posted);
    assert_eq!(watcher.message().await, heard, "the room's own socket tells the same");
    assert_eq!(owner.messages(&room, "").await, [posted, heard]);
}

#[tokio::test]
async fn whoever_comes_back_gets_what_it_missed_and_nothing_twice() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, named) = (owner.room("r").await, owner.clone().with_header("x-meet-name", "Ann"));
    let mut client = Realtime::named(&owner, "Ann").await;
    let epoch = client.subscribe(&named, &room, json!({})).await["epoch"].clone();
    for n in 1..=3 {
        owner.say(&room, "Bob", &n.to_string()).await;
        assert_eq!(client.publication().await["offset"], n);
    }
    drop(client);
    for n in 4..=9 {
        owner.say(&room, "Bob", &n.to_string()).await;
    }
    let mut client = Realtime::named(&owner, "Ann").await;
    let wishes = json!({ "recover": true, "offset": 3, "epoch": epoch });
    let begun = client.subscribe(&named, &room, wishes).await;
    assert_eq!((&begun["recovered"], &begun["was_recovering"]), (&json!(true), &json!(true)));
    assert_eq!((begun["offset"].as_u64(), offsets(&begun["publications"])), (Some(3), (4..=9).collect()));
    owner.say(&room, "Bob", "10").await;
    assert_eq!(client.publication().await["offset"], 10);
}

#[tokio::test]
async fn what_does_not_fit_into_the_reply_follows_it() {
    let server = Server::start().await;
    let owner = server.operator();
    let named = owner.clone().with_header("x-meet-name", "Ann");
    for (count, bytes) in [(1000, 10), (60, 32 * 1024)] {
        let room = owner.room("r").await;
        for _ in 0..count {
            owner.say(&room, "Bob", &"x".repeat(bytes)).await;
        }
        let mut client = Realtime::named(&owner, "Ann").await;
        let begun = client.subscribe(&named, &room, json!({ "recover": true, "offset": 7 })).await;
        assert_eq!((&begun["recovered"], &begun["offset"]), (&json!(true), &json!(7)));
        let mut heard = offsets(&begun["publications"]);
        assert!(heard.len() <= 300 && begun.to_string().len() < 128 * 1024, "{}", heard.len());
        owner.say(&room, "Bob", "live").await;
        while heard.last() < Some(&(count + 1)) {
            heard.push(client.publication().await["offset"].as_u64().unwrap());
        }
        assert_eq!(heard, (8..=count + 1).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_the_hub_never_heard_of_is_read_from_the_store() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, other) = (owner.room("r").await, owner.room("other").await);
    let named = owner.clone().with_header("x-meet-name", "Ann");
    let mut client = Realtime::named(&owner, "Ann").await;
    client.subscribe(&named, &room, json!({})).await;
    client.subscribe(&named, &other, json!({})).await;
    server.store_unheard(&owner, &room, "Bob", 250).await;
    owner.say(&room, "Bob", "heard").await;
    for n in 1..=251 {
        assert_eq!(client.publication().await["offset"], n);
    }
    owner.say(&other, "Bob", "elsewhere").await;
    assert_eq!(client.publication().await["data"]["content"], "elsewhere");
}

#[tokio::test]
async fn a_position_that_cannot_be_gone_on_from_is_said_to_be_lost() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, named) = (owner.room("r").await, owner.clone().with_header("x-meet-name", "Ann"));
    server.store_unheard(&owner, &room, "Bob", 10_005).await;
    let mut client = Realtime::named(&owner, "Ann").await;
    let leave = json!({ "unsubscribe": { "channel": format!("chat:{room}") } });
    let epoch = client.subscribe(&named, &room, json!({})).await["epoch"].clone();
    for (offset, epoch, recovered) in [
        (10_004, epoch.clone(), true),
        (4, epoch.clone(), false),
        (10_006, epoch.clone(), false),
        (10_000, json!("other"), false),
    ] {
        client.ask(leave.clone()).await;
        let wishes = json!({ "recover": true, "offset": offset, "epoch": epoch });
        let begun = client.subscribe(&named, &room, wishes).await;
        assert_eq!(begun.get("recovered").is_some(), recovered, "from {offset} in {epoch}");
        assert_eq!(begun["was_recovering"], true);
        assert_eq!(begun["offset"], if recovered { offset } else { 10_005 });
        assert_eq!(offsets(&begun["publications"]), if recovered { vec![10_005] } else { Vec::new() });
    }
    client.ask(leave).await;
    let reject = json!({ "recover": true, "offset": 1, "epoch": epoch, "flag": 2 });
    assert_eq!(code(&client.try_subscribe(&named, &room, reject).await), 112);
    let again = client.subscribe(&named, &room, json!({})).await;
    assert_eq!(again["offset"], 10_005, "a refused recovery leaves no half of a subscription");
}

#[tokio::test]
async fn people_are_seen_coming_and_going_by_connection() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let (ann, bob) = (owner.clone().with_header("x-meet-name", "Ann"), owner.session("Bob").await);
    let mut client = Realtime::named(&owner, "Ann").await;
    client.subscribe(&ann, &room, json!({ "join_leave": true })).await;
    let own = client.push().await["join"]["info"].clone();
    assert_eq!(own["conn_info"], json!({ "name": "Ann", "kind": "human" }));

    let (mut other, connected) = Realtime::connect(&bob).await;
    other.subscribe(&bob, &room, json!({})).await;
    let joined = client.push().await["join"]["info"].clone();
    assert_eq!((&joined["client"], &joined["conn_info"]["name"]), (&connected["client"], &json!("Bob")));

    let channel = json!({ "channel": format!("chat:{room}") });
    let presence = client.ask(json!({ "presence": channel })).await["presence"]["presence"].clone();
    assert_eq!(presence[joined["client"].as_str().unwrap()], joined);
    assert_eq!(presence[own["client"].as_str().unwrap()], own);
    let (mut second, _) = Realtime::connect(&bob).await;
    second.subscribe(&bob, &room, json!({})).await;
    let stats = client.ask(json!({ "presence_stats": channel })).await["presence_stats"].clone();
    assert_eq!(stats, json!({ "num_clients": 3, "num_users": 2 }));
    client.push().await;
    let people = owner.get(&format!("/api/rooms/{room}/presence")).await.expect(200);
    assert_eq!(people["members"].as_array().unwrap().len(), 2, "users, over HTTP: {people}");

    drop(other);
    assert_eq!(client.push().await["leave"]["info"], joined);
    assert_eq!(second.pushed().await, Vec::<Value>::new(), "who did not ask hears nobody");
}

#[tokio::test]
async fn history_is_read_from_both_ends() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    for n in 1..=9 {
        owner.say(&room, "Bob", &n.to_string()).await;
    }
    let mut client = Realtime::named(&owner, "Ann").await;
    let channel = format!("chat:{room}");
    let cases = [
        (json!({}), vec![]),
        (json!({ "limit": -1 }), (1..=9).collect()),
        (json!({ "limit": 4 }), vec![1, 2, 3, 4]),
        (json!({ "limit": 2, "since": { "offset": 4 } }), vec![5, 6]),
        (json!({ "limit": 3, "reverse": true }), vec![9, 8, 7]),
        (json!({ "limit": 3, "reverse": true, "since": { "offset": 3 } }), vec![2, 1]),
        (json!({ "limit": 3, "since": { "offset": 9 } }), vec![]),
        (json!({ "limit": 3, "since": { "offset": 900 } }), vec![]),
    ];
    for (mut history, expected) in cases {
        history["channel"] = channel.clone().into();
        let read = client.ask(json!({ "history": history })).await["history"].clone();
        assert_eq!((offsets(&read["publications"]), &read["offset"]), (expected, &json!(9)), "{history}");
    }
    let of_another = json!({ "channel": channel, "limit": 1, "since": { "offset": 1, "epoch": "other" } });
    assert_eq!(code(&client.ask(json!({ "history": of_another })).await), 112);
}

#[tokio::test]
async fn a_page_of_long_messages_ends_early_and_goes_on() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    for _ in 0..40 {
        owner.say(&room, "Bob", &"x".repeat(32 * 1024)).await;
    }
    let mut client = Realtime::named(&owner, "Ann").await;
    let (mut read, mut pages) = (Vec::new(), 0);
    while read.len() < 40 {
        let since = json!({ "offset": read.last().copied().unwrap_or(0) });
        let history = json!({ "channel": format!("chat:{room}"), "limit": 300, "since": since });
        let page = offsets(&client.ask(json!({ "history": history })).await["history"]["publications"]);
        assert!((1..=16).contains(&page.len()), "{}", page.len());
        read.extend(page);
        pages += 1;
    }
    assert_eq!((read, pages), ((1..=40).collect::<Vec<_>>(), 3));
}

#[tokio::test]
async fn channels_that_are_not_to_be_had_say_why() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let stranger = server.new_tenant().await;
    let named = owner.clone().with_header("x-meet-name", "Ann");
    let mut client = Realtime::named(&owner, "Ann").await;
    let subscribe = |channel: &str, token: &str| json!({ "subscribe": { "channel": channel, "token": token } });
    let (chat, token) = (format!("chat:{room}"), subscribe_token(&named, &room).await);
    for (channel, token, expected) in [
        ("news", "", 102),
        ("news:today", "", 102),
        (chat.as_str(), "", 103),
        (chat.as_str(), "not.a.token", 103),
        ("chat:lobby", token.as_str(), 103),
        ("user:0", "", 103),
        ("org:0", "", 103),
        ("role:0:owner", "", 103),
    ] {
        assert_eq!(code(&client.ask(subscribe(channel, token)).await), expected, "{channel}");
    }
    client.subscribe(&named, &room, json!({})).await;
    assert_eq!(code(&client.ask(subscribe(&chat, &token)).await), 105);
    for command in ["presence", "presence_stats", "history"] {
        for (channel, expected) in [("news:x", 102), ("org:x", 108), ("chat:x", 103)] {
            let reply = client.ask(json!({ command: { "channel": channel } })).await;
            assert_eq!(code(&reply), expected, "{command} of {channel}");
        }
    }
    let mut foreign = Realtime::named(&stranger, "Eve").await;
    for command in ["presence", "presence_stats", "history"] {
        assert_eq!(code(&foreign.ask(json!({ command: { "channel": chat } })).await), 103, "{command}");
    }
    let publish = json!({ "publish": { "channel": chat, "data": { "content": "hi" } } });
    assert_eq!(code(&foreign.ask(publish).await), 103);
    assert_eq!(code(&foreign.ask(json!({ "rpc": { "method": "x" } })).await), 108);
    // Ours, but given to somebody else.
    foreign.say(json!({ "id": 90, "subscribe": { "channel": chat, "token": token } })).await;
    assert_eq!(foreign.end().await, Ended(Some(3500)));
}

#[tokio::test]
async fn a_spectator_hears_a_public_room_and_says_nothing() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room_as(json!({ "name": "r", "visibility": "public" })).await;
    let foreign = server.new_tenant().await.session("Eve").await;
    for watcher in [server.stranger(), foreign] {
        let (mut client, _) = Realtime::connect(&watcher).await;
        client.subscribe(&watcher, &room, json!({})).await;
        let said = owner.say(&room, "Ann", "hello").await;
        assert_eq!(client.publication().await["offset"], said.seq);
        let publish = json!({ "publish": { "channel": format!("chat:{room}"), "data": { "content": "me too" } } });
        assert_eq!(code(&client.ask(publish).await), 103);
        let people = owner.get(&format!("/api/rooms/{room}/presence")).await.expect(200);
        assert_eq!(people, json!({ "members": [], "watching": 1 }));
        drop(client);
        eventually("the watcher to leave", || server.app.hub().connections() == 0).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_publication_is_said_and_the_connection_goes_on() {
    let server = Setup::new().with(|config| config.limits.messages_per_minute_per_key = 3).start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("r").await;
    let mut client = Realtime::named(&owner, "Ann").await;
    let publish = |data: Value| json!({ "publish": { "channel": format!("chat:{room}"), "data": data } });
    for (data, expected) in [
        (json!({}), 107),
        (json!([1]), 107),
        (json!("text"), 107),
        (json!({ "content": "" }), 107),
        (json!({ "content": 5 }), 107),
        (json!({ "content": "a\u{0}b" }), 107),
        (json!({ "content": "x".repeat(32 * 1024 + 1) }), 107),
        (json!({ "content": "hi", "reply_to": "nothing" }), 107),
        (json!({ "content": "hi", "sender": "Bob" }), 103),
    ] {
        let reply = client.ask(publish(data)).await;
        assert_eq!(code(&reply), expected, "{reply}");
        assert!(reply["error"]["message"].as_str().is_some_and(|sentence| !sentence.is_empty()));
    }
    let once = json!({ "content": "once", "client_id": "1" });
    for _ in 0..2 {
        assert_eq!(client.ask(publish(once.clone())).await["publish"], json!({}), "a repeat is the same message");
    }
    assert_eq!(code(&client.ask(publish(json!({ "content": "other", "client_id": "1" }))).await), 409);
    for _ in 0..2 {
        client.ask(publish(json!({ "content": "more" }))).await;
    }
    let limited = client.ask(publish(json!({ "content": "too much" }))).await;
    assert_eq!((code(&limited), &limited["error"]["temporary"]), (111, &json!(true)));
    assert_eq!(owner.messages(&room, "").await.len(), 3);
}

#[tokio::test]
async fn a_room_that_ends_takes_its_subscribers_and_leaves_them_the_rest() {
    let server = Server::start().await;
    let owner = server.operator();
    let (gone, stays) = (owner.room("gone").await, owner.room("stays").await);
    let named = owner.clone().with_header("x-meet-name", "Ann");
    let mut client = Realtime::named(&owner, "Ann").await;
    client.subscribe(&named, &gone, json!({})).await;
    client.subscribe(&named, &stays, json!({})).await;
    owner.delete(&format!("/api/rooms/{gone}")).await.expect(204);
    loop {
        let push = client.push().await;
        if push["channel"] == format!("chat:{gone}") {
            assert_eq!(push["unsubscribe"]["code"], 2000, "{push}");
            break;
        }
    }
    owner.say(&stays, "Bob", "still here").await;
    assert_eq!(client.publication().await["data"]["content"], "still here");
}

#[tokio::test]
async fn the_lobby_is_heard_on_the_same_connection() {
    let server = Server::start().await;
    let owner = server.operator();
    let mut client = Realtime::named(&owner, "Ann").await;
    let room = owner.room("new").await;
    let data = client.lobby().await;
    assert_eq!((&data["type"], &data["id"], &data["name"]), (&json!("room_created"), &json!(room), &json!("new")));
    owner.delete(&format!("/api/rooms/{room}")).await.expect(204);
    let next = client.lobby().await;
    let deleted = if next["type"] == "room_updated" { client.lobby().await } else { next };
    assert_eq!(deleted, json!({ "type": "room_deleted", "id": room }));
}

#[tokio::test]
async fn tokens_that_open_nothing_say_how_to_go_on() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let named = owner.clone().with_header("x-meet-name", "Ann");
    let (token, subscription) = (connection_token(&named).await, subscribe_token(&named, &room).await);
    let connect = |token: &str| json!({ "id": 1, "connect": { "token": token } });
    for wrong in ["x", subscription.as_str()] {
        let mut client = Realtime::open(&owner).await;
        client.say(connect(wrong)).await;
        assert_eq!(client.end().await, Ended(Some(3500)));
    }
    let mut client = Realtime::open(&owner).await;
    client.say(connect("")).await;
    assert_eq!(client.end().await, Ended(Some(3501)), "no token at all");

    let mut client = Realtime::connect(&named).await.0;
    server.clock.advance(std::time::Duration::from_mins(10));
    let mut late = Realtime::open(&owner).await;
    assert_eq!(code(&late.ask(json!({ "connect": { "token": token } })).await), 109);
    let subscribe = json!({ "subscribe": { "channel": format!("chat:{room}"), "token": subscription } });
    assert_eq!(code(&client.ask(subscribe).await), 109, "the client fetches another and comes again");
    let refreshed = client.ask(json!({ "refresh": { "token": connection_token(&named).await } })).await;
    assert_eq!((&refreshed["refresh"]["expires"], &refreshed["refresh"]["ttl"]), (&json!(true), &json!(600)));
    client.subscribe(&named, &room, json!({})).await;
    let fresh = json!({ "channel": format!("chat:{room}"), "token": subscribe_token(&named, &room).await });
    assert_eq!(client.ask(json!({ "sub_refresh": fresh })).await["sub_refresh"]["ttl"], 600);
    client.say(json!({ "id": 99, "refresh": { "token": token } })).await;
    assert_eq!(client.end().await, Ended(Some(3005)), "an expired one to refresh by: come back with another");
}

#[tokio::test]
async fn a_token_of_somebody_else_refreshes_nothing() {
    let server = Server::start().await;
    let owner = server.operator();
    let other = connection_token(&owner.clone().with_header("x-meet-name", "Bob")).await;
    for token in [other.as_str(), "x"] {
        let mut client = Realtime::named(&owner, "Ann").await;
        client.say(json!({ "id": 9, "refresh": { "token": token } })).await;
        assert_eq!(client.end().await, Ended(Some(3500)));
    }
}

#[tokio::test]
async fn whatever_ends_a_credential_ends_its_connections_and_tokens() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room("r").await;
    let (session, guest) = (owner.session("Ann").await, owner.invite(&room, "member", "Gus").await);
    let key = server.new_tenant().await;
    let keyed = key.clone().with_header("x-meet-name", "Kim");
    let invites = owner.get(&format!("/api/rooms/{room}/invites")).await.expect(200);
    let invite = format!("/api/invites/{}", invites[0]["id"].as_str().unwrap());
    let callers: [(&Caller, _); 3] = [
        (&session, (&session, "/api/session".to_owned())),
        (&guest, (&owner, invite)),
        (&keyed, (&key, "/api/keys".to_owned())),
    ];
    for (caller, (ender, path)) in callers {
        let token = connection_token(caller).await;
        let (mut client, _) = Realtime::connect(caller).await;
        ender.delete(&path).await.expect(204);
        assert_eq!(client.end().await, Ended(Some(3500)), "{path}");
        let mut again = Realtime::open(caller).await;
        again.say(json!({ "id": 1, "connect": { "token": token } })).await;
        assert_eq!(again.end().await, Ended(Some(3500)), "{path}");
    }
}

#[tokio::test]
async fn a_room_that_turns_private_is_over_for_those_who_only_watched() {
    let server = Server::start().await;
    let owner = server.operator();
    let room = owner.room_as(json!({ "name": "r", "visibility": "public" })).await;
    let stranger = server.stranger();
    let (mut watcher, _) = Realtime::connect(&stranger).await;
    watcher.subscribe(&stranger, &room, json!({})).await;
    let named = owner.clone().with_header("x-meet-name", "Ann");
    let mut own = Realtime::named(&owner, "Ann").await;
    own.subscribe(&named, &room, json!({})).await;
    owner.patch(&format!("/api/rooms/{room}"), json!({ "visibility": "private" })).await.expect(200);
    assert_eq!(watcher.push().await["unsubscribe"]["code"], 2000);
    owner.say(&room, "Bob", "among us").await;
    assert_eq!(own.publication().await["data"]["content"], "among us");
    assert_eq!(watcher.pushed().await, Vec::<Value>::new());
}
