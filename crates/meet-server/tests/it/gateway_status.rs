//! Who is seen as what by clients of the gateway: the channels of a status, and under which ids people are shown.

use serde_json::{Value, json};

use crate::support::{Caller, Realtime, Server, code};

/// The id of whom a caller's session is.
async fn user_id(caller: &Caller) -> String {
    caller.get("/api/session").await.expect(200)["user"]["id"].as_str().unwrap().to_owned()
}

async fn choose(caller: &Caller, status: &str) {
    let body = json!({ "status": status });
    caller.call("PUT", "/presence/status", &body).await.expect(200);
}

#[tokio::test]
async fn a_status_is_heard_by_its_channel_and_by_the_users_other_devices() {
    let server = Server::start().await;
    let owner = server.operator();
    let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
    let id = user_id(&bob).await;
    let channel = format!("status:{id}");
    let (mut watcher, _) = Realtime::connect(&ann).await;
    let begun = watcher.ask(json!({ "subscribe": { "channel": channel } })).await["subscribe"].clone();
    assert_eq!(begun, json!({ "data": { "user": id, "status": "offline" } }));

    let (mut phone, _) = Realtime::connect(&bob).await;
    let (laptop, _) = Realtime::connect(&bob).await;
    choose(&bob, "busy").await;
    choose(&bob, "invisible").await;
    choose(&bob, "away").await;
    drop(laptop);
    assert_eq!(phone.push().await["pub"]["data"], json!({ "type": "status", "status": "busy" }));
    assert_eq!(phone.push().await["pub"]["data"], json!({ "type": "status", "status": "invisible" }));
    drop(phone);
    for status in ["online", "busy", "offline", "away", "offline"] {
        let push = watcher.push().await;
        assert_eq!((&push["channel"], &push["pub"]["data"]["status"]), (&json!(channel), &json!(status)), "{push}");
    }
    let nobody = json!({ "subscribe": { "channel": "status:0191d2c8-0000-7000-8000-000000000000" } });
    assert_eq!(code(&watcher.ask(nobody).await), 103);
    let (mut foreign, _) = Realtime::connect(&server.new_tenant().await.session("Eve").await).await;
    assert_eq!(code(&foreign.ask(json!({ "subscribe": { "channel": channel } })).await), 103);
}

#[tokio::test]
async fn a_guest_hears_of_a_status_only_while_it_shares_a_room() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, bob) = (owner.room("r").await, owner.session("Bob").await);
    let guest = owner.invite(&room, "member", "Gus").await;
    let channel = format!("status:{}", user_id(&bob).await);
    let subscribe = json!({ "subscribe": { "channel": channel } });
    let (mut client, _) = Realtime::connect(&guest).await;
    client.subscribe(&guest, &room, json!({ "join_leave": true })).await;
    client.push().await;
    let (mut other, _) = Realtime::connect(&bob).await;
    assert_eq!(code(&client.ask(subscribe.clone()).await), 103, "connected, but elsewhere");
    other.subscribe(&bob, &room, json!({})).await;
    assert!(client.push().await["join"].is_object());
    assert_eq!(client.ask(subscribe).await["subscribe"]["data"]["status"], "online");
    other.ask(json!({ "unsubscribe": { "channel": format!("chat:{room}") } })).await;
    assert!(client.push().await["leave"].is_object());
    let push = client.push().await;
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!(channel), &json!(2000)), "{push}");
    choose(&bob, "busy").await;
    assert_eq!(client.pushed().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_guest_that_does_not_listen_to_the_room_hears_no_more_of_who_left_it() {
    let server = Server::start().await;
    let owner = server.operator();
    let (room, bob) = (owner.room("r").await, owner.session("Bob").await);
    let guest = owner.invite(&room, "member", "Gus").await;
    let (mut other, _) = Realtime::connect(&bob).await;
    other.subscribe(&bob, &room, json!({})).await;
    let channel = format!("status:{}", user_id(&bob).await);
    let (mut client, _) = Realtime::connect(&guest).await;
    client.ask(json!({ "subscribe": { "channel": channel } })).await;
    other.ask(json!({ "unsubscribe": { "channel": format!("chat:{room}") } })).await;
    let push = client.push().await;
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!(channel), &json!(2000)), "{push}");
}

#[tokio::test]
async fn whoever_was_invisible_is_shown_under_one_new_id_everywhere() {
    let server = Server::start().await;
    let owner = server.operator();
    let (first, second) = (owner.room("first").await, owner.room("second").await);
    let (ann, bob) = (owner.session("Ann").await, owner.session("Bob").await);
    let (mut watcher, _) = Realtime::connect(&ann).await;
    for room in [&first, &second] {
        watcher.subscribe(&ann, room, json!({ "join_leave": true })).await;
        watcher.push().await;
    }
    let (mut client, connected) = Realtime::connect(&bob).await;
    client.subscribe(&bob, &first, json!({})).await;
    let id = |push: Value, event: &str| push[event]["info"]["client"].as_str().unwrap().to_owned();
    assert_eq!(id(watcher.push().await, "join"), connected["client"].as_str().unwrap());
    choose(&bob, "invisible").await;
    assert_eq!(id(watcher.push().await, "leave"), connected["client"].as_str().unwrap());
    choose(&bob, "online").await;
    let shown = id(watcher.push().await, "join");
    assert_ne!(shown, connected["client"].as_str().unwrap(), "as somebody who was really gone");
    client.subscribe(&bob, &second, json!({})).await;
    assert_eq!(id(watcher.push().await, "join"), shown);
    client.ask(json!({ "unsubscribe": { "channel": format!("chat:{first}") } })).await;
    client.subscribe(&bob, &first, json!({})).await;
    assert_eq!(id(watcher.push().await, "leave"), shown);
    assert_eq!(id(watcher.push().await, "join"), shown);
}
