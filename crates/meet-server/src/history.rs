//! Reading what was said: pages of history, waiting for more, searching.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use meet_api::{
    Message, MessageId, User, UserId,
    text::{fold, folds_to},
};
use meet_store::{Page, StoreError};

use crate::{
    app::App,
    auth::Member,
    error::Error,
    hub::{Drained, Keep, Scope, Standing},
    names::Addressed,
    rooms::RoomAccess,
};

/// The longest page of a list.
pub const MAX_LIMIT: u32 = 1000;
/// The page of a list when none is asked for.
pub const DEFAULT_LIMIT: u32 = 200;
/// The longest long poll, in seconds.
pub const MAX_WAIT: u64 = 60;
/// The most bytes of content in a page: the message that reaches it is the last one.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// How many messages are read from the store at once, so that long ones never fill the memory.
const SLICE: u32 = 64;
/// The most messages that one filtered page looks at before it hands out what it has, with a cursor to go on.
const MAX_LOOKED_AT: u32 = 5000;

/// What a reader leaves out; the same on every transport.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Leave out messages under this folded name.
    exclude: Option<String>,
    /// Only messages that speak to a name.
    addressed: Option<Addressed>,
    /// Whose messages are the reader's own, which it is not sent when it filters by a name.
    own: Own,
}

/// Whose messages are a reader's own.
#[derive(Debug, Clone, Default)]
enum Own {
    /// Nobody's.
    #[default]
    Nobodys,
    /// A user's.
    User(UserId),
    /// A bare key speaks for everyone of its names, so those under the folded name that it filters by.
    Name(String),
}

/// The filter that a caller asks for, in its own words.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Leave out this sender.
    pub exclude: Option<String>,
    /// Only messages that mention this name.
    pub mentions: Option<String>,
    /// Only messages that mention this name, or nobody who is known.
    pub meant_for: Option<String>,
}

impl Filter {
    /// Whether it leaves out anything at all.
    pub fn is_active(&self) -> bool {
        self.exclude.is_some() || self.addressed.is_some()
    }

    /// Whether the reader wants the message.
    pub fn admits(&self, message: &Message) -> bool {
        self.exclude.as_deref().is_none_or(|name| !folds_to(&message.sender, name))
            && self.addressed.as_ref().is_none_or(|addressed| !self.own.is_of(message) && addressed.admits(message))
    }
}

impl Own {
    fn is_of(&self, message: &Message) -> bool {
        match self {
            Self::Nobodys => false,
            Self::User(user) => message.user == *user,
            Self::Name(name) => folds_to(&message.sender, name),
        }
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

/// A page as it is put together from slices of the store, in the order of reading.
struct Gathering<'q> {
    query: &'q HistoryQuery,
    messages: Vec<Message>,
    bytes: usize,
    looked_at: u32,
}

impl<'q> Gathering<'q> {
    fn new(query: &'q HistoryQuery) -> Self {
        Self { query, messages: Vec::new(), bytes: 0, looked_at: 0 }
    }

    /// How many messages to read next.
    fn ask(&self) -> u32 {
        if self.query.filter.is_active() {
            return SLICE;
        }
        SLICE.min(self.query.limit.saturating_sub(self.looked_at))
    }

    /// Looks at the next message, and keeps it when it is wanted.
    fn look_at(&mut self, message: Message) {
        self.looked_at += 1;
        if self.query.filter.admits(&message) {
            self.bytes += message.content.len();
            self.messages.push(message);
        }
    }

    /// Whether the page is to be handed out, though there may be more.
    fn is_full(&self) -> bool {
        self.messages.len() >= self.query.limit as usize
            || self.bytes >= MAX_PAGE_BYTES
            || self.looked_at >= MAX_LOOKED_AT
    }
}

impl App {
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
        let id = access.room.id;
        let place = (access.address(), Standing::Unseen, access.is_foreign());
        let connection = self.hub().connect(self.clock().uuid(), member.map(Member::credential), Scope::One, 0);
        connection.outbox().keep(Keep::Nothing);
        let _subscription = self.listen(member, &connection, place).await?;
        // What ended before is noticed here, and from here on by the hub.
        let mut access = self.room(member, id).await?;
        let mut from = match (self.start_of(&access, query).await?, query.from) {
            (_, None) => Page::After(access.room.head_seq),
            (start, Some(_)) => start,
        };
        let deadline = tokio::time::sleep(query.wait);
        tokio::pin!(deadline);
        loop {
            let page = self.page(&access, query, from).await?;
            if !page.messages.is_empty() || matches!(from, Page::Before(_)) {
                return Ok(page);
            }
            if let Some(next) = page.next {
                if deadline.as_mut().now_or_never().is_some() || self.tasks().is_stopping() {
                    return Ok(page);
                }
                from = Page::After(next);
                continue;
            }
            from = Page::After(page.head_seq);
            tokio::select! {
                biased;
                () = &mut deadline => return Ok(page),
                () = self.tasks().stopping() => return Ok(page),
                () = connection.outbox().wait() => {}
            }
            let drained = connection.outbox().drain();
            // The room itself says best why it is closed to this caller.
            access = self.room(member, id).await?;
            if let Drained::Closed(reason) = drained {
                return Err(Error::from_close(reason));
            }
        }
    }

    /// Turns the cursor that a caller gave into a place to read from.
    async fn start_of(&self, access: &RoomAccess, query: &HistoryQuery) -> Result<Page, Error> {
        if query.epoch.as_ref().is_some_and(|given| *given != access.room.epoch) {
            return Err(Error::UnknownCursor("epoch"));
        }
        match query.from.unwrap_or(From::Start) {
            From::Start => Ok(Page::After(0)),
            From::AfterSeq(seq) if seq > access.room.head_seq => Err(Error::UnknownCursor("after_seq")),
            From::AfterSeq(seq) => Ok(Page::After(seq)),
            From::BeforeSeq(seq) => Ok(Page::Before(seq)),
            From::After(id) => {
                let seq = self.store().message_seq(access.tenant, access.room.id, id).await?;
                let seen = seq.filter(|seq| *seq > access.floor);
                seen.map(Page::After).ok_or(Error::UnknownCursor("after"))
            }
        }
    }

    /// Reads from `start` until the page is full or nothing is left, skipping what the filter leaves out.
    async fn page(&self, access: &RoomAccess, query: &HistoryQuery, start: Page) -> Result<HistoryPage, Error> {
        let (floor, head) = (access.floor, access.room.head_seq);
        let mut from = match start {
            Page::After(seq) => Page::After(seq.max(floor)),
            Page::Before(seq) => Page::Before(seq),
        };
        let mut gathering = Gathering::new(query);
        let may_go_on = loop {
            let ask = gathering.ask();
            let mut slice = self.store().history(access.tenant, access.room.id, from, ask).await?;
            let reaches_floor = slice.first().is_some_and(|oldest| oldest.seq <= floor + 1);
            let is_last = slice.len() < ask as usize || (reaches_floor && matches!(from, Page::Before(_)));
            // The head is never without its messages: the room was deleted since the right was checked.
            if slice.is_empty() && reaches_messages(from, head) {
                return Err(Error::RoomNotFound);
            }
            if matches!(from, Page::Before(_)) {
                slice.reverse();
            }
            for message in slice.into_iter().take_while(|message| message.seq > floor) {
                from = match from {
                    Page::After(_) => Page::After(message.seq),
                    Page::Before(_) => Page::Before(message.seq),
                };
                gathering.look_at(message);
                if gathering.is_full() {
                    break;
                }
            }
            if gathering.is_full() {
                break true;
            }
            if is_last {
                break false;
            }
        };
        let mut messages = gathering.messages;
        let epoch = access.room.epoch.clone();
        Ok(match from {
            Page::After(seq) => {
                let previous = messages.first().map(|first| first.seq).filter(|seq| *seq > floor + 1);
                let next = (may_go_on && seq < head).then_some(seq);
                HistoryPage { messages, next, previous, head_seq: head.max(seq), epoch }
            }
            Page::Before(seq) => {
                messages.reverse();
                let next = messages.last().map(|last| last.seq).filter(|seq| *seq < head);
                let previous = (may_go_on && seq > floor + 1).then_some(seq);
                HistoryPage { messages, next, previous, head_seq: head, epoch }
            }
        })
    }

    /// Messages that hold all words of `text`, the last one as a beginning; newest first, at most `limit`, fewer when
    /// they are long.
    pub async fn search(
        &self,
        access: &RoomAccess,
        text: &str,
        before_seq: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Message>, Error> {
        let words: Vec<String> = meet_store::words(text);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.store().search(access.tenant, access.room.id, &words, before_seq, access.floor, limit).await;
        let mut messages = found.map_err(|error| match error {
            StoreError::Interrupted => {
                Error::Invalid("this search takes too long: add a word to q or give before_seq".into())
            }
            other => other.into(),
        })?;
        let mut bytes = 0;
        let fitting = messages.iter().take_while(|message| {
            let fits = bytes < MAX_PAGE_BYTES;
            bytes += message.content.len();
            fits
        });
        messages.truncate(fitting.count());
        Ok(messages)
    }

    /// A filter with the names that it needs, for a reader who is this user, if it is one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for two names to filter by.
    pub async fn filter(
        &self,
        access: &RoomAccess,
        reader: (Option<&Member>, Option<&User>),
        wanted: Wanted,
    ) -> Result<Filter, Error> {
        let (name, or_nobody) = match (wanted.mentions, wanted.meant_for) {
            (Some(_), Some(_)) => return Err(Error::Invalid("give only one of mentions and for".into())),
            (Some(name), None) => (Some(name), false),
            (None, name) => (name, true),
        };
        if name.as_deref().is_some_and(|name| fold(name.trim()).is_empty()) {
            return Err(Error::Invalid("mentions and for must be a name".into()));
        }
        let Some(name) = name.map(|name| fold(name.trim())) else {
            return Ok(Filter { exclude: wanted.exclude.as_deref().map(fold), ..Filter::default() });
        };
        let own = match reader {
            (_, Some(user)) => Own::User(user.id),
            (Some(member), None) if member.user().is_none() => Own::Name(name.clone()),
            (_, None) => Own::Nobodys,
        };
        // Whoever is here only because the room is public learns nothing of who is known in it.
        let names = if access.is_foreign() { Arc::default() } else { self.names(access.tenant).await? };
        let addressed = Some(Addressed { name, or_nobody, names, room: access.room.id });
        Ok(Filter { exclude: wanted.exclude.as_deref().map(fold), addressed, own })
    }
}

/// Whether a room with this head has messages in this part of its history.
fn reaches_messages(from: Page, head: u64) -> bool {
    match from {
        Page::After(seq) => seq < head,
        Page::Before(seq) => seq > 1 && head > 0,
    }
}
