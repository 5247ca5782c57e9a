//! When a session has to do something by itself: pings, and the ends of what was granted. Times are those of a
//! monotonic clock, since any moment that its owner likes.

use std::time::Duration;

use super::Settings;

/// What a connection owes, or is owed, next.
#[derive(Debug)]
pub(super) enum Life {
    /// It has to connect until then.
    Stranger { until: Duration },
    /// The next ping is due then.
    Quiet { ping_at: Duration },
    /// A ping has to be answered until then; the next one is due after that.
    Pinged { until: Duration, ping_at: Duration },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It never connected.
    Stale,
    /// A ping is to be sent.
    Ping,
    /// It did not answer.
    NoPong,
}

impl Life {
    /// A new connection.
    pub(super) fn stranger(settings: &Settings, now: Duration) -> Self {
        Self::Stranger { until: now + settings.connect_within }
    }

    /// It is in: `chance`, from 0 to 1, spreads the first pings of many that come at once over the second half of the
    /// interval.
    pub(super) fn connected(settings: &Settings, chance: f64, now: Duration) -> Self {
        let half = settings.ping_interval / 2;
        Self::Quiet { ping_at: now + half + half.mul_f64(chance.clamp(0.0, 1.0)) }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Duration {
        match *self {
            Self::Stranger { until } | Self::Pinged { until, .. } => until,
            Self::Quiet { ping_at } => ping_at,
        }
    }

    /// What is due now, if anything.
    pub(super) fn advance(&mut self, settings: &Settings, now: Duration) -> Option<Due> {
        if now < self.next() {
            return None;
        }
        match self {
            Self::Stranger { .. } => Some(Due::Stale),
            Self::Pinged { .. } => Some(Due::NoPong),
            Self::Quiet { .. } => {
                *self = Self::Pinged { until: now + settings.pong_within, ping_at: now + settings.ping_interval };
                Some(Due::Ping)
            }
        }
    }

    /// Waits longer for a pong that may lie unread behind something that takes its time.
    pub(super) fn wait(&mut self, settings: &Settings, now: Duration) {
        if let Self::Pinged { until, .. } = self {
            *until = (*until).max(now + settings.pong_within);
        }
    }

    /// A pong came; whether one was owed.
    pub(super) fn pong(&mut self) -> bool {
        let Self::Pinged { ping_at, .. } = *self else { return false };
        *self = Self::Quiet { ping_at };
        true
    }
}

/// Until when something that runs out after `ttl` seconds is kept, waiting for a new token.
pub(super) fn ends(settings: &Settings, ttl: Option<u32>, now: Duration) -> Option<Duration> {
    ttl.map(|seconds| now + Duration::from_secs(seconds.into()) + settings.grace)
}
