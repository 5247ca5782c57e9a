//! A reader of one room, over either transport: greeting, catching up, live, and what it says itself.

use bytes::Bytes;
use meet_api::{ClientFrame, Message, ServerFrame, User, frame::ClientMessage, text::ClientId};
use meet_store::Page;
use serde_json::{Map, Value};

use crate::{
    app::App,
    auth::{Member, Who},
    error::Error,
    history::Filter,
    hub::{Body, CloseReason, Connection, Drained, Encoding, Keep, Publication, Subscription, json, sse_event},
    limits::Slot,
    rooms::RoomAccess,
};

use super::{
    position::{Position, Start, Step},
    transport::{Gone, Incoming, Transport, WRITE_PATIENCE},
};

/// What may wait for one reader before it is too slow.
pub(super) const OUTBOX_BYTES: usize = 1024 * 1024;
/// How many messages are read from the store at a time.
const PAGE: u32 = 100;
/// How many bytes of them are written at a time.
const BATCH_BYTES: usize = 128 * 1024;

/// The cursor that a reader brings.
#[derive(Debug, Clone)]
pub(super) struct Since {
    /// It has everything up to here.
    pub(super) seq: u64,
    /// The epoch in which that was so, when it knows.
    pub(super) epoch: Option<String>,
}

/// A reader whose rights were checked, and which listens already.
pub(super) struct RoomReader {
    pub(super) member: Option<Member>,
    pub(super) user: Option<User>,
    pub(super) access: RoomAccess,
    pub(super) since: Option<Since>,
    pub(super) filter: Filter,
    pub(super) encoding: Encoding,
    pub(super) subscription: Subscription,
    pub(super) connection: Connection,
    pub(super) slot: Slot,
}

/// Why a reader's connection ends.
enum End {
    Gone,
    Close(CloseReason),
    TooLarge,
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::RoomNotFound | Error::Expired | Error::MissingKey => Self::Close(CloseReason::RoomGone),
            Error::InvalidKey => Self::Close(CloseReason::CredentialEnded),
            error => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a reader could not be served and is sent away"
                );
                Self::Close(CloseReason::Failed)
            }
        }
    }
}

impl RoomReader {
    /// Serves the connection until it ends.
    pub(super) fn run(self, app: App, transport: Transport) -> impl Future<Output = ()> + Send + 'static {
        let session = Session {
            app,
            position: Position::after(self.access.room.head_seq),
            has_events: self.since.is_some(),
            reader: self,
            transport,
            batch: Vec::new(),
        };
        session.run()
    }

    fn encode(&self, message: &Message) -> Bytes {
        let frame = json(message);
        match self.encoding {
            Encoding::Frame => frame,
            Encoding::Sse => sse_event(Some(message.seq), "message", &frame),
        }
    }

    fn encode_frame(&self, frame: &ServerFrame) -> Bytes {
        let text = json(frame);
        match self.encoding {
            Encoding::Frame => text,
            Encoding::Sse => {
                let (event, id) = match frame {
                    ServerFrame::Hello { .. } => ("hello", None),
                    ServerFrame::Resync { head_seq, .. } => ("resync", Some(*head_seq)),
                    ServerFrame::Position { seq } => ("position", Some(*seq)),
                    ServerFrame::Presence { .. } => ("presence", None),
                    ServerFrame::Call { .. } => ("call", None),
                    ServerFrame::Log { .. } => ("log", None),
                    ServerFrame::Guard { .. } => ("guard", None),
                    ServerFrame::Ack { .. } => ("ack", None),
                    ServerFrame::Error { .. } => ("error", None),
                    ServerFrame::Pong => ("pong", None),
                };
                sse_event(id, event, &text)
            }
        }
    }

    /// Stores what the reader says; the same operation as a POST.
    async fn store(&self, app: &App, mut frame: ClientMessage) -> Result<std::sync::Arc<Message>, Error> {
        let member = self.member.as_ref().ok_or(Error::ReadOnly)?;
        let writer = self.access.clone().writer()?;
        let client_id = frame.client_id.as_deref().map(|id| ClientId::parse("client_id", id)).transpose()?;
        if let (Who::Key, Some(user)) = (&member.who, &self.user)
            && frame.message.sender.is_none()
        {
            frame.message.sender = Some(user.name.clone());
            frame.message.sender_type.get_or_insert(user.kind);
        }
        match app.send_message(member, &writer, frame.message, client_id).await {
            // The room itself says best why it is closed to this reader.
            Err(Error::RoomNotFound) => {
                Err(app.room(Some(member), writer.room.id).await.err().unwrap_or(Error::RoomNotFound))
            }
            sent => Ok(sent?.message),
        }
    }
}

/// What a look into the store gave.
enum ReadOn {
    /// All that there is.
    All,
    /// A whole page; there may be more.
    Page,
    /// So many messages, as many as are written at a time.
    Full(u32),
}

struct Session {
    app: App,
    reader: RoomReader,
    transport: Transport,
    position: Position,
    has_events: bool,
    batch: Vec<Bytes>,
}

/// Most connections only listen: what one of them does rarely is boxed, so that its task stays small.
impl Session {
    async fn run(mut self) {
        let end = self.serve().await;
        let Self { reader: RoomReader { subscription, connection, slot, .. }, transport, .. } = self;
        drop((subscription, connection));
        match end {
            End::Gone => {}
            End::Close(reason) => transport.close(reason).await,
            End::TooLarge => transport.close_too_large().await,
        }
        drop(slot);
    }

    async fn serve(&mut self) -> End {
        match self.serve_until_end().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve_until_end(&mut self) -> Result<std::convert::Infallible, End> {
        Box::pin(self.greet()).await?;
        loop {
            self.deliver().await?;
            let outbox = std::sync::Arc::clone(self.reader.connection.outbox());
            tokio::select! {
                () = outbox.wait() => {}
                incoming = self.transport.recv() => self.receive(incoming?).await?,
            }
        }
    }

    /// Greets a reader that brought a cursor and sends what it missed.
    async fn greet(&mut self) -> Result<(), End> {
        let Some(since) = self.reader.since.take() else { return Ok(()) };
        let RoomAccess { room, floor, .. } = &self.reader.access;
        let (room_id, head_seq, epoch, floor) = (room.id, room.head_seq, room.epoch.clone(), *floor);
        let is_same_epoch = since.epoch.is_none_or(|given| given == epoch);
        match Position::start(since.seq, is_same_epoch, head_seq) {
            Start::Resync => {
                self.push(&ServerFrame::Resync { head_seq, epoch });
            }
            Start::Hello => {
                self.position = Position::after(since.seq.max(floor.min(head_seq)));
                self.push(&ServerFrame::Hello { room_id, head_seq, epoch });
                if self.position.at() < head_seq {
                    Box::pin(self.fill()).await?;
                }
            }
        }
        self.flush().await
    }

    /// Sends everything that waits in the queue.
    async fn deliver(&mut self) -> Result<(), End> {
        match self.reader.connection.outbox().drain() {
            Drained::Closed(reason) => Err(End::Close(reason)),
            Drained::Publications(publications) => {
                for publication in publications {
                    self.take(&publication).await?;
                }
                self.report(false);
                self.flush().await
            }
        }
    }

    async fn take(&mut self, publication: &Publication) -> Result<(), End> {
        match &publication.body {
            Body::Message(message) => match self.position.step(message.seq) {
                Step::Drop => Ok(()),
                Step::Fill => Box::pin(self.fill()).await,
                Step::Take => {
                    let is_wanted = self.reader.filter.admits(message);
                    if is_wanted {
                        self.batch.push(publication.encoded(self.reader.encoding));
                    }
                    self.position.advance(message.seq, is_wanted);
                    Ok(())
                }
            },
            // Told to those who look at a status, and to nobody in a room.
            Body::LeftRoom => Ok(()),
            Body::Ended(reason, _) => Err(End::Close(*reason)),
            Body::Presence(_) | Body::Event(_) | Body::Lobby(_) | Body::Status => {
                let is_told = !matches!(&publication.body, Body::Presence(event) if !event.is_of_user);
                if self.has_events && is_told {
                    self.batch.push(publication.encoded(self.reader.encoding));
                }
                Ok(())
            }
        }
    }

    /// Reads on in the store until its end. Meanwhile the queue may overflow: what it loses is read here.
    async fn fill(&mut self) -> Result<(), End> {
        let outbox = std::sync::Arc::clone(self.reader.connection.outbox());
        outbox.keep(Keep::NotStored);
        let (mut ask, mut is_settled) = (PAGE, false);
        loop {
            let read = Box::pin(self.read_on(ask)).await?;
            self.report(false);
            self.flush().await?;
            match read {
                ReadOn::All if is_settled => return Ok(()),
                ReadOn::All => {
                    // From here on nothing may be lost; one more look shows what was until now.
                    outbox.settle();
                    is_settled = true;
                }
                ReadOn::Page => ask = PAGE.min(ask * 2),
                ReadOn::Full(fitting) => ask = fitting,
            }
        }
    }

    /// Puts what follows in the store into the batch, until there is enough to write. A reader that takes nothing
    /// holds no more than that: the rest of a page of long messages is read again.
    async fn read_on(&mut self, ask: u32) -> Result<ReadOn, End> {
        let (tenant, room) = (self.reader.access.tenant, self.reader.access.room.id);
        let after = Page::After(self.position.at());
        let page = self.app.store().history(tenant, room, after, ask).await.map_err(Error::from)?;
        let is_last = page.len() < ask as usize;
        let mut bytes = 0;
        for (place, message) in (1..).zip(&page) {
            let is_wanted = self.reader.filter.admits(message);
            if is_wanted {
                let encoded = self.reader.encode(message);
                bytes += encoded.len();
                self.batch.push(encoded);
            }
            self.position.advance(message.seq, is_wanted);
            if bytes >= BATCH_BYTES && place < page.len() {
                return Ok(ReadOn::Full(u32::try_from(place).unwrap_or(ask)));
            }
        }
        Ok(if is_last { ReadOn::All } else { ReadOn::Page })
    }

    /// Tells a filtered reader where it stands, when that is due; without a cursor it asked for messages only.
    fn report(&mut self, is_due: bool) {
        if self.has_events
            && let Some(seq) = self.position.report(is_due)
        {
            self.push(&ServerFrame::Position { seq });
        }
    }

    fn push(&mut self, frame: &ServerFrame) {
        self.batch.push(self.reader.encode_frame(frame));
    }

    /// Writes the batch, unless the connection is to end first: a reader that does not read is not waited for.
    async fn flush(&mut self) -> Result<(), End> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outbox = std::sync::Arc::clone(self.reader.connection.outbox());
        tokio::select! {
            biased;
            sent = self.transport.send_batch(&mut self.batch) => Ok(sent?),
            reason = outbox.wait_closed() => Err(End::Close(reason)),
            () = tokio::time::sleep(WRITE_PATIENCE) => Err(End::Close(CloseReason::TooSlow)),
        }
    }

    async fn receive(&mut self, incoming: Incoming) -> Result<(), End> {
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::NotText => {
                self.refuse(&Error::Invalid("frames must be text".into()), None);
                return self.flush().await;
            }
            Incoming::TooLarge => return Err(End::TooLarge),
            Incoming::Quiet => {
                self.report(true);
                return self.flush().await;
            }
        };
        match parse(&text) {
            Ok(ClientFrame::Ping) => self.push(&ServerFrame::Pong),
            Ok(ClientFrame::Message(message)) => Box::pin(self.say(message)).await?,
            Err(BadFrame { error, client_id }) => self.refuse(&error, client_id),
        }
        self.flush().await
    }

    /// Stores what the reader says and tells it so, unless the connection is to end.
    async fn say(&mut self, message: ClientMessage) -> Result<(), End> {
        if let Some(reason) = self.reader.connection.outbox().closed() {
            return Err(End::Close(reason));
        }
        let client_id = message.client_id.clone();
        match self.reader.store(&self.app, message).await {
            Ok(stored) => self.push(&ServerFrame::Ack { client_id, id: stored.id, seq: stored.seq }),
            Err(error) => self.refuse(&error, client_id),
        }
        Ok(())
    }

    fn refuse(&mut self, error: &Error, client_id: Option<String>) {
        if let Error::Store(source) = error {
            tracing::error!(error = source as &dyn std::error::Error, "the store failed");
        }
        self.push(&ServerFrame::Error { error: error.to_string(), code: error.code(), client_id });
    }
}

/// A frame that is not one, and the caller's id of it, when that can be made out.
struct BadFrame {
    error: Error,
    client_id: Option<String>,
}

/// Reads a client's frame; a message may leave its `type` out.
fn parse(text: &str) -> Result<ClientFrame, BadFrame> {
    let invalid = |error: serde_json::Error| Error::Invalid(format!("the frame is not what it should be: {error}"));
    let mut frame: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| BadFrame { error: invalid(error), client_id: None })?;
    let client_id = frame.get("client_id").and_then(Value::as_str).map(str::to_owned);
    let kind = frame.entry("type").or_insert_with(|| "message".into());
    let parsed = if matches!(kind.as_str(), Some("message" | "ping")) {
        serde_json::from_value(Value::Object(frame)).map_err(invalid)
    } else {
        Err(Error::Invalid("type must be message or ping".into()))
    };
    parsed.map_err(|error| BadFrame { error, client_id })
}

#[cfg(test)]
mod tests {
    use meet_api::ErrorCode;

    use super::*;

    #[test]
    fn a_message_may_leave_its_type_out() {
        for text in [r#"{"content":"hi"}"#, r#"{"type":"message","content":"hi"}"#, r#"{"content":"hi","x":1}"#] {
            let Ok(ClientFrame::Message(message)) = parse(text) else { panic!("{text}") };
            assert_eq!(message.message.content.as_deref(), Some("hi"));
        }
        assert!(matches!(parse(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping)));
    }

    #[test]
    fn anything_else_is_a_clear_refusal() {
        let frames =
            ["", "[]", r#"["ping"]"#, "1", "null", r#"{"type":"dance"}"#, r#"{"type":5}"#, r#"{"content":5}"#, "{"];
        for text in frames {
            let Err(BadFrame { error, client_id: None }) = parse(text) else { panic!("{text}") };
            assert_eq!(error.code(), ErrorCode::InvalidRequest, "{text}");
        }
    }

    #[test]
    fn a_refusal_carries_the_callers_own_id_where_it_can_be_made_out() {
        for text in [r#"{"content":5,"client_id":"mine"}"#, r#"{"type":"dance","client_id":"mine"}"#] {
            assert_eq!(parse(text).err().and_then(|bad| bad.client_id).as_deref(), Some("mine"), "{text}");
        }
    }
}
