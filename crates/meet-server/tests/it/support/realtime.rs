//! A client of the Centrifugo protocol, by hand: JSON over a WebSocket, what it is told kept apart from what it asked.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Caller, Ended, Socket};

/// A connection.
pub(crate) struct Realtime {
    socket: Socket,
    asked: u32,
    pushes: VecDeque<Value>,
}

impl Realtime {
    /// A connection that has said nothing yet.
    pub(crate) async fn open(caller: &Caller) -> Self {
        let socket = caller.bare_socket("/connection/websocket").await.expect("an upgrade");
        Self { socket, asked: 0, pushes: VecDeque::new() }
    }

    /// A connection of this caller, with the reply to its `connect`.
    pub(crate) async fn connect(caller: &Caller) -> (Self, Value) {
        let mut client = Self::open(caller).await;
        let reply = client.ask(json!({ "connect": { "token": connection_token(caller).await } })).await;
        assert!(reply["connect"].is_object(), "{reply}");
        (client, reply["connect"].clone())
    }

    /// The same for a bearer of a key who says a name.
    pub(crate) async fn named(caller: &Caller, name: &str) -> Self {
        Self::connect(&caller.clone().with_header("x-meet-name", name)).await.0
    }

    /// Sends a command and gives the reply to it; pings are answered, pushes kept.
    pub(crate) async fn ask(&mut self, mut command: Value) -> Value {
        self.asked += 1;
        command["id"] = self.asked.into();
        self.socket.send(&command).await;
        loop {
            let reply = self.next().await.unwrap_or_else(|ended| panic!("{ended:?} instead of an answer to {command}"));
            if reply["id"] == self.asked {
                return reply;
            }
            self.pushes.push_back(reply);
        }
    }

    /// Sends something of which no answer is expected.
    pub(crate) async fn say(&mut self, frame: impl ToString) {
        self.socket.send(frame).await;
    }

    /// Listens to a room by a token of this caller; the reply's result.
    pub(crate) async fn subscribe(&mut self, caller: &Caller, room: &str, wishes: Value) -> Value {
        let reply = self.try_subscribe(caller, room, wishes).await;
        assert!(reply["subscribe"].is_object(), "{reply}");
        reply["subscribe"].clone()
    }

    /// The same, with the whole reply.
    pub(crate) async fn try_subscribe(&mut self, caller: &Caller, room: &str, wishes: Value) -> Value {
        let mut subscribe = json!({ "channel": format!("chat:{room}"), "token": subscribe_token(caller, room).await });
        for (name, value) in wishes.as_object().into_iter().flatten() {
            subscribe[name] = value.clone();
        }
        self.ask(json!({ "subscribe": subscribe })).await
    }

    /// The next push, apart from what the lobby says.
    pub(crate) async fn push(&mut self) -> Value {
        loop {
            let push = self.any_push().await;
            if !is_of_lobby(&push) {
                return push;
            }
        }
    }

    /// The next push of the lobby.
    pub(crate) async fn lobby(&mut self) -> Value {
        loop {
            let push = self.any_push().await;
            if is_of_lobby(&push) {
                return push["pub"]["data"].clone();
            }
        }
    }

    /// The next push, whatever it is.
    pub(crate) async fn any_push(&mut self) -> Value {
        let push = match self.pushes.pop_front() {
            Some(push) => push,
            None => self.next().await.unwrap_or_else(|ended| panic!("{ended:?} instead of a push")),
        };
        push["push"].clone()
    }

    /// The next publication of a room, other pushes passed over.
    pub(crate) async fn publication(&mut self) -> Value {
        loop {
            let push = self.push().await;
            if push["pub"]["offset"].is_u64() {
                return push["pub"].clone();
            }
        }
    }

    /// Everything that was pushed so far, apart from what the lobby says: what the server said before the answer to a question that is asked now.
    pub(crate) async fn pushed(&mut self) -> Vec<Value> {
        self.ask(json!({ "unsubscribe": { "channel": "nowhere" } })).await;
        self.pushes.drain(..).map(|reply| reply["push"].clone()).filter(|push| !is_of_lobby(push)).collect()
    }

    /// Reads until the connection ends, and gives its close code.
    pub(crate) async fn end(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.next().await {
                return ended;
            }
        }
    }

    async fn next(&mut self) -> Result<Value, Ended> {
        loop {
            let reply = self.socket.next().await?;
            if reply != json!({}) {
                return Ok(reply);
            }
            self.socket.send("{}").await;
        }
    }
}

/// The code of a refused command.
#[track_caller]
pub(crate) fn code(reply: &Value) -> u64 {
    reply["error"]["code"].as_u64().unwrap_or_else(|| panic!("no error in {reply}"))
}

fn is_of_lobby(push: &Value) -> bool {
    push["channel"].as_str().is_some_and(|channel| channel.starts_with("org:"))
}

/// A connection token of this caller.
pub(crate) async fn connection_token(caller: &Caller) -> String {
    caller.post("/realtime/connection-token", "").await.expect(200)["token"].as_str().unwrap().to_owned()
}

/// A token of this caller for a room.
pub(crate) async fn subscribe_token(caller: &Caller, room: &str) -> String {
    let path = format!("/api/rooms/{room}/subscribe-token");
    caller.post(&path, "").await.expect(200)["token"].as_str().unwrap().to_owned()
}
