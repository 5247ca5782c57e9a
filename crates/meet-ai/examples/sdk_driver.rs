//! Drives one client of `centrifuge-client` for the tests in `e2e/`: a line of JSON for each action, each answer and
//! each event.

#![expect(clippy::unwrap_used, reason = "a driver ends where it goes wrong")]
#![expect(clippy::disallowed_methods, reason = "its tasks end with its process")]

use std::collections::{HashMap, VecDeque};
use std::io::{Write, stdout};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use centrifuge::{
    Bytes, Client, ClientEvent, ClientInfo, Error, HistoryOptions, Protocol, Publication, StreamPosition,
    SubscribedEvent, SubscriptionEvent, TransportEndpoint,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() {
    let settings: Value = serde_json::from_str(&std::env::args().nth(1).unwrap()).unwrap();
    let driver = Arc::new(Driver::new(&settings));
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let driver = driver.clone();
        tokio::spawn(async move {
            let request: Value = serde_json::from_str(&line).unwrap();
            let mut answer = match driver.perform(&request).await {
                Ok(done) => json!({"done": done}),
                Err(error) => json!({"failed": {"code": code(&error), "message": error.to_string()}}),
            };
            answer["id"] = request["id"].clone();
            say(&answer);
        });
    }
}

/// The client, and those who wait for a token: of the connection under the empty channel, of subscriptions under theirs.
struct Driver {
    client: Client,
    askers: Arc<Askers>,
}

impl Driver {
    fn new(settings: &Value) -> Self {
        let url = text(&settings["url"]);
        let endpoint = match text(&settings["transport"]) {
            "websocket" => {
                TransportEndpoint::websocket(format!("{}/connection/websocket", url.replacen("http", "ws", 1)))
            }
            "http_stream" => TransportEndpoint::http_stream(format!("{url}/connection/http_stream")),
            other => panic!("the SDK has no transport {other}"),
        };
        let protocol = match text(&settings["protocol"]) {
            "json" => Protocol::Json,
            "protobuf" => Protocol::Protobuf,
            other => panic!("the SDK has no protocol {other}"),
        };
        let askers = Arc::new(Askers::default());
        let asking = askers.clone();
        let client = Client::builder_with_transports([endpoint])
            .protocol(protocol)
            .timeout(Duration::from_millis(settings["patience"].as_u64().unwrap()))
            .min_reconnect_delay(Duration::from_millis(50))
            .max_reconnect_delay(Duration::from_millis(500))
            .get_token(move |_| {
                let token = asking.ask("");
                async move { Ok(Some(token.await?)) }
            })
            .build()
            .unwrap();
        let mut events = client.events();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                hear(&of_client(event));
            }
        });
        Self { client, askers }
    }

    async fn perform(&self, request: &Value) -> Result<Value, Error> {
        let argument = &request["argument"];
        let channel = || text(&argument["channel"]);
        match text(&request["action"]) {
            "connect" => self.client.connect()?,
            "disconnect" => self.client.disconnect(),
            "token" => self.askers.answer(channel(), text(&argument["token"])),
            "subscribe" => self.subscribe(argument)?,
            "unsubscribe" => self.client.get_subscription(channel()).unwrap().unsubscribe(),
            "publish" => self.client.publish(channel(), argument["data"].to_string()).await?,
            "history" => return self.history(argument).await,
            "presence" => {
                let presence = self.client.presence(channel()).await?;
                return Ok(presence.clients.values().map(person).collect());
            }
            "presenceStats" => {
                let stats = self.client.presence_stats(channel()).await?;
                return Ok(json!({"numClients": stats.num_clients, "numUsers": stats.num_users}));
            }
            other => panic!("there is no action {other}"),
        }
        Ok(Value::Null)
    }

    fn subscribe(&self, argument: &Value) -> Result<(), Error> {
        let channel = text(&argument["channel"]).to_owned();
        let mut builder = self
            .client
            .new_subscription(&channel)
            .recoverable(true)
            .join_leave(argument["joinLeave"].as_bool().unwrap());
        if argument["withToken"].as_bool().unwrap() {
            let asking = self.askers.clone();
            builder = builder.get_token(move |context| {
                let token = asking.ask(&context.channel);
                async move { Ok(token.await?) }
            });
        }
        let subscription = builder.build()?;
        let mut events = subscription.events();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let mut told = of_subscription(event);
                told["channel"] = channel.clone().into();
                hear(&told);
            }
        });
        subscription.subscribe();
        Ok(())
    }

    async fn history(&self, argument: &Value) -> Result<Value, Error> {
        let mut options = HistoryOptions::new().reverse(argument["reverse"].as_bool().unwrap_or_default());
        options = match u32::try_from(argument["limit"].as_i64().unwrap()) {
            Ok(limit) => options.limit(limit),
            Err(_) => options.all(),
        };
        if let Some(offset) = argument["since"]["offset"].as_u64() {
            options = options.since(StreamPosition::new(offset, text(&argument["since"]["epoch"])));
        }
        let history = self.client.history(text(&argument["channel"]), options).await?;
        let publications: Vec<Value> = history.publications.iter().map(publication).collect();
        Ok(json!({"publications": publications, "offset": history.offset, "epoch": history.epoch}))
    }
}

/// Who asks for a token waits until the story gives one.
#[derive(Default)]
struct Askers(Mutex<HashMap<String, VecDeque<oneshot::Sender<String>>>>);

impl Askers {
    fn ask(&self, channel: &str) -> oneshot::Receiver<String> {
        let (answer, token) = oneshot::channel();
        self.0.lock().unwrap().entry(channel.to_owned()).or_default().push_back(answer);
        hear(&json!({"type": "token", "channel": channel}));
        token
    }

    fn answer(&self, channel: &str, token: &str) {
        let asker = self.0.lock().unwrap().get_mut(channel).unwrap().pop_front().unwrap();
        // The SDK may have stopped waiting meanwhile.
        let _ = asker.send(token.to_owned());
    }
}

fn of_client(event: ClientEvent) -> Value {
    let on = |kind: &str, channel: String, mut more: Value| {
        more["type"] = kind.into();
        more["channel"] = channel.into();
        more["server"] = true.into();
        more
    };
    match event {
        ClientEvent::Connecting(e) => json!({"type": "connecting", "code": e.code, "reason": e.reason}),
        ClientEvent::Connected(e) => json!({"type": "connected", "client": e.client_id}),
        ClientEvent::Disconnected(e) => json!({"type": "disconnected", "code": e.code, "reason": e.reason}),
        ClientEvent::Error(e) => json!({"type": "error", "message": e.error.to_string()}),
        ClientEvent::ServerSubscribed(e) => on("subscribed", e.channel, subscribed(&e.info)),
        ClientEvent::ServerSubscribing(e) => on("subscribing", e.channel, json!({})),
        ClientEvent::ServerUnsubscribed(e) => on("unsubscribed", e.channel, json!({})),
        ClientEvent::ServerPublication(e) => on("publication", e.channel, publication(&e.publication)),
        ClientEvent::ServerJoin(e) => on("join", e.channel, json!({"info": person(&e.info)})),
        ClientEvent::ServerLeave(e) => on("leave", e.channel, json!({"info": person(&e.info)})),
        other => panic!("an event without a name here: {other:?}"),
    }
}

fn of_subscription(event: SubscriptionEvent) -> Value {
    let (kind, mut told) = match event {
        SubscriptionEvent::Subscribing(e) => ("subscribing", json!({"code": e.code})),
        SubscriptionEvent::Subscribed(e) => ("subscribed", subscribed(&e)),
        SubscriptionEvent::Unsubscribed(e) => ("unsubscribed", json!({"code": e.code})),
        SubscriptionEvent::Error(e) => ("error", json!({"message": e.error.to_string()})),
        SubscriptionEvent::Publication(e) => ("publication", publication(&e.publication)),
        SubscriptionEvent::Join(e) => ("join", json!({"info": person(&e.info)})),
        SubscriptionEvent::Leave(e) => ("leave", json!({"info": person(&e.info)})),
        other => panic!("an event without a name here: {other:?}"),
    };
    told["type"] = kind.into();
    told
}

fn subscribed(event: &SubscribedEvent) -> Value {
    let position = event.stream_position.clone().unwrap_or_default();
    json!({
        "recoverable": event.recoverable,
        "positioned": event.positioned,
        "wasRecovering": event.was_recovering,
        "recovered": event.recovered,
        "offset": position.offset,
        "epoch": position.epoch,
        "data": content(event.data.as_ref()),
    })
}

fn publication(publication: &Publication) -> Value {
    let info = publication.info.as_ref().map(person);
    json!({"offset": publication.offset, "data": content(Some(&publication.data)), "info": info})
}

fn person(info: &ClientInfo) -> Value {
    json!({
        "user": info.user,
        "client": info.client,
        "connInfo": content(info.conn_info.as_ref()),
        "chanInfo": content(info.chan_info.as_ref()),
    })
}

/// What a payload says; payloads are JSON under either protocol.
fn content(data: Option<&Bytes>) -> Value {
    data.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn code(error: &Error) -> u32 {
    match error {
        Error::Server(error) => error.code,
        _ => 0,
    }
}

fn hear(event: &Value) {
    say(&json!({"event": event}));
}

fn say(line: &Value) {
    writeln!(stdout().lock(), "{line}").unwrap();
}
