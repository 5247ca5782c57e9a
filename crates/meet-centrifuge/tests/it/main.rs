//! The two forms of the protocol: literal frames, round trips, and frames that are none.

#![expect(clippy::unwrap_used, reason = "a story ends where it goes wrong")]

mod literal;
mod malformed;
mod round_trip;
mod session;
