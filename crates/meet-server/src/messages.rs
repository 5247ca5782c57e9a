//! Saying something: one operation behind every transport. Reading is [`history`](crate::history)'s.

use meet_api::{
    Kind, Message, MessageId, User,
    request::SendMessage,
    text::{ClientId, Content, UserName, fold},
};
use meet_store::{AppendOutcome, Caps, Digest, Ensured, Idempotency, NewMessage, NewUser};
use sha2::Digest as _;

use crate::{
    app::App,
    auth::{Member, Who},
    error::{Error, Window},
    limits::{Bucket, Subject},
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
        let user = self.speaker(member, body.sender.as_deref(), body.sender_type).await?;
        let sender = UserName::parse("sender", &user.name)?;
        let idempotency = client_id.map(|key| Idempotency { key, body: body_digest(member, &body) });
        let (window, subject) = match self.count_message(member, &user) {
            Ok(counted) => counted,
            Err(refusal) => return self.replay_or(refusal, room, &user, idempotency.as_ref()).await,
        };
        let outcome = match self.refuse_when_disk_is_full() {
            Err(refusal) => {
                let repeated = self.replay_or(refusal, room, &user, idempotency.as_ref()).await;
                repeated.map(|sent| (sent.message, true))
            }
            Ok(()) => {
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
                    caps: Caps {
                        messages_per_room: self.config().limits.messages_per_room,
                        bytes_per_tenant: self.config().limits.bytes_per_tenant,
                    },
                };
                self.appender().append(message).await.map_err(Error::from).and_then(outcome)
            }
        };
        match outcome {
            Ok((message, false)) => Ok(Sent { message, window }),
            repeated_or_refused => {
                self.limits().windows.give_back(Bucket::Messages, subject);
                repeated_or_refused.map(|(message, _)| Sent { message, window: None })
            }
        }
    }

    /// A repeat is neither counted nor written, so one that comes above a limit still gets its answer.
    async fn replay_or(
        &self,
        refusal: Error,
        room: &RoomWriter,
        user: &User,
        idempotency: Option<&Idempotency>,
    ) -> Result<Sent, Error> {
        let Some(idempotency) = idempotency else { return Err(refusal) };
        match self.store().find_repeat(room.tenant, room.room.id, user.id, idempotency, self.clock().now()).await? {
            Some(repeat) => outcome(repeat).map(|(message, _)| Sent { message, window: None }),
            None => Err(refusal),
        }
    }

    /// Counts a message in its bucket: one per tenant over all names of its key, one per guest.
    fn count_message(&self, member: &Member, user: &User) -> Result<(Option<Window>, Subject), Error> {
        let subject = if member.is_guest() { Subject::User(user.id) } else { Subject::Tenant(member.tenant) };
        let limit = if self.is_limited(member) { self.config().limits.messages_per_minute_per_key } else { 0 };
        let window = self.limits().windows.take(Bucket::Messages, subject, limit, self.clock().monotonic())?;
        Ok((window, subject))
    }

    /// The user that a member speaks as: a session as itself, a bare key as any name of its tenant.
    pub(crate) async fn speaker(&self, member: &Member, name: Option<&str>, kind: Option<Kind>) -> Result<User, Error> {
        match &member.who {
            Who::User(user) => {
                let is_own = name.is_none_or(|name| fold(name.trim()) == fold(&user.name));
                if is_own && kind.is_none_or(|kind| kind == user.kind) {
                    Ok(user.clone())
                } else {
                    Err(Error::Forbidden("a session speaks as itself: leave sender and sender_type out"))
                }
            }
            Who::Key => {
                let missing = || Error::Invalid("sender and content are required".into());
                let name = name.filter(|name| !name.trim().is_empty()).ok_or_else(missing)?;
                let name = UserName::parse("sender", name)?;
                self.named_user(member, name, kind.unwrap_or(Kind::Human)).await
            }
        }
    }

    /// The user of a bare key by name and kind, made when it is new.
    pub(crate) async fn named_user(&self, member: &Member, name: UserName, kind: Kind) -> Result<User, Error> {
        let folded = name.folded();
        if let Some(user) = self.remembered().user(member.tenant, &folded, kind) {
            return Ok(User { name: name.into_string(), ..user });
        }
        let new = NewUser { id: self.new_user_id(), name: name.clone(), kind };
        match self.store().ensure_user(member.tenant, new, self.clock().now()).await? {
            Ensured::User(user) => {
                self.remembered().keep_user(member.tenant, folded, &user);
                Ok(User { name: name.into_string(), ..user })
            }
            Ensured::NameTaken => Err(Error::NameTaken(name.into_string())),
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
        AppendOutcome::UnknownReply => Err(Error::UnknownCursor("reply_to")),
    }
}
