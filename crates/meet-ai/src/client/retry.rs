//! When to try again, and after how long.

use std::time::Duration;

use meet_server::Clock;

use super::ClientError;
use crate::output::{self, escape};

/// Waits that double up to a bound, each shortened by chance so that many clients spread out.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    step: u32,
}

/// Tries that are left, and the waits between them.
#[derive(Debug, Clone)]
pub struct Retry {
    backoff: Backoff,
    tries_left: u32,
}

/// The longest wait that a server may ask for before giving up is kinder.
const MOST_PATIENCE: Duration = Duration::from_mins(1);

/// 32 bits of chance.
pub fn chance(clock: &Clock) -> u32 {
    let mut bytes = [0; 4];
    clock.fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

impl Backoff {
    /// Starts at `first` and never exceeds `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, step: 0 }
    }

    /// The next wait: between half and all of the doubled one; `chance` is any number.
    pub fn next(&mut self, chance: u32) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(self.step)).min(self.most);
        self.step = self.step.saturating_add(1);
        let half = full / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.step = 0;
    }
}

impl Retry {
    /// For a command that somebody waits for: four more tries within some seconds.
    pub const fn of_a_command() -> Self {
        Self { backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(4)), tries_left: 4 }
    }

    /// For a command that had better fail at once.
    pub const fn never() -> Self {
        Self { tries_left: 0, ..Self::of_a_command() }
    }

    /// Makes a call until it succeeds or trying again is no use.
    pub async fn run<T>(
        mut self,
        clock: &Clock,
        call: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = self.after(&error, chance(clock)) else { return Err(error) };
            if wait.as_secs() > 1 {
                output::note(&format!("{}; trying again in {} s", escape(&error.to_string()), wait.as_secs()));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait after this error; `None` when trying again is no use.
    fn after(&mut self, error: &ClientError, chance: u32) -> Option<Duration> {
        if !error.is_passing() || self.tries_left == 0 {
            return None;
        }
        self.tries_left -= 1;
        let wait = self.backoff.next(chance).max(error.retry_after().unwrap_or_default());
        (wait <= MOST_PATIENCE).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use meet_api::{ErrorBody, ErrorCode};
    use reqwest::StatusCode;

    use super::*;

    fn refused(status: u16, seconds: Option<u64>) -> ClientError {
        ClientError::Refused {
            asked: String::new(),
            status: StatusCode::from_u16(status).unwrap(),
            body: ErrorBody { error: String::new(), code: ErrorCode::RateLimited },
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    fn unreachable() -> ClientError {
        ClientError::Unreachable { url: String::new(), reason: String::new(), hint: None }
    }

    #[test]
    fn waits_double_up_to_their_bound_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));
        let longest: Vec<u128> = (0..5).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(longest, [500, 1000, 2000, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.next(0).as_millis(), 250);
        for _ in 0..100 {
            assert!(backoff.next(u32::MAX) <= Duration::from_secs(3));
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_a_few_times() {
        let mut retry = Retry::of_a_command();
        let waits: Vec<bool> = (0..6).map(|_| retry.after(&unreachable(), 7).is_some()).collect();
        assert_eq!(waits, [true, true, true, true, false, false]);
        for status in [400, 401, 404, 409, 413, 507] {
            assert_eq!(Retry::of_a_command().after(&refused(status, None), 7), None, "{status}");
        }
    }

    #[test]
    fn a_server_that_names_its_time_is_heard_within_reason() {
        let wait = |seconds| Retry::of_a_command().after(&refused(429, Some(seconds)), 0);
        assert_eq!(wait(42), Some(Duration::from_secs(42)));
        assert_eq!(wait(3600), None);
    }
}
