//! Time and chance, as arguments: the one file that reads the machine's clocks and random source.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use meet_api::Timestamp;
use rand::Rng;
use uuid::Uuid;

/// Tells the time and makes ids and secrets.
///
/// Wall time dates things that people see and things that outlive the process; monotonic time
/// measures intervals, so that a jump of the wall clock expires nothing by itself.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { start: Instant },
    Manual(Arc<Manual>),
}

struct Manual {
    wall_millis: AtomicI64,
    monotonic_millis: AtomicU64,
}

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn system() -> Self {
        Self(Source::System { start: Instant::now() })
    }

    /// A clock that stands still at `now` until it is moved.
    pub fn manual(now: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            wall_millis: AtomicI64::new(now.millis()),
            monotonic_millis: AtomicU64::new(0),
        })))
    }

    /// Moves a manual clock, wall and monotonic alike; a system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            manual.monotonic_millis.fetch_add(millis, Ordering::SeqCst);
            manual.wall_millis.fetch_add(millis.cast_signed(), Ordering::SeqCst);
        }
    }

    /// Moves only the wall time of a manual clock, as an operator who sets the machine's clock does.
    pub fn jump(&self, millis: i64) {
        if let Source::Manual(manual) = &self.0 {
            manual.wall_millis.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// The wall time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> Timestamp {
        let millis = match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Source::Manual(manual) => manual.wall_millis.load(Ordering::SeqCst),
        };
        Timestamp::from_millis(millis)
    }

    /// Time since the clock was made, which never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { start } => start.elapsed(),
            Source::Manual(manual) => Duration::from_millis(manual.monotonic_millis.load(Ordering::SeqCst)),
        }
    }

    /// A new UUID of version 7: its first 48 bits are the wall time.
    pub fn uuid(&self) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        let millis = u64::try_from(self.now().millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// Fills a buffer from the operating system's seeded generator; good enough for secrets.
    pub fn fill(&self, buffer: &mut [u8]) {
        rand::rng().fill_bytes(buffer);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System { .. } => "Clock::system",
            Source::Manual(_) => "Clock::manual",
        })
    }
}
