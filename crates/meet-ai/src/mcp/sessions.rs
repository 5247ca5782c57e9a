//! The sessions that are open at `/mcp`: whose they are, and how many there may be.
//!
//! The SDK keeps them; here is what it does not know: that a session is only for the credential that opened it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::Stream;
use meet_server::{Clock, Holder};
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::session::{
        ServerSseMessage, SessionId, SessionManager,
        local::{LocalSessionManager, LocalSessionManagerError},
    },
};

/// How long a session may be silent: an agent that thinks or waits for its user is not thrown out.
const IDLE: Duration = Duration::from_hours(4);
/// How many sessions one credential has; one more ends the one that was silent for longest.
const MAX_OF_ONE: usize = 16;
/// How many there may be together; one takes about 120 KiB.
const MAX: usize = 512;

tokio::task_local! {
    /// Whose request is being answered.
    pub(super) static HOLDER: Holder;
}

/// The open sessions.
pub(super) struct Sessions {
    kept: LocalSessionManager,
    known: Mutex<HashMap<SessionId, Known>>,
    clock: Clock,
}

struct Known {
    holder: Holder,
    heard: Duration,
}

impl Sessions {
    pub(super) fn new() -> Self {
        let mut kept = LocalSessionManager::default();
        kept.session_config.keep_alive = Some(IDLE);
        // An answer that nobody took is not kept: any number of them could be asked for, and all can be asked again.
        kept.session_config.completed_cache_ttl = Duration::ZERO;
        Self { kept, known: Mutex::default(), clock: Clock::system() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SessionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a session of this credential; if so, it is heard of now.
    pub(super) fn hear(&self, id: &str, holder: Holder) -> bool {
        let now = self.clock.monotonic();
        match self.known().get_mut(id) {
            Some(known) if known.holder == holder => {
                known.heard = now;
                true
            }
            _ => false,
        }
    }

    /// Whether there is no place for anybody else.
    pub(super) fn are_full(&self) -> bool {
        self.known().len() >= MAX
    }

    /// Of a credential's sessions the one that was silent for longest, when it has as many as it may.
    fn surplus(&self, holder: Holder) -> Option<SessionId> {
        let known = self.known();
        let mut own: Vec<_> = known.iter().filter(|(_, known)| known.holder == holder).collect();
        if own.len() < MAX_OF_ONE {
            return None;
        }
        own.sort_by_key(|(_, known)| known.heard);
        own.first().map(|(id, _)| SessionId::clone(id))
    }
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let holder = HOLDER.try_with(|holder| *holder).ok();
        if let Some(surplus) = holder.and_then(|holder| self.surplus(holder)) {
            self.close_session(&surplus).await?;
        }
        let (id, transport) = self.kept.create_session().await?;
        if let Some(holder) = holder {
            self.known().insert(id.clone(), Known { holder, heard: self.clock.monotonic() });
        }
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.kept.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.kept.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.known().remove(id);
        self.kept.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.kept.create_stream(id, message).await
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.kept.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.kept.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.kept.resume(id, last_event_id).await
    }
}
