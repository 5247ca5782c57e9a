//! The store through its front door, the same stories on SQLite (a real file) and on Postgres.
//!
//! Postgres takes part when `MEET_AI_TEST_POSTGRES` holds the URL of a server and a user that may
//! create databases; in CI (`CI=true`) its absence is a failure.

#![expect(clippy::unwrap_used, reason = "a story ends where it goes wrong")]

mod admissions;
mod agents;
mod appending;
mod backups;
mod commits;
mod holding;
mod keys;
mod meetings;
mod opening;
mod people;
mod proxy;
mod purging;
mod quick_rooms;
mod rooms;
mod searching;
mod seats;
mod tokens;
mod world;

/// Runs each story on both databases.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $story() { crate::world::on_sqlite(super::$story); })*
        }
        mod on_postgres {
            $(#[test] fn $story() { crate::world::on_postgres(super::$story); })*
        }
    };
}
pub(crate) use on_both;
