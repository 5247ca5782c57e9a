//! Keys, rooms, messages and people, kept in SQLite or Postgres; the only crate that knows SQL.
//!
//! It holds no rights and checks no limits but those that only a transaction can hold, asks no
//! clock, makes no ids and sees no secret: callers bring times, ids and digests. Every method that
//! touches a tenant's data takes the tenant first, and what belongs to another is simply not there.
//! Sessions, meetings, seats and quick rooms are found by themselves, and say whose they are.
//!
//! An operation is written once, as a function of a `conn::Conn`; the drivers run it, on a thread
//! that owns an SQLite connection or on a pooled connection of Postgres.

mod admissions;
mod appender;
mod backup;
mod batch;
mod conn;
mod copy;
mod error;
mod files;
mod founding;
mod hold;
mod invites;
mod keys;
mod meetings;
mod messages;
mod people;
mod postgres;
mod purge;
mod quick_rooms;
mod reading;
mod rooms;
mod schema;
mod search;
mod seats;
mod sqlite;
mod store;
mod turns;
mod value;
mod words;

pub use admissions::{Admission, Admitted, Entry, GuestSeat};
pub use appender::{Appended, Appender, Committed, QUEUE_BYTES, QUEUE_MESSAGES, Stopped};
pub use backup::{BackupError, Summary, backup, restore};
pub use batch::{AppendOutcome, Caps, Idempotency, MESSAGE_OVERHEAD, NewMessage, Stop, StoppedAt};
pub use error::{Cause, OpenError, StoreError};
pub use founding::{Founding, Welcome};
pub use hold::Hold;
pub use invites::{NewInvite, Redeem, Redeemed};
pub use keys::{NewTenant, Tenant, TenantKind};
pub use meetings::{Begun, Meeting};
pub use messages::Page;
pub use people::{Ensured, KnownUser, NewSession, NewUser, RoomGrant, Session, StoredUser};
pub use quick_rooms::{NewQuickRoom, OpenedQuick, QuickRoom};
pub use rooms::{Created, DailyLimit, NewRoom, PublicFrom, RoomPatch, StoredRoom, WindowState};
pub use seats::{NewSeat, StoredSeat};
pub use store::{Digest, Disk, Durability, Inspection, Location, SecretUrl, Store, inspect};
pub use words::words;
