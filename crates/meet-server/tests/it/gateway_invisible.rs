//! Whoever is invisible is not there: an observer at the gateway has the same transcript of it as of somebody who went.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::support::{Caller, Database, Realtime, Setup, databases, eventually};

/// Somebody at the gateway who writes down all that is to be known of bob.
struct Observer {
    caller: Caller,
    room: String,
    bob: String,
    client: Realtime,
    /// What the room and the lobby said and was not written down yet.
    said: [VecDeque<Value>; 2],
    told: Value,
    transcript: Vec<Value>,
}

impl Observer {
    async fn sit_down(caller: Caller, room: &str, bob: &str) -> Self {
        let (mut client, connected) = Realtime::connect(&caller).await;
        let begun = client.subscribe(&caller, room, json!({ "join_leave": true })).await;
        let watched = client.ask(json!({ "subscribe": { "channel": format!("status:{bob}") } })).await;
        let (room, bob, transcript) = (room.to_owned(), bob.to_owned(), vec![connected, begun, watched]);
        Self { caller, room, bob, client, said: Default::default(), told: Value::Null, transcript }
    }

    /// The next push of the lobby, or of anything else; the one does not wait for the other.
    async fn next(&mut self, is_of_lobby: bool) -> Value {
        loop {
            if let Some(push) = self.said[usize::from(is_of_lobby)].pop_front() {
                return push;
            }
            let push = self.client.any_push().await;
            let is_of_lobby = push["channel"].as_str().is_some_and(|channel| channel.starts_with("org:"));
            self.said[usize::from(is_of_lobby)].push_back(push);
        }
    }

    /// Writes down what the lobby tells until it shows so many people and messages.
    async fn wait_for(&mut self, online: u64, head_seq: u64) {
        loop {
            let told = self.next(true).await["pub"]["data"].take();
            // It may tell the same twice, whatever happens.
            if self.told != told {
                self.transcript.push(told.clone());
                self.told.clone_from(&told);
            }
            if (&told["online"], &told["head_seq"]) == (&json!(online), &json!(head_seq)) {
                return;
            }
        }
    }

    /// Says something and writes down all that came before it, and all that can be asked.
    async fn look_around(&mut self, online: u64, marker: u64) {
        self.caller
            .post_json(&format!("/api/rooms/{}/messages", self.room), json!({ "content": "?" }))
            .await
            .expect(201);
        self.wait_for(online, marker).await;
        loop {
            let push = self.next(false).await;
            let is_last = push["pub"]["offset"] == marker;
            self.transcript.push(push);
            if is_last {
                break;
            }
        }
        let (chat, status) = (format!("chat:{}", self.room), format!("status:{}", self.bob));
        for question in [
            json!({ "presence": { "channel": chat } }),
            json!({ "presence_stats": { "channel": chat } }),
            json!({ "history": { "channel": chat, "limit": 10 } }),
            json!({ "presence": { "channel": status } }),
            json!({ "unsubscribe": { "channel": status } }),
            json!({ "subscribe": { "channel": status } }),
        ] {
            let answer = self.client.ask(question).await;
            self.transcript.push(answer);
        }
    }

    /// What was written down, with every id named by its first appearance, and without epochs, which are chance.
    fn transcript(self) -> Vec<String> {
        let mut names = HashMap::new();
        self.transcript.into_iter().map(|what| anonymous(what, &mut names).to_string()).collect()
    }
}

/// Names the ids in a text, which may be part of a channel's name.
fn name(text: &str, names: &mut HashMap<String, String>) -> String {
    let parts = text.split(':').map(|part| {
        let count = names.len();
        if part.len() == 36 {
            names.entry(part.to_owned()).or_insert_with(|| format!("id {count}")).clone()
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join(":")
}

fn anonymous(value: Value, names: &mut HashMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(name(&text, names)),
        Value::Array(list) => list.into_iter().map(|value| anonymous(value, names)).collect(),
        Value::Object(mut fields) => {
            fields.remove("epoch");
            fields.into_iter().map(|(key, value)| (name(&key, names), anonymous(value, names))).collect()
        }
        other => other,
    }
}

/// How somebody is not to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// By turning invisible.
    Invisible,
    /// By not being here.
    Gone,
}

async fn choose(caller: &Caller, status: &str) {
    caller.call("PUT", "/presence/status", &json!({ "status": status })).await.expect(200);
}

/// A device of bob's, in the room.
async fn device(bob: &Caller, room: &str) -> Realtime {
    let mut client = Realtime::connect(bob).await.0;
    client.subscribe(bob, room, json!({})).await;
    client
}

/// Bob is here, is not to be seen for a while, is back, and leaves.
async fn comes_and_goes(database: Database, absence: Absence) -> Vec<String> {
    let server = Setup::on(database).manual_clock().start().await;
    let owner = server.new_tenant().await;
    let room = owner.room("planning").await;
    let (ann, bob) = (owner.session("ann").await, owner.session("bob").await);
    let user = bob.get("/api/session").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
    let mut observer = Observer::sit_down(ann, &room, &user).await;
    let here = device(&bob, &room).await;
    observer.wait_for(2, 0).await;
    observer.look_around(2, 1).await;

    let before = server.app.hub().connections();
    let mut devices = vec![here];
    match absence {
        Absence::Invisible => choose(&bob, "invisible").await,
        Absence::Gone => {
            devices.clear();
            eventually("bob to leave", || server.app.hub().connections() == before - 1).await;
        }
    }
    observer.wait_for(1, 1).await;
    observer.look_around(1, 2).await;
    if absence == Absence::Invisible {
        let mut second = device(&bob, &room).await;
        let status = json!({ "subscribe": { "channel": format!("status:{user}") } });
        assert_eq!(second.ask(status).await["subscribe"]["data"]["status"], "offline", "to itself as to others");
        drop(second);
        bustle(&bob, &room).await;
        eventually("the other devices to leave", || server.app.hub().connections() == before).await;
    }
    observer.look_around(1, 3).await;

    match absence {
        Absence::Invisible => choose(&bob, "online").await,
        Absence::Gone => devices.push(device(&bob, &room).await),
    }
    observer.wait_for(2, 3).await;
    observer.look_around(2, 4).await;
    drop(devices);
    observer.wait_for(1, 4).await;
    observer.look_around(1, 5).await;
    server.stop().await;
    observer.transcript()
}

/// Asks for everything, and says nothing.
async fn bustle(bob: &Caller, room: &str) {
    let mut client = device(bob, room).await;
    for question in ["presence", "presence_stats", "history"] {
        client.ask(json!({ question: { "channel": format!("chat:{room}") } })).await;
    }
    client.ask(json!({ "unsubscribe": { "channel": format!("chat:{room}") } })).await;
    client.subscribe(bob, room, json!({ "join_leave": true })).await;
}

#[tokio::test]
async fn turning_invisible_looks_like_a_disconnect_at_the_gateway() {
    for database in databases().await {
        let other = database.another().await;
        let runs = (comes_and_goes(database, Absence::Invisible), comes_and_goes(other, Absence::Gone));
        let (invisible, gone) = tokio::join!(runs.0, runs.1);
        for (one, another) in invisible.iter().zip(&gone) {
            assert_eq!(one, another, "invisible, and gone");
        }
        assert_eq!(invisible.len(), gone.len());
    }
}
