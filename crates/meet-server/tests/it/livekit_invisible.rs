//! Whoever is invisible is in no call: an observer has the same transcript of it as of somebody who is not there.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use crate::support::{Caller, Database, Realtime, Socket, Stream, calls::Scene, databases, eventually};

/// Somebody who writes down all that is to be known of the room's call.
struct Observer {
    caller: Caller,
    room: String,
    socket: Socket,
    events: Stream,
    client: Realtime,
    markers: u64,
    transcript: Vec<Value>,
}

impl Observer {
    async fn sit_down(scene: &Scene) -> Self {
        let (caller, room) = (scene.owner.session("Olga").await, scene.room.clone());
        let mut client = Realtime::connect(&caller).await.0;
        client.subscribe(&caller, &room, json!({ "join_leave": true })).await;
        let socket = scene.watch().await;
        let events = caller.stream(&format!("/api/rooms/{room}/events?since=0")).await;
        Self { caller, room, socket, events, client, markers: 0, transcript: Vec::new() }
    }

    /// Says something and writes down all that came before it, and all that can be asked.
    async fn look_around(&mut self) {
        self.markers += 1;
        let marker = json!(self.markers);
        let said = json!({ "content": "?" });
        self.caller.post_json(&format!("/api/rooms/{}/messages", self.room), said).await.expect(201);
        let mut last = Value::Null;
        while last["seq"] != marker {
            last = self.socket.next().await.unwrap();
            self.transcript.push(last.clone());
        }
        let mut last = Value::Null;
        while last["seq"] != marker {
            let event = self.events.next().await.unwrap();
            last = event.data;
            self.transcript.push(json!([event.id, event.name, last]));
        }
        let mut last = Value::Null;
        while last["pub"]["offset"] != marker {
            last = self.client.push().await;
            self.transcript.push(last.clone());
        }
        for path in ["", "/presence"] {
            let answer = self.caller.get(&format!("/api/rooms/{}{path}", self.room)).await.expect(200);
            self.transcript.push(answer);
        }
    }

    /// What was written down, with every id named by its first appearance, and without epochs, which are chance.
    fn transcript(self) -> Vec<String> {
        let mut names = HashMap::new();
        self.transcript.into_iter().map(|what| anonymous(what, &mut names).to_string()).collect()
    }
}

fn anonymous(value: Value, names: &mut HashMap<String, String>) -> Value {
    match value {
        Value::String(text) => {
            let mut name = |part: &str| {
                let count = names.len();
                let is_id = part.parse::<uuid::Uuid>().is_ok();
                is_id.then(|| names.entry(part.to_owned()).or_insert_with(|| format!("id {count}")).clone())
            };
            // A channel's name has an id in it.
            let parts: Vec<_> = text.split(':').map(|part| name(part).unwrap_or_else(|| part.to_owned())).collect();
            Value::String(parts.join(":"))
        }
        Value::Array(list) => list.into_iter().map(|value| anonymous(value, names)).collect(),
        Value::Object(mut fields) => {
            fields.remove("epoch");
            fields.into_iter().map(|(key, value)| (key, anonymous(value, names))).collect()
        }
        other => other,
    }
}

/// How somebody is not to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// By being invisible.
    Invisible,
    /// By not being there.
    Gone,
}

/// Asserts that two transcripts are the same, line by line.
#[track_caller]
fn same(invisible: &[String], gone: &[String]) {
    for (at, (invisible, gone)) in invisible.iter().zip(gone).enumerate() {
        assert_eq!(invisible, gone, "line {at}");
    }
    assert_eq!(invisible.len(), gone.len());
}

async fn choose(caller: &Caller, status: &str) {
    caller.call("PUT", "/presence/status", &json!({ "status": status })).await.expect(200);
}

/// Comes into the call, and gives the identity.
async fn come(scene: &Scene, caller: &Caller) -> String {
    let there = scene.livekit.join(&caller.call_token(&scene.room).await).unwrap();
    scene.told().await;
    there.identity
}

async fn leave(scene: &Scene, identity: &str) {
    assert!(scene.livekit.leave(&scene.room, identity));
    scene.told().await;
}

/// Comes and goes by another device, and is found by a look at who is there.
async fn bustle(scene: &Scene, caller: &Caller) {
    let other = come(scene, caller).await;
    scene.server.tend(Duration::ZERO).await;
    leave(scene, &other).await;
    let unheard = scene.livekit.join(&caller.call_token(&scene.room).await).unwrap();
    while scene.livekit.webhook().is_some() {}
    scene.server.tend(Duration::from_secs(10)).await;
    leave(scene, &unheard.identity).await;
}

/// Bob was invisible before he came into the call, or never comes.
async fn never_seen(database: Database, absence: Absence) -> Vec<String> {
    let scene = Scene::on(database).await;
    let bob = scene.owner.session("Bob").await;
    let mut observer = Observer::sit_down(&scene).await;
    observer.look_around().await;
    if absence == Absence::Invisible {
        choose(&bob, "invisible").await;
        bustle(&scene, &bob).await;
        let there = come(&scene, &bob).await;
        observer.look_around().await;
        choose(&bob, "invisible").await;
        leave(&scene, &there).await;
    } else {
        scene.server.clock.advance(Duration::from_secs(10));
        observer.look_around().await;
    }
    observer.look_around().await;
    observer.transcript()
}

#[tokio::test]
async fn whoever_is_invisible_in_a_call_looks_like_somebody_who_never_came() {
    for database in databases().await {
        let other = database.another().await;
        let gone = never_seen(other, Absence::Gone).await;
        let invisible = never_seen(database, Absence::Invisible).await;
        same(&invisible, &gone);
        assert!(!gone.concat().contains("Bob"), "{gone:#?}");
    }
}

/// Bob is in the call, is not to be seen for a while, is seen again, and leaves. He may have the room open meanwhile.
async fn leaves_and_returns(database: Database, absence: Absence, has_socket: bool) -> Vec<String> {
    let scene = Scene::on(database).await;
    let Scene { server, owner, room, .. } = &scene;
    let bob = owner.session("Bob").await;
    let mut observer = Observer::sit_down(&scene).await;
    let alone = server.app.hub().connections();
    // Members are listed by the time of their arrival.
    server.clock.advance(Duration::from_secs(1));
    let mut socket = None;
    if has_socket {
        socket = Some(bob.socket(room, "").await);
    }
    let mut there = come(&scene, &bob).await;
    observer.look_around().await;

    if absence == Absence::Invisible {
        choose(&bob, "invisible").await;
    } else {
        leave(&scene, &there).await;
        drop(socket.take());
        eventually("the socket to close", || server.app.hub().connections() == alone).await;
    }
    observer.look_around().await;
    server.clock.advance(Duration::from_secs(20));
    if absence == Absence::Invisible {
        bustle(&scene, &bob).await;
    } else {
        server.clock.advance(Duration::from_secs(10));
    }
    observer.look_around().await;

    if absence == Absence::Invisible {
        choose(&bob, "online").await;
    } else {
        there = come(&scene, &bob).await;
        if has_socket {
            socket = Some(bob.socket(room, "").await);
        }
    }
    observer.look_around().await;
    leave(&scene, &there).await;
    observer.look_around().await;
    drop(socket);
    observer.transcript()
}

#[tokio::test]
async fn turning_invisible_in_a_call_looks_like_leaving_it() {
    for has_socket in [true, false] {
        for database in databases().await {
            let other = database.another().await;
            let gone = leaves_and_returns(other, Absence::Gone, has_socket).await;
            let invisible = leaves_and_returns(database, Absence::Invisible, has_socket).await;
            same(&invisible, &gone);
            let joins = gone.iter().filter(|line| line.contains(r#""event":"join""#) && line.contains(r#""call""#));
            assert!(joins.count() >= 2, "{gone:#?}");
        }
    }
}
