//! When to ping, and when silence means that nobody is there. Pure: the shell owns the timer.

use std::time::Duration;

/// How often the server pings.
const PING_EVERY: Duration = Duration::from_secs(25);
/// How long a peer may say nothing.
const DEAD_AFTER: Duration = Duration::from_mins(1);

/// One connection's heartbeat, on monotonic time.
#[derive(Debug)]
pub(super) struct Heartbeat {
    last_ping: Duration,
    last_seen: Option<Duration>,
}

/// What the timer found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Ping now.
    Ping,
    /// Nobody is there.
    Dead,
    /// Nothing yet.
    Early,
}

impl Heartbeat {
    /// A connection that opens at `now`; with `listens`, silence of the peer is death.
    pub(super) fn new(now: Duration, listens: bool) -> Self {
        Self { last_ping: now, last_seen: listens.then_some(now) }
    }

    /// Any frame counts as life.
    pub(super) fn seen(&mut self, now: Duration) {
        if let Some(last) = &mut self.last_seen {
            *last = now;
        }
    }

    /// How long the timer should sleep.
    pub(super) fn next(&self, now: Duration) -> Duration {
        let ping = self.last_ping + PING_EVERY;
        let at = self.last_seen.map_or(ping, |seen| ping.min(seen + DEAD_AFTER));
        at.saturating_sub(now)
    }

    /// Asks what is due.
    pub(super) fn beat(&mut self, now: Duration) -> Beat {
        if self.last_seen.is_some_and(|seen| now >= seen + DEAD_AFTER) {
            Beat::Dead
        } else if now >= self.last_ping + PING_EVERY {
            self.last_ping = now;
            Beat::Ping
        } else {
            Beat::Early
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_peer_is_pinged_twice_and_dead_after_a_minute() {
        let mut heart = Heartbeat::new(seconds(0), true);
        assert_eq!(heart.next(seconds(0)), seconds(25));
        assert_eq!(heart.beat(seconds(25)), Beat::Ping);
        assert_eq!(heart.beat(seconds(50)), Beat::Ping);
        assert_eq!(heart.next(seconds(50)), seconds(10));
        assert_eq!(heart.beat(seconds(60)), Beat::Dead);
    }

    #[test]
    fn any_frame_counts_as_life() {
        let mut heart = Heartbeat::new(seconds(0), true);
        heart.seen(seconds(40));
        assert_eq!(heart.beat(seconds(60)), Beat::Ping);
        assert_eq!(heart.beat(seconds(61)), Beat::Early);
    }

    #[test]
    fn a_stream_that_cannot_answer_is_never_dead() {
        let mut heart = Heartbeat::new(seconds(0), false);
        assert_eq!(heart.beat(seconds(3600)), Beat::Ping);
    }
}
