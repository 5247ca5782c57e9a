//! What callers of a running server see: every test boots the real thing on port 0 and comes in by the front door.

#![expect(clippy::unwrap_used, reason = "a story ends where it goes wrong")]
#![expect(clippy::disallowed_methods, reason = "a story's tasks belong to the story and end with it")]

mod support;

mod bad_input;
mod calls;
mod caps;
mod cloudflare;
mod credentials;
mod expiry;
mod filters;
mod gateway;
mod gateway_catch_up;
mod gateway_expiry;
mod gateway_invisible;
mod gateway_model;
mod gateway_security;
mod gateway_status;
mod gateway_streams;
mod gateway_wire;
mod guard;
mod history;
mod idempotency;
mod invites;
mod keys;
mod limits;
mod livekit_calls;
mod livekit_ends;
mod livekit_invisible;
mod lobby;
mod messages;
mod operations;
mod order;
mod origins;
mod pages;
mod polls;
mod presence;
mod providers;
mod quick_rooms;
mod reading;
mod realtimekit_calls;
mod realtimekit_failures;
mod restore;
mod rooms;
mod search;
mod secrets;
mod shutdown;
mod slow_readers;
mod sockets;
mod status;
mod story;
mod streams;
mod swarm;
mod tenants;
mod tokens;
mod turnstile;
