//! Time and chance, as arguments: the one file that reads the machine's clocks and random source.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    System { start: Instant, booted: Duration },
    Manual(Arc<Manual>),
}

/// Both times of a clock that stands still; they are moved together, or nobody could tell a jump from an advance.
struct Manual(Mutex<(Timestamp, Duration)>);

impl Manual {
    fn times(&self) -> MutexGuard<'_, (Timestamp, Duration)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn system() -> Self {
        let start = Instant::now();
        Self(Source::System { start, booted: slept_through(start) })
    }

    /// A clock that stands still at `now` until it is moved.
    pub fn manual(now: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Manual(Mutex::new((now, Duration::ZERO))))))
    }

    /// Moves a manual clock, wall and monotonic alike; a system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let (wall, monotonic) = &mut *manual.times();
            *wall = wall.plus(by);
            *monotonic += by;
        }
    }

    /// Moves only the wall time of a manual clock, as an operator who sets the machine's clock does.
    pub fn jump(&self, millis: i64) {
        if let Source::Manual(manual) = &self.0 {
            let (wall, _) = &mut *manual.times();
            *wall = Timestamp::from_millis(wall.millis().saturating_add(millis));
        }
    }

    /// The wall time.
    pub fn now(&self) -> Timestamp {
        self.both().0
    }

    /// Time since the clock was made, which never goes back; it may stand still while the machine sleeps.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { start, .. } => start.elapsed(),
            Source::Manual(manual) => manual.times().1,
        }
    }

    /// The wall time, and the time since the clock was made with what the machine slept, of the same moment.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn both(&self) -> (Timestamp, Duration) {
        match &self.0 {
            Source::System { start, booted } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
                (Timestamp::from_millis(millis), slept_through(*start).saturating_sub(*booted))
            }
            Source::Manual(manual) => *manual.times(),
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

/// A time that never goes back and goes on while the machine sleeps, as the wall clock does.
#[cfg(target_os = "linux")]
fn slept_through(_start: Instant) -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// A time that never goes back. This system offers none that goes on while the machine sleeps: a long sleep looks like
/// a jump of the wall clock, and is believed as late as one.
#[cfg(not(target_os = "linux"))]
fn slept_through(start: Instant) -> Duration {
    start.elapsed()
}

/// How far the two clocks may drift apart between two looks before the wall clock is said to have jumped. Time servers
/// slew by milliseconds; whoever sets a clock by hand for less than this may.
const JUMP: Duration = Duration::from_mins(1);
/// How long the wall clock must have gone evenly after a jump before it is believed: long enough for a time server or an
/// operator to take back what was a mistake.
const PROBATION: Duration = Duration::from_hours(1);
/// How long the wall clock may be doubted when it jumps on and on: a clock that is never even is still the only one.
const LONGEST_DOUBT: Duration = Duration::from_hours(24);

/// The wall time for ending things: after a jump of the wall clock it goes on as it went before, until the clock has
/// gone evenly for an hour, or has been doubted for a day. It is never ahead of the wall clock.
pub(crate) struct Steady(Mutex<Course>);

struct Course {
    wall: Timestamp,
    monotonic: Duration,
    doubt: Option<Doubt>,
}

/// The wall clock has jumped and is not believed yet.
struct Doubt {
    /// The time as it would be without the jump, at the last look.
    believed: Timestamp,
    since: Duration,
    until: Duration,
}

impl Steady {
    pub(crate) fn new(clock: &Clock) -> Self {
        let (wall, monotonic) = clock.both();
        Self(Mutex::new(Course { wall, monotonic, doubt: None }))
    }

    /// Looks at both clocks, and tells the time that may end things.
    pub(crate) fn now(&self, clock: &Clock) -> Timestamp {
        let mut course = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, monotonic) = clock.both();
        course.look(wall, monotonic)
    }
}

impl Course {
    fn look(&mut self, wall: Timestamp, monotonic: Duration) -> Timestamp {
        let passed = monotonic.saturating_sub(self.monotonic);
        let expected = self.wall.plus(passed);
        let jump = wall.millis().saturating_sub(expected.millis());
        let believed = self.doubt.as_ref().map_or(self.wall, |doubt| doubt.believed).plus(passed);
        let began = self.doubt.take();
        let doubt = if u128::from(jump.unsigned_abs()) > JUMP.as_millis() {
            tracing::warn!(
                clock.jump_seconds = jump / 1000,
                "the wall clock jumped; for an hour, what ends by time ends by the time as it was before"
            );
            let since = began.map_or(monotonic, |doubt| doubt.since);
            Some(Doubt { believed, since, until: monotonic + PROBATION })
        } else {
            began.map(|doubt| Doubt { believed, ..doubt })
        };
        self.doubt = doubt.filter(|doubt| monotonic < doubt.until.min(doubt.since + LONGEST_DOUBT));
        (self.wall, self.monotonic) = (wall, monotonic);
        self.doubt.as_ref().map_or(wall, |doubt| doubt.believed.min(wall))
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn start() -> (Clock, Steady) {
        let clock = Clock::manual("2026-02-07T12:00:00.000Z".parse().unwrap());
        let steady = Steady::new(&clock);
        (clock, steady)
    }

    fn millis(duration: Duration) -> i64 {
        i64::try_from(duration.as_millis()).unwrap()
    }

    #[test]
    fn time_that_passes_on_both_clocks_is_believed_however_much() {
        let (clock, steady) = start();
        clock.advance(1000 * HOUR);
        assert_eq!(steady.now(&clock), clock.now());
        clock.jump(-50_000);
        assert_eq!(steady.now(&clock), clock.now(), "and so is what a time server corrects");
    }

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_of_even_time() {
        let (clock, steady) = start();
        let before = clock.now();
        clock.jump(millis(3 * HOUR));
        assert_eq!(steady.now(&clock), before);
        for minute in 1..60 {
            clock.advance(Duration::from_mins(1));
            assert_eq!(steady.now(&clock), before.plus(Duration::from_mins(minute)), "time goes on meanwhile");
        }
        clock.advance(Duration::from_mins(1));
        assert_eq!(steady.now(&clock), clock.now());
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_no_trace_and_begins_the_hour_anew() {
        let (clock, steady) = start();
        for ahead in [3, -3, 5, -5] {
            clock.jump(ahead * millis(HOUR));
            clock.advance(HOUR / 2);
            steady.now(&clock);
        }
        assert_eq!(steady.now(&clock), clock.now());
        clock.jump(millis(HOUR));
        assert_eq!(steady.now(&clock), clock.now().minus(HOUR), "the next one is doubted again");
    }

    #[test]
    fn a_clock_that_jumps_on_and_on_is_believed_after_a_day() {
        let (clock, steady) = start();
        for minute in 1..24 * 60 {
            clock.advance(Duration::from_mins(1));
            clock.jump(millis(2 * JUMP));
            let behind = Duration::from_mins(2 * minute);
            // The day begins with the first jump, a minute after the start.
            assert_eq!(steady.now(&clock), clock.now().minus(behind));
        }
        for _ in 0..2 {
            clock.advance(Duration::from_mins(1));
            clock.jump(millis(2 * JUMP));
            steady.now(&clock);
        }
        clock.advance(Duration::from_mins(1));
        assert_eq!(steady.now(&clock), clock.now());
    }

    #[test]
    fn the_clocks_of_the_machine_go_together() {
        let clock = Clock::system();
        let (wall, monotonic) = clock.both();
        assert!(wall > Timestamp::from_millis(0) && monotonic < Duration::from_mins(1));
        assert!(clock.both().1 >= monotonic);
        assert_eq!(Steady::new(&clock).now(&clock).since(wall).as_secs() / 60, 0);
    }

    #[test]
    fn a_jump_back_makes_nothing_end_early() {
        let (clock, steady) = start();
        clock.jump(-millis(3 * HOUR));
        assert_eq!(steady.now(&clock), clock.now());
        clock.jump(millis(3 * HOUR));
        assert_eq!(steady.now(&clock), clock.now());
    }
}
