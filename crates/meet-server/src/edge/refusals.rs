//! What a request may be refused with, for the OpenAPI document: each extractor says it for itself, so that a handler
//! only lists what its operation adds. What stands around all routes is added to the finished document.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{
        ContentBuilder, Paths, RefOr, Response, ResponseBuilder,
        path::{HttpMethod, Operation},
        schema::Ref,
    },
};

use super::{Authenticated, Body, Caller, Lenient, NoCredential, Path, RawBody, Socket, StreamCaller};

/// The refusals of an operation in a room that is there for the caller, or is not any more.
pub(crate) struct InRoom;

/// The refusals of whatever takes a place among the open connections.
pub(crate) struct TakesPlace;

macro_rules! refuse {
    ($($extractor:ty $(where $parameter:ident)?: $($status:literal)*;)*) => {$(
        impl $(<$parameter>)? IntoResponses for $extractor {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($status),*].into_iter().map(|status: u16| (status.to_string(), refusal(status).into())).collect()
            }
        }
    )*};
}

refuse! {
    NoCredential: 400;
    Caller: 400 401;
    Authenticated: 400 401;
    Lenient: 400 401;
    Socket: 400 401 403;
    StreamCaller: 400 401 403;
    Body<T> where T: 400 413;
    RawBody: 400 413;
    Path<T> where T: 404;
    InRoom: 404 410;
    TakesPlace: 429;
}

fn refusal(status: u16) -> Response {
    let schema = RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name("ErrorBody"));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(sentence(status)).content("application/json", content).build()
}

/// What a status says wherever an operation has no words of its own for it.
fn sentence(status: u16) -> &'static str {
    match status {
        400 => "The request is not what the operation takes; the sentence says what is wrong with it.",
        401 => "No credential came along, or one that is not valid, or not any more.",
        403 => "The caller may not do this, or a cookie came along from the page of another server.",
        404 => "For this caller there is nothing by this id.",
        409 => "Something that is there already stands in the way.",
        410 => "The room's time is over.",
        413 => "The body, or a text in it, is too long.",
        415 => "With a cookie as the credential, the body must be `application/json`.",
        421 => "The `Host` of the request is none of this server's.",
        426 => "The request is no WebSocket upgrade.",
        429 => "Too much of this caller or its address; `Retry-After` says when to come back.",
        503 => "The server cannot do this just now; `Retry-After` says when to come back.",
        507 => "The storage quota is used up, or the server's disk is nearly full.",
        _ => "The operation was refused.",
    }
}

/// Adds what stands around all routes, and a sentence to each refusal that has none.
pub(crate) fn document_refusals(paths: &mut Paths) {
    for (path, item) in &mut paths.paths {
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                add_common(path, &method, operation);
            }
        }
    }
}

fn add_common(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let takes_cookie = operation
        .security
        .iter()
        .flatten()
        .any(|way| serde_json::to_value(way).is_ok_and(|way| way.get("cookie").is_some()));
    let is_write = !matches!(method, HttpMethod::Get);
    let is_probe = matches!(path, "/healthz" | "/readyz");
    let is_api = path.starts_with("/api/");
    let common = [
        (400, !is_probe),
        (403, is_write && takes_cookie),
        (415, operation.request_body.is_some() && takes_cookie),
        (421, !is_probe),
        // What `line.rs` answers before the request is read.
        (429, true),
        (503, true),
        (507, is_api && is_write),
    ];
    let responses = &mut operation.responses.responses;
    for (status, _) in common.into_iter().filter(|(_, holds)| *holds) {
        responses.entry(status.to_string()).or_insert_with(|| refusal(status).into());
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            status.parse().map_or("", sentence).clone_into(&mut response.description);
        }
    }
}
