//! What an acknowledgement is worth: the real binary is killed, starved of disk, torn in the midst of
//! its first start and copied under load, on SQLite and on Postgres, and what it acknowledged is there.
//!
//! Postgres takes part when `MEET_AI_TEST_POSTGRES` holds the URL of a server and a user that may create
//! databases. Some stories need root or `strace`. Where something is missing the story says so; in CI
//! (`CI=true`) it fails. Chance is seeded: a failure prints the `MEET_AI_SEED` that repeats its choices.
//! `MEET_AI_SOAK=1` makes the stories long. Nothing waits for time; everything waits for an event.

#![expect(clippy::unwrap_used, reason = "a story ends where it goes wrong")]

mod backing_up;
mod caller;
mod chance;
mod full_disk;
mod holding;
mod killing;
mod load;
mod memory;
mod place;
mod server;
mod stopping;
mod syncing;
mod tearing;
mod trace;

/// Runs each story in a place of its own on each database.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $story() { crate::place::on_sqlite(super::$story); })*
        }
        mod on_postgres {
            $(#[test] fn $story() { crate::place::on_postgres(super::$story); })*
        }
    };
}
pub(crate) use on_both;
