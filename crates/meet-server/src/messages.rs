//! Messages: saying something, reading what was said, waiting for more, searching.

use std::time::Duration;

use meet_api::{
    Kind, Message, MessageId, User,
    request::SendMessage,
    text::{ClientId, Content, UserName, fold, folds_to},
};
use meet_store::{AppendOutcome, Caps, Digest, Ensured, Idempotency, NewMessage, NewUser, Page};
use sha2::Digest as _;

use crate::{
    app::App,
    auth::{Member, Who},
    error::{Error, Window},
    hub::{CloseReason, Drained, Standing},
    limits::{Bucket, Subject},
    mention,
    rooms::{RoomAccess, RoomWriter},
};

/// The longest page of a list.
pub const MAX_LIMIT: u32 = 1000;
/// The page of a list when none is asked for.
pub const DEFAULT_LIMIT: u32 = 200;
/// The longest long poll, in seconds.
pub const MAX_WAIT: u64 = 60;
/// The most messages that one filtered page looks at before it hands out what it has, with a cursor to go on.
const MAX_SCANNED: u32 = 5000;
/// The most words of a search that count.
const MAX_SEARCH_WORDS: usize = 8;
/// A long poll needs no queue: it looks into the store when it is woken.
const WAITER_BYTES: usize = 16 * 1024;

/// What was done with a message.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The message as it is stored.
    pub message: std::sync::Arc<Message>,
    /// The sender's window, when it has a limit.
    pub window: Option<Window>,
}

/// What a reader leaves out; the same on every transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Leave out messages under this folded name.
    exclude: Option<String>,
    /// Only messages that mention this folded name.
    mentions: Option<String>,
    /// The folded names of the tenant, for telling `@ann` from `@ann lee`.
    known: Vec<String>,
}

impl Filter {
    /// Whether it leaves out anything at all.
    pub fn is_active(&self) -> bool {
        self.exclude.is_some() || self.mentions.is_some()
    }

    /// Whether the reader wants the message.
    pub fn admits(&self, message: &Message) -> bool {
        self.exclude.as_deref().is_none_or(|name| !folds_to(&message.sender, name))
            && self.mentions.as_deref().is_none_or(|name| mention::mentions(&message.content, name, &self.known))
    }
}

/// Where a page of history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The first message.
    Start,
    /// Behind this `seq`.
    AfterSeq(u64),
    /// Behind this message.
    After(MessageId),
    /// The last ones before this `seq`.
    BeforeSeq(u64),
}

/// A page of history that a caller asks for.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    /// Where it begins; `None`: from the beginning, or with `wait` from the head.
    pub from: Option<From>,
    /// At most this many messages.
    pub limit: u32,
    /// What is left out.
    pub filter: Filter,
    /// The epoch that the cursor belongs to.
    pub epoch: Option<String>,
    /// How long to wait for the first message; zero for not at all.
    pub wait: Duration,
}

/// A page of history.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Ascending by `seq`.
    pub messages: Vec<Message>,
    /// The `after_seq` of the next page, when there is one.
    pub next: Option<u64>,
    /// The `before_seq` of the previous page, when there is one.
    pub previous: Option<u64>,
    /// The room's newest message.
    pub head_seq: u64,
    /// The room's epoch.
    pub epoch: String,
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

    /// A page of a room's history, waiting for its first message when asked to.
    ///
    /// # Errors
    /// [`Error::UnknownCursor`] for a cursor of another room, another epoch, or above the head.
    pub async fn history(
        &self,
        member: Option<&Member>,
        access: &RoomAccess,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, Error> {
        if query.wait.is_zero() {
            return self.page(access, query, self.start_of(access, query).await?).await;
        }
        let place = (access.address(), Standing::Unseen, access.is_foreign());
        let connection = self.hub().connect(member.map(Member::credential), WAITER_BYTES);
        connection.outbox().set_lossy(true);
        let _subscription = self.listen(member, &connection, place).await?;
        // What ended before is noticed here, and from here on by the hub.
        let access = &self.room(member, access.room.id).await?;
        let mut from = match query.from {
            None => From::AfterSeq(access.room.head_seq),
            Some(_) => self.start_of(access, query).await?,
        };
        let deadline = tokio::time::sleep(query.wait);
        tokio::pin!(deadline);
        loop {
            let page = match self.page(access, query, from).await {
                // A tenant that is deleted takes its rooms along; whose credential ended is told that first.
                Err(Error::RoomNotFound) => {
                    return Err(self.confirm(member).await.err().unwrap_or(Error::RoomNotFound));
                }
                page => page?,
            };
            if !page.messages.is_empty() || matches!(from, From::BeforeSeq(_)) {
                return Ok(page);
            }
            if let Some(next) = page.next {
                from = From::AfterSeq(next);
                continue;
            }
            from = From::AfterSeq(page.head_seq);
            tokio::select! {
                biased;
                () = &mut deadline => return Ok(page),
                () = self.tasks().stopping() => return Ok(page),
                () = connection.outbox().wait() => {}
            }
            if let Drained::Closed(reason) = connection.outbox().drain() {
                if reason == CloseReason::RoomGone {
                    // The room itself says best why it is closed to this caller.
                    self.room(member, access.room.id).await?;
                }
                return Err(Error::from_close(reason));
            }
        }
    }

    /// The room's head and epoch now.
    pub(crate) async fn head(&self, access: &RoomAccess) -> Result<(u64, String), Error> {
        self.store().head(access.tenant, access.room.id).await?.ok_or(Error::RoomNotFound)
    }

    /// Turns the cursor that a caller gave into one that pages can be read from.
    async fn start_of(&self, access: &RoomAccess, query: &HistoryQuery) -> Result<From, Error> {
        let (head, epoch) = self.head(access).await?;
        if query.epoch.as_ref().is_some_and(|given| *given != epoch) {
            return Err(Error::UnknownCursor("epoch"));
        }
        match query.from.unwrap_or(From::Start) {
            From::Start => Ok(From::AfterSeq(0)),
            From::AfterSeq(seq) if seq > head => Err(Error::UnknownCursor("after_seq")),
            From::After(id) => {
                let seq = self.store().message_seq(access.tenant, access.room.id, id).await?;
                let seen = seq.filter(|seq| *seq > access.floor);
                seen.map(From::AfterSeq).ok_or(Error::UnknownCursor("after"))
            }
            from => Ok(from),
        }
    }

    async fn page(&self, access: &RoomAccess, query: &HistoryQuery, from: From) -> Result<HistoryPage, Error> {
        match from {
            From::BeforeSeq(before) => self.page_back(access, query, before).await,
            From::AfterSeq(after) => self.page_on(access, query, after).await,
            From::Start | From::After(_) => self.page_on(access, query, 0).await,
        }
    }

    /// Reads on from behind `after`, skipping what the filter leaves out.
    async fn page_on(&self, access: &RoomAccess, query: &HistoryQuery, after: u64) -> Result<HistoryPage, Error> {
        let limit = query.limit as usize;
        // The head comes first: up to it everything is looked at, so that a caller may go on from there.
        let (head_seq, epoch) = self.head(access).await?;
        let (mut messages, mut position, mut scanned) = (Vec::new(), after.max(access.floor), 0);
        let more = loop {
            let ask = if query.filter.is_active() { MAX_LIMIT } else { query.limit };
            let slice = self.store().history(access.tenant, access.room.id, Page::After(position), ask).await?;
            let is_last = slice.len() < ask as usize;
            scanned += ask;
            for message in slice {
                if messages.len() == limit {
                    break;
                }
                position = message.seq;
                if query.filter.admits(&message) {
                    messages.push(message);
                }
            }
            if messages.len() == limit || scanned >= MAX_SCANNED {
                break true;
            }
            if is_last {
                break false;
            }
        };
        let next = (more && position < head_seq).then_some(position);
        let head_seq = head_seq.max(position);
        let previous = messages.first().map(|first| first.seq).filter(|seq| *seq > access.floor + 1);
        Ok(HistoryPage { messages, next, previous, head_seq, epoch })
    }

    /// Reads the last messages before `before`, skipping what the filter leaves out.
    async fn page_back(&self, access: &RoomAccess, query: &HistoryQuery, before: u64) -> Result<HistoryPage, Error> {
        let limit = query.limit as usize;
        let (mut newest_first, mut position, mut scanned) = (Vec::new(), before, 0);
        let more = loop {
            let ask = if query.filter.is_active() { MAX_LIMIT } else { query.limit };
            let slice = self.store().history(access.tenant, access.room.id, Page::Before(position), ask).await?;
            let oldest = slice.first().map_or(0, |message| message.seq);
            let is_last = slice.len() < ask as usize || oldest <= access.floor + 1;
            scanned += ask;
            for message in slice.into_iter().rev().take_while(|message| message.seq > access.floor) {
                if newest_first.len() == limit {
                    break;
                }
                position = message.seq;
                if query.filter.admits(&message) {
                    newest_first.push(message);
                }
            }
            if newest_first.len() == limit || scanned >= MAX_SCANNED {
                break true;
            }
            if is_last {
                break false;
            }
        };
        let messages: Vec<_> = newest_first.into_iter().rev().collect();
        let (head_seq, epoch) = self.head(access).await?;
        let next = messages.last().map(|last| last.seq).filter(|seq| *seq < head_seq);
        let previous = (more && position > access.floor + 1).then_some(position);
        Ok(HistoryPage { messages, next, previous, head_seq, epoch })
    }

    /// Messages that hold all words of `text`, the last one as a beginning; newest first.
    pub async fn search(
        &self,
        access: &RoomAccess,
        text: &str,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let words: Vec<String> = meet_store::words(text).into_iter().take(MAX_SEARCH_WORDS).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.store().search(access.tenant, access.room.id, &words, before_seq, access.floor, limit).await;
        match found {
            Err(meet_store::StoreError::Interrupted) => {
                Err(Error::Invalid("this search takes too long: add a word to q or give before_seq".into()))
            }
            other => Ok(other?),
        }
    }

    /// A filter with the names that it needs.
    pub async fn filter(
        &self,
        access: &RoomAccess,
        exclude: Option<String>,
        mentions: Option<String>,
    ) -> Result<Filter, Error> {
        let known = if mentions.is_some() {
            let users = self.store().users(access.tenant, mention::MAX_KNOWN).await?;
            users.iter().map(|stored| fold(&stored.user.name)).collect()
        } else {
            Vec::new()
        };
        Ok(Filter { exclude: exclude.as_deref().map(fold), mentions: mentions.as_deref().map(fold), known })
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
