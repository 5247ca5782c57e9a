//! The sessions that are open at `/mcp`: whose they are, and how many there may be.
//!
//! The SDK keeps them; here is what it does not know: that a session is only for the credential that opened it, and that
//! nobody is kept out by the sessions of others: where there are too many, one that was silent for long ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::Stream;
use meet_api::TenantId;
use meet_server::{Clock, Holder, Lease};
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::session::{
        ServerSseMessage, SessionId, SessionManager,
        local::{LocalSessionManager, LocalSessionManagerError, SessionError},
    },
};
use tokio::task::JoinSet;

/// How long a session may be silent: an agent that thinks or waits for its user is not thrown out.
const IDLE: Duration = Duration::from_hours(4);
/// How many sessions one credential has.
const MAX_OF_ONE: usize = 16;
/// How many one tenant has, whose credentials may be any number.
const MAX_OF_TENANT: usize = 256;
/// How many there may be together; one takes about 120 KiB.
const MAX: usize = 512;

tokio::task_local! {
    /// Whose request is being answered.
    pub(super) static CALLER: Caller;
}

/// Who sent a request.
#[derive(Clone)]
pub(super) struct Caller {
    /// The credential.
    pub(super) holder: Holder,
    /// Until when it is good.
    pub(super) lease: Lease,
}

/// The open sessions.
pub(super) struct Sessions {
    kept: Arc<LocalSessionManager>,
    known: Mutex<HashMap<SessionId, Known>>,
    /// Sessions that end: a client that does not read holds up the end of its own only.
    closings: Mutex<JoinSet<()>>,
    clock: Clock,
}

struct Known {
    caller: Caller,
    heard: Duration,
}

impl Known {
    fn holder(&self) -> Holder {
        self.caller.holder
    }
}

impl Sessions {
    pub(super) fn new() -> Self {
        let mut kept = LocalSessionManager::default();
        kept.session_config.keep_alive = Some(IDLE);
        // An answer that nobody took is not kept: any number of them could be asked for, and all can be asked again.
        kept.session_config.completed_cache_ttl = Duration::ZERO;
        Self { kept: Arc::new(kept), known: Mutex::default(), closings: Mutex::default(), clock: Clock::system() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SessionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is a session of this credential; if so, it is heard of now.
    pub(super) fn hear(&self, id: &str, holder: Holder) -> bool {
        let now = self.clock.monotonic();
        match self.known().get_mut(id) {
            Some(known) if known.holder() == holder => {
                known.heard = now;
                true
            }
            _ => false,
        }
    }

    /// Takes a session in. Those whose credential has ended go, and one more where that makes too many.
    fn take_in(&self, id: SessionId, caller: Caller) {
        let holder = caller.holder;
        let mut known = self.known();
        let mut gone: Vec<_> = known.extract_if(|_, known| known.caller.lease.has_ended()).map(|(id, _)| id).collect();
        known.insert(id, Known { caller, heard: self.clock.monotonic() });
        if let Some(surplus) = surplus(&known, holder) {
            known.remove(&surplus);
            gone.push(surplus);
        }
        drop(known);
        self.close(gone);
    }

    /// Ends sessions without waiting for it.
    fn close(&self, gone: Vec<SessionId>) {
        let mut closings = self.closings.lock().unwrap_or_else(PoisonError::into_inner);
        while closings.try_join_next().is_some() {}
        for id in gone {
            let kept = Arc::clone(&self.kept);
            closings.spawn(async move {
                // What cannot be told to end has ended.
                let _ = kept.close_session(&id).await;
            });
        }
    }
}

/// The session that has to go when this credential has opened one: of its own, of its tenant's, or of those of the
/// tenants that have most, the one that was silent for longest.
fn surplus(known: &HashMap<SessionId, Known>, opened: Holder) -> Option<SessionId> {
    let mut shares: HashMap<TenantId, usize> = HashMap::new();
    for known in known.values() {
        *shares.entry(known.holder().tenant()).or_default() += 1;
    }
    let own = known.values().filter(|known| known.holder() == opened).count();
    if own > MAX_OF_ONE {
        return longest_silent(known, |holder| holder == opened);
    }
    if shares.get(&opened.tenant()).is_some_and(|share| *share > MAX_OF_TENANT) {
        return longest_silent(known, |holder| holder.tenant() == opened.tenant());
    }
    if known.len() <= MAX {
        return None;
    }
    let most = shares.values().max();
    longest_silent(known, |holder| shares.get(&holder.tenant()) == most)
}

fn longest_silent(known: &HashMap<SessionId, Known>, of: impl Fn(Holder) -> bool) -> Option<SessionId> {
    let among = known.iter().filter(|(_, known)| of(known.holder()));
    among.min_by_key(|(_, known)| known.heard).map(|(id, _)| SessionId::clone(id))
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        // A session of nobody would never be heard again.
        let caller = CALLER.try_with(Caller::clone).map_err(|_| SessionError::SessionServiceTerminated)?;
        let (id, transport) = self.kept.create_session().await?;
        self.take_in(id.clone(), caller);
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
        let closed = self.kept.close_session(id).await;
        // Only now, so that nothing is kept unknown when this is not waited for.
        self.known().remove(id);
        closed
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
