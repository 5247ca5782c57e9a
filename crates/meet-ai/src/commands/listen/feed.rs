//! What a listener has seen and what is news to it. Pure: frames in, decisions out.
//!
//! Messages are told apart by `seq` within an epoch, and by id across epochs: a restored backup
//! counts anew over messages that were heard already.

use std::collections::{HashSet, VecDeque};

use meet_api::{Message, MessageId, Timestamp};

use crate::own::Own;

/// How many ids are remembered for the day on which a backup is restored.
const REMEMBERED: usize = 100_000;

/// A listener's place in a room.
#[derive(Debug, Default)]
pub(super) struct Feed {
    cursor: u64,
    epoch: Option<String>,
    own: Own,
    not_before: Option<Timestamp>,
    is_reloaded: bool,
    heard: HashSet<MessageId>,
    order: VecDeque<MessageId>,
}

impl Feed {
    /// Begins after `cursor`, leaving out what `own` says.
    pub(super) fn new(cursor: u64, epoch: Option<String>, own: Own) -> Self {
        Self { cursor, epoch, own, ..Self::default() }
    }

    /// What was said up to this time was not asked for, whatever its place in a later epoch.
    pub(super) fn skip_until(&mut self, time: Option<Timestamp>) {
        self.not_before = time;
    }

    /// The newest place that was reached.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The epoch of that place, when known.
    pub(super) fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    /// Takes a message; whether it is news.
    pub(super) fn take(&mut self, message: &Message) -> bool {
        if message.seq <= self.cursor {
            return false;
        }
        self.cursor = message.seq;
        let is_old = self.is_reloaded && self.not_before.is_some_and(|time| message.created_at <= time);
        self.remember(message.id) && !is_old && !self.own.said(message)
    }

    /// Everything up to `seq` was sent, or left out by the filter.
    pub(super) fn advance(&mut self, seq: u64) {
        self.cursor = self.cursor.max(seq);
    }

    /// The server says where the room stands; whether the cursor is still good for it. If it is not,
    /// the room is to be read from its beginning.
    pub(super) fn agree(&mut self, head_seq: u64, epoch: &str) -> bool {
        let is_good = self.epoch.as_deref().is_none_or(|known| known == epoch) && self.cursor <= head_seq;
        self.epoch = Some(epoch.to_owned());
        if !is_good {
            self.cursor = 0;
            self.is_reloaded = true;
        }
        is_good
    }

    fn remember(&mut self, id: MessageId) -> bool {
        if !self.heard.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED {
            self.order.pop_front().map(|oldest| self.heard.remove(&oldest));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{Kind, MessageTag};

    use super::*;

    const OWN: &str = "01900000-0000-7000-8000-00000000000a";
    const OTHER: &str = "01900000-0000-7000-8000-00000000000b";

    /// The message number `seq`, said at `at`; its id tells when it was said, as ids do.
    fn message(seq: u64, at: i64, user: &str) -> Message {
        let room = "01900000-0000-7000-8000-000000000002".parse().unwrap();
        Message {
            id: format!("01900000-0000-7000-8000-{at:012}").parse().unwrap(),
            room_id: room,
            room_id_again: room,
            seq,
            tag: MessageTag::Message,
            user: user.parse().unwrap(),
            sender: "Ann".into(),
            sender_type: Kind::Human,
            content: "hi".into(),
            reply_to: None,
            created_at: Timestamp::from_millis(at),
        }
    }

    fn news(feed: &mut Feed, messages: &[(u64, i64)]) -> Vec<u64> {
        let taken = messages.iter().filter(|(seq, at)| feed.take(&message(*seq, *at, OTHER)));
        taken.map(|(seq, _)| *seq).collect()
    }

    #[test]
    fn each_message_is_news_once() {
        let mut feed = Feed::new(2, None, Own::Nobody);
        assert_eq!(news(&mut feed, &[(1, 1), (2, 2), (3, 3), (3, 3), (4, 4), (3, 3)]), [3, 4]);
        feed.advance(9);
        feed.advance(5);
        assert_eq!(feed.cursor(), 9);
    }

    #[test]
    fn what_the_caller_says_is_no_news_to_it() {
        let mut feed = Feed::new(0, None, Own::User(OWN.parse().unwrap()));
        assert!(!feed.take(&message(1, 1, OWN)));
        assert!(feed.take(&message(2, 2, OTHER)));
        assert_eq!(feed.cursor(), 2);
    }

    #[test]
    fn a_restored_room_is_read_anew_and_only_the_unheard_is_news() {
        let mut feed = Feed::new(0, Some("a".into()), Own::Nobody);
        assert_eq!(news(&mut feed, &[(1, 1), (2, 2), (3, 3)]), [1, 2, 3]);
        assert!(!feed.agree(4, "b"));
        assert_eq!((feed.cursor(), feed.epoch()), (0, Some("b")));
        // The backup held two; the third was lost, and two were said since.
        assert_eq!(news(&mut feed, &[(1, 1), (2, 2), (3, 10), (4, 11)]), [3, 4]);
    }

    #[test]
    fn a_listener_from_now_on_hears_no_old_message_after_a_restore() {
        let mut feed = Feed::new(5, Some("a".into()), Own::Nobody);
        feed.skip_until(Some(Timestamp::from_millis(5)));
        assert!(!feed.agree(4, "b"));
        assert_eq!(news(&mut feed, &[(1, 1), (2, 2), (3, 3), (4, 10)]), [4]);
    }

    #[test]
    fn a_cursor_is_good_for_its_own_epoch_and_up_to_the_head() {
        assert!(Feed::new(5, None, Own::Nobody).agree(5, "a"));
        assert!(Feed::new(5, Some("a".into()), Own::Nobody).agree(20_000, "a"));
        assert!(!Feed::new(6, Some("a".into()), Own::Nobody).agree(5, "a"));
        assert!(!Feed::new(5, Some("a".into()), Own::Nobody).agree(5, "b"));
    }
}
