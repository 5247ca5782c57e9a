//! What time ends at the gateway: connections and subscriptions whose token is not renewed, pings that nobody answers.
//! The clock stands still; a command wakes the connection, which then sees what is due.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ended, Realtime, Setup, connection_token};

/// Something to say that changes nothing.
fn hello() -> Value {
    json!({ "id": 4000, "unsubscribe": { "channel": "nowhere" } })
}

#[tokio::test]
async fn a_connection_that_brings_no_new_token_is_ended_after_a_grace() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.operator().session("Ann").await;
    let (mut client, connected) = Realtime::connect(&owner).await;
    assert_eq!(connected["ttl"], 600);
    server.clock.advance(Duration::from_secs(600 + 24));
    client.pushed().await;
    server.clock.advance(Duration::from_secs(1));
    client.say(hello()).await;
    assert_eq!(client.end().await, Ended(Some(3005)));
}

#[tokio::test]
async fn a_subscription_that_brings_no_new_token_ends_and_the_connection_goes_on() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.operator().session("Ann").await;
    let room = server.operator().room("r").await;
    let (mut client, _) = Realtime::connect(&owner).await;
    assert_eq!(client.subscribe(&owner, &room, json!({})).await["ttl"], 600);
    server.clock.advance(Duration::from_mins(9));
    let token = connection_token(&owner).await;
    assert_eq!(client.ask(json!({ "refresh": { "token": token } })).await["refresh"]["ttl"], 600);
    // The ping that was due meanwhile is answered before the clock moves on.
    client.pushed().await;
    server.clock.advance(Duration::from_secs(60 + 25));
    let push = match client.pushed().await.pop() {
        Some(push) => push,
        None => client.push().await,
    };
    assert_eq!((&push["channel"], &push["unsubscribe"]["code"]), (&json!(format!("chat:{room}")), &json!(2501)));
    client.subscribe(&owner, &room, json!({})).await;
}

#[tokio::test]
async fn a_ping_that_nobody_answers_ends_the_connection() {
    let server = Setup::new().manual_clock().start().await;
    let owner = server.operator().session("Ann").await;
    let mut socket = owner.bare_socket("/connection/websocket").await.unwrap();
    socket.send(json!({ "id": 1, "connect": { "token": connection_token(&owner).await } })).await;
    assert!(socket.next().await.unwrap()["connect"].is_object());
    server.clock.advance(Duration::from_secs(25));
    socket.send(hello()).await;
    assert_eq!(socket.next().await.unwrap()["id"], 4000);
    assert_eq!(socket.next().await.unwrap(), json!({}), "a ping");
    server.clock.advance(Duration::from_secs(7));
    socket.send(hello()).await;
    assert_eq!(socket.next().await.unwrap()["id"], 4000, "there is time left");
    server.clock.advance(Duration::from_secs(1));
    socket.send(hello()).await;
    assert_eq!(socket.next().await.unwrap()["id"], 4000);
    assert_eq!(socket.end().await, Ended(Some(3012)));
}
