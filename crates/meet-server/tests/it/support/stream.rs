//! An event stream as a caller reads it.

use futures_util::StreamExt;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::{document, soon};

/// An open `text/event-stream`.
pub(crate) struct Stream {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: Vec<u8>,
    /// The status of the answer; the stream yields nothing unless it is 200.
    pub(crate) status: u16,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Its `id:`.
    pub(crate) id: Option<String>,
    /// Its `event:`.
    pub(crate) name: String,
    /// Its `data:`.
    pub(crate) data: Value,
}

impl Stream {
    pub(super) async fn open(method: &str, request: RequestBuilder) -> Self {
        let response = soon("a stream", request.send()).await.unwrap();
        let status = response.status().as_u16();
        document::check(method, response.url().path(), status);
        Self { status, bytes: Box::pin(response.bytes_stream()), buffer: Vec::new() }
    }

    /// The next event, or nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        soon("an event", async {
            loop {
                if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                    let event = parse(std::str::from_utf8(&self.buffer[..end]).unwrap());
                    self.buffer.drain(..end + 2);
                    if event.is_some() {
                        return event;
                    }
                    continue;
                }
                match self.bytes.next().await {
                    Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }

    /// The next event of this name; others are passed over.
    pub(crate) async fn expect(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event { id: None, name: String::new(), data: Value::Null };
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("event", name)) => name.clone_into(&mut event.name),
            Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
            _ => {}
        }
    }
    (!event.name.is_empty()).then_some(event)
}
