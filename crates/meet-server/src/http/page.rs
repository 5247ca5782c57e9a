//! Pages of lists: the `Link` header that leads to the next one.

use axum::http::{HeaderName, HeaderValue, header};

/// A `Link` header for these relations, each a query on `path`; none for no relations. Relative, because only the
/// public URL may stand in an absolute one (RFC 8288 resolves it against the request).
pub(super) fn link(path: &str, relations: &[(&str, Option<String>)]) -> Option<(HeaderName, HeaderValue)> {
    let links: Vec<_> = relations
        .iter()
        .filter_map(|(relation, query)| query.as_ref().map(|query| format!("<{path}?{query}>; rel=\"{relation}\"")))
        .collect();
    if links.is_empty() {
        return None;
    }
    Some((header::LINK, HeaderValue::from_str(&links.join(", ")).ok()?))
}

/// The query of the page behind the last of `items`, when that page may hold something.
pub(super) fn next<T, I: std::fmt::Display>(items: &[T], limit: u32, id: impl Fn(&T) -> I) -> Option<String> {
    let last = items.last().filter(|_| items.len() == limit as usize)?;
    Some(format!("after={}&limit={limit}", id(last)))
}
