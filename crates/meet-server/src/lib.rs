//! The application behind meet-ai: operations on keys, rooms, messages and people, the hub that hands
//! publications out, and the HTTP, socket and stream shells that call them.
//!
//! ```text
//! router                   all routes, with what stands around them, and their OpenAPI document
//! http, gateway            shells: extract, call one operation, answer; neither knows of the other
//!    └─ keys rooms messages people      operations: `impl App` blocks, no axum, no SQL
//!          ├─ meet_store   the truth
//!          └─ hub          who listens to what, here and now
//! ```
//!
//! It contains no SQL (that is `meet-store`) and no command line (that is `meet-ai`).

mod app;
pub mod auth;
pub mod backup;
mod calls;
pub mod clock;
#[cfg(test)]
#[path = "../tests/it/support/cloudflare.rs"]
mod cloudflare;
pub mod conference;
pub mod config;
pub mod data_dir;
pub mod doctor;
mod edge;
mod emulation;
pub mod error;
mod gateway;
mod guard;
pub mod history;
mod http;
pub mod hub;
mod keys;
pub mod limits;
mod line;
pub mod mention;
pub mod messages;
mod mount;
mod names;
pub mod people;
pub mod presence;
pub mod quick_rooms;
mod reading;
pub mod rooms;
mod router;
mod secret;
mod serve;
mod sweep;
mod tasks;
mod telemetry;
pub mod tokens;
mod turns;
mod turnstile;
mod web;
mod welcome;

pub use app::{App, FirstStart, StartError, Started};
pub use clock::Clock;
pub use config::Config;
pub use error::Error;
pub use meet_store::Hold;
pub use mount::{Body, Holder, Lease, LocalDoor, Mounted};
pub use router::openapi_json;
pub use serve::{ServeError, serve, serve_with};
pub use web::SKILL;
