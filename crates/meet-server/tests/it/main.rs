//! What callers of a running server see: every test boots the real thing on port 0 and comes in by the front door.

mod support;

mod credentials;
mod keys;
mod origins;
mod story;
mod tenants;
