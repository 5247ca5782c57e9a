//! One connection: its session asks, the application answers, the hub's publications and the clock go in, and what
//! comes out is written.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use meet_api::{PresenceChange, UserId};
use meet_centrifuge::{
    Protocol, Session,
    code::{DisconnectCode, UnsubscribeCode},
    session::{Emulation, Opening, Output},
};
use tokio::time::Sleep;

use crate::{
    app::App,
    auth::Member,
    error::Error,
    hub::{Address, Body, Channel, CloseReason, Connection, Drained, Publication, Scope, Subscription},
    limits::Slot,
};

use super::{
    super::transport::{Gone, WRITE_PATIENCE},
    catch_up::Behind,
    line::{Incoming, Line},
};

/// What may wait for one client before it is too slow.
const OUTBOX_BYTES: usize = 1024 * 1024;
/// How many bytes of replies are collected at most before they are written.
pub(super) const BATCH_BYTES: usize = 64 * 1024;
/// How many frames that are there already are read before something that is due is done.
const FRAMES_BEFORE_TICK: usize = 16;
/// For how many replies a connection keeps room.
const KEPT_REPLIES: usize = 16;

/// A client and the way to it.
pub(super) struct Client {
    pub(super) peer: Peer,
    pub(super) session: Session,
    pub(super) protocol: Protocol,
    line: Line,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    timer: Timer,
}

/// What the application knows of a client.
pub(super) struct Peer {
    pub(super) app: App,
    pub(super) connection: Connection,
    /// Who it is; `None` for nobody in particular, and before it has connected.
    pub(super) member: Option<Member>,
    pub(super) slot: Slot,
    /// The channels that it listens to, in the order in which it came there. There are few in most, and an idle
    /// connection must not hold more memory than it needs.
    pub(super) channels: Vec<Listening>,
    /// Where it lacks something that is in the store.
    pub(super) behind: Behind,
}

/// A channel that the client listens to, under the name by which its session knows it.
pub(super) struct Listening {
    pub(super) address: Address,
    pub(super) name: String,
    subscription: Subscription,
}

/// The one timer of a connection.
#[derive(Default)]
struct Timer(Option<(Duration, Pin<Box<Sleep>>)>);

impl Timer {
    /// Waits until the deadline; it is only set anew when that has moved.
    async fn until(&mut self, deadline: Duration, now: Duration) {
        if self.0.as_ref().is_none_or(|(set, _)| *set != deadline) {
            self.0 = Some((deadline, Box::pin(tokio::time::sleep(deadline.saturating_sub(now)))));
        }
        if let Some((_, sleep)) = &mut self.0 {
            sleep.as_mut().await;
            self.0 = None;
        }
    }
}

/// How a connection ends.
pub(super) enum End {
    Gone,
    TooLarge,
    Close(DisconnectCode),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "a client could not be caught up and is sent away");
        Self::Close(DisconnectCode::ServerError)
    }
}

/// What a reason of the server's is to clients of the protocol.
fn disconnect(reason: CloseReason) -> DisconnectCode {
    match reason {
        CloseReason::Shutdown => DisconnectCode::Shutdown,
        CloseReason::TooSlow => DisconnectCode::Slow,
        // A new token of the same credential would not be had, so there is no use in coming back.
        CloseReason::CredentialEnded => DisconnectCode::InvalidToken,
        // Only room sockets hold a name alone.
        CloseReason::RoomGone | CloseReason::TakenOver => DisconnectCode::ForceReconnect,
        CloseReason::Failed => DisconnectCode::ServerError,
    }
}

impl Client {
    /// A client that has said nothing yet.
    pub(super) fn new(app: App, line: Line, protocol: Protocol, emulation: Option<Emulation>, slot: Slot) -> Self {
        let id = app.clock().uuid();
        let mut random = [0; 4];
        app.clock().fill(&mut random);
        let chance = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let opening = Opening { protocol, client: id.to_string(), emulation, chance };
        let session = Session::new(Arc::clone(app.sessions()), opening, app.clock().monotonic());
        let connection = app.hub().connect(id, None, Scope::Many, OUTBOX_BYTES);
        Self {
            peer: Peer { app, connection, member: None, slot, channels: Vec::new(), behind: Behind::default() },
            session,
            protocol,
            line,
            batch: Vec::new(),
            batch_bytes: 0,
            timer: Timer::default(),
        }
    }

    /// Serves the connection until it ends.
    pub(super) fn run(self) -> impl Future<Output = ()> + Send + 'static {
        // A future keeps what it is given in more places than one; and what is rare is boxed, so that the task of an
        // idle connection stays small.
        let mut client = Box::new(self);
        async move {
            let Err(end) = client.serve().await;
            Box::pin(client.leave(end)).await;
        }
    }

    async fn leave(self, end: End) {
        let Self { peer, line, .. } = self;
        let slot = peer.leave();
        match end {
            End::Gone => {}
            End::TooLarge => line.close_too_large().await,
            End::Close(code) => line.close(code).await,
        }
        drop(slot);
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        // Whoever came in while the others were told to go was not told.
        if self.peer.app.tasks().is_stopping() {
            return Err(End::Close(DisconnectCode::Shutdown));
        }
        loop {
            self.speak().await?;
            self.hear().await?;
            if self.peer.behind.is_any() {
                match Box::pin(self.catch_up()).await {
                    Err(End::Close(code)) => return Err(self.end(code).await),
                    caught_up => caught_up?,
                }
                self.speak().await?;
            }
            self.flush().await?;
            let outbox = Arc::clone(self.peer.connection.outbox());
            let (deadline, now) = (self.session.deadline(), self.peer.app.clock().monotonic());
            if deadline <= now {
                self.tick().await?;
                continue;
            }
            tokio::select! {
                () = outbox.wait() => {}
                incoming = self.line.recv() => self.receive(incoming?)?,
                () = self.timer.until(deadline, now) => self.tick().await?,
                () = std::future::ready(()), if self.peer.behind.is_any() => {}
            }
        }
    }

    fn receive(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Frame(frame) => self.session.receive(frame),
            Incoming::TooLarge => return Err(End::TooLarge),
        }
        Ok(())
    }

    /// Lets the session do what is due, behind what the client has said in time: its pong, or a new token.
    async fn tick(&mut self) -> Result<(), End> {
        for _ in 0..FRAMES_BEFORE_TICK {
            let Some(incoming) = self.line.recv().now_or_never() else { break };
            self.receive(incoming?)?;
            self.speak().await?;
        }
        self.session.tick(self.peer.app.clock().monotonic());
        Ok(())
    }

    /// Does what the session wants done.
    async fn speak(&mut self) -> Result<(), End> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(reply) => {
                    self.batch_bytes += reply.len();
                    self.batch.push(reply);
                    if self.batch_bytes >= BATCH_BYTES {
                        self.flush().await?;
                    }
                }
                Output::Ask(ask) => {
                    if let Some(reason) = self.peer.connection.outbox().closed() {
                        return Err(self.end(disconnect(reason)).await);
                    }
                    let answer = Box::pin(self.peer.decide(ask)).await;
                    self.session.answer(answer, self.peer.app.clock().monotonic());
                }
                Output::Left(channel) => self.peer.channels.retain(|listening| listening.name != channel),
                Output::Close(code) => return Err(self.end(code).await),
            }
        }
        Ok(())
    }

    /// Hands the session everything that waits in the queue.
    async fn hear(&mut self) -> Result<(), End> {
        match self.peer.connection.outbox().drain() {
            Drained::Closed(reason) => Err(self.end(disconnect(reason)).await),
            Drained::Publications(publications) => {
                for publication in publications {
                    self.take(&publication);
                    self.speak().await?;
                }
                Ok(())
            }
        }
    }

    /// The end for this reason, behind the answers to what was done.
    async fn end(&mut self, code: DisconnectCode) -> End {
        match self.flush().await {
            Err(End::Gone) => End::Gone,
            _ => End::Close(code),
        }
    }

    fn take(&mut self, publication: &Publication) {
        let Some(listening) = self.peer.listening(publication.address) else { return };
        let (channel, session) = (listening.name.as_str(), &mut self.session);
        match (&publication.body, publication.address.channel) {
            // What ended may be an earlier subscription, which the client has given up meanwhile.
            (Body::Ended(_, number), _) if *number != listening.subscription.number() => {}
            (Body::Ended(..), _) => session.unsubscribe(channel, UnsubscribeCode::Server),
            (Body::Status | Body::LeftRoom, Channel::Status(user)) if !self.peer.still_sees(user) => {
                session.unsubscribe(channel, UnsubscribeCode::Server);
            }
            (Body::LeftRoom, _) => {}
            (Body::Presence(event), _) if matches!(event.change, PresenceChange::Join | PresenceChange::Leave) => {
                session.event(channel, publication.pushed(self.protocol));
            }
            _ => {
                let offset = publication.offset().unwrap_or(0);
                if session.position(channel).is_some_and(|position| offset > position + 1) {
                    // What lies between is in the store, and this one is too.
                    return self.peer.note_behind(publication.address);
                }
                session.publication(channel, offset, publication.pushed(self.protocol));
            }
        }
    }

    /// Writes what was collected, unless the connection is to end first: a client that does not read is not waited for.
    async fn flush(&mut self) -> Result<(), End> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let outbox = self.peer.connection.outbox();
        tokio::select! {
            biased;
            sent = self.line.send(&mut self.batch) => sent?,
            reason = outbox.wait_closed() => return Err(End::Close(disconnect(reason))),
            () = tokio::time::sleep(WRITE_PATIENCE) => return Err(End::Close(DisconnectCode::Slow)),
        }
        // Most of the time a connection is idle, and a burst must not leave its room behind.
        self.batch.shrink_to(KEPT_REPLIES);
        Ok(())
    }
}

impl Peer {
    /// Keeps a subscription for as long as the session listens.
    pub(super) fn keep(&mut self, address: Address, name: String, subscription: Subscription) {
        self.channels.push(Listening { address, name, subscription });
    }

    /// Notes that it lacks something of a room that is in the store.
    pub(super) fn note_behind(&mut self, room: Address) {
        self.behind.note(room, self.connection.outbox());
    }

    pub(super) fn listening(&self, address: Address) -> Option<&Listening> {
        self.channels.iter().find(|listening| listening.address == address)
    }

    /// Whether it may still hear of this user's status: a guest only for as long as they share a room.
    fn still_sees(&self, user: UserId) -> bool {
        let Some(member) = &self.member else { return false };
        member.user().is_some_and(|own| own.id == user) || self.app.is_among(member, user) != Some(false)
    }

    /// Stops listening, latest first, so that others see the client leave its rooms before it is gone; what is left is
    /// its place among the connections.
    fn leave(mut self) -> Slot {
        while let Some(Listening { subscription, .. }) = self.channels.pop() {
            drop(subscription);
        }
        drop(self.connection);
        self.slot
    }
}
