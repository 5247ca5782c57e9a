//! The OpenAPI document as a promise: whatever a test is answered must be described there.

use std::sync::OnceLock;

use serde_json::Value;

fn paths() -> &'static serde_json::Map<String, Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| serde_json::from_str(meet_server::openapi_json()).unwrap());
    document["paths"].as_object().unwrap()
}

fn fits(template: &str, path: &str) -> bool {
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(expected), Some(given)) if expected == given || (expected.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Asserts that the document says that this operation may answer so. What is no operation is none of its business.
pub(super) fn check(method: &str, path: &str, status: u16) {
    let path = path.split('?').next().unwrap_or_default();
    let found = paths().iter().find(|(template, _)| fits(template, path));
    let Some(operation) = found.and_then(|(_, methods)| methods.get(method.to_lowercase())) else { return };
    let is_known = operation["responses"].get(status.to_string()).is_some();
    assert!(is_known, "{method} {path} answers {status}, which openapi.json does not describe");
}
