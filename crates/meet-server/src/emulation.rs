//! Connections that lead only down, and how the commands of their clients find them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use meet_centrifuge::session::Emulation;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;

use crate::{clock::Clock, error::Error, limits::Share, secret::new_secret};

/// How many frames may wait for one connection.
const WAITING_FRAMES: usize = 4;
/// How long one may have to wait for its place among them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The open streams by their secrets; a clone is the same table. Every stream holds one of the places that are counted
/// for connections, so that they bound the table too.
#[derive(Clone)]
pub(crate) struct Emulated {
    node: Arc<str>,
    streams: Arc<Mutex<Streams>>,
}

/// The way up of each stream.
type Streams = HashMap<String, mpsc::Sender<Waiting>>;

/// A frame, and what its body holds of the budget.
type Waiting = (Bytes, Share);

/// A stream's place in the table, given back when dropped, and the frames that come by it.
pub(crate) struct Place {
    table: Emulated,
    session: String,
    frames: mpsc::Receiver<Waiting>,
}

impl Emulated {
    /// No streams yet, on a node with a name of its own.
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { node: clock.uuid().to_string().into(), streams: Arc::default() }
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new stream, under a secret of 256 random bits.
    pub(crate) fn open(&self, clock: &Clock) -> Place {
        let session = new_secret(clock, "", 32).expose_secret().to_owned();
        let (sender, frames) = mpsc::channel(WAITING_FRAMES);
        self.streams().insert(session.clone(), sender);
        Place { table: self.clone(), session, frames }
    }

    /// Hands a frame to the connection that has this secret. It keeps its share of the budget until it is taken.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none on this node, [`Error::Unavailable`] when it does not take it in time.
    pub(crate) async fn deliver(&self, node: &str, session: &str, frame: Bytes, share: Share) -> Result<(), Error> {
        let sender = (*node == *self.node).then(|| self.streams().get(session).cloned()).flatten();
        let sender = sender.ok_or(Error::NotFound("connection"))?;
        match sender.send_timeout((frame, share), PATIENCE).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Error::NotFound("connection")),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(Error::Unavailable("the connection has not taken its earlier commands yet"))
            }
        }
    }
}

impl Place {
    /// By what the client finds its connection.
    pub(crate) fn emulation(&self) -> Emulation {
        Emulation { session: self.session.clone(), node: self.table.node.to_string() }
    }

    /// The next frame; may be cancelled.
    pub(crate) async fn recv(&mut self) -> Option<Bytes> {
        self.frames.recv().await.map(|(frame, _given_back)| frame)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.streams().remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use crate::limits::{BODIES_BYTES_PER_NETWORK, Bodies};

    use super::*;

    #[tokio::test]
    async fn a_frame_holds_its_share_of_the_budget_until_its_connection_takes_it_or_ends() {
        let (clock, bodies) = (Clock::system(), Bodies::default());
        let share = |bytes: usize| {
            let mut share = bodies.share(IpAddr::from([10, 0, 0, 1]));
            share.grow(bytes).map(|()| share)
        };
        let whole = || share(BODIES_BYTES_PER_NETWORK).unwrap();
        let emulated = Emulated::new(&clock);
        let mut place = emulated.open(&clock);
        let Emulation { session, node } = place.emulation();
        emulated.deliver(&node, &session, "first".into(), whole()).await.unwrap();
        assert!(share(1).is_err());
        assert_eq!(place.recv().await.unwrap(), "first");
        emulated.deliver(&node, &session, "second".into(), whole()).await.unwrap();
        assert!(share(1).is_err());
        drop(place);
        let late = emulated.deliver(&node, &session, "third".into(), whole()).await;
        assert!(matches!(late, Err(Error::NotFound(_))), "{late:?}");
        drop(whole());
    }
}
