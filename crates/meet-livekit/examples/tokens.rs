//! Signs and verifies for the tests in `e2e/`, which hold it against the official SDKs: a line of JSON for each action
//! and each answer. The one argument has the key and the time.

#![expect(clippy::unwrap_used, reason = "a driver ends where it goes wrong")]

use std::{io::stdin, time::Duration};

use meet_livekit::{
    ApiKey, Claims, UnixSeconds,
    model::Source,
    webhook::{self, Event, Happening},
};
use serde_json::{Value, json};

fn main() {
    let settings: Value = serde_json::from_str(&std::env::args().nth(1).unwrap()).unwrap();
    let key = ApiKey::new(text(&settings["key"]), text(&settings["secret"]).as_bytes()).unwrap();
    let now = UnixSeconds(settings["now"].as_i64().unwrap());
    for line in stdin().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let mut answer = match perform(&key, now, text(&request["action"]), &request["argument"]) {
            Ok(done) => json!({ "done": done }),
            Err(why) => json!({ "failed": { "code": 0, "message": why } }),
        };
        answer["id"] = request["id"].clone();
        println!("{answer}");
    }
}

fn perform(key: &ApiKey, now: UnixSeconds, action: &str, argument: &Value) -> Result<Value, String> {
    let body = || text(&argument["body"]).as_bytes();
    match action {
        "sign" => {
            let claims: Claims = serde_json::from_value(argument.clone()).unwrap();
            let token = key.sign(&claims).map_err(|error| error.to_string())?;
            Ok(token.as_str().into())
        }
        "verify" => {
            let claims = key.verify(text(&argument["token"]), now, Duration::from_mins(1));
            Ok(serde_json::to_value(claims.map_err(|error| error.to_string())?).unwrap())
        }
        "signWebhook" => {
            let token = webhook::sign(key, body(), now, now.after(Duration::from_mins(5)));
            Ok(token.map_err(|error| error.to_string())?.as_str().into())
        }
        "receiveWebhook" => {
            let event = webhook::receive(key, argument["authorization"].as_str(), body(), now, Duration::from_mins(5));
            Ok(told(&event.map_err(|error| error.to_string())?))
        }
        other => panic!("there is no action {other}"),
    }
}

/// What an event tells of a track that is published, and of any other that it came.
fn told(event: &Event) -> Value {
    let mut told = json!({ "id": event.id, "createdAt": event.created_at });
    if let Happening::TrackPublished { room, participant, track } = &event.happening {
        told["room"] = json!(room.name);
        told["identity"] = json!(participant.identity);
        told["source"] = json!(track.source.map(Source::as_str));
    }
    told
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
