//! Being seen in a room: a connection that is open and says as little as it can.

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use meet_api::RoomId;
use reqwest::Method;

use super::{
    Client, ClientError,
    door::{Door, inside},
    socket::{Closed, Incoming, RoomSocket, SocketQuery},
};

/// A user's stay in a room, for as long as it is held and waited on.
pub(crate) enum Stay {
    /// By the room's socket.
    Socket(Box<RoomSocket>),
    /// By the room's event stream, inside the server's process.
    Stream(BoxStream<'static, ()>),
}

impl Client {
    /// Comes into a room, to be seen there.
    pub(crate) async fn stay(&self, room: RoomId) -> Result<Stay, ClientError> {
        // What does not mention the user need not even be sent.
        let mentions = self.speaker().map(|speaker| speaker.name.clone());
        let Door::Local(door) = &self.door else {
            let since = self.room(room).await?.head_seq;
            let query = SocketQuery { since, mentions, ..SocketQuery::default() };
            return self.open_socket(room, &query).await.map(|socket| Stay::Socket(Box::new(socket)));
        };
        let mut url = self.endpoint(&["api", "rooms", &room.to_string(), "events"]);
        if let Some(speaker) = self.speaker() {
            let (name, kind) = (&speaker.name, speaker.kind.as_str());
            url.query_pairs_mut().extend_pairs([("name", name.as_str()), ("kind", kind), ("mentions", name)]);
        }
        let request = inside(self.request(Method::GET, url));
        let request = request.map_err(|source| ClientError::unreachable(&self.connection, source))?;
        let (parts, body) = door.open(request).await.into_parts();
        if !parts.status.is_success() {
            return Err(ClientError::from_answer(&self.connection, parts.status, &parts.headers, &[]));
        }
        Ok(Stay::Stream(signs(body.into_data_stream()).boxed()))
    }
}

/// That something came, whatever it was, until nothing comes any more.
fn signs<T, E>(stream: impl Stream<Item = Result<T, E>>) -> impl Stream<Item = ()> {
    stream.take_while(|chunk| std::future::ready(chunk.is_ok())).map(drop)
}

impl Stay {
    /// Resolves when it is over, with why, as far as that is known.
    pub(crate) async fn over(&mut self) -> Option<Closed> {
        match self {
            Self::Socket(socket) => loop {
                if let Incoming::Closed(closed) = socket.next().await {
                    return Some(closed);
                }
            },
            Self::Stream(signs) => {
                while signs.next().await.is_some() {}
                None
            }
        }
    }
}
