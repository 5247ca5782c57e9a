//! The channels that one client listens to. Most have a handful, of which an idle connection must not hold more memory
//! than it needs: one list, sorted by name.

use std::time::Duration;

/// Who made a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// How a client listens to a channel.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) side: Side,
    /// The last offset that the client has, in a channel with a history.
    pub(super) position: Option<u64>,
    /// Until when it holds without a new token.
    pub(super) ends: Option<Duration>,
    /// Whether the client wants to hear who comes and goes.
    pub(super) hears_people: bool,
}

/// A client's subscriptions by channel.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<(Box<str>, Subscription)>);

impl Subscriptions {
    fn place(&self, channel: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(name, _)| (**name).cmp(channel))
    }

    pub(super) fn get(&self, channel: &str) -> Option<&Subscription> {
        self.place(channel).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.place(channel).ok().map(|at| &mut self.0[at].1)
    }

    /// Adds a subscription, in the place of one that may be there.
    pub(super) fn insert(&mut self, channel: &str, subscription: Subscription) {
        match self.place(channel) {
            Ok(at) => self.0[at].1 = subscription,
            Err(at) => self.0.insert(at, (channel.into(), subscription)),
        }
    }

    pub(super) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        self.place(channel).ok().map(|at| self.0.remove(at).1)
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first of them ends.
    pub(super) fn first_end(&self) -> Option<Duration> {
        self.0.iter().filter_map(|(_, subscription)| subscription.ends).min()
    }

    /// One that has ended by now.
    pub(super) fn ended(&self, now: Duration) -> Option<&str> {
        let is_over = |subscription: &Subscription| subscription.ends.is_some_and(|end| end <= now);
        self.0.iter().find(|(_, subscription)| is_over(subscription)).map(|(name, _)| &**name)
    }
}
