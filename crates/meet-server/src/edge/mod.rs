//! What every request goes through before a shell takes it: its Host, its credential and Origin, its
//! address, its query and body; and how an [`Error`](crate::Error) looks as an HTTP answer.
//!
//! Both `http` and `gateway` build on this; it calls no operation but authentication.

mod answer;
mod body;
mod caller;
mod guard;
mod query;
mod refusals;

pub(crate) use answer::{Refusal, created, error_answer, not_found, with_window};
pub(crate) use body::{Body, MAX_BODY, RawBody};
pub(crate) use caller::{
    Authenticated, Bearer, Caller, ClientIp, Lenient, NoCredential, Page, Socket, StreamCaller, bearer, dead_cookie,
    has_foreign_origin, page_of, session_cookie,
};
pub(crate) use guard::{check_host, count_requests, cross_origin, finish_changes, secure_headers};
pub(crate) use query::{Path, Query, wanted};
pub(crate) use refusals::{InRoom, TakesPlace, document_refusals};
