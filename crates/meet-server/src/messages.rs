//! Saying something: one operation behind every transport. Reading is [`history`](crate::history)'s.

use meet_api::{
    Kind, Message, MessageId, User,
    request::SendMessage,
    text::{ClientId, Content, UserName, fold},
};
use meet_store::{AppendOutcome, Caps, Digest, Ensured, Idempotency, KnownUser, NewMessage, NewUser};
use sha2::Digest as _;

use crate::{
    app::App,
    auth::{Member, Who},
    error::{Error, Window},
    limits::{Bucket, Counted, Subject},
    rooms::RoomWriter,
};

/// What was done with a message.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The message as it is stored.
    pub message: std::sync::Arc<Message>,
    /// The sender's window, when it has a limit.
    pub window: Option<Window>,
}

/// As whom a member speaks.
pub(crate) enum Speaker {
    /// A user that is there.
    User(User),
    /// A name that a bare key gave; its user may have to be made.
    Named(UserName, Kind),
}

impl App {
    /// Stores a message and publishes it; the same operation behind every transport.
    ///
    /// # Errors
    /// Text that breaks its rules, a sender that is not the caller's to name, limits, a room that is gone or full.
    pub async fn send_message(
        &self,
        member: &Member,
        room: &RoomWriter,
        body: SendMessage,
        client_id: Option<ClientId>,
    ) -> Result<Sent, Error> {
        let missing = || Error::Invalid("sender and content are required".into());
        let content = body.content.as_deref().filter(|content| !content.is_empty()).ok_or_else(missing)?;
        let content = Content::parse(content.to_owned(), self.config().limits.message_bytes)?;
        let reply_to = match &body.reply_to {
            None => None,
            Some(id) => Some(id.parse::<MessageId>().map_err(|_| Error::UnknownCursor("reply_to"))?),
        };
        let speaker = speaker(member, body.sender.as_deref(), body.sender_type)?;
        let idempotency = client_id.map(|key| Idempotency { key, body: body_digest(member, &body) });
        let counted = match self.count_message(member) {
            Ok(counted) => counted,
            Err(refusal) => return self.replay_or(refusal, member, room, &speaker, idempotency.as_ref()).await,
        };
        let window = counted.map(|counted| counted.window);
        let sent = match self.refuse_when_disk_is_full() {
            Err(refusal) => self.replay_or(refusal, member, room, &speaker, idempotency.as_ref()).await,
            Ok(()) => self.append(member, room, speaker, (content, reply_to), idempotency, window).await,
        };
        if sent.as_ref().is_ok_and(|sent| sent.window.is_some()) {
            return sent;
        }
        if let Some(counted) = &counted {
            self.limits().windows.give_back(counted);
        }
        sent
    }

    /// Hands a message to the appender; a repeat has no window.
    async fn append(
        &self,
        member: &Member,
        room: &RoomWriter,
        speaker: Speaker,
        (content, reply_to): (Content, Option<MessageId>),
        idempotency: Option<Idempotency>,
        window: Option<Window>,
    ) -> Result<Sent, Error> {
        let (user, sender) = match speaker {
            Speaker::User(user) => {
                let sender = UserName::parse("sender", &user.name)?;
                (user, sender)
            }
            Speaker::Named(name, kind) => (self.named_user(member, name.clone(), kind).await?, name),
        };
        let mentions = self.mentioned(room.tenant, room.room.id, content.as_str(), user.id).await?;
        let message = NewMessage {
            id: MessageId::from_uuid(self.clock().uuid()),
            tenant: room.tenant,
            room: room.room.id,
            user: user.id,
            sender,
            sender_type: user.kind,
            content,
            reply_to,
            idempotency,
            created_at: self.clock().now(),
            judged_at: self.steady_now(),
            caps: Caps {
                messages_per_room: self.config().limits.messages_per_room,
                bytes_per_tenant: self.config().limits.bytes_per_tenant,
            },
            mentions,
        };
        let (message, is_repeat) = outcome(self.appender().append(message).await?)?;
        Ok(Sent { message, window: window.filter(|_| !is_repeat) })
    }

    /// A repeat is neither counted nor written, so one that comes above a limit still gets its answer.
    async fn replay_or(
        &self,
        refusal: Error,
        member: &Member,
        room: &RoomWriter,
        speaker: &Speaker,
        idempotency: Option<&Idempotency>,
    ) -> Result<Sent, Error> {
        let Some(idempotency) = idempotency else { return Err(refusal) };
        let user = match speaker {
            Speaker::User(user) => Some(user.clone()),
            Speaker::Named(name, kind) => self.known_user(member, name, *kind).await?,
        };
        let Some(user) = user else { return Err(refusal) };
        match self.store().find_repeat(room.tenant, room.room.id, user.id, idempotency, self.steady_now()).await? {
            Some(repeat) => outcome(repeat).map(|(message, _)| Sent { message, window: None }),
            None => Err(refusal),
        }
    }

    /// Counts a message in its bucket: one per tenant over all names of its key, one per guest.
    fn count_message(&self, member: &Member) -> Result<Option<Counted>, Error> {
        let subject = match &member.who {
            Who::User(user) if member.is_guest() => Subject::User(user.id),
            Who::User(_) | Who::Key => Subject::Tenant(member.tenant),
        };
        let limit = if self.is_limited(member) { self.config().limits.messages_per_minute_per_key } else { 0 };
        self.limits().windows.take(Bucket::Messages, subject, limit, self.clock().monotonic())
    }

    /// The user of a bare key by name and kind, under the name as it is written here, if there is one.
    pub(crate) async fn known_user(&self, member: &Member, name: &UserName, kind: Kind) -> Result<Option<User>, Error> {
        let folded = name.folded();
        let known = match self.remembered().user(member.tenant, &folded, kind) {
            Some(user) => Some(user),
            None => {
                let stored = self.store().own_user(member.tenant, folded.clone(), kind).await?;
                stored.inspect(|user| self.remembered().keep_user(member.tenant, folded, user))
            }
        };
        Ok(known.map(|user| User { name: name.as_str().to_owned(), ..user }))
    }

    /// The user of a bare key by name and kind, made when it is new.
    ///
    /// # Errors
    /// [`Error::NameTaken`] when a guest has that name, [`Error::DiskFull`] when it would have to be made,
    /// [`Error::RateLimited`] when the key says too many new names.
    pub(crate) async fn named_user(&self, member: &Member, name: UserName, kind: Kind) -> Result<User, Error> {
        if let Some(user) = self.known_user(member, &name, kind).await? {
            return Ok(user);
        }
        self.refuse_when_disk_is_full()?;
        if self.is_limited(member) {
            // Messages alone never reach this number: at most two of their windows lie in one of these.
            let limit = self.config().limits.messages_per_minute_per_key.saturating_mul(2);
            let (subject, now) = (Subject::Tenant(member.tenant), self.clock().monotonic());
            self.limits().windows.take(Bucket::NewUsers, subject, limit, now)?;
        }
        let new = NewUser { id: self.new_user_id(), name: name.clone(), kind };
        match self.store().ensure_user(member.tenant, new, self.clock().now()).await? {
            Ensured::User(user) => {
                self.remembered().keep_user(member.tenant, name.folded(), &user);
                let known = KnownUser { id: user.id, folded: name.folded(), rooms: None };
                self.directory().add(member.tenant, known);
                Ok(User { name: name.into_string(), ..user })
            }
            Ensured::NameTaken => Err(Error::NameTaken(name.into_string())),
        }
    }
}

/// As whom a member speaks: a session as itself, a bare key as any name of its tenant.
fn speaker(member: &Member, name: Option<&str>, kind: Option<Kind>) -> Result<Speaker, Error> {
    match &member.who {
        Who::User(user) => {
            let is_own = name.is_none_or(|name| fold(name.trim()) == fold(&user.name));
            if is_own && kind.is_none_or(|kind| kind == user.kind) {
                Ok(Speaker::User(user.clone()))
            } else {
                Err(Error::Forbidden("a session speaks as itself: leave sender and sender_type out"))
            }
        }
        Who::Key => {
            let name = name.filter(|name| !name.trim().is_empty());
            let name = name.ok_or_else(|| Error::Invalid("sender and content are required".into()))?;
            Ok(Speaker::Named(UserName::parse("sender", name)?, kind.unwrap_or(Kind::Human)))
        }
    }
}

/// By this a repeat is told from another message under the same idempotency key.
fn body_digest(member: &Member, body: &SendMessage) -> Digest {
    let (sender, kind) = match &member.who {
        Who::User(user) => (Some(user.name.as_str()), user.kind),
        Who::Key => (body.sender.as_deref().map(str::trim), body.sender_type.unwrap_or(Kind::Human)),
    };
    let mut hash = sha2::Sha256::new();
    for part in [sender, Some(kind.as_str()), body.content.as_deref(), body.reply_to.as_deref()] {
        // The length before each part keeps two different messages from reading as one.
        hash.update((part.map_or(u64::MAX, |part| part.len() as u64)).to_be_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    Digest(hash.finalize().into())
}

/// The stored message, and whether it was there before.
fn outcome(outcome: AppendOutcome) -> Result<(std::sync::Arc<Message>, bool), Error> {
    match outcome {
        AppendOutcome::Stored(message) => Ok((message, false)),
        AppendOutcome::Replayed(message) => Ok((message, true)),
        AppendOutcome::Conflict => Err(Error::IdempotencyConflict),
        AppendOutcome::RoomGone => Err(Error::RoomNotFound),
        AppendOutcome::RoomFull => Err(Error::RoomFull),
        AppendOutcome::QuotaExceeded => Err(Error::QuotaExceeded),
        AppendOutcome::Stopped(stop, at) => Err(Error::Stopped(stop, at.agents)),
        AppendOutcome::UnknownReply => Err(Error::UnknownCursor("reply_to")),
    }
}
